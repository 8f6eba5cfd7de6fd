"""A convolutional VAE that fits images of any usual size and number of bands."""

__all__ = ["ConvVAE"]

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wwdc.data.stretch import Stretch, StretchKind
from wwdc.errors import ConfigError
from wwdc.models.sides import SIDES
from wwdc.models.vae import GaussianVAE

# Shapes: B batch, C bands, H height, W width, D latent size, S stages.

_LAST = 4
"""Pixels of the smaller side after the last stage, or up to twice as many."""

_WIDEST = 8
_GROUPS = 8
_KINDS: tuple[StretchKind, ...] = ("linear", "asinh", "log")


class ConvVAE(GaussianVAE):
    """Variational autoencoder of S strided convolutions and one dense layer each way.

    Each stage halves height and width until the smaller is 4 to 7 pixels and doubles the feature
    maps, at most to eight times the first. Group normalisation (Wu and He 2018,
    https://arxiv.org/abs/1803.08494) makes it train alike at every depth and batch size. Sides that
    do not halve evenly are padded with their edge, and cut again.

    The stretch of the data it was trained on is saved with its weights: `pixels` gives decoded
    images in the units that the data have.

    Args:
        size: image shape (C, H, W), sides of 16 to 256 pixels.
        hidden_dim: latent size D.
        channels: feature maps of the first stage, divisible by 8.
        width: units of the dense layer.

    Raises:
        ConfigError: the shape is out of range.

    >>> vae = ConvVAE(size=(5, 45, 64), hidden_dim=8, channels=8)
    >>> vae.decode(torch.zeros(2, 8)).shape
    torch.Size([2, 5, 45, 64])
    """

    pixel_stretch: Tensor
    """Low, high and softening of each band, (3, C)."""

    stretch_kind: Tensor
    """Place among linear, asinh and log."""

    def __init__(
        self, size: Sequence[int], hidden_dim: int = 32, channels: int = 32, width: int = 256
    ) -> None:
        super().__init__()
        _check(size, channels)
        bands, height, breadth = size
        stages = max(1, int(math.log2(min(height, breadth) / _LAST)))
        maps = [channels * min(2**stage, _WIDEST) for stage in range(stages)]
        cells = 2**stages
        grid = (math.ceil(height / cells), math.ceil(breadth / cells))
        flat = maps[-1] * grid[0] * grid[1]
        self.latent_dim = hidden_dim
        self.encoder = nn.Sequential(
            _Pad((height, breadth), (grid[0] * cells, grid[1] * cells)),
            *_down([bands, *maps]),
            nn.Flatten(),
            nn.Linear(flat, width),
            nn.SiLU(inplace=True),
            nn.Linear(width, 2 * hidden_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(hidden_dim, width),
            nn.SiLU(inplace=True),
            nn.Linear(width, flat),
            nn.SiLU(inplace=True),
            nn.Unflatten(1, (maps[-1], *grid)),
            *_up([*maps[::-1], bands]),
            _Cut((height, breadth)),
            nn.Sigmoid(),
        )
        self.register_buffer("pixel_stretch", torch.tensor([[0.0], [1.0], [1.0]]).repeat(1, bands))
        self.register_buffer("stretch_kind", torch.tensor(0))

    def set_stretch(self, stretch: Stretch) -> None:
        """Remember how the pixels of the data became [0, 1]."""
        numbers = [stretch.low, stretch.high, stretch.softening]
        self.pixel_stretch.copy_(torch.tensor(numbers))
        self.stretch_kind.fill_(_KINDS.index(stretch.kind))

    @property
    def stretch(self) -> Stretch:
        """How the pixels of the data became [0, 1]."""
        low, high, softening = (tuple(row) for row in self.pixel_stretch.tolist())
        return Stretch(_KINDS[int(self.stretch_kind)], low, high, softening)

    def pixels(self, image: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] in the units of the data."""
        return self.stretch.undo(image)


class _Pad(nn.Module):
    """Repeats the edge of images (B, C, H, W) evenly on all sides."""

    def __init__(self, sides: tuple[int, int], wanted: tuple[int, int]) -> None:
        super().__init__()
        lacking = [(want - side) for side, want in zip(sides, wanted, strict=True)]
        (top, bottom), (left, right) = ((n // 2, n - n // 2) for n in lacking)
        self.margins = (left, right, top, bottom)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.margins, mode="replicate") if any(self.margins) else x


class _Cut(nn.Module):
    """The middle of images (B, C, H, W)."""

    def __init__(self, sides: tuple[int, int]) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        top, left = ((have - want) // 2 for have, want in zip(x.shape[2:], self.sides, strict=True))
        return x[:, :, top : top + self.sides[0], left : left + self.sides[1]]


def _down(maps: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(maps):
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.GroupNorm(_GROUPS, after)]
        layers.append(nn.SiLU(inplace=True))
    return layers


def _up(maps: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(maps[:-1]):
        layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
        layers += [nn.GroupNorm(_GROUPS, after), nn.SiLU(inplace=True)]
    return [*layers, nn.ConvTranspose2d(maps[-2], maps[-1], 4, stride=2, padding=1)]


def _check(size: Sequence[int], channels: int) -> None:
    least, most = SIDES
    if len(size) != 3 or size[0] < 1 or not all(least <= side <= most for side in size[1:]):
        raise ConfigError(
            f"lightning_loader.vae.size is {list(size)}: it must be [channels, height, width] with "
            f"sides of {least} to {most} pixels. Larger images: x_ds.fit: resize."
        )
    if channels < _GROUPS or channels % _GROUPS:
        raise ConfigError(
            f"lightning_loader.vae.channels is {channels}: it must be divisible by {_GROUPS}."
        )
