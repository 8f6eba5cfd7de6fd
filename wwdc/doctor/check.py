"""What a check says, and that it always says something."""

__all__ = ["Check", "State", "guarded"]

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from wwdc.errors import FAULTS, last_line

State = Literal["ok", "note", "fails", "not here"]

_FAULTS = (*FAULTS, ImportError, OSError, subprocess.SubprocessError)


@dataclass(frozen=True)
class Check:
    """The result of looking at one thing.

    Attributes:
        name: of the thing.
        state: ``note`` may matter, ``fails`` does; what is ``not here`` need not be.
        found: what there is, in one line.
        fix: what to do about it, in a sentence; whatever fails has one.
        command: the line to type for that, if it is one.
        details: more lines, such as a cluster's partitions.
    """

    name: str
    state: State
    found: str
    fix: str | None = None
    command: str | None = None
    details: tuple[str, ...] = ()


def guarded(name: str, look: Callable[[], Check]) -> Check:
    """The check that *look* makes; if it breaks instead, one that fails and says how."""
    try:
        return look()
    except _FAULTS as error:
        return Check(
            name,
            "fails",
            f"could not be checked: {type(error).__name__}: {last_line(error)}",
            "If the other checks do not explain it, report it with this line.",
        )
