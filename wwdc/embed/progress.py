"""What the terminal shows while embeddings are made: a live bar, or a line an event."""

__all__ = ["Progress"]

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

EVERY_S = 30.0


class Progress:
    """Counts objects, each once for every embedding it goes into.

    Args:
        console: on a terminal a live bar, otherwise a line an event.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.total = self.done = 0
        self.began = self.told = time.monotonic()
        self._task: TaskID | None = None
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("objects{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> "Progress":
        if self.console.is_terminal:
            self._task = self._bar.add_task("embedding", total=None, rate="")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def expect(self, objects: int) -> None:
        """Announce work."""
        self.total += objects
        self._update()

    def advance(self, objects: int) -> None:
        """Count work that was done, or will not be."""
        self.done += objects
        self._update()
        now = time.monotonic()
        if self._task is None and now - self.told >= EVERY_S:
            self.told = now
            left = (now - self.began) * (self.total - self.done) / max(self.done, 1)
            self.say(
                f"{self.done} of {self.total} objects{self._rate()}, about {_minutes(left)} left"
            )

    def say(self, text: str) -> None:
        """An event."""
        stamp = "" if self._task is not None else f"[{time.monotonic() - self.began:6.0f} s] "
        self.console.print(f"{stamp}{text}", markup=False, soft_wrap=True)

    def _update(self) -> None:
        if self._task is not None:
            self._bar.update(self._task, total=self.total, completed=self.done, rate=self._rate())

    def _rate(self) -> str:
        seconds = time.monotonic() - self.began
        return f", {self.done / seconds:.0f} a second" if self.done and seconds > 1 else ""


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
