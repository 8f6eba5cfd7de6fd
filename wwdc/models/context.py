"""How wide the flow's ``context`` is for the variables that are kept. Needs no torch."""

__all__ = ["ContextVariable", "check_context", "context_groups", "context_moments", "is_masked"]

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wwdc.errors import ConfigError

_LEAST_BINARY = 0.25


class ContextVariable(Protocol):
    """What a catalogue variable must tell: its name and how many context columns it takes."""

    @property
    def name(self) -> str: ...

    @property
    def width(self) -> int: ...


def is_masked(loader: Mapping[str, Any]) -> bool:
    """Whether a ``lightning_loader`` has a ``condition_dropout`` above 0."""
    rate = loader.get("condition_dropout")
    return isinstance(rate, int | float) and rate > 0


def context_groups(kept: Iterable[ContextVariable]) -> list[int]:
    """The number, in order, of the *kept* variable that each context column belongs to.

    >>> from wwdc.data.catalogue import Variable
    >>> context_groups([Variable("b", "continuous"), Variable("digit", "categorical", 3)])
    [0, 1, 1, 1]
    """
    return [number for number, variable in enumerate(kept) for _ in range(variable.width)]


def context_moments(context: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
    """The mean (W,) of each context column (N, W) and what it is divided by, (W,).

    That is its standard deviation. That of a rare class is near 0: divided by it, the few objects
    of the class would lie far outside all others and throw training off. For columns of 0 and 1 it
    counts as 0.25 at least, which leaves nothing above 4.

    Sums are of float64: a million dates around 59 000 in float32 would give a mean that is
    many standard deviations off.

    >>> context_moments(np.eye(1000, 2, dtype=np.float32))
    (array([0.001, 0.001]), array([0.25, 0.25]))
    """
    mean, scale = context.mean(axis=0, dtype=np.float64), context.std(axis=0, dtype=np.float64)
    binary = ((context == 0) | (context == 1)).all(axis=0) & (scale > 0)
    scale[binary] = np.maximum(scale[binary], _LEAST_BINARY)
    return mean, scale


def check_context(
    given: int | None,
    kept: Iterable[ContextVariable],
    where: str = "model.yaml: lightning_loader.flow.context",
    *,
    masked: bool = False,
) -> int:
    """The context width of the *kept* variables, which *given* must equal unless it is None.

    A *masked* flow's context has a bit more for each variable: whether it is given.

    Raises:
        ConfigError: when *given* differs; the message shows the sum.
    """
    variables = list(kept)
    bits = len(variables) if masked else 0
    width = sum(variable.width for variable in variables) + bits
    if given is None or given == width:
        return width
    terms = " + ".join(f"{variable.name} {variable.width}" for variable in variables) or "nothing"
    if masked:
        terms += f" + bits {bits} (condition_dropout: which of them are given)"
    raise ConfigError(
        f"{where} is {given}, but the kept variables take {terms} = {width}. "
        f"Write `context: {width}`, or leave it out to have it computed."
    )
