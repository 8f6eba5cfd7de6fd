"""Datasets, and MNIST files made up for the purpose."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wwdc.data.digits import Digits


def idx(array: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_part(root: Path, part: str, n: int, *, compress: bool = True) -> None:
    """Random images and labels under MNIST's names."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(n)
    content = {
        f"{part}-images-idx3-ubyte": idx(rng.integers(0, 256, (n, 28, 28))),
        f"{part}-labels-idx1-ubyte": idx(np.arange(n) % 10),
    }
    for name, data in content.items():
        if compress:
            (root / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (root / name).write_bytes(data)


class TinyVAE(nn.Module):
    """Encodes an image by two fixed linear maps."""

    def __init__(self, latent_dim: int = 4, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.maps = nn.Linear(3 * 28 * 28, 2 * latent_dim)
        self.dropout = nn.Dropout(0.5)
        self.calls = 0

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        mean, logvar = self.dropout(self.maps(x.flatten(1))).chunk(2, dim=1)
        return mean, logvar


@pytest.fixture(scope="session")
def digits() -> Digits:
    return Digits(views=2, drop_variables=["b"])


@pytest.fixture
def vae() -> TinyVAE:
    return TinyVAE()
