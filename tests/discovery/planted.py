"""Rows with anomalies that were put there."""

import numpy as np
from numpy.typing import NDArray


def clusters(seed: int, n: int = 800) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Uniform outliers that do not count, and one small cluster that does, in 6 dimensions."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 6))
    y = np.zeros(n, np.int64)
    x[:40] = 0.2 * rng.standard_normal((40, 6)) + [2.4, 2.4, 0, 0, 0, 0]
    y[:40] = 1
    x[40:120] = rng.uniform(-4.5, 4.5, (80, 6))
    order = rng.permutation(n)
    return x[order], y[order]
