"""The Lightning modules that experiments name: one trains a VAE, one a conditional flow."""

__all__ = ["LightningFlow", "LightningVAE", "load_vae"]

import functools
import math
from typing import Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from wwdc.errors import ConfigError
from wwdc.models.flows import ConditionalFlow
from wwdc.models.vae import VAE
from wwdc.models.weights import load_vae
from wwdc.training.losses import FlowLoss, VAELoss, gaussian_elbo, negative_log_likelihood
from wwdc.training.module import PointModule, check_range
from wwdc.training.schedules import OptimizerFactory, SchedulerFactory, anneal

# Shapes: B batch, C context width, D latent size.


class LightningVAE(PointModule[VAE]):
    """Trains a VAE on batches ``{"x": (B, 3, H, W), "index": (B,)}``.

    The weight β of the KL term goes linearly from *beta_init* to *beta_floor* over the first
    *beta_part* of training; validation and test use *beta_floor* throughout.

    Args:
        vae: the network.
        lr: highest learning rate.
        size: latent size the experiment expects; checked against the network.
        batch_size: recorded with the experiment; the data module makes the batches.
        beta_init: β at the start.
        beta_floor: β at the end; validation and test use it.
        beta_part: part of training, in (0, 1], after which β rests at *beta_floor*.
        loss: partial of (x, x̂, mean, logvar, β); by default Gaussian pixels with σ = 0.06.
        optimizer: partial that wants ``params`` and ``lr``; AdamW by default.
        lr_scheduler: partial that wants ``optimizer``; None keeps the rate constant.
        ema_decay: decay a step of the averaged weights, in [0, 1).
        vae_ckpt_path: unused; accepted so that both loaders take the same keys.

    Raises:
        ConfigError: when a number is out of range or *size* is not the network's.
    """

    stage: Literal["vae", "flow"] = "vae"

    def __init__(
        self,
        vae: VAE,
        lr: float,
        size: int | None = None,
        batch_size: int | None = None,
        beta_init: float = 4.0,
        beta_floor: float = 1.0,
        beta_part: float = 0.5,
        loss: VAELoss | None = None,
        optimizer: OptimizerFactory | None = None,
        lr_scheduler: SchedulerFactory | None = None,
        ema_decay: float = 0.99,
        vae_ckpt_path: str | None = None,
    ) -> None:
        super().__init__(lr, optimizer, lr_scheduler, ema_decay)
        _check_size(size, {"lightning_loader.vae": vae.latent_dim})
        _check_betas(beta_init, beta_floor)
        check_range("beta_part", beta_part, 0.0 < beta_part <= 1.0, "in (0, 1]")
        self.vae = vae
        self.batch_size = batch_size
        self.beta_init, self.beta_floor, self.beta_part = beta_init, beta_floor, beta_part
        self._loss = loss or functools.partial(gaussian_elbo, sigma=0.06)
        self.add_average()

    @property
    def network(self) -> VAE:
        return self.vae

    def losses(
        self, network: VAE, batch: dict[str, Tensor], noise: torch.Generator, train: bool
    ) -> dict[str, Tensor]:
        x = batch["x"]
        beta = self.beta_floor
        if train:
            beta = anneal(self.beta_init, self.beta_floor, self.progress, self.beta_part)
        shape = (len(x), network.latent_dim)
        epsilon = torch.randn(shape, generator=noise, device=x.device, dtype=x.dtype)
        x_hat, mean, logvar = network(x, epsilon)
        return self._loss(x, x_hat, mean, logvar, beta)


class LightningFlow(PointModule[ConditionalFlow]):
    """Trains a conditional flow on the latents of a frozen VAE.

    Batches are ``{"mean": (B, D), "logvar": (B, D), "context": (B, C), "index": (B,)}``; with
    ``"x"`` in place of mean and log-variance the VAE encodes in the step. Latents are drawn anew
    each time, z = μ + β σ ε, where the temperature β goes linearly from *beta_init* to
    *beta_floor*; validation and test use *beta_floor*. :meth:`set_context` must be called first.

    The VAE is frozen, never optimised, and not part of the checkpoint.

    Args:
        vae: the trained network whose latents are modelled.
        flow: the network to train.
        lr: highest learning rate.
        size: latent size the experiment expects; checked against both networks.
        batch_size: recorded with the experiment; the data module makes the batches.
        beta_init: temperature β at the start; 1 is a plain posterior sample, 0 the mean.
        beta_floor: temperature β at the end.
        vae_ckpt_path: where the VAE's weights came from; recorded.
        loss: partial of (flow, z, c); by default the negative log-likelihood.
        optimizer: partial that wants ``params`` and ``lr``; AdamW by default.
        lr_scheduler: partial that wants ``optimizer``; None keeps the rate constant.
        ema_decay: decay a step of the averaged weights, in [0, 1).

    Raises:
        ConfigError: when a number is out of range or the sizes differ.
    """

    stage: Literal["vae", "flow"] = "flow"
    context_mean: Tensor
    context_std: Tensor

    def __init__(
        self,
        vae: VAE,
        flow: ConditionalFlow,
        lr: float,
        size: int | None = None,
        batch_size: int | None = None,
        beta_init: float = 1.0,
        beta_floor: float = 1.0,
        vae_ckpt_path: str | None = None,
        loss: FlowLoss | None = None,
        optimizer: OptimizerFactory | None = None,
        lr_scheduler: SchedulerFactory | None = None,
        ema_decay: float = 0.99,
    ) -> None:
        super().__init__(lr, optimizer, lr_scheduler, ema_decay)
        sizes = {"lightning_loader.vae": vae.latent_dim, "lightning_loader.flow": flow.features}
        _check_size(size, sizes)
        _check_betas(beta_init, beta_floor)
        self.flow = flow
        # In a tuple, it is no submodule: neither optimised, saved nor switched to training.
        self._frozen = (vae.requires_grad_(False).eval(),)
        self.batch_size = batch_size
        self.beta_init, self.beta_floor = beta_init, beta_floor
        self.vae_ckpt_path = vae_ckpt_path
        self._loss = loss or negative_log_likelihood

    @property
    def network(self) -> ConditionalFlow:
        return self.flow

    @property
    def vae(self) -> VAE:
        """The frozen VAE."""
        return self._frozen[0]

    def set_context(self, width: int, mean: ArrayLike, std: ArrayLike) -> None:
        """Tell the flow its context *width* C and how to standardise it.

        Args:
            width: columns of the context.
            mean: mean of each column over the training split, (C,).
            std: standard deviation of each column, (C,); a constant column's 0 counts as 1.

        Raises:
            ConfigError: when the flow was built for another width.
        """
        self.flow.bind(width)
        mean, std = torch.as_tensor(mean).float(), torch.as_tensor(std).float()
        if mean.shape != (width,) or std.shape != (width,):
            raise ValueError(
                f"mean {tuple(mean.shape)} and std {tuple(std.shape)} for {width} columns"
            )
        self.register_buffer("context_mean", mean)
        self.register_buffer("context_std", torch.where(std > 0, std, 1.0))
        self.add_average()

    def standardise(self, context: Tensor) -> Tensor:
        """Raw catalogue columns (B, C) as the flow sees them."""
        return (context - self.context_mean) / self.context_std

    @torch.no_grad()
    def posterior(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, D) of the batch, cached or encoded now."""
        if "mean" in batch:
            return batch["mean"], batch["logvar"]
        return self.vae.to(batch["x"].device).encode(batch["x"])

    def losses(
        self,
        network: ConditionalFlow,
        batch: dict[str, Tensor],
        noise: torch.Generator,
        train: bool,
    ) -> dict[str, Tensor]:
        mean, logvar = self.posterior(batch)
        beta = self.beta_floor
        if train:
            beta = anneal(self.beta_init, self.beta_floor, self.progress)
        epsilon = torch.randn(mean.shape, generator=noise, device=mean.device, dtype=mean.dtype)
        z = torch.addcmul(mean, torch.exp(0.5 * logvar), epsilon, value=beta)
        return self._loss(network, z, self.standardise(batch["context"]))


def _check_size(size: int | None, sizes: dict[str, int]) -> None:
    """All latent sizes must agree."""
    named = sizes if size is None else {"lightning_loader.size": size, **sizes}
    if len(set(named.values())) > 1:
        told = ", ".join(f"{name} {value}" for name, value in named.items())
        raise ConfigError(f"model.yaml: latent sizes differ: {told}. Give all the same size.")


def _check_betas(beta_init: float, beta_floor: float) -> None:
    for name, value in (("beta_init", beta_init), ("beta_floor", beta_floor)):
        check_range(name, value, 0.0 <= value < math.inf, "zero or more")
