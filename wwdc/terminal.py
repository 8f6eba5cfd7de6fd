"""What every command shares: exit codes, notices and the console on standard error."""

__all__ = [
    "EXIT_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_OK",
    "EXIT_STOPPED",
    "EXIT_USER",
    "console",
    "counted",
    "notice",
    "run_cli",
]

import functools
import os
import sys
from collections.abc import Callable

from rich.console import Console

from wwdc.errors import WWDCError

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USER = 2
EXIT_STOPPED = 3  # by the wall clock or a signal; what was done is kept and resumable
EXIT_INTERRUPTED = 130


def run_cli(main: Callable[[], int]) -> int:
    """Run a command and turn what went wrong into an exit code.

    A user's mistake (`WWDCError`) is one line on standard error and exit code 2, Ctrl-C is 130.
    A reader that went away (`wwdc products ls | head`) ends the command quietly.
    """
    try:
        return main()
    except WWDCError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_USER
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more at exit: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


@functools.cache
def notice(text: str) -> None:
    """Say something on standard error, once a process however often it is asked for."""
    sys.stderr.write(f"note: {text}\n")
    sys.stderr.flush()


def counted(count: int, thing: str) -> str:
    """How many there are, in words.

    >>> counted(1, "point"), counted(3, "point")
    ('1 point', '3 points')
    """
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


@functools.cache
def console() -> Console:
    """The one rich console of this process, on standard error: standard output is for results."""
    return Console(stderr=True, highlight=False)
