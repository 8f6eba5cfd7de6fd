"""Batches of a loader's workers."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from wwdc.data.batches import as_floats


class _Batches(Dataset):
    """Channels last, as many files have them; says besides whether its floats are shared."""

    def __getitem__(self, index):
        x = as_floats(pixels(index))
        return x, x.is_shared()

    def __len__(self):
        return 3


def pixels(index: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(index)
    return torch.randint(256, (4, 8, 9, 3), generator=generator).to(torch.uint8).permute(0, 3, 1, 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_floats_lie_where_they_are_handed_over(workers):
    found = list(DataLoader(_Batches(), batch_size=None, num_workers=workers))
    for index, (x, shared) in enumerate(found):
        assert x.dtype == torch.float32 and x.is_contiguous()
        torch.testing.assert_close(x, pixels(index).float(), rtol=0, atol=0)
        assert shared is (workers > 0)
