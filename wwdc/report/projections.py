"""Rows of an embedding in two dimensions."""

__all__ = ["pca", "umap"]

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Shapes: N rows, D columns.

_FITTED = 20_000


def pca(x: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """The first two principal components of rows (N, D), (N, 2).

    Directions are those of at most 20 000 rows drawn by *seed*; their signs are such that the
    largest entry of each is positive.
    """
    rng = np.random.default_rng(np.random.SeedSequence((seed, 3)))
    rows = np.sort(rng.permutation(len(x))[:_FITTED])
    centre = x[rows].mean(0, dtype=np.float64)
    covariance = np.cov(x[rows].T.astype(np.float64))
    vectors = np.linalg.eigh(np.atleast_2d(covariance))[1]
    directions = vectors[:, ::-1][:, :2]
    largest = np.abs(directions).argmax(0)
    directions = directions * np.sign(directions[largest, np.arange(directions.shape[1])])
    places: NDArray[np.float64] = (x - centre) @ directions
    if places.shape[1] < 2:
        places = np.column_stack([places, np.zeros(len(x))])
    return places


def umap(
    x: NDArray[np.float32], seed: int, neighbours: int = 15, distance: float = 0.1
) -> NDArray[np.float64]:
    """UMAP of rows (N, D) in two dimensions, (N, 2): the same for the same *seed*."""
    import umap as package  # numba compiles for seconds

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one thread
        made: Any = package.UMAP(
            n_neighbors=min(neighbours, len(x) - 1),
            min_dist=distance,
            random_state=seed,
            n_jobs=1,
        ).fit_transform(x)
    return np.asarray(made, np.float64)
