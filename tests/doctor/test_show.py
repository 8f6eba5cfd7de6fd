"""How the checks look."""

import io

import pytest
from rich.console import Console

from wwdc.doctor.check import Check
from wwdc.doctor.examine import Group
from wwdc.doctor.show import document, show

COMMAND = "python -m pip install " + " ".join(f"package_{i}" for i in range(30))
GROUPS = [
    Group("Python", (Check("Python", "ok", "3.11.2 [bold]"), Check("torch", "note", "old", "New"))),
    Group(
        "Ray",
        (
            Check("Ray", "fails", "a long story " * 12, "Mend it " * 20, COMMAND, ("a detail",)),
            Check("job", "not here", "none"),
        ),
    ),
]


def shown(width, groups=GROUPS):
    out = io.StringIO()
    show(groups, Console(file=out, width=width, highlight=False))
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_it_fits(width):
    lines = shown(width).splitlines()
    assert all(len(line) <= width for line in lines if "package_" not in line)
    assert all(line == line.rstrip() for line in lines)


def test_a_command_stays_in_one_line():
    assert f"      {COMMAND}\n" in shown(80)


def test_what_is_told():
    text = shown(80)
    assert "3.11.2 [bold]" in text
    assert "a detail" in text
    assert text.index("To mend") < text.index("Ray: Mend it")
    assert text.index("Ray: Mend it") < text.index("Worth knowing") < text.index("torch: New")
    assert text.endswith("1 check fails; 1 note.\n")


def test_nothing_to_mend():
    text = shown(80, [Group("Python", (Check("Python", "ok", "3.11.2"),))])
    assert "To mend" not in text
    assert "Worth knowing" not in text
    assert text.endswith("Nothing fails; 0 notes.\n")


def test_a_document():
    made = document(GROUPS, host="here")
    assert (made["host"], made["failed"], len(made["checks"])) == ("here", 1, 4)
    assert made["checks"][2]["group"] == "Ray"
    assert made["checks"][2]["command"] == COMMAND
    assert made["checks"][2]["details"] == ["a detail"]


def test_only_the_state_has_a_colour():
    out = io.StringIO()
    show(GROUPS[:1], Console(file=out, width=80, highlight=False, force_terminal=True))
    line = next(line for line in out.getvalue().splitlines() if "3.11.2" in line)
    assert line.endswith("Python  3.11.2 [bold]")
    assert "\x1b[32mok" in line
