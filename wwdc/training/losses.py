"""Losses; each returns its parts by name, and the one called ``loss`` is minimised."""

__all__ = ["FlowLoss", "VAELoss", "flow_matching", "gaussian_elbo", "negative_log_likelihood"]

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

from wwdc.errors import ConfigError
from wwdc.models.flow_matching import FlowMatching
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


def flow_matching(
    flow: ConditionalFlow, z: Tensor, c: Tensor, *, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """|v((1 − t) z + t u, t, c) − (u − z)|² / D over uniform t and normal u, mean over B.

    Lipman et al., *Flow Matching for Generative Modeling*, https://arxiv.org/abs/2210.02747. Times
    are stratified over the batch, which makes the mean less noisy. The loss is no likelihood: its
    least value depends on the data, and it does not compare with that of other losses.

    Args:
        generator: draws t and u. By default one seeded by the bytes of *z*: latents that were drawn
            afresh bring fresh draws, the same ones (a resumed run, a validation) the same.

    Raises:
        ConfigError: *flow* is no flow in continuous time.
    """
    if not isinstance(flow, FlowMatching):
        raise ConfigError(
            f"lightning_loader.loss: flow_matching trains a FlowMatching, not a "
            f"{type(flow).__name__}. Change lightning_loader.flow, or take another loss."
        )
    if generator is None:
        generator = _generator(z)
    rows, device = len(z), generator.device
    start = torch.rand((), generator=generator, device=device, dtype=z.dtype)
    t = (start + torch.arange(rows, device=device, dtype=z.dtype) / rows).remainder(1.0).to(z)
    u = torch.randn(z.shape, generator=generator, device=device, dtype=z.dtype).to(z)
    x = torch.lerp(z, u, t[:, None])
    return {"loss": (flow.velocity(x, t, c) - (u - z)).square().mean()}


def _generator(z: Tensor) -> torch.Generator:
    """A generator on the CPU whose seed follows from the bytes of *z* alone."""
    content = z.detach().contiguous().view(torch.uint8).cpu().numpy().tobytes()
    digest = hashlib.blake2b(content, digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
