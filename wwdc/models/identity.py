"""What stands in for a VAE where the data are vectors already."""

__all__ = ["Identity", "build_vae"]

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wwdc.config import instantiate
from wwdc.data.tabled_vectors import RANGE, sides
from wwdc.errors import ConfigError
from wwdc.models.vae import GaussianVAE

# Shapes: B batch, D length of a vector, H × W ≥ D.


class Identity(GaussianVAE):
    """z is the vector itself, x + σ ε with a small σ: there is nothing to train or to load.

    The noise keeps the density finite where vectors lie on a surface, as those of unit length do.

    Args:
        features: D.
        noise: σ, in standard deviations of a component.

    Raises:
        ConfigError: the noise is not above 0.

    >>> mean, logvar = Identity(6).encode(torch.full((2, 1, 2, 3), 0.625))
    >>> mean[0, 0].item(), mean.shape, round(math.exp(0.5 * logvar[0, 0]), 3)
    (1.0, torch.Size([2, 6]), 0.05)
    """

    def __init__(self, features: int, noise: float = 0.05) -> None:
        super().__init__()
        if not 0 < noise < math.inf:
            raise ConfigError(f"lightning_loader.vae.noise is {noise}: it must be above 0.")
        self.latent_dim = features
        self.noise = noise
        self._sides = sides(features)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (B, D) and the logarithm of the noise's variance, of *x* (B, 1, H, W)."""
        mean = RANGE * (x.flatten(1)[:, : self.latent_dim] - 0.5)
        return mean, torch.full_like(mean, 2 * math.log(self.noise))

    def decode(self, z: Tensor) -> Tensor:
        """The images (B, 1, H, W) of vectors *z* (B, D)."""
        height, width = self._sides
        y = F.pad(0.5 + z / RANGE, (0, height * width - self.latent_dim), value=0.5)
        return y.view(len(z), 1, height, width)


def build_vae(loader: Mapping[str, Any], allow: Sequence[str] = ()) -> nn.Module:
    """The VAE of a ``lightning_loader``; `Identity` where it is null.

    Raises:
        ConfigError: it cannot be built.
    """
    if loader.get("vae") is None:
        return Identity(int(loader["flow"]["features"]))
    vae: nn.Module = instantiate(loader["vae"], allow=allow, key="lightning_loader.vae")
    return vae
