"""Where a batch lies in memory."""

__all__ = ["as_floats"]

import torch
from torch import Tensor
from torch.utils.data import get_worker_info


def as_floats(pixels: Tensor) -> Tensor:
    """*pixels* (B, C, H, W) as contiguous float32 on their device; what is that already, itself.

    A loader's worker makes it in the shared memory through which it hands it over, as torch's
    ``default_collate`` does: made elsewhere, it would be copied there.
    """
    if get_worker_info() is None:
        return pixels.to(torch.float32, memory_format=torch.contiguous_format)
    shared = torch.UntypedStorage._new_shared(4 * pixels.numel(), device="cpu")
    floats: Tensor = torch.empty(0).set_(shared).view(pixels.shape)
    return floats.copy_(pixels)
