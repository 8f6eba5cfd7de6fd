"""Asking other programs, none of which may keep the doctor waiting."""

__all__ = ["Answer", "ask"]

import subprocess
from dataclasses import dataclass

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Answer:
    """What a program said.

    Attributes:
        code: its exit code; None when it could not be run, or did not end in time.
        out: its standard output.
        fault: the last line of what it said on standard error, or why it has no exit code.
    """

    code: int | None
    out: str = ""
    fault: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return self.code == 0


def ask(*command: str, timeout_s: float = TIMEOUT_S) -> Answer:
    """Run a program without input; it never raises and ends in *timeout_s*.

    >>> ask("false").code
    1
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(None, fault=f"no answer within {timeout_s:.0f} s")
    except OSError as error:
        return Answer(None, fault=error.strerror or str(error))
    said = done.stderr.strip().splitlines()
    return Answer(done.returncode, done.stdout, said[-1].strip() if said else "")
