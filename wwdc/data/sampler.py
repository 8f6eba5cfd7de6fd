"""Which rows make up which batch: a function of the seed and the epoch alone."""

__all__ = ["EpochBatchSampler"]

from collections.abc import Iterator

import torch
from numpy.random import SeedSequence, default_rng
from torch import Tensor
from torch.utils.data import Sampler

from wwdc.errors import ConfigError

_SHUFFLE_STREAM = 1


class EpochBatchSampler(Sampler[Tensor]):
    """Batches of row indices (B,), shuffled anew each epoch by SeedSequence(seed, epoch, stream).

    When shuffling, rows that do not fill a last batch are left out (a new set of them each epoch),
    unless there is no full batch at all. In order, every row comes exactly once.

    Args:
        n: rows.
        batch_size: rows of a batch over all ranks.
        seed: the point's seed.
        shuffle: whether rows come in a random order.
        rank: this process; it takes its slice of each batch.
        world: number of processes.

    Raises:
        ConfigError: the batch size is below 1, or cannot be shared equally among the processes.

    >>> sampler = EpochBatchSampler(5, 2, seed=0, shuffle=False)
    >>> [batch.tolist() for batch in sampler]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self, n: int, batch_size: int, seed: int, shuffle: bool, rank: int = 0, world: int = 1
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"data.loader.batch_size is {batch_size}: it must be 1 or more.")
        if batch_size % world:
            raise ConfigError(
                f"data.loader.batch_size is {batch_size}, the batch over all workers: it cannot be "
                f"shared equally by {world} workers. Take a multiple of {world}."
            )
        if n < world:
            raise ConfigError(f"{n} rows cannot be shared by {world} workers. Take fewer workers.")
        self.n = n
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world = world
        self.epoch = 0
        self._stops = _stops(n, batch_size, world, complete=shuffle)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch. Lightning calls this before each epoch, resumed or not."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._stops)

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.arange(self.n)
        if self.shuffle:
            rng = default_rng(SeedSequence((self.seed, self.epoch, _SHUFFLE_STREAM)))
            order = torch.from_numpy(rng.permutation(self.n))
        start = 0
        for stop in self._stops:
            rows = stop - start
            share = [start + rows * part // self.world for part in (self.rank, self.rank + 1)]
            yield order[share[0] : share[1]]
            start = stop


def _stops(n: int, batch_size: int, world: int, complete: bool) -> list[int]:
    """Where batches end. A rest too small for every rank to get a row joins the batch before."""
    stops = list(range(batch_size, n + 1, batch_size))
    rest = n % batch_size
    if not stops:
        return [n]
    if rest and not complete:
        if rest < world:
            stops[-1] = n
        else:
            stops.append(n)
    return stops
