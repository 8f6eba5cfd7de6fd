"""The default strategy: a forest that learns and a Gaussian process, together."""

__all__ = ["ForestAndProcess"]

import numpy as np
from numpy.typing import NDArray

from wwdc.discovery.pool import Pool, ranks
from wwdc.discovery.strategies.base import Strategy
from wwdc.discovery.strategies.forests import ActiveForest
from wwdc.discovery.strategies.gaussian import GaussianProcess


class ForestAndProcess(Strategy):
    """Sum of the fourth powers of the ranks by `ActiveForest` and by `GaussianProcess`.

    The forest generalises far from the labels, the process near them; the power lets a row that
    one of them puts on top come before one that both find somewhat odd. The process learns from
    every label, the forest as `wwdc.discovery.strategies.base.settled` says.
    """

    power = 4

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._parts: tuple[Strategy, ...] = (ActiveForest(seed), GaussianProcess(seed))

    def _learn(self, pool: Pool) -> None:
        for strategy in self._parts:
            strategy.fit(pool, self.rows, self.targets)

    def _columns(self, pool: Pool, part: slice) -> NDArray[np.float64]:
        return np.hstack([strategy.columns(pool, part) for strategy in self._parts])

    def _acquisition(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        powers = [ranks(column) ** self.power for column in columns.T]
        return np.asarray(np.sum(powers, axis=0), np.float64)
