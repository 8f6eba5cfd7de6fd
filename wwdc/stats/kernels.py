"""Distances and kernels of rows, and their sums over permutations."""

__all__ = [
    "distances",
    "gaussian",
    "permuted_products",
    "u_centred",
    "within_sums",
]

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Shapes: N rows, D columns, B permutations, K groups.

_CHUNK = 512
"""Rows of a matrix computed at once."""

_COLUMNS = 4096
"""Indicator columns multiplied at once."""

_PERMUTATION = 5
"""Stream of a seed."""


def distances(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Euclidean distances between rows (N, D): (N, N), its diagonal 0.

    A block of 512 rows at a time, so that there are no temporary arrays of N × N entries.

    >>> distances(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    centred = rows.astype(np.float64)
    centred -= centred.mean(0)  # keeps the digits that the difference of squares would lose
    squares = np.einsum("nd,nd->n", centred, centred)
    found = np.empty((len(rows), len(rows)))
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        block = found[part]
        np.matmul(centred[part], -2 * centred.T, out=block)
        block += squares
        block += squares[part, None]
        np.maximum(block, 0.0, out=block)
        np.sqrt(block, out=block)
    np.fill_diagonal(found, 0.0)
    return found


def gaussian(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian kernel exp(−d² / 2σ²) of distances (N, N), with the median heuristic.

    σ is the median distance between different rows (Gretton et al. 2012), or the mean where more
    than half of these are 0. Distances that are all 0 give a kernel of ones.
    """
    pairs = distance[np.triu_indices(len(distance), 1)]
    width = np.median(pairs) or pairs.mean() or 1.0
    kernel: NDArray[np.float64] = np.exp(-0.5 * (distance / width) ** 2)
    return kernel


def u_centred(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """A symmetric matrix (N, N) centred so that products are unbiased; the diagonal becomes 0.

    ã_ij = a_ij − Σ_l a_il / (N − 2) − Σ_k a_kj / (N − 2) + Σ_kl a_kl / ((N − 1)(N − 2)), i ≠ j,
    sums without the diagonal (Székely & Rizzo 2014, https://arxiv.org/abs/1310.2926). Its rows
    sum to 0, so Σ ã_ij b_ij is the same whether b is centred or not.
    """
    n = len(matrix)
    centred = matrix.copy()
    np.fill_diagonal(centred, 0.0)
    sums = centred.sum(0)
    centred -= (sums[:, None] + sums) / (n - 2) - sums.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0.0)
    return centred


def permuted_products(
    first: NDArray[np.float64], second: NDArray[np.float64], permutations: int, seed: int
) -> NDArray[np.float64]:
    """Σ_ij first_ij second_π(i)π(j) of matrices (N, N): (1 + B,), the data before permutations.

    Permuted sums are in single precision: let the matrices be centred and of norm 1.
    """
    a, b = (matrix.astype(np.float32) for matrix in (first, second))
    orders = _orders(np.arange(len(a)), permutations, seed)
    sums = [np.vdot(a, b.take(order, axis=0).take(order, axis=1)) for order in orders]
    return np.array([np.vdot(first, second), *sums], np.float64)


def within_sums(
    matrix: NDArray[np.float64], groups: NDArray[np.int64], permutations: int, seed: int
) -> NDArray[np.float64]:
    """Σ_ij matrix_ij over rows i, j of the same group: (1 + B, K), the data before permutations.

    Args:
        matrix: symmetric, (N, N).
        groups: of each row, (N,), 0 … K − 1.
        permutations: B, of the groups.
        seed: of the permutations.
    """
    count = int(groups.max()) + 1
    size = max(_COLUMNS // count, 1)
    labels = [groups, *_orders(groups, permutations, seed)]
    sums = []
    for start in range(0, len(labels), size):
        block = np.stack(labels[start : start + size], axis=1)  # (N, b)
        member = (block[:, :, None] == np.arange(count)).reshape(len(groups), -1).astype(np.float64)
        sums.append(np.einsum("nc,nc->c", member, matrix @ member).reshape(-1, count))
    return np.concatenate(sums)


def _orders(values: NDArray[np.int64], n: int, seed: int) -> Iterator[NDArray[np.int64]]:
    rng = np.random.default_rng(np.random.SeedSequence((seed, _PERMUTATION)))
    return (rng.permutation(values) for _ in range(n))
