"""What the benchmarks share: interleaved rounds, the machine's description, tables, memory."""

__all__ = ["REPOSITORY", "Memory", "interleaved", "machine", "table"]

import datetime
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
_MB = 1024**2


def interleaved(
    tasks: Mapping[str, Callable[[], object]], rounds: int, *, warm: bool = False
) -> dict[str, float]:
    """Median seconds of each task; one run of each a round, in turn.

    A task that returns a float tells its own seconds. With *warm*, a first round is not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(rounds + warm):
        for name, task in tasks.items():
            start = time.perf_counter()
            told = task()
            wall = time.perf_counter() - start
            if number or not warm:
                times[name].append(told if isinstance(told, float) else wall)
    return {name: statistics.median(values) for name, values in times.items()}


def machine() -> str:
    """One line that says where and when a figure was measured, and how busy it was there."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return (
        f"{today}, {platform.system()} {platform.machine()}, {cores} cores, "
        f"Python {platform.python_version()}, load average {load} at the start"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up; all but the first are aligned right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * w) if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([line(header), line(rule), *map(line, rows)])


class Memory:
    """Samples the memory of a process and its descendants while it is entered.

    ``peaks`` maps a kind of process, as *kind* names it, to the largest sum seen, in MB, and
    ``largest`` to that of a single process. On Linux the figure is PSS, which counts a page that
    n processes share as 1/n for each; elsewhere RSS.
    """

    def __init__(
        self, root: psutil.Process, kind: Callable[[psutil.Process], str], every_s: float = 0.5
    ) -> None:
        self.peaks: dict[str, float] = {}
        self.largest: dict[str, float] = {}
        self.measure = "RSS"
        self._root, self._kind, self._every_s = root, kind, every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(self._every_s):
            sums: dict[str, float] = {}
            for process in self._family():
                try:
                    kind, used = self._kind(process), self._used(process)
                except psutil.Error:  # it has ended since
                    continue
                sums[kind] = sums.get(kind, 0.0) + used
                self.largest[kind] = max(self.largest.get(kind, 0.0), used)
            for kind, used in sums.items():
                self.peaks[kind] = max(self.peaks.get(kind, 0.0), used)

    def _family(self) -> list[psutil.Process]:
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return []

    def _used(self, process: psutil.Process) -> float:
        info = process.memory_full_info()
        if hasattr(info, "pss"):
            self.measure = "PSS"
            return float(info.pss) / _MB
        return float(info.rss) / _MB
