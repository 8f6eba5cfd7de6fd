"""A compact convolutional variational autoencoder, and what every one has in common."""

__all__ = ["VAE", "GaussianVAE"]

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wwdc.errors import ConfigError

# Shapes: B batch, C colour channels, H height, W width, D latent size.


class GaussianVAE(nn.Module):
    """What a VAE of images in [0, 1] does, whatever its networks are.

    Models q(z|x) = N(μ(x), σ²(x)) and the mean of p(x|z), after Kingma and Welling,
    *Auto-Encoding Variational Bayes*, https://arxiv.org/abs/1312.6114.

    Attributes:
        latent_dim: latent size D.
        encoder: images (B, C, H, W) to (B, 2 D), means and log-variances.
        decoder: latents (B, D) to images.
    """

    latent_dim: int
    encoder: nn.Module
    decoder: nn.Module

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, D) of q(z|x) for images *x* (B, C, H, W) in [0, 1]."""
        mean, logvar = self.encoder(x).chunk(2, dim=-1)
        return mean, logvar.clamp(-12.0, 4.0)

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] for latents *z* (B, D)."""
        image: Tensor = self.decoder(z)
        return image

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, mean, log-variance; *noise* (B, D) is standard normal, None is zero."""
        mean, logvar = self.encode(x)
        z = mean if noise is None else torch.addcmul(mean, torch.exp(0.5 * logvar), noise)
        return self.decode(z), mean, logvar


class VAE(GaussianVAE):
    """Variational autoencoder with two strided convolutions and one dense layer each way.

    Args:
        hidden_dim: latent size D.
        channels: feature maps of the first convolution; the second has twice as many.
        width: units of the dense layer.
        size: image shape (C, H, W); H and W must be divisible by 4.

    Raises:
        ConfigError: when the image shape cannot be halved twice.

    >>> vae = VAE(hidden_dim=8)
    >>> mean, logvar = vae.encode(torch.zeros(2, 3, 28, 28))
    >>> vae.decode(mean).shape
    torch.Size([2, 3, 28, 28])
    """

    def __init__(
        self,
        hidden_dim: int = 64,
        channels: int = 32,
        width: int = 128,
        size: Sequence[int] = (3, 28, 28),
    ) -> None:
        super().__init__()
        if len(size) != 3 or size[1] % 4 or size[2] % 4:
            raise ConfigError(
                f"lightning_loader.vae.size is {list(size)}: it must be [channels, height, width] "
                "with height and width divisible by 4."
            )
        colours, height, breadth = size
        maps = (2 * channels, height // 4, breadth // 4)
        flat = maps[0] * maps[1] * maps[2]
        self.latent_dim = hidden_dim
        self.encoder = nn.Sequential(
            nn.Conv2d(colours, channels, 4, stride=2, padding=1),
            nn.SiLU(inplace=True),
            nn.Conv2d(channels, maps[0], 4, stride=2, padding=1),
            nn.SiLU(inplace=True),
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
            nn.Unflatten(1, maps),
            nn.ConvTranspose2d(maps[0], channels, 4, stride=2, padding=1),
            nn.SiLU(inplace=True),
            nn.ConvTranspose2d(channels, colours, 4, stride=2, padding=1),
            nn.Sigmoid(),
        )
