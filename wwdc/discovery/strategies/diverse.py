"""Batches whose rows differ from each other."""

__all__ = ["Diverse", "DiverseForest", "DiverseForestAndProcess", "DiverseProcess"]

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wwdc.discovery.pool import Pool, Rows, squared_distances
from wwdc.discovery.strategies.base import SCHEDULE, Strategy, top
from wwdc.discovery.strategies.combined import ForestAndProcess
from wwdc.discovery.strategies.forests import ActiveForest
from wwdc.discovery.strategies.gaussian import GaussianProcess

_CHOICE = 4
"""How many times a batch's size it is chosen among."""


class Diverse(Strategy):
    """Picks a batch by greedy k-centre among the four times as many rows at the top.

    The first is the top row; each next one is farthest from those picked (Gonzalez 1985,
    doi:10.1016/0304-3975(85)90224-5). Costs finds: it is for a person who wants variety.
    """

    batches = SCHEDULE

    def batch(
        self, pool: Pool, acquisition: NDArray[np.float64], rows: ArrayLike, size: int
    ) -> Rows:
        found = top(acquisition, rows, _CHOICE * size)
        if size < 1 or len(found) <= size:
            return found[:size]
        distance = squared_distances(pool.x[found], pool.x[found])
        picked = [0]
        nearest = distance[0].copy()
        nearest[0] = -1
        while len(picked) < size:
            picked.append(int(nearest.argmax()))
            nearest = np.minimum(nearest, distance[picked[-1]])
            nearest[picked[-1]] = -1
        return found[picked]


class DiverseForest(Diverse, ActiveForest):
    """`ActiveForest` with diverse batches."""


class DiverseForestAndProcess(Diverse, ForestAndProcess):
    """`ForestAndProcess` with diverse batches."""


class DiverseProcess(Diverse, GaussianProcess):
    """`GaussianProcess` with diverse batches."""
