"""Batches are a function of (seed, epoch); ranks share them; no row is lost or seen twice."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wwdc.data.sampler import EpochBatchSampler
from wwdc.errors import ConfigError


def epoch(sampler, number=0):
    sampler.set_epoch(number)
    return [batch.tolist() for batch in sampler]


def flat(lists):
    return list(itertools.chain.from_iterable(lists))


def test_an_epoch_can_be_replayed_and_epochs_and_seeds_differ():
    first, again = (EpochBatchSampler(100, 10, 3, True) for _ in range(2))
    assert epoch(first, 4) == epoch(again, 4) == epoch(first, 4)
    assert epoch(first, 4) != epoch(first, 5)
    assert epoch(first, 4) != epoch(EpochBatchSampler(100, 10, 4, True), 4)


def test_training_leaves_out_an_incomplete_batch_but_never_the_only_one():
    assert [len(batch) for batch in epoch(EpochBatchSampler(25, 10, 0, True))] == [10, 10]
    assert [len(batch) for batch in epoch(EpochBatchSampler(7, 10, 0, True))] == [7]


def test_what_is_left_out_changes():
    sampler = EpochBatchSampler(25, 10, 0, True)
    seen = set().union(*(row for number in range(20) for row in epoch(sampler, number)))
    assert seen == set(range(25))


@given(
    n=st.integers(1, 200),
    per_rank=st.integers(1, 20),
    world=st.integers(1, 4),
    shuffle=st.booleans(),
)
def test_ranks_share_every_batch(n, per_rank, world, shuffle):
    if n < world:
        return
    whole = EpochBatchSampler(n, per_rank * world, 1, shuffle)
    ranks = [EpochBatchSampler(n, per_rank * world, 1, shuffle, r, world) for r in range(world)]
    shares = [epoch(sampler) for sampler in ranks]
    assert len({len(share) for share in shares}) == 1
    assert all(len(share) == len(sampler) for share, sampler in zip(shares, ranks, strict=True))
    assert all(batch for share in shares for batch in share)
    rows = flat(flat(parts) for parts in zip(*shares, strict=True))
    assert len(set(rows)) == len(rows)
    assert rows == flat(epoch(whole))
    if not shuffle:
        assert rows == list(range(n))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 0, 0, True), "data.loader.batch_size is 0"),
        ((10, 5, 0, True, 0, 2), "cannot be shared equally by 2 workers. Take a multiple of 2"),
        ((1, 2, 0, False, 0, 2), "1 rows cannot be shared by 2 workers"),
    ],
)
def test_what_cannot_be_shared_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        EpochBatchSampler(*arguments)


def test_batches_are_index_tensors():
    batch = next(iter(EpochBatchSampler(4, 4, 0, True)))
    assert batch.dtype == torch.int64
