"""Losses; each returns its parts by name, and the one called ``loss`` is minimised."""

__all__ = ["FlowLoss", "VAELoss", "gaussian_elbo", "negative_log_likelihood"]

from collections.abc import Callable

import torch
from torch import Tensor

from wwdc.models.flows import ConditionalFlow

VAELoss = Callable[[Tensor, Tensor, Tensor, Tensor, float], dict[str, Tensor]]
"""Of x, x̂ (B, C, H, W), mean, log-variance (B, D) and β."""

FlowLoss = Callable[[ConditionalFlow, Tensor, Tensor], dict[str, Tensor]]
"""Of the flow, latents z (B, D) and context c (B, C)."""


def gaussian_elbo(
    x: Tensor, x_hat: Tensor, mean: Tensor, logvar: Tensor, beta: float, *, sigma: float = 0.06
) -> dict[str, Tensor]:
    """|x − x̂|² / (2σ²) + β KL(q(z|x) ‖ N(0, 1)), summed over pixels and latents, mean over B [nat].

    Higgins et al., *beta-VAE*, https://openreview.net/forum?id=Sy2fzU9gl.

    Args:
        sigma: standard deviation of a pixel given its latent, in units of full brightness.

    >>> parts = gaussian_elbo(*torch.zeros(4, 1, 2), beta=1.0)
    >>> parts["loss"].item()
    0.0
    """
    batch = len(x)
    reconstruction = (x - x_hat).square().sum() / (2 * sigma**2 * batch)
    kl = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).sum() / batch
    return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction, "kl": kl}


def negative_log_likelihood(
    flow: ConditionalFlow, z: Tensor, c: Tensor, *, transport: float = 0.0
) -> dict[str, Tensor]:
    """−log p(z|c) [nat], plus *transport* times |u − z|² / 2, which keeps the map short.

    Args:
        transport: weight of the penalty; 0 is maximum likelihood.
    """
    u, log_det = flow.to_base(z, c)
    nll = -flow.log_density(u, log_det).mean()
    if transport == 0.0:
        return {"loss": nll}
    path = 0.5 * torch.sum((u - z).square(), dim=-1).mean()
    return {"loss": nll + transport * path, "nll": nll, "path": path}
