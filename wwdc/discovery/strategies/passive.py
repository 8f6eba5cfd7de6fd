"""Strategies that do not learn: what others are held against."""

__all__ = ["Random", "Top"]

import numpy as np
from numpy.typing import NDArray

from wwdc.discovery.pool import Pool
from wwdc.discovery.strategies.base import Strategy


class Top(Strategy):
    """The order of the unsupervised score, whatever the labels say."""

    def _learn(self, pool: Pool) -> None:
        pass

    def _columns(self, pool: Pool, part: slice) -> NDArray[np.float64]:
        return pool.prior[part, None].astype(np.float64)


class Random(Strategy):
    """A random order, the same for the same seed."""

    def columns(self, pool: Pool, part: slice) -> NDArray[np.float64]:
        return np.random.default_rng(self.seed).random(len(pool))[part, None]

    def _learn(self, pool: Pool) -> None:
        pass

    def _columns(self, pool: Pool, part: slice) -> NDArray[np.float64]:
        return self.columns(pool, part)
