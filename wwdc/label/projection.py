"""Objects on a plane by UMAP, fitted on some of them."""

__all__ = ["place_all"]

import warnings

import numpy as np
from numpy.typing import NDArray

from wwdc.discovery.pool import standardise
from wwdc.label.features import Features, read_features

# Shapes: N objects, M fitted ones, D features.

_CHUNK = 2048
_FEWEST = 10


def place_all(features: Features, rows: int, seed: int) -> NDArray[np.float32]:
    """Places (N, 2): UMAP of at most *rows* objects; others lie where their nearest one does.

    McInnes, Healy & Melville, arXiv:1802.03426. The same seed gives the same places.

    Raises:
        ValueError: there are fewer than ten objects.
    """
    x = standardise(read_features(features))
    if len(x) < _FEWEST:
        raise ValueError(f"UMAP needs {_FEWEST} objects, there are {len(x)}")
    rng = np.random.default_rng(np.random.SeedSequence((seed, len(x))))
    fitted = np.sort(rng.permutation(len(x))[:rows])
    places = _umap(x[fitted], seed)
    return places if len(fitted) == len(x) else places[_nearest(x, x[fitted])]


def _umap(x: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a seed means one thread, and it says so each time
        model = UMAP(n_neighbors=min(15, len(x) - 1), random_state=seed, n_jobs=1)
        return np.asarray(model.fit_transform(x), np.float32)


def _nearest(x: NDArray[np.float32], among: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each row of x (N, D) the nearest row of *among* (M, D).

    By matrix products: a tree is no faster than that in many dimensions.
    """
    half = 0.5 * np.einsum("md,md->m", among, among)
    parts = [
        np.argmax(x[start : start + _CHUNK] @ among.T - half, axis=1)
        for start in range(0, len(x), _CHUNK)
    ]
    return np.concatenate(parts)
