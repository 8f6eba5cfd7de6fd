"""A Gaussian process on what labels say beyond the unsupervised prior."""

__all__ = ["GaussianProcess", "Uncertainty"]

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from wwdc.discovery.pool import Pool, Rows, squared_distances
from wwdc.discovery.strategies.base import Strategy

# Shapes: L labels, G groups of labels, n rows of a chunk, D columns.

_GROUP = 8
"""Labels whose kernels are computed at once. Products of one shape give the same bytes, whether
labels came one by one or together."""

_Float = TypeVar("_Float", np.float32, np.float64)

_KEPT = 100_000_000
"""Kernel values (float32) that are kept for the next label; the others are computed again."""


class GaussianProcess(Strategy):
    """Posterior mean of a Gaussian process whose prior mean is the unsupervised order.

        m(x) = m₀(x) + k(x)ᵀ (K + 0.1 I)⁻¹ (t − m₀),   m₀ = 2 rank⁴ − 1

    with k = 1 + a Matérn-3/2 kernel of the pool's length scale (Rasmussen & Williams 2006, eqs.
    2.38, 2.40 and 4.17, http://gaussianprocess.org/gpml/). The 1 is an unknown constant: where most
    of what the prior puts on top is normal, all rows are that much less odd, rather than the rows
    at the top alone. A positive target counts three times, t = 3: anomalies are rare, and one says
    more than a normal row. A new label costs one kernel column.

    Args:
        seed: nothing is drawn.
    """

    gain = 3.0
    noise = 0.1
    constant = 1.0

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._pool: Pool | None = None
        self._labelled: Rows = np.empty(0, np.intp)
        self._kept: dict[int, list[NDArray[np.float32]]] = {}

    def _learn(self, pool: Pool) -> None:
        x, length = pool.x[self.rows], pool.length_scale
        kernel = self.constant + _matern(squared_distances(x, x), length)
        kernel += self.noise * np.eye(len(x))
        values = np.where(self.targets > 0, self.gain * self.targets, self.targets)
        solved = np.linalg.solve(kernel, values - _prior_mean(pool.prior[self.rows]))
        groups = -(-len(x) // _GROUP)
        self._alpha = np.zeros((groups, _GROUP))  # 0 where the last group has no label
        self._alpha.flat[: len(x)] = solved
        self._centres = np.zeros((groups, _GROUP, x.shape[1]), np.float32)
        self._centres.reshape(-1, x.shape[1])[: len(x)] = x
        self._forget(pool)

    def _columns(self, pool: Pool, part: slice) -> NDArray[np.float64]:
        return self._mean(pool, part)[:, None]

    def _mean(self, pool: Pool, part: slice) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = _prior_mean(pool.prior[part])
        mean += self.constant * self._alpha.sum()
        first = part.indices(len(pool))[0]
        for chunk in pool.chunks(part):
            here = mean[chunk.start - first : chunk.stop - first]
            for alpha, kernel in zip(self._alpha, self._kernels(pool, chunk), strict=True):
                here += alpha @ kernel
        return mean

    def _kernels(self, pool: Pool, chunk: slice) -> list[NDArray[np.float32]]:
        """Kernels (8, n) of the groups of labels with the rows of a chunk."""
        held = self._kept.get(chunk.start, [])
        x = pool.x[chunk].astype(np.float64)
        if held and held[0].shape[1] != len(x):  # a block that ended elsewhere
            held = []
        squares = np.einsum("nd,nd->n", x, x)
        new = [
            _matern(squared_distances(centres, x, squares).astype(np.float32), pool.length_scale)
            for centres in self._centres[len(held) :]
        ]
        whole = len(self.rows) // _GROUP  # the last group still grows
        room = _KEPT - sum(len(groups) * groups[0].size for groups in self._kept.values() if groups)
        keep = new[: whole - len(held)]
        if sum(kernel.size for kernel in keep) <= room:
            self._kept[chunk.start] = held[:whole] + keep
        return held + new

    def _forget(self, pool: Pool) -> None:
        """Drop kernels of another pool, and of labels that were taken back."""
        shared = min(len(self.rows), len(self._labelled))
        differs = np.flatnonzero(self.rows[:shared] != self._labelled[:shared])
        same = int(differs[0]) if len(differs) else shared
        if pool is not self._pool:
            self._kept.clear()
        for start, groups in self._kept.items():
            self._kept[start] = groups[: same // _GROUP]
        self._pool, self._labelled = pool, self.rows


class Uncertainty(GaussianProcess):
    """The rows whose posterior mean is nearest to 0, where anomalous and normal meet.

    What a classifier would ask (Lewis & Gale 1994, https://arxiv.org/abs/cmp-lg/9407020); for
    discovery it is little better than no learning at all.
    """

    def columns(self, pool: Pool, part: slice) -> NDArray[np.float64]:
        mean = self._mean(pool, part) if len(self.rows) else _prior_mean(pool.prior[part])
        return -np.abs(mean)[:, None]


def _prior_mean(rank: NDArray[np.float64]) -> NDArray[np.float64]:
    return 2 * rank.astype(np.float64) ** 4 - 1


def _matern(squared: NDArray[_Float], length: float) -> NDArray[_Float]:
    """Matérn-3/2 kernel, (1 + √3 d / ℓ) exp(−√3 d / ℓ), of the type of the squared distances."""
    scaled = np.sqrt(squared * (3 / length**2))
    kernel: NDArray[_Float] = (1 + scaled) * np.exp(-scaled)
    return kernel
