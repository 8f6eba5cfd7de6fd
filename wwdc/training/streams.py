"""Random streams that depend on nothing but (seed, epoch, stream, rank)."""

__all__ = ["Stream", "generator"]

from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What the random numbers are for; the shuffling of data has streams of its own."""

    TRAIN = 16
    VAL = 17
    TEST = 18
    PROBE = 19


def generator(
    seed: int,
    epoch: int,
    stream: Stream,
    rank: int = 0,
    device: torch.device | str = "cpu",
) -> torch.Generator:
    """A generator on *device* that a resumed run finds again: same arguments, same numbers.

    >>> a, b = (generator(42, 3, Stream.TRAIN) for _ in range(2))
    >>> bool(torch.equal(torch.randn(4, generator=a), torch.randn(4, generator=b)))
    True
    """
    sequence = np.random.SeedSequence((seed, epoch, int(stream), rank))
    state = int(sequence.generate_state(1, np.uint64)[0]) >> 1  # torch wants a signed integer
    return torch.Generator(device).manual_seed(state)
