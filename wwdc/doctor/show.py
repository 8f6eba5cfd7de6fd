"""How the checks look: rows of what was found, and below it what to do."""

__all__ = ["document", "show"]

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from wwdc.doctor.check import Check, State
from wwdc.doctor.examine import Group

_STYLES: dict[State, str] = {
    "ok": "green",
    "note": "yellow",
    "fails": "bold red",
    "not here": "dim",
}
_STATE = max(map(len, _STYLES))
_NARROWEST = 20


def show(groups: Sequence[Group], screen: Console) -> None:
    """Rows under the name of each group, then the remedies, those of what fails first."""
    checks = _checks(groups)
    width = max(len(check.name) for check in checks)
    for group in groups:
        screen.print(Text(group.name, style="bold"))
        for check in group.checks:
            _show_row(check, width, screen)
    failing = [check for check in checks if check.state == "fails"]
    notes = [check for check in checks if check.state == "note"]
    _show_fixes("To mend", failing, screen)
    _show_fixes("Worth knowing", notes, screen)
    screen.print()
    screen.print(_verdict(len(failing), len(notes)))


def document(groups: Sequence[Group], **about: Any) -> dict[str, Any]:
    """The same for programs."""
    checks = [
        {
            "group": group.name,
            "name": check.name,
            "state": check.state,
            "found": check.found,
            "fix": check.fix,
            "command": check.command,
            "details": list(check.details),
        }
        for group in groups
        for check in group.checks
    ]
    return {**about, "failed": sum(c["state"] == "fails" for c in checks), "checks": checks}


def _checks(groups: Iterable[Group]) -> list[Check]:
    return [check for group in groups for check in group.checks]


def _show_row(check: Check, width: int, screen: Console) -> None:
    state = (f"{check.state:{_STATE}}", _STYLES[check.state])
    head = Text.assemble("  ", state, f"  {check.name:{width}}  ")
    _wrap(head, Text(check.found), screen)
    for line in check.details:
        _wrap(Text(" " * len(head)), Text(line, style="dim"), screen)


def _show_fixes(title: str, checks: Sequence[Check], screen: Console) -> None:
    """A command is one line however long, so that it can be copied."""
    if not checks:
        return
    screen.print()
    screen.print(Text(title, style="bold"))
    for check in checks:
        name = (f"{check.name}: ", _STYLES[check.state])
        _wrap(Text("  "), Text.assemble(name, check.fix or ""), screen)
        if check.command:
            screen.print(Text(f"      {check.command}", style="cyan"), soft_wrap=True)


def _wrap(head: Text, text: Text, screen: Console) -> None:
    """Lines of *text* below each other, beside *head*; a table would fill them up with blanks."""
    for line in text.wrap(screen, max(screen.width - len(head), _NARROWEST)):
        line.rstrip()
        screen.print(Text.assemble(head, line), soft_wrap=True)
        head = Text(" " * len(head))


def _verdict(failed: int, notes: int) -> Text:
    told = f"{notes} {'note' if notes == 1 else 'notes'}"
    if not failed:
        return Text(f"Nothing fails; {told}.", style="green")
    what = "1 check fails" if failed == 1 else f"{failed} checks fail"
    return Text(f"{what}; {told}.", style=_STYLES["fails"])
