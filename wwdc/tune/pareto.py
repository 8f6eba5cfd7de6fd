"""Pareto fronts: what no other beats in every objective."""

__all__ = ["pareto_mask"]

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_mask(values: ArrayLike, modes: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows no other row dominates.

    A row dominates another when it is at least as good everywhere and better somewhere. Equal
    rows stay together; rows with NaN are never on the front.

    Args:
        values: objectives, (N, M).
        modes: ``min`` or ``max`` for each of the M.

    >>> pareto_mask([[1, 5], [2, 2], [3, 3]], ["min", "min"]).tolist()
    [True, True, False]
    """
    signs = np.where(np.asarray(modes) == "max", -1.0, 1.0)
    costs: NDArray[np.float64] = np.asarray(values, float) * signs
    alive = np.logical_not(np.isnan(costs).any(axis=1))
    front = alive.copy()
    for row in np.flatnonzero(alive):
        others = costs[alive]
        dominated = (others <= costs[row]).all(axis=1) & (others < costs[row]).any(axis=1)
        front[row] = not dominated.any()
    return front
