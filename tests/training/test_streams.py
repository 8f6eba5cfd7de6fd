"""Random streams depend on their four numbers and nothing else."""

import itertools

import torch

from wwdc.training.streams import Stream, generator


def test_all_streams_differ():
    keys = itertools.product((0, 1), (0, 1), Stream, (0, 1))
    draws = [tuple(torch.randn(2, generator=generator(*key)).tolist()) for key in keys]
    assert len(set(draws)) == len(draws)


def test_global_state_is_neither_used_nor_moved():
    torch.manual_seed(0)
    first = torch.randn(3, generator=generator(5, 1, Stream.VAL))
    after = torch.randn(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.randn(1))
    assert torch.equal(first, torch.randn(3, generator=generator(5, 1, Stream.VAL)))
