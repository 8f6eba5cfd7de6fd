"""Isolation forests that learn from labels, of coniferest."""

__all__ = ["ActiveForest", "PineForest"]

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wwdc.discovery.pool import Pool, Rows, ranks
from wwdc.discovery.strategies.base import SlowStrategy, random_state

_SUBSAMPLE = 50_000
"""Rows whose quantile a fit looks at."""


class _Forest(SlowStrategy):
    """A forest on features and scores; until it is fitted, the prior.

    In a large pool it considers the pool's candidates; other rows score −∞, below all.
    """

    one_kind: ClassVar[int] = 1
    """Labels that are needed where all are of one kind, anomalous or normal."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._ready = False

    def _refit(self, pool: Pool, rows: Rows, targets: NDArray[np.float64]) -> None:
        decided = targets != 0
        both = len(np.unique(np.sign(targets[decided]))) == 2
        self._ready = (both or decided.sum() >= self.one_kind) and len(pool) > 1
        if self._ready:
            # coniferest's labels: -1 is an anomaly, 1 is regular
            labels = np.where(targets > 0, -1, 1)[decided]
            self._fit_forest(pool, pool.table(rows[decided]), labels)

    def _columns(self, pool: Pool, part: slice) -> NDArray[np.float64]:
        if not self._ready:
            return pool.prior[part, None].astype(np.float64)
        return self._say(pool, part)[:, None]

    def _predict(self, pool: Pool, start: int, stop: int) -> NDArray[np.float64]:
        first, last = np.searchsorted(pool.candidates, [start, stop])
        rows = pool.candidates[first:last]
        found = np.full(stop - start, -np.inf)
        if len(rows):
            found[rows - start] = -self._score(pool.table(rows))
        return found

    def _acquisition(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        return ranks(columns[:, 0])

    @abstractmethod
    def _fit_forest(
        self, pool: Pool, known: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> None: ...

    @abstractmethod
    def _score(self, table: NDArray[np.float32]) -> NDArray[np.float64]:
        """coniferest's score, lower is odder."""

    def _settings(self, pool: Pool) -> dict[str, Any]:
        subsample = min(256, len(pool))
        return {
            "n_subsamples": subsample,
            "max_depth": max(1, int(np.log2(subsample))),
            "n_jobs": 1,
            "random_seed": random_state(self.seed),
        }

    def _sample(self, pool: Pool) -> NDArray[np.float32]:
        rows = np.random.default_rng(self.seed).permutation(pool.candidates)[:_SUBSAMPLE]
        return pool.table(np.sort(rows))


class ActiveForest(_Forest):
    """Active anomaly detection: leaf weights such that labelled anomalies come out on top.

    Das et al. 2017, https://arxiv.org/abs/1708.09441, as coniferest's ``AADForest`` solves it.
    Weights are fitted from the forest's own each time, not from those of the last fit, so that they
    depend on the labels alone. Few normal rows alone, or few anomalies, are satisfied by weights
    that order the other rows at will; 20 in a row say that the forest's own order is wrong.
    """

    one_kind = 20

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._pool: Pool | None = None

    def _fit_forest(
        self, pool: Pool, known: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> None:
        if pool is not self._pool:
            self._pool = pool
            self._grow(pool)
        evaluator = self._forest.evaluator
        evaluator.weights = self._own.copy()
        evaluator.fit_known(self._rows, known, labels)
        if not np.isfinite(evaluator.weights).all():  # labels that any weights satisfy
            evaluator.weights = self._own.copy()

    def _grow(self, pool: Pool) -> None:
        from coniferest.aadforest import AADForest

        self._rows = self._sample(pool)
        self._forest = AADForest(**self._settings(pool)).fit(self._rows)
        self._own = self._forest.evaluator.weights.copy()

    def _score(self, table: NDArray[np.float32]) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = self._forest.score_samples(table)
        return scores


class PineForest(_Forest):
    """An isolation forest of the 100 trees, out of 500, that agree best with the labels.

    coniferest's ``PineForest`` (https://coniferest.snad.space). Grown anew at each fit, so that it
    depends on the labels alone.
    """

    def _fit_forest(
        self, pool: Pool, known: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> None:
        from coniferest.pineforest import PineForest

        self._forest = PineForest(**self._settings(pool))
        self._forest.fit_known(self._sample(pool), known, labels)

    def _score(self, table: NDArray[np.float32]) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = self._forest.score_samples(table)
        return scores
