"""The Lightning modules that experiments name: one trains a VAE, one a conditional flow."""

__all__ = ["LightningFlow", "LightningVAE", "load_vae"]

import functools
import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from wwdc.errors import ConfigError
from wwdc.models.flows import ConditionalFlow
from wwdc.models.identity import Identity
from wwdc.models.vae import GaussianVAE
from wwdc.models.weights import load_vae
from wwdc.training.losses import FlowLoss, VAELoss, gaussian_elbo, negative_log_likelihood
from wwdc.training.module import PointModule, check_range
from wwdc.training.schedules import OptimizerFactory, SchedulerFactory, anneal

# Shapes: B batch, D latent size, W context columns of V variables, C columns that a flow sees.

_UNCONDITIONAL = 0.05
"""Share of a masked flow's training examples that lose every variable."""


class LightningVAE(PointModule[GaussianVAE]):
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
        vae: GaussianVAE,
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
    def network(self) -> GaussianVAE:
        return self.vae

    def losses(
        self, network: GaussianVAE, batch: dict[str, Tensor], noise: torch.Generator, train: bool
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

    Batches are ``{"mean": (B, D), "logvar": (B, D), "context": (B, W), "index": (B,)}``; with
    ``"x"`` in place of mean and log-variance the VAE encodes in the step. Latents are drawn anew
    each time, z = μ + β σ ε, where the temperature β goes linearly from *beta_init* to
    *beta_floor*; validation and test use *beta_floor*. :meth:`set_context` must be called first.

    With a *condition_dropout* the flow is **masked**: one network for p(z | S) under every subset S
    of the variables. It sees the W standardised columns, those of missing variables set to 0, and
    V bits that say which variables are given, so C = W + V instead of W. In training each
    variable of each example is dropped with that probability, and one example in twenty loses all,
    so that p(z) is learnt too. Validation and test drop each with probability ½, whatever the
    training does: every subset counts the same, the masks are the same each epoch, and losses of
    different *condition_dropout* compare; with that of an ordinary flow they do not. Masked
    conditions as in classifier-free guidance, Ho and Salimans, https://arxiv.org/abs/2207.12598.

    The VAE is frozen, never optimised, and not part of the checkpoint.

    Args:
        vae: the trained network whose latents are modelled; None where the data are vectors.
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
        condition_dropout: probability, in [0, 1), that training drops a variable; 0 is an
            ordinary flow.

    Raises:
        ConfigError: when a number is out of range or the sizes differ.
    """

    stage: Literal["vae", "flow"] = "flow"
    context_mean: Tensor
    context_std: Tensor
    context_groups: Tensor
    """The variable of each context column, (W,); a masked flow has it."""

    def __init__(
        self,
        vae: GaussianVAE | None,
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
        condition_dropout: float = 0.0,
    ) -> None:
        super().__init__(lr, optimizer, lr_scheduler, ema_decay)
        vae = vae or Identity(flow.features)
        sizes = {"lightning_loader.vae": vae.latent_dim, "lightning_loader.flow": flow.features}
        _check_size(size, sizes)
        _check_betas(beta_init, beta_floor)
        check_range("condition_dropout", condition_dropout, 0 <= condition_dropout < 1, "in [0, 1)")
        self.condition_dropout = condition_dropout
        self.flow = flow
        # In a tuple, it is no submodule: neither optimised, saved nor switched to training.
        self._frozen = (vae.requires_grad_(False).eval(),)
        self.batch_size = batch_size
        self.beta_init, self.beta_floor = beta_init, beta_floor
        self.vae_ckpt_path = vae_ckpt_path
        self._loss = loss or negative_log_likelihood
        self._variables = 0  # told by set_context; an ordinary flow has no bits

    @property
    def network(self) -> ConditionalFlow:
        return self.flow

    @property
    def vae(self) -> GaussianVAE:
        """The frozen VAE."""
        return self._frozen[0]

    @property
    def masked(self) -> bool:
        """Whether variables can be left out of the context."""
        return self.condition_dropout > 0

    def set_context(
        self, width: int, mean: ArrayLike, std: ArrayLike, groups: ArrayLike | None = None
    ) -> None:
        """Tell the flow its context *width* W and how to standardise it.

        Args:
            width: columns of the context.
            mean: mean of each column over the training split, (W,).
            std: what each column is divided by, (W,), see `context_moments`; 0 counts as 1.
            groups: variable 0 … V − 1 of each column, (W,), ascending. A masked flow needs them
                and saves them; an ordinary one keeps none.

        Raises:
            ConfigError: when the flow was built for another width.
        """
        if self.masked:
            self.register_buffer("context_groups", _checked_groups(width, groups))
            self._variables = len(self.context_groups.unique())
        self.flow.bind(width + self._variables)
        mean, std = torch.as_tensor(mean).float(), torch.as_tensor(std).float()
        if mean.shape != (width,) or std.shape != (width,):
            raise ValueError(
                f"mean {tuple(mean.shape)} and std {tuple(std.shape)} for {width} columns"
            )
        self.register_buffer("context_mean", mean)
        self.register_buffer("context_std", torch.where(std > 0, std, 1.0))
        self.add_average()

    def standardise(self, context: Tensor) -> Tensor:
        """Raw catalogue columns (B, W), centred and scaled as `set_context` was told."""
        return (context - self.context_mean) / self.context_std

    def condition(self, context: Tensor, given: Tensor | None = None) -> Tensor:
        """Raw catalogue columns (B, W) as the flow sees them, (B, C).

        Args:
            context: encoded catalogue; what columns of missing variables hold does not matter.
            given: which variables a masked flow is told, bool (V,) or (B, V); None is all.

        Raises:
            ValueError: *given* has another shape or type, or the flow is not masked.
        """
        columns = self.standardise(context)
        if not self.masked:
            if given is not None:
                raise ValueError("given: this flow was trained without condition_dropout")
            return columns
        shape = (len(columns), self._variables)
        if given is None:
            given = torch.ones(self._variables, dtype=torch.bool)
        if given.dtype != torch.bool or given.shape not in (shape, shape[1:]):
            raise ValueError(
                f"given: expected bool {shape} or {shape[1:]}, got {given.dtype} "
                f"{tuple(given.shape)}"
            )
        given = given.to(columns.device).expand(shape)
        columns = columns.masked_fill(~given[:, self.context_groups], 0.0)
        return torch.cat([columns, given.to(columns.dtype)], dim=1)

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
        given = self._draw_given(len(z), noise, train) if self.masked else None
        return self._loss(network, z, self.condition(batch["context"], given))

    def _draw_given(self, rows: int, noise: torch.Generator, train: bool) -> Tensor:
        """Which variables each of *rows* examples is told, bool (B, V)."""
        chance = torch.rand((rows, self._variables + 1), generator=noise, device=noise.device)
        if not train:
            return chance[:, 1:] >= 0.5
        return (chance[:, 1:] >= self.condition_dropout) & (chance[:, :1] >= _UNCONDITIONAL)


def _checked_groups(width: int, groups: ArrayLike | None) -> Tensor:
    if groups is None:
        raise ValueError("groups: a masked flow must be told the variable of each context column")
    found = np.array(groups, dtype=np.int64)
    dense = np.unique(found, return_inverse=True)[1]
    if found.shape != (width,) or not np.array_equal(found, np.sort(dense)):
        raise ValueError(f"groups {found.tolist()} for {width} columns: expected 0 … V − 1 in turn")
    return torch.from_numpy(found)


def _check_size(size: int | None, sizes: dict[str, int]) -> None:
    """All latent sizes must agree."""
    named = sizes if size is None else {"lightning_loader.size": size, **sizes}
    if len(set(named.values())) > 1:
        told = ", ".join(f"{name} {value}" for name, value in named.items())
        raise ConfigError(f"model.yaml: latent sizes differ: {told}. Give all the same size.")


def _check_betas(beta_init: float, beta_floor: float) -> None:
    for name, value in (("beta_init", beta_init), ("beta_floor", beta_floor)):
        check_range(name, value, 0.0 <= value < math.inf, "zero or more")
