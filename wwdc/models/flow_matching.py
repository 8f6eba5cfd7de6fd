"""A conditional flow in continuous time, which regression on its velocity trains."""

__all__ = ["FlowMatching"]

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import jvp, vmap

from wwdc.errors import ConfigError
from wwdc.models.flows import ConditionalFlow

# Shapes: B batch, D features, C context width, E embedding, F frequencies, H hidden units.

_TANGENTS = 1 << 22
"""Numbers in the tangents (B, D, H) of one layer: so many rows' Jacobians go together."""

Modulations = list[tuple[Tensor, Tensor]]
"""Scale and shift (B, H) of every hidden layer, and last (B, D) those of x itself."""


class FlowMatching(ConditionalFlow):
    """The flow of an ordinary differential equation from z at time 0 to u at time 1.

        dx/dt = v(x, t, c) = a(t, c) x + b(t, c) + W h_L(x, t, c),  x(0) = z,  x(1) = u

    Lipman et al., *Flow Matching for Generative Modeling*, https://arxiv.org/abs/2210.02747, with
    straight paths and time running from data to base. Train it with
    :func:`wwdc.training.losses.flow_matching`: v then carries the density of latents to the base
    along the mean of straight lines. Time and context scale and shift every hidden layer of the
    network (FiLM, Perez et al., https://arxiv.org/abs/1709.07871), which leaves less of the context
    in u than telling the first layer only. The affine term alone carries any diagonal normal
    density. All last layers start at zero, so that the flow starts as the identity.

    The equation is solved by the classical Runge-Kutta method in equal steps. The log-determinant
    is that of the solver's own map, through its whole Jacobian: the density is exact whatever the
    step, at the price of D tangents a row, about D / 2 times the price of u alone. Going back is
    exact up to the solver's error, of order ``steps ** -4``.

    Args:
        features: number of latents D.
        context: width C of the context; None to be told by :meth:`bind`.
        hidden_features: hidden units H of each layer; a layer as wide as the one before adds to it.
            The first number is also the width of the embedding of time and context.
        steps: steps of the solver, four evaluations of the network each.
        frequencies: number F of frequencies, π to F π, of the sines and cosines of time.

    >>> flow = FlowMatching(features=4, context=2, hidden_features=[16, 16])
    >>> flow.path(torch.zeros(5, 4), torch.zeros(5, 2), times=[0.0, 0.5, 1.0]).shape
    torch.Size([3, 5, 4])
    """

    frequencies: Tensor

    def __init__(
        self,
        features: int,
        context: int | None = None,
        hidden_features: Sequence[int] = (256, 256, 256),
        steps: int = 8,
        frequencies: int = 6,
    ) -> None:
        super().__init__(features)
        if steps < 1 or frequencies < 1 or not hidden_features or min(hidden_features) < 1:
            raise ConfigError(
                "lightning_loader.flow: flow matching needs steps >= 1, frequencies >= 1 and one "
                f"hidden layer or more; got steps {steps}, frequencies {frequencies}, "
                f"hidden_features {list(hidden_features)}."
            )
        self.hidden_features = tuple(hidden_features)
        self.steps = steps
        angular = math.pi * torch.arange(1, frequencies + 1)
        self.register_buffer("frequencies", angular, persistent=False)
        if context is not None:
            self.bind(context)

    def _build(self, context: int) -> None:
        width = self.hidden_features[0]
        self.embed = nn.Sequential(
            nn.Linear(2 * len(self.frequencies) + context, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
        )
        ins = (self.features, *self.hidden_features)
        self.layers = nn.ModuleList(map(nn.Linear, ins, self.hidden_features))
        self.films = nn.ModuleList(nn.Linear(width, 2 * n) for n in self.hidden_features)
        self.affine = nn.Linear(width, 2 * self.features)
        self.last = nn.Linear(ins[-1], self.features, bias=False)
        for parameter in (*self.affine.parameters(), *self.last.parameters()):
            nn.init.zeros_(parameter)

    def velocity(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """dx/dt (B, D) of states *x* (B, D) at times *t* (B,) in [0, 1], context *c* (B, C)."""
        return self._velocity(x, self._modulations(t, c))

    def _modulations(self, t: Tensor, c: Tensor) -> Modulations:
        angles = t[:, None] * self.frequencies
        embedded = self.embed(torch.cat([angles.sin(), angles.cos(), c], dim=-1))
        return [head(embedded).chunk(2, dim=-1) for head in (*self.films, self.affine)]

    def _velocity(self, x: Tensor, modulations: Modulations) -> Tensor:
        h = x
        for layer, (scale, shift) in zip(self.layers, modulations[:-1], strict=True):
            y = nn.functional.silu(torch.addcmul(shift, layer(h), 1.0 + scale))
            h = h + y if h.shape == y.shape else y
        scale, shift = modulations[-1]
        velocity: Tensor = torch.addcmul(shift, x, scale) + self.last(h)
        return velocity

    def _step(self, x: Tensor, t: float, length: float, c: Tensor) -> Tensor:
        """The state *length* after time *t* (before it where negative), by one step."""
        start, middle, end = (
            self._modulations(x.new_full((len(x),), t + part * length), c) for part in (0, 0.5, 1)
        )
        k1 = self._velocity(x, start)
        k2 = self._velocity(x + 0.5 * length * k1, middle)
        k3 = self._velocity(x + 0.5 * length * k2, middle)
        k4 = self._velocity(x + length * k3, end)
        return x + length / 6.0 * (k1 + 2.0 * (k2 + k3) + k4)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return self._states(z, c)[-1]

    def inverse(self, u: Tensor, c: Tensor) -> Tensor:
        x = u
        for k in range(self.steps, 0, -1):
            x = self._step(x, k / self.steps, -1.0 / self.steps, c)
        return x

    def to_base(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        rows = max(1, _TANGENTS // (self.features * max(self.hidden_features)))
        chunks = zip(z.split(rows), c.split(rows), strict=True)
        u, log_det = zip(*(self._with_log_det(*chunk) for chunk in chunks), strict=True)
        return torch.cat(u), torch.cat(log_det)

    def _with_log_det(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        def column(direction: Tensor) -> tuple[Tensor, ...]:
            return jvp(lambda x: self.forward(x, c), (z,), (direction.expand_as(z),))

        basis = torch.eye(self.features, dtype=z.dtype, device=z.device)
        # The states do not vary with the direction, and vmap computes them once.
        u, jacobian = vmap(column, out_dims=(0, -1))(basis)
        return u[0], torch.linalg.slogdet(jacobian).logabsdet

    def _states(self, z: Tensor, c: Tensor) -> list[Tensor]:
        states = [z]
        for k in range(self.steps):
            states.append(self._step(states[-1], k / self.steps, 1.0 / self.steps, c))
        return states

    def _state(self, states: list[Tensor], c: Tensor, time: float) -> Tensor:
        """By part of a step from the state before *time*: no time moves another's state."""
        k = min(int(time * self.steps), self.steps)
        rest = time - k / self.steps
        return self._step(states[k], k / self.steps, rest, c) if rest > 0 else states[k]
