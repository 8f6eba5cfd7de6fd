"""The rows that can be asked about: features, unsupervised scores and their prior order."""

__all__ = ["CHUNK", "Pool", "make_pool", "ranks", "squared_distances", "standardise"]

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wwdc.errors import DataError

# Shapes: N rows, D columns, S unsupervised scores, M rows that are compared with.

Rows = NDArray[np.intp]

CHUNK = 4096
"""Rows computed at once. Blocks that start at multiples of it give the bytes of the whole."""

TREES = 100
"""Trees of the forest that orders a pool for which there are no scores."""

_CANDIDATES = 50_000
"""Rows by prior, and as many at random, that a costly model considers in a large pool."""

_SCALE_ROWS, _SCALE_AMONG, _NEAREST = 500, 100_000, 10

_ALIKE = 1e-6
"""Distances below are the rounding of those between equal rows."""

_CANDIDATE, _SCALE = range(2)
"""Streams of a pool's seed."""


@dataclass(frozen=True, eq=False)
class Pool:
    """What a strategy chooses from. Arrays are not written to; they may be memory maps.

    Attributes:
        x: standardised features (N, D), float32.
        scores: standardised unsupervised scores (N, S), float32, higher is odder.
        prior: rank in [0, 1] of the combined unsupervised score (N,), 1 is the oddest.
        seed: of the rows that are drawn for `length_scale` and `candidates`.
    """

    x: NDArray[np.float32]
    scores: NDArray[np.float32]
    prior: NDArray[np.float64]
    seed: int = 0

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def length_scale(self) -> float:
        """Twice the median over 500 rows of the mean distance to their ten nearest rows.

        Neighbours are sought among 100 000 rows at most. 1 where that is 0 but for rounding.
        """
        rng = np.random.default_rng([self.seed, _SCALE])
        among = np.sort(rng.permutation(len(self))[:_SCALE_AMONG])
        rows = np.sort(rng.permutation(among)[:_SCALE_ROWS])
        nearest = min(_NEAREST, len(among) - 1)
        best = np.full((len(rows), nearest + 1), np.inf)  # with the row itself
        for start in range(0, len(among), CHUNK):
            found = squared_distances(self.x[rows], self.x[among[start : start + CHUNK]])
            best = np.partition(np.hstack([best, found]), nearest, axis=1)[:, : nearest + 1]
        best.sort(axis=1)
        mean = np.sqrt(best[:, 1:]).mean(axis=1) if nearest else np.zeros(1)
        scale = 2 * float(np.median(mean))
        return scale if scale > _ALIKE else 1.0

    @cached_property
    def candidates(self) -> Rows:
        """Rows, ascending, that a costly model considers: all, or 100 000 of a larger pool.

        These are the 50 000 oddest by the prior and 50 000 drawn from the others.
        """
        if len(self) <= 2 * _CANDIDATES:
            return np.arange(len(self))
        order = np.argsort(-self.prior, kind="stable")
        rng = np.random.default_rng([self.seed, _CANDIDATE])
        drawn = rng.permutation(order[_CANDIDATES:])[:_CANDIDATES]
        return np.sort(np.concatenate([order[:_CANDIDATES], drawn]))

    def table(self, rows: Rows | slice) -> NDArray[np.float32]:
        """Features and scores of *rows*, (n, D + S)."""
        return np.hstack([self.x[rows], self.scores[rows]])

    def chunks(self, part: slice) -> Iterator[slice]:
        """*part* cut at multiples of `CHUNK`."""
        start, stop, _ = part.indices(len(self))
        while start < stop:
            end = min(stop, start - start % CHUNK + CHUNK)
            yield slice(start, end)
            start = end


def make_pool(
    x: ArrayLike, scores: ArrayLike | None = None, prior: ArrayLike | None = None, seed: int = 0
) -> Pool:
    """A pool of the rows of *x*.

    Args:
        x: features (N, D), numbers of any type.
        scores: unsupervised scores (N, S) or (N,), higher is odder. Left out, an isolation forest
            of 100 trees scores the rows (Liu et al. 2008, doi:10.1109/ICDM.2008.17); it is that of
            PyOD's ``IForest`` with this ``random_state``, which tells what labels add.
        prior: combined unsupervised score (N,), of which the ranks are taken. Left out, it is the
            mean of the standardised *scores*.
        seed: of the forest and of what the pool draws.

    Raises:
        DataError: not numbers, no rows, no columns, of different lengths, or not finite.

    >>> make_pool([[0.0], [1.0], [5.0]], prior=[1, 2, 9]).prior.tolist()
    [0.0, 0.5, 1.0]
    """
    features = standardise(_matrix("x", x))
    if scores is not None:
        columns = _matrix("scores", scores, len(features))
    elif prior is not None:
        columns = _matrix("prior", prior, len(features))
    else:
        columns = _forest(features, seed)
    columns = standardise(columns)
    combined = (
        columns.mean(axis=1) if prior is None else _matrix("prior", prior, len(features))[:, 0]
    )
    return Pool(features, columns, ranks(combined), seed)


def standardise(x: NDArray[Any]) -> NDArray[np.float32]:
    """Columns of *x* (N, D) with mean 0 and standard deviation 1; a constant column becomes 0.

    Raises:
        DataError: rows hold NaN or infinity, or numbers whose squares overflow.
    """
    blocks = [slice(start, start + CHUNK) for start in range(0, len(x), CHUNK)]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = sum(x[b].astype(np.float64).sum(axis=0) for b in blocks) / len(x)
        square = sum(((x[b].astype(np.float64) - mean) ** 2).sum(axis=0) for b in blocks)
        sd = np.sqrt(square / len(x))
        # rounding leaves a constant column a spread of the order of its last digit
        constant = sd <= 1e-12 * np.abs(mean)
        out = np.empty(x.shape, np.float32)
        for b in blocks:
            out[b] = np.where(constant, 0.0, (x[b] - mean) / np.where(constant, 1.0, sd))
    if not (np.isfinite(mean).all() and np.isfinite(sd).all()):
        raise DataError(_not_finite(x))
    return out


def ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """For each of *values* (N,), the share of the other rows whose value is lower.

    >>> ranks(np.array([3, 1, 1, 7])).tolist()
    [0.6666666666666666, 0.0, 0.0, 1.0]
    """
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    return below / max(1, len(values) - 1)


def squared_distances(
    a: NDArray[Any], b: NDArray[Any], b_squares: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Squared Euclidean distances of the rows of *a* (M, D) and *b* (N, D): (M, N).

    In float64: the difference of squares loses the digits that float32 has. *b_squares* (N,) are
    the squared lengths of *b* where they are known.
    """
    a, b = a.astype(np.float64), b.astype(np.float64, copy=False)
    found: NDArray[np.float64] = (-2 * a) @ b.T
    found += np.einsum("md,md->m", a, a)[:, None]
    found += np.einsum("nd,nd->n", b, b) if b_squares is None else b_squares
    return np.maximum(found, 0.0, out=found)


def _matrix(name: str, values: ArrayLike, rows: int | None = None) -> NDArray[Any]:
    found = np.asarray(values)
    if found.dtype.kind not in "biuf":
        raise DataError(f"{name}: expected numbers, got values of type {found.dtype}")
    if found.ndim == 1 and rows is not None:
        found = found[:, None]
    if found.ndim != 2 or 0 in found.shape:
        raise DataError(f"{name}: expected a table with rows and columns, got shape {found.shape}")
    if rows is not None and len(found) != rows:
        raise DataError(f"{name}: expected {rows} rows as x has, got {len(found)}")
    return found


def _not_finite(x: NDArray[Any]) -> str:
    bad = np.flatnonzero(~np.isfinite(x.astype(np.float64)).all(axis=1))
    if not len(bad):
        return "values are too large for their spread to be computed; rescale the features"
    return (
        f"{len(bad)} of {len(x)} rows hold NaN or infinity, row {bad[0]} the first. "
        "Drop them or fill them in."
    )


def _forest(x: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """Scores (N, 1) of an isolation forest, higher is odder; the same for all where N is 1."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(
        n_estimators=TREES, max_samples=min(256, len(x)), random_state=seed % 2**32
    ).fit(x)
    scores: NDArray[np.float64] = forest.score_samples(x)
    return -scores[:, None]
