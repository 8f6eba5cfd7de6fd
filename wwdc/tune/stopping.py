"""Ending a run on a signal, at a place where Ray and Tune can take it."""

__all__ = ["LATER", "StopRequest", "Stopped"]

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from wwdc.terminal import EXIT_INTERRUPTED, EXIT_STOPPED

LATER = ("paused", "unstarted")
"""Outcomes of points that are still to be trained: put aside, or not begun for want of time."""

WARNING = signal.SIGUSR2
"""Sent by a batch job before its end. Ray Tune has a use of its own for SIGUSR1."""

_ENDING = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal ended the run. Not an Exception, so that Tune lets it through.

    Attributes:
        code: the command's exit code.
    """

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)


class StopRequest:
    """Remembers Ctrl-C or SIGTERM until `check` is called from Python that may be left.

    A handler that raised at once would raise inside Ray's compiled code, which turns it into a
    SystemError.

    Args:
        patient: whether `WARNING`, which comes before a batch job's end, is left to `soon`; else
            it ends the run as SIGTERM does.

    Attributes:
        soon: whether the warning came: what runs should be brought to a good end.
    """

    def __init__(self, patient: bool = False) -> None:
        self.code: int | None = None
        self.soon = False
        self._patient = patient

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the first signal of each kind; a second one does what it does by default."""
        before = {number: signal.getsignal(number) for number in (*_ENDING, WARNING)}
        self.renew()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def renew(self) -> None:
        """Take the signals again: Ray, started by another thread, puts its handlers over ours."""
        for number in _ENDING:
            signal.signal(number, self._note)
        signal.signal(WARNING, self._warn)

    def check(self) -> None:
        """Raise `Stopped` if a signal came."""
        if self.code is not None:
            raise Stopped(self.code)

    def end(self) -> None:
        """Ask for the end as SIGTERM does: the time is over."""
        self.code = self.code or EXIT_STOPPED

    def _warn(self, _number: int, _frame: FrameType | None) -> None:
        self.soon = True
        if not self._patient:
            self.end()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.code = EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_STOPPED
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, default)
