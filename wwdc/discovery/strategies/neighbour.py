"""Astronomaly's score: unsupervised where no label is near, a regression where one is."""

__all__ = ["NeighbourScore"]

import numpy as np
from numpy.typing import NDArray

from wwdc.discovery.pool import Pool, Rows, squared_distances
from wwdc.discovery.strategies.base import SlowStrategy, random_state
from wwdc.discovery.targets import GRADES


class NeighbourScore(SlowStrategy):
    """Prior rank times tanh(exp(α d) − 1 + artanh f(u)), with f = 0.1 + 0.85 u / 5.

    u is a random forest's regression of the labels as grades 0–5, d the distance to the nearest
    label over its mean in the pool, α = 1 (Lochner & Bassett 2021, https://arxiv.org/abs/2010.11202).
    Until the forest is fitted u is 2.5.
    """

    trees = 200
    alpha = 1.0

    def _refit(self, pool: Pool, rows: Rows, targets: NDArray[np.float64]) -> None:
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(self.trees, random_state=random_state(self.seed), n_jobs=1)
        grades = (targets + 1) * GRADES / 2
        self._forest = forest.fit(pool.x[rows], grades) if len(rows) else None

    def _columns(self, pool: Pool, part: slice) -> NDArray[np.float64]:
        nearest = [
            squared_distances(pool.x[self.rows], pool.x[chunk]).min(axis=0)
            for chunk in pool.chunks(part)
        ]
        return np.column_stack(
            [pool.prior[part], self._say(pool, part), np.sqrt(np.concatenate(nearest))]
        )

    def _predict(self, pool: Pool, start: int, stop: int) -> NDArray[np.float64]:
        if self._forest is None:
            return np.full(stop - start, GRADES / 2)
        grades: NDArray[np.float64] = self._forest.predict(pool.x[start:stop])
        return grades

    def _acquisition(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        prior, grades, nearest = columns.T
        distance = nearest / (nearest.mean() or 1.0)
        bound = 0.1 + 0.85 * np.clip(grades, 0.1, GRADES) / GRADES
        # beyond 20 tanh is 1, long before exp overflows
        grown = np.expm1(np.minimum(self.alpha * distance, 20.0))
        found: NDArray[np.float64] = prior * np.tanh(grown + np.arctanh(bound))
        return found
