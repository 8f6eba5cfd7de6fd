"""Ending a run on a signal, at a place where Ray and Tune can take it."""

__all__ = ["StopRequest", "Stopped"]

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from wwdc.terminal import EXIT_INTERRUPTED, EXIT_STOPPED


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
    """

    def __init__(self) -> None:
        self.code: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the first signal of each kind; a second one does what it does by default."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise `Stopped` if a signal came."""
        if self.code is not None:
            raise Stopped(self.code)

    def end(self) -> None:
        """Ask for the end as SIGTERM does: the time is over."""
        self.code = self.code or EXIT_STOPPED

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.code = EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_STOPPED
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, default)
