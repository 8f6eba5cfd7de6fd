"""Resampling by object: bootstrap, permutations, splits, and what is read off them."""

__all__ = [
    "Adjustment",
    "adjust",
    "bootstrap_sums",
    "detectable",
    "exchangeable_rows",
    "group_bootstrap",
    "group_permutations",
    "interval",
    "p_value",
    "split_groups",
]

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control, norm, t

from wwdc.errors import ConfigError, DataError

# Shapes: N rows, G objects, R rows that a permutation moves, B resamples, K columns.

Adjustment = Literal["bh", "by", "holm"]

_BLOCK = 64
"""Resamples made at once: bounds the memory."""

_BOOTSTRAP, _PERMUTATION, _SPLIT = 1, 2, 3
"""Streams of a seed."""

_STRATUM = 20
"""Objects with equally many rows that are enough to permute among themselves."""


def group_bootstrap(groups: NDArray[Any], n: int, seed: int) -> NDArray[np.uint16]:
    """How often each object is drawn in *n* bootstrap samples of objects: (n, G).

    Objects are in the order of ``np.unique(groups)``. All rows of an object go together
    (cluster bootstrap: Davison & Hinkley 1997, section 3.8). The draws follow from the seed and
    the number of objects.

    >>> group_bootstrap(np.array([7, 7, 9]), 2, seed=0).sum(1).tolist()
    [2, 2]
    """
    blocks = _bootstrap(len(np.unique(groups)), n, seed)
    return np.concatenate([block.astype(np.uint16) for block in blocks])


def bootstrap_sums(
    groups: NDArray[Any], columns: NDArray[np.float64], n: int, seed: int
) -> NDArray[np.float64]:
    """Sums of *columns* (N, K) over the rows of each sample of `group_bootstrap`: (n, K)."""
    names, index = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(names), columns.shape[1]))
    np.add.at(sums, index, columns)
    return np.concatenate([block @ sums for block in _bootstrap(len(names), n, seed)])


def exchangeable_rows(groups: NDArray[Any]) -> NDArray[np.int64]:
    """Rows (R,) whose labels `group_permutations` moves, in its order.

    Objects trade the labels of all their rows, first with first, and so on. Only those with
    equally many rows can; where more than a tenth of the objects have fewer than 20 partners,
    the first row of each object stands for it, and the others are left out.
    """
    return np.concatenate([block.ravel() for block in _strata(groups)])


def group_permutations(groups: NDArray[Any], n: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Blocks (at most 64, R) of *n* permutations of objects, as rows to take a label from.

    Row ``exchangeable_rows(groups)[j]`` takes its label from row ``block[b, j]``. If labels are
    independent of what predicts them, every permutation is as likely as the data, whatever
    labels and predictions of one object have in common. The draws follow from the seed and the
    groups.
    """
    rng = _rng(seed, _PERMUTATION)
    strata = _strata(groups)
    for start in range(0, n, _BLOCK):
        size = min(_BLOCK, n - start)
        parts = []
        for rows in strata:
            order = rng.permuted(np.tile(np.arange(len(rows)), (size, 1)), axis=1)
            parts.append(rows[order].reshape(size, -1))
        yield np.concatenate(parts, axis=1)


def p_value(observed: float | np.floating[Any], null: NDArray[Any]) -> float:
    """Share of values at least as large as *observed*, which counts as one of the null's own.

    p = (1 + #{null ≥ observed}) / (1 + B), which is exact (Phipson & Smyth 2010,
    https://doi.org/10.2202/1544-6115.1585). NaN is no evidence: it counts as larger, and a NaN
    *observed* has p = 1.

    >>> p_value(3.0, np.array([1.0, 2.0, 3.0]))
    0.5
    """
    return float((1 + np.count_nonzero(~(null < observed))) / (1 + len(null)))


def detectable(null: NDArray[Any], alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest value that a test at level *alpha* sees with probability *power*.

    The null's (1 − α) quantile plus Φ⁻¹(power) standard deviations of it: the value is taken to
    scatter about its truth as the null scatters about its mean. NaN where the null does not
    vary: then there is no test.

    >>> null = np.random.default_rng(0).normal(size=100_000)
    >>> round(detectable(null), 1)  # 1.64 + 0.84
    2.5
    """
    if not np.ptp(null) > 0:
        return float("nan")
    null = null.astype(np.float64)
    return float(np.quantile(null, 1 - alpha) + norm.ppf(power) * null.std(ddof=1))


def split_groups(
    groups: NDArray[Any], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to fit on and rows to score, no object in both.

    Args:
        groups: object of each row, (N,).
        fraction: share of the objects to score.
        seed: of the draw.

    Returns:
        Two ascending arrays of rows, which together hold each once.

    Raises:
        ConfigError: *fraction* is not between 0 and 1.
        DataError: there is only one object.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"the share of objects to score is {fraction}: it must be in (0, 1).")
    names, index = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise DataError(f"a split by object needs two objects, and there is {len(names)}.")
    count = min(max(round(fraction * len(names)), 1), len(names) - 1)
    chosen = np.zeros(len(names), bool)
    chosen[_rng(seed, _SPLIT).permutation(len(names))[:count]] = True
    return np.flatnonzero(~chosen[index]), np.flatnonzero(chosen[index])


def adjust(p: ArrayLike, method: Adjustment = "bh") -> NDArray[np.float64]:
    """p-values adjusted for how many there are; NaN (not tested) stays and does not count.

    Args:
        p: p-values, any shape.
        method: ``bh`` (Benjamini & Hochberg: false discovery rate, tests independent or
            positively dependent), ``by`` (Benjamini & Yekutieli: any dependence) or ``holm``
            (familywise error, any dependence).

    Raises:
        ConfigError: the method is none of these.

    >>> adjust([0.01, float("nan"), 0.04], "holm").tolist()
    [0.02, nan, 0.04]
    """
    if method not in get_args(Adjustment):
        raise ConfigError(f"adjustment {method!r} is none of {', '.join(get_args(Adjustment))}.")
    adjusted = np.array(p, np.float64)
    known = ~np.isnan(adjusted)
    if known.any():
        family = adjusted[known]
        adjusted[known] = (
            _holm(family) if method == "holm" else false_discovery_control(family, method=method)
        )
    return adjusted


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def _rng(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence((seed, stream)))


def _bootstrap(objects: int, n: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Counts of the drawn objects, (at most 64, G) at a time."""
    rng = _rng(seed, _BOOTSTRAP)
    for start in range(0, n, _BLOCK):
        size = min(_BLOCK, n - start)
        drawn = rng.integers(objects, size=(size, objects))
        drawn += objects * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * objects)
        yield counts.reshape(size, objects).astype(np.float64)


def _strata(groups: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Rows of the objects that can trade labels: an array (objects, rows of each) a stratum."""
    order = np.argsort(groups, kind="stable")
    _, start, size = np.unique(groups[order], return_index=True, return_counts=True)
    sizes, stratum, members = np.unique(size, return_inverse=True, return_counts=True)
    if members[members < _STRATUM].sum() > 0.1 * len(size) and len(sizes) > 1:
        return [order[start][:, None]]
    return [
        order[start[stratum == k, None] + np.arange(rows)] for k, rows in enumerate(sizes.tolist())
    ]


def interval(name: str, values: NDArray[np.floating]) -> dict[str, float]:
    """Mean *name* of *values* (n,) with *name*_ci_low and *name*_ci_high, Student's 95 % limits.

    >>> interval("r2", np.array([1.0, 3.0]))["r2"]
    2.0
    """
    n = len(values)
    mean = float(values.mean()) if n else np.nan
    half = np.nan
    if n > 1:
        half = float(t.ppf(0.975, n - 1)) * float(values.std(ddof=1)) / n**0.5
    return {name: mean, f"{name}_ci_low": mean - half, f"{name}_ci_high": mean + half}
