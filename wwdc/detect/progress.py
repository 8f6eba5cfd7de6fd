"""How far the scoring is: a bar on a terminal, else a line an event."""

__all__ = ["Told"]

import time
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

LINE_EVERY_S = 30.0


class Told:
    """Says what was scored, and at once what failed."""

    def __init__(self, screen: Console) -> None:
        self.screen = screen
        self.blocks = 0
        self.began = self.last = time.monotonic()
        columns: tuple[Any, ...] = (
            SpinnerColumn(),
            TextColumn("{task.completed} blocks scored"),
            TimeElapsedColumn(),
            TextColumn("{task.description}", style="dim"),
        )
        self.bar = Progress(*columns, console=screen, transient=True)
        self.task = self.bar.add_task("", total=None)

    def __enter__(self) -> "Told":
        if self.screen.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.screen.is_terminal:
            self.bar.stop()

    def next(self, label: str) -> None:
        """Another block has been scored."""
        self.blocks += 1
        self.bar.update(self.task, advance=1, description=label)
        if not self.screen.is_terminal and time.monotonic() - self.last > LINE_EVERY_S:
            self.last = time.monotonic()
            self._say(f"{self.blocks} blocks scored, {label}")

    def left_out(self, name: str, detector: str, reason: str) -> None:
        """A detector cannot score an embedding."""
        self._say(f"left out: {name}: {detector}: {reason}")

    def failed(self, name: str, reason: str) -> None:
        """An embedding gets no scores."""
        self._say(f"failed: {name}: {reason}")

    def _say(self, text: str) -> None:
        seconds = time.monotonic() - self.began
        self.screen.print(f"[{seconds:6.0f} s] {text}", markup=False, soft_wrap=True)
