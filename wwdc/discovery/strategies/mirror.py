"""Online mirror descent on the edges of an isolation forest."""

__all__ = ["MirrorDescent"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.discovery.pool import Pool, Rows
from wwdc.discovery.strategies.base import Strategy, random_state

# Shapes: T trees, E nodes of all trees, n rows of a block.

_KEPT = 50_000_000
"""Leaves (int32) that are kept for the next label; the others are sought again."""


class MirrorDescent(Strategy):
    """An isolation forest whose edges are weighted by feedback; a row's score is that of its paths.

        s(x) = − Σ w_e over the edges e that x passes,   w ← max(0, w − η t φ(x))

    with φ the edges passed and t the target of each label in turn: mirror descent with a linear
    loss and the squared norm, from w = 1, η = 1. Rows that share edges with anomalies become odder
    (Siddiqui et al. 2018, doi:10.1145/3219819.3220083).
    """

    trees = 100
    rate = 1.0

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._pool: Pool | None = None
        self._leaves: dict[tuple[int, int], NDArray[np.int32]] = {}

    def _learn(self, pool: Pool) -> None:
        if pool is not self._pool:
            self._pool = pool
            self._leaves.clear()
            self._grow(pool)
        weights = np.ones(self._paths.shape[0])
        leaves = self._apply(pool, self.rows)
        for row, target in zip(leaves, self.targets, strict=True):
            edges = self._paths[row].indices
            weights[edges] = np.maximum(weights[edges] - self.rate * target, 0.0)
        self._lengths = self._paths @ weights + self._beyond

    def _columns(self, pool: Pool, part: slice) -> NDArray[np.float64]:
        start, stop, _ = part.indices(len(pool))
        leaves = self._leaves.get((start, stop))
        if leaves is None:
            leaves = self._apply(pool, slice(start, stop))
            if leaves.size + sum(kept.size for kept in self._leaves.values()) <= _KEPT:
                self._leaves[start, stop] = leaves
        found: NDArray[np.float64] = -self._lengths[leaves].sum(axis=1)
        return found[:, None]

    def _grow(self, pool: Pool) -> None:
        from sklearn.ensemble import IsolationForest

        rows = pool.candidates
        forest = IsolationForest(
            n_estimators=self.trees,
            max_samples=min(256, len(rows)),
            random_state=random_state(self.seed),
        )
        self._trees = [found.tree_ for found in forest.fit(pool.table(rows)).estimators_]
        counts = [tree.node_count for tree in self._trees]
        self._offsets = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32)
        self._paths = _paths(self._trees, self._offsets, sum(counts))
        self._beyond = np.concatenate([_unseen(tree.n_node_samples) for tree in self._trees])

    def _apply(self, pool: Pool, rows: Rows | slice) -> NDArray[np.int32]:
        """The leaf (n, T) of each row in each tree, a number in 0 … E − 1."""
        x = pool.table(rows)
        leaves = [tree.apply(x).astype(np.int32) for tree in self._trees]
        return np.column_stack(leaves) + self._offsets


def _paths(trees: list[Any], offsets: NDArray[np.int32], nodes: int) -> Any:
    """Sparse (E, E): the edges, each by the node it leads to, from a root to each node."""
    from scipy.sparse import csr_matrix

    parent = np.full(nodes, -1)
    for tree, offset in zip(trees, offsets, strict=True):
        for children in (tree.children_left, tree.children_right):
            inner = np.flatnonzero(children >= 0)
            parent[children[inner] + offset] = inner + offset
    ends, edges = [], []
    end = edge = np.flatnonzero(parent >= 0)
    while len(edge):
        ends.append(end)
        edges.append(edge)
        above = parent[edge]
        inner = parent[above] >= 0
        end, edge = end[inner], above[inner]
    row, column = (np.concatenate([*part, np.empty(0, np.intp)]) for part in (ends, edges))
    return csr_matrix((np.ones(len(row)), (row, column)), shape=(nodes, nodes))


def _unseen(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Mean path length in a tree of *rows*, what growing on would have added to a leaf.

    2 H(n − 1) − 2 (n − 1) / n, with H(i) ≈ ln i + γ (Liu et al. 2008).
    """
    n = np.maximum(rows, 2).astype(np.float64)
    mean = 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n
    return np.where(rows > 2, mean, np.where(rows == 2, 1.0, 0.0))
