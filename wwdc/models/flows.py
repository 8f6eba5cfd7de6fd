"""Conditional normalizing flows between latents z and a standard normal base u."""

__all__ = ["NSF", "ConditionalFlow", "CouplingFlow"]

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
import zuko
from torch import Tensor, nn

from wwdc.errors import ConfigError

# Shapes: B batch, D features, C context width, K couplings, H hidden units, T times.


class ConditionalFlow(nn.Module, ABC):
    """An invertible map u = f(z | c) with density p(z|c) = N(f(z|c); 0, 1) |det df/dz|.

    Args:
        features: number of latents D.

    The context width may be left out and is then told later by :meth:`bind`.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        if features < 1:
            raise ConfigError(f"lightning_loader.flow.features is {features}: it must be positive.")
        self.features = features
        self._context: int | None = None

    @property
    def context(self) -> int | None:
        """Context width C; None until it is known."""
        return self._context

    def bind(self, context: int) -> None:
        """Build the network for *context* columns; a second width is refused.

        Raises:
            ConfigError: when the flow was already built for another width.
        """
        if self._context is None:
            self._context = context
            self._build(context)
        elif self._context != context:
            raise ConfigError(
                f"lightning_loader.flow.context is {self._context}, but the kept variables take "
                f"{context} columns. Write `context: {context}`, or leave it out."
            )

    @abstractmethod
    def _build(self, context: int) -> None:
        """Create the parameters for *context* columns."""

    @abstractmethod
    def to_base(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Base u (B, D) and log |det du/dz| (B,) of latents *z* (B, D), context *c* (B, C)."""

    @abstractmethod
    def inverse(self, u: Tensor, c: Tensor) -> Tensor:
        """Latents z (B, D) of base points *u* (B, D) under context *c* (B, C)."""

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """The residual u = f(z | c), (B, D)."""
        return self.to_base(z, c)[0]

    def log_prob(self, z: Tensor, c: Tensor) -> Tensor:
        """log p(z | c) [nat], (B,)."""
        return self.log_density(*self.to_base(z, c))

    def log_density(self, u: Tensor, log_det: Tensor) -> Tensor:
        """log p [nat], (B,), from what :meth:`to_base` returned."""
        return log_det - 0.5 * (u.square().sum(-1) + self.features * math.log(2 * math.pi))

    def sample(self, c: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw of z (B, D) for each row of *c* (B, C)."""
        shape = (len(c), self.features)
        u = torch.randn(shape, generator=generator, device=c.device, dtype=c.dtype)
        return self.inverse(u, c)

    def path(self, z: Tensor, c: Tensor, times: Sequence[float]) -> Tensor:
        """States (T, B, D) on the way from latents *z* (B, D) to the base, context *c* (B, C).

        A flow made of transforms gives the state after as many of them as is nearest to the part
        of its way that *times* asks for.

        Args:
            times: flow times in [0, 1], in any order: 0 is z, 1 is u.

        Raises:
            ConfigError: when a time lies outside [0, 1].
        """
        wrong = [time for time in times if not 0.0 <= time <= 1.0]
        if wrong:
            raise ConfigError(
                f"times {list(times)}: {wrong[0]} is no flow time. Times lie between 0, the "
                "latents z, and 1, the base u."
            )
        if not times:
            return z.new_empty((0, *z.shape))
        states = self._states(z, c)
        return torch.stack([self._state(states, c, time) for time in times])

    def _states(self, z: Tensor, c: Tensor) -> list[Tensor]:
        """z, what each transform makes of it, and last u, each (B, D)."""
        return [z, self(z, c)]

    def _state(self, states: list[Tensor], c: Tensor, time: float) -> Tensor:
        """The state (B, D) at *time*, out of :meth:`_states`."""
        return states[round(time * (len(states) - 1))]


class CouplingFlow(ConditionalFlow):
    """Affine couplings, mixed by fixed random rotations, after an affine map that the context sets.

        x₀ = (1 + U(c) V(c)ᵀ) (z exp s₀(c) + t₀(c))
        (a, b) = Rₖ xₖ₋₁,  xₖ = (a, b exp sₖ(a, c) + tₖ(a, c)),  k = 1 … K
        u = (R_K ⋯ R₁)ᵀ x_K

    Couplings as in Real NVP, Dinh et al., https://arxiv.org/abs/1605.08803. All last layers start
    at zero, so that the flow starts as the identity; log-scales are bounded by a tanh. What the
    affine map removes leaves the dropped variables as linear in u as they are in z, which couplings
    do not. On its :meth:`path`, the affine map counts to the first coupling.

    Args:
        features: number of latents D, at least 2.
        context: width C of the context; None to be told by :meth:`bind`.
        hidden_features: hidden units of each coupling's network.
        transforms: number of couplings K.
        bound: largest log-scale of one coupling.
        rank: columns of U and V, at most D; 0 leaves the affine map diagonal.
        mixing_seed: seed of the rotations, which are not trained.

    >>> flow = CouplingFlow(features=4, context=2, hidden_features=[16], transforms=3)
    >>> flow.log_prob(torch.zeros(5, 4), torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    mixing: Tensor
    unmixing: Tensor

    def __init__(
        self,
        features: int,
        context: int | None = None,
        hidden_features: Sequence[int] = (128, 128),
        transforms: int = 8,
        bound: float = 2.0,
        rank: int = 0,
        mixing_seed: int = 0,
    ) -> None:
        super().__init__(features)
        if features < 2 or transforms < 1 or not hidden_features or bound <= 0:
            raise ConfigError(
                "lightning_loader.flow: a coupling flow needs features >= 2, transforms >= 1, "
                "bound > 0 and one hidden layer or more; "
                f"got features {features}, transforms {transforms}, bound {bound}, "
                f"hidden_features {list(hidden_features)}."
            )
        self.hidden_features = tuple(hidden_features)
        self.transforms = transforms
        if not 0 <= rank <= features:
            raise ConfigError(
                f"lightning_loader.flow.rank is {rank}: it must be between 0 and features, "
                f"{features}."
            )
        self.bound = bound
        self.rank = rank
        self.mixing_seed = mixing_seed
        if context is not None:
            self.bind(context)

    def _build(self, context: int) -> None:
        first = self.hidden_features[0]
        kept = self.features // 2
        self.register_buffer("mixing", _rotations(self.transforms, self.features, self.mixing_seed))
        unmixing = torch.linalg.multi_dot([*self.mixing, torch.eye(self.features)]).T
        self.register_buffer("unmixing", unmixing.contiguous())
        self.affine = _conditioner(context, (first,), 2 * self.features)
        self.shear = _Shear(self.features, context, first, self.rank) if self.rank else None
        # The first layer of every coupling sees the context: one product for all of them.
        self.embed = nn.Linear(context, self.transforms * first) if context else None
        self.couplings = nn.ModuleList(
            _conditioner(kept, self.hidden_features, 2 * (self.features - kept))
            for _ in range(self.transforms)
        )

    def _conditions(self, c: Tensor) -> tuple[Tensor, Tensor, Sequence[Tensor | float]]:
        log_scale, shift = self.affine(c).chunk(2, dim=-1)
        hidden = self.embed(c).chunk(self.transforms, -1) if self.embed else [0.0] * self.transforms
        return self._bounded(log_scale), shift, hidden

    def _bounded(self, log_scale: Tensor) -> Tensor:
        return self.bound * torch.tanh(log_scale / self.bound)

    def _couple(self, k: int, a: Tensor, hidden: Tensor | float) -> tuple[Tensor, Tensor]:
        network = self.couplings[k]
        log_scale, shift = network[1:](network[0](a) + hidden).chunk(2, dim=-1)  # type: ignore[index]
        return self._bounded(log_scale), shift

    def to_base(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        states, log_scales = zip(*self._walk(z, c), strict=True)
        return states[-1] @ self.unmixing, torch.cat(log_scales, dim=-1).sum(-1)

    def _walk(self, z: Tensor, c: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """State (B, D) and log-scales (B, ·) after the affine map and after each coupling."""
        kept = self.features // 2
        log_scale, shift, hidden = self._conditions(c)
        x = torch.addcmul(shift, z, log_scale.exp())
        if self.shear:
            x, log_det = self.shear(x, c)
            log_scale = torch.cat([log_scale, log_det[:, None]], dim=-1)
        yield x, log_scale
        for k, rotation in enumerate(self.mixing):
            x = x @ rotation
            a, b = x[:, :kept], x[:, kept:]
            log_scale, shift = self._couple(k, a, hidden[k])
            x = torch.cat([a, torch.addcmul(shift, b, log_scale.exp())], dim=-1)
            yield x, log_scale

    def _states(self, z: Tensor, c: Tensor) -> list[Tensor]:
        """Each turned back by the rotations before it, as u is: all have the axes of z."""
        *walked, (last, _) = self._walk(z, c)
        states, turned = [z], torch.eye(self.features, dtype=z.dtype, device=z.device)
        for (x, _), rotation in zip(walked[1:], self.mixing, strict=False):
            turned = turned @ rotation
            states.append(x @ turned.mT)
        return [*states, last @ self.unmixing]

    def inverse(self, u: Tensor, c: Tensor) -> Tensor:
        kept = self.features // 2
        first_scale, first_shift, hidden = self._conditions(c)
        x = u @ self.unmixing.T
        for k in reversed(range(self.transforms)):
            a, b = x[:, :kept], x[:, kept:]
            log_scale, shift = self._couple(k, a, hidden[k])
            x = torch.cat([a, (b - shift) * torch.exp(-log_scale)], dim=-1)
            x = x @ self.mixing[k].T
        if self.shear:
            x = self.shear.inverse(x, c)
        return (x - first_shift) * torch.exp(-first_scale)


class NSF(ConditionalFlow):
    """Autoregressive neural spline flow of zuko, with its parameters.

    Durkan et al., *Neural Spline Flows*, https://arxiv.org/abs/1906.04032. Evaluating is one pass,
    inverting D passes a transform.

    Args:
        features: number of latents D.
        context: width C of the context; None to be told by :meth:`bind`.
        hidden_features: hidden units of each transform's network.
        transforms: number of autoregressive transforms.
        bins: spline bins K.

    >>> flow = NSF(features=3, context=2, hidden_features=[8, 8], transforms=2)
    >>> flow(torch.zeros(5, 3), torch.zeros(5, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        features: int,
        context: int | None = None,
        hidden_features: Sequence[int] = (64, 64),
        transforms: int = 2,
        bins: int = 8,
    ) -> None:
        super().__init__(features)
        self.hidden_features = tuple(hidden_features)
        self.transforms = transforms
        self.bins = bins
        if context is not None:
            self.bind(context)

    def _build(self, context: int) -> None:
        self.nsf = zuko.flows.NSF(
            features=self.features,
            context=context,
            transforms=self.transforms,
            hidden_features=self.hidden_features,
            bins=self.bins,
        )

    def to_base(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        u, log_det = self.nsf.transform(c).call_and_ladj(z)
        return u, log_det

    def inverse(self, u: Tensor, c: Tensor) -> Tensor:
        z: Tensor = self.nsf.transform(c).inv(u)
        return z

    def _states(self, z: Tensor, c: Tensor) -> list[Tensor]:
        states = [z]
        for transform in self.nsf.transform(c).transforms:
            states.append(transform(states[-1]))
        return states


def _conditioner(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """A multilayer perceptron whose last layer is zero; without inputs, a constant of zeros."""
    layers: list[nn.Module] = []
    for width in hidden if inputs else ():
        layers += [nn.Linear(inputs, width), nn.SiLU()]
        inputs = width
    last = nn.Linear(inputs, outputs) if inputs else _Constant(outputs)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(*layers, last)


class _Shear(nn.Module):
    """x (1 + U(c) V(c)^T)^T with U = 0 at the start: D × D maps at the price of 2 D R numbers."""

    def __init__(self, features: int, context: int, hidden: int, rank: int) -> None:
        super().__init__()
        self.network = _conditioner(context, (hidden,), 2 * features * rank)
        self.base = nn.Parameter(torch.randn(features, rank) / math.sqrt(features))

    def _factors(self, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """U (B, D, R), V (B, D, R) and 1 + V^T U (B, R, R), whose determinant is the map's."""
        features, rank = self.base.shape
        u, v = self.network(c).view(len(c), 2, features, rank).unbind(1)
        v = v + self.base
        return u, v, torch.eye(rank, dtype=c.dtype, device=c.device) + v.mT @ u

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        u, v, core = self._factors(c)
        moved = x + (u @ (v.mT @ x[..., None])).squeeze(-1)
        return moved, torch.linalg.slogdet(core).logabsdet

    def inverse(self, x: Tensor, c: Tensor) -> Tensor:
        """By Woodbury's identity: only the (R, R) core is solved."""
        u, v, core = self._factors(c)
        moved: Tensor = torch.linalg.solve(core, v.mT @ x[..., None])
        return x - (u @ moved).squeeze(-1)


class _Constant(nn.Module):
    """The same trainable row for every example: what a linear map of no inputs is."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, c: Tensor) -> Tensor:
        return self.bias.expand(len(c), -1)


def _rotations(number: int, features: int, seed: int) -> Tensor:
    """Random orthogonal matrices (K, D, D), uniform in the sense of Haar up to signs."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(number, features, features, generator=generator, dtype=torch.float64)
    rotations: Tensor = torch.linalg.qr(normal).Q
    return rotations.float()
