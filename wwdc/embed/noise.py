"""The noise of posterior samples: every object's own, whoever asks and in whatever company."""

__all__ = ["posterior_noise"]

import numpy as np
from numpy.typing import NDArray

_STREAM = 0x656D6265
"""Keeps these numbers apart from others that derive from the same seed."""

_BLOCK = 64
"""Consecutive ids whose rows one generator draws: making a generator costs more than 64 rows."""


def posterior_noise(ids: NDArray[np.int64], dim: int, seed: int) -> NDArray[np.float32]:
    """Standard normal rows (N, *dim*) for objects *ids* (N,), each a function of its id.

    An id's row depends on (*seed*, id, *dim*) only: not on the other ids, their number or order.

    Args:
        ids: zero or more each, in any order.
        dim: numbers a row.
        seed: zero or more.

    Raises:
        ValueError: an id is negative.

    >>> rows = posterior_noise(np.array([3, 700]), dim=4, seed=0)
    >>> bool((posterior_noise(np.array([700]), dim=4, seed=0) == rows[1]).all())
    True
    """
    ids = np.asarray(ids, np.int64)
    if ids.size and ids.min() < 0:
        raise ValueError(f"ids: {ids.min()} is negative")
    out = np.empty((len(ids), dim), np.float32)
    blocks, rows = np.divmod(ids, _BLOCK)
    order = np.argsort(blocks, kind="stable")
    starts = np.flatnonzero(np.diff(blocks[order], prepend=-1))
    for members in np.split(order, starts[1:]) if len(ids) else ():
        block = int(blocks[members[0]])
        seeds = np.random.SeedSequence((seed, _STREAM, block))
        rng = np.random.Generator(np.random.Philox(seeds))
        out[members] = rng.standard_normal((_BLOCK, dim), np.float32)[rows[members]]
    return out
