"""A check says something whatever happens, and no program keeps it waiting."""

import sys

import pytest

from wwdc.doctor.ask import ask
from wwdc.doctor.check import Check, guarded
from wwdc.errors import ConfigError


@pytest.mark.parametrize(
    "fault",
    [OSError(5, "Input/output error"), ImportError("no hydra"), ValueError("odd"), KeyError("x"),
     ConfigError("wrong"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")],
)  # fmt: skip
def test_a_check_that_breaks_fails_and_says_how(fault):
    def look():
        raise fault

    check = guarded("disk", look)
    assert (check.name, check.state) == ("disk", "fails")
    assert type(fault).__name__ in check.found
    assert check.fix


def test_a_check_that_works_is_passed_on():
    assert guarded("disk", lambda: Check("disk", "ok", "fine")) == Check("disk", "ok", "fine")


def test_what_a_program_says():
    code = "import sys; print('out'); sys.stderr.write('first\\nlast\\n'); sys.exit(3)"
    answer = ask(sys.executable, "-c", code)
    assert (answer.code, answer.out, answer.fault, answer.ok) == (3, "out\n", "last", False)
    assert ask(sys.executable, "-c", "").ok


def test_a_program_that_hangs():
    answer = ask(sys.executable, "-c", "import time; time.sleep(60)", timeout_s=0.5)
    assert answer.code is None
    assert "no answer within" in answer.fault


def test_a_program_that_is_not_there():
    answer = ask("/nowhere/program")
    assert answer.code is None
    assert "No such file" in answer.fault


def test_a_program_gets_no_input():
    assert ask(sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))").out == "''\n"
