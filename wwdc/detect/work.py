"""Scoring one block of rows by one detector: what an actor does, again and again."""

__all__ = ["BLOCK_ROWS", "Ready", "Task", "make_scorer", "noted", "scores_of", "tasks_of"]

import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.config import instantiate
from wwdc.detect.features import Features, save
from wwdc.discovery.fitted import CHUNK, Fitted, fit
from wwdc.embed.published import choose_rows
from wwdc.errors import FAULTS, DataError, last_line
from wwdc.products import atomic_write

BLOCK_ROWS = 65_536
"""Rows of a task: what a lost actor costs."""

_KEPT = 2
"""Detectors that an actor keeps: tasks come detector by detector."""


@dataclass(frozen=True)
class Ready:
    """A detector that is ready to be built and fitted: plain data, picklable.

    Attributes:
        node: ``_target_`` and arguments, with a ``random_state`` where it takes one.
        columns: columns of the matrix that it looks at, and their names.
        fit_rows: most rows to fit it on.
        seed: of all that is drawn for it.
    """

    name: str
    node: Mapping[str, Any] = field(repr=False)
    columns: tuple[int, ...] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    fit_rows: int
    seed: int
    allow: tuple[str, ...] = field(default=(), repr=False)
    code: Path | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Task:
    """One block of one embedding and one detector."""

    folder: Path
    detector: Ready
    block: int
    start: int
    stop: int

    @property
    def path(self) -> Path:
        """Where its scores go."""
        return self.folder / "scores" / f"{self.detector.name}-{self.start:012d}-{self.stop}.npy"

    @property
    def label(self) -> str:
        """What it is, for people."""
        return f"{self.detector.name}, rows {self.start} to {self.stop - 1}"


def tasks_of(features: Features, detector: Ready, block_rows: int | None = None) -> list[Task]:
    """The blocks of a detector on an embedding, in order.

    Args:
        block_rows: a multiple of the rows that a detector sees together; `BLOCK_ROWS` if None.
    """
    rows = block_rows or BLOCK_ROWS
    if rows % CHUNK:
        raise ValueError(f"a block of {rows} rows is no multiple of {CHUNK}")
    starts = range(0, features.total, rows)
    return [
        Task(features.folder, detector, number, start, min(start + rows, features.total))
        for number, start in enumerate(starts)
    ]


def scores_of(tasks: list[Task]) -> Iterator[NDArray[np.float64]]:
    """Scores of a detector, block by block, float64."""
    for task in tasks:
        yield np.load(task.path, allow_pickle=False)


def noted(features: Features, detector: Ready) -> dict[str, Any]:
    """What fitting a detector told: its number of rows, constant columns, rows it skipped."""
    found: dict[str, Any] = json.loads(_note(features.folder, detector).read_text())
    return found


def make_scorer() -> Callable[[Task], None]:
    """What an actor calls with each task."""
    return _Scorer()


class _Scorer:
    """Fits a detector when it is first asked for, and keeps the last ones."""

    def __init__(self) -> None:
        self._fitted: OrderedDict[tuple[Path, str], Fitted] = OrderedDict()

    def __call__(self, task: Task) -> None:
        """Write the task's scores, if they are not there.

        Raises:
            DataError: the detector cannot be fitted, or to score failed.
        """
        if task.path.exists():
            return
        # Sums of several threads round differently from run to run.
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        with threadpool_limits(1):
            features = Features.load(task.folder)
            if features is None:
                raise DataError(f"{task.folder} holds no features any more")
            fitted = self._get(features, task.detector)
            block = _columns(features.matrix()[task.start : task.stop], task.detector.columns)
            try:
                scores = fitted(block, task.start)
            except FAULTS as error:
                raise DataError(f"it cannot score: {last_line(error)}") from error
        save(task.path, scores)

    def _get(self, features: Features, detector: Ready) -> Fitted:
        key = (features.folder, detector.name)
        if key in self._fitted:
            self._fitted.move_to_end(key)
            return self._fitted[key]
        fitted = _fit(features, detector)
        self._fitted[key] = fitted
        while len(self._fitted) > _KEPT:
            self._fitted.popitem(last=False)
        return fitted


def _fit(features: Features, detector: Ready) -> Fitted:
    """Build, fit and check a detector, and note what was found."""
    if detector.code is not None and str(detector.code) not in sys.path:
        sys.path.insert(0, str(detector.code))
    rows, objects = features.array("fit"), features.array("fit_object")
    chosen = choose_rows(objects, detector.fit_rows, detector.seed)
    order = np.sort(rows[chosen])
    x = _columns(features.matrix()[order], detector.columns)
    key = f"detectors.detectors.{detector.name}"
    built = instantiate(detector.node, allow=detector.allow, key=key)
    fitted = fit(built, x, order, detector.labels, detector.seed)
    note = {
        "fitted": len(fitted.rows),
        "skipped": fitted.skipped,
        "constant": list(fitted.dropped),
    }
    atomic_write(_note(features.folder, detector), json.dumps(note))
    return fitted


def _columns(x: NDArray[np.float32], columns: tuple[int, ...]) -> NDArray[np.float32]:
    """The columns of *x*, without a copy where they are neighbours."""
    first, last = columns[0], columns[-1] + 1
    if columns == tuple(range(first, last)):
        return x[:, first:last]
    return x[:, list(columns)]


def _note(folder: Path, detector: Ready) -> Path:
    return folder / "scores" / f"{detector.name}.json"
