"""What every query strategy does: learn from labels, score rows, pick the next."""

__all__ = ["SCHEDULE", "SlowStrategy", "Strategy", "random_state", "settled", "top"]

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wwdc.discovery.pool import Pool, Rows
from wwdc.errors import DataError

# Shapes: N rows of the pool, L labels, C columns of a strategy.

SCHEDULE = (5, 5, 5, 5, 10)
"""Labels between two fits of a slow model; the last goes on."""

_BLOCK = 65_536
"""Rows scored at once; a multiple of `wwdc.discovery.pool.CHUNK`."""


def settled(labels: int) -> int:
    """How many of *labels* a slow model has learnt from: 5, 10, 15, 20, 30, 40, …

    A function of the count alone, so that a strategy that has followed the labels one by one is in
    the state of one that read them all from a log.

    >>> [settled(n) for n in (0, 4, 5, 19, 29, 30)]
    [0, 0, 5, 15, 20, 30]
    """
    warm = sum(SCHEDULE[:-1])
    if labels >= warm:
        return warm + (labels - warm) // SCHEDULE[-1] * SCHEDULE[-1]
    return labels // SCHEDULE[0] * SCHEDULE[0]


class Strategy(ABC):
    """Decides which rows of a pool to ask about next.

    `fit` takes all labels so far, in the order they were given, and does what the last call left to
    do. `columns` then scores a block of rows, in whichever process; `acquisition` makes one number
    of a row's columns, higher is asked first. `score` does both for the whole pool.

    Targets are in [−1, 1] (`wwdc.discovery.targets`). Before the first label the prior decides.

    Args:
        seed: of all that is drawn.
    """

    batches: ClassVar[tuple[int, ...]] = (1,)
    """How many rows to ask about at once; the last goes on."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.rows: Rows = np.empty(0, np.intp)
        self.targets: NDArray[np.float64] = np.empty(0)

    def fit(self, pool: Pool, rows: ArrayLike, targets: ArrayLike) -> None:
        """Learn that *rows* (L,) of *pool* have *targets* (L,).

        Raises:
            DataError: a row twice or not in the pool, a target that is not in [−1, 1].
        """
        self.rows, self.targets = _labels(pool, rows, targets)
        if len(self.rows):
            self._learn(pool)

    def score(self, pool: Pool) -> NDArray[np.float64]:
        """Acquisition (N,) of all rows of *pool*, finite, higher is asked first."""
        parts = [slice(start, start + _BLOCK) for start in range(0, len(pool), _BLOCK)]
        return self.acquisition(pool, np.concatenate([self.columns(pool, p) for p in parts]))

    def rank(self, pool: Pool, rows: ArrayLike, targets: ArrayLike) -> NDArray[np.float64]:
        """`fit`, then `score`."""
        self.fit(pool, rows, targets)
        return self.score(pool)

    def columns(self, pool: Pool, part: slice) -> NDArray[np.float64]:
        """What the rows of *part* score, (n, C); the prior before the first label.

        A block that starts at a multiple of `wwdc.discovery.pool.CHUNK` has the bytes that its
        rows have in the whole pool.
        """
        if not len(self.rows):
            return pool.prior[part, None].astype(np.float64)
        return self._columns(pool, part)

    def acquisition(self, pool: Pool, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """One number of the columns (N, C) of all rows: (N,)."""
        return self._acquisition(columns) if len(self.rows) else columns[:, 0]

    def batch(
        self, pool: Pool, acquisition: NDArray[np.float64], rows: ArrayLike, size: int
    ) -> Rows:
        """The next rows to ask about: *size* of them, fewer where fewer are left.

        Args:
            acquisition: of all rows (N,).
            rows: those that are not to be asked again.
        """
        return top(acquisition, rows, size)

    @abstractmethod
    def _learn(self, pool: Pool) -> None:
        """Take `rows` and `targets`, at least one, into account."""

    @abstractmethod
    def _columns(self, pool: Pool, part: slice) -> NDArray[np.float64]: ...

    def _acquisition(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        return columns[:, 0]


class SlowStrategy(Strategy):
    """A strategy whose model learns from the first `settled` labels, and not after each.

    What the model says of a block is kept until it is fitted again.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._fitted: tuple[Pool, Rows, NDArray[np.float64]] | None = None
        self._said: dict[tuple[int, int], NDArray[np.float64]] = {}

    def _learn(self, pool: Pool) -> None:
        count = settled(len(self.rows))
        rows, targets = self.rows[:count], self.targets[:count]
        if self._fitted is not None:
            old, old_rows, old_targets = self._fitted
            same = np.array_equal(rows, old_rows) and np.array_equal(targets, old_targets)
            if old is pool and same:
                return
        self._fitted = (pool, rows, targets)
        self._said.clear()
        self._refit(pool, rows, targets)

    def _say(self, pool: Pool, part: slice) -> NDArray[np.float64]:
        """What the fitted model says of the rows of *part*, (n,)."""
        start, stop, _ = part.indices(len(pool))
        if (start, stop) not in self._said:
            self._said[start, stop] = self._predict(pool, start, stop)
        return self._said[start, stop]

    @abstractmethod
    def _refit(self, pool: Pool, rows: Rows, targets: NDArray[np.float64]) -> None:
        """Fit the model to these labels alone; there may be none."""

    @abstractmethod
    def _predict(self, pool: Pool, start: int, stop: int) -> NDArray[np.float64]: ...


def top(acquisition: NDArray[np.float64], rows: ArrayLike, size: int) -> Rows:
    """The *size* rows with the highest acquisition that are not among *rows*; ties by row."""
    free = np.ones(len(acquisition), bool)
    free[np.asarray(rows, np.intp)] = False
    left = np.flatnonzero(free)
    if 0 < size < len(left):
        values = acquisition[left]
        left = left[values >= np.partition(values, len(left) - size)[len(left) - size]]
    order = np.argsort(-acquisition[left], kind="stable")
    return left[order[:size]]


def random_state(seed: int, *stream: int) -> int:
    """A seed of 32 bits for what other packages draw."""
    return int(np.random.SeedSequence([seed, *stream]).generate_state(1)[0])


def _labels(pool: Pool, rows: ArrayLike, targets: ArrayLike) -> tuple[Rows, NDArray[np.float64]]:
    places: NDArray[Any] = np.asarray(rows)
    values = np.asarray(targets, np.float64)
    if places.ndim != 1 or places.shape != values.shape:
        raise DataError(f"labels: {places.shape} rows with {values.shape} targets")
    if len(places) and places.dtype.kind not in "iu":
        raise DataError(f"labels: rows are whole numbers, got {places.dtype}")
    if len(places) and not (0 <= places.min() and places.max() < len(pool)):
        raise DataError(
            f"labels: rows go from 0 to {len(pool) - 1}, got {places.min()} to {places.max()}"
        )
    if len(np.unique(places)) < len(places):
        raise DataError("labels: a row has several targets; give its last")
    if not (np.abs(values) <= 1).all():  # also where NaN
        raise DataError("labels: targets lie between -1 and 1")
    return places.astype(np.intp), values
