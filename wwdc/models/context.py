"""Does the flow's ``context`` fit the variables that are kept? Needs no torch."""

__all__ = ["ContextVariable", "check_context"]

from collections.abc import Iterable
from typing import Protocol

from wwdc.errors import ConfigError


class ContextVariable(Protocol):
    """What a catalogue variable must tell: its name and how many context columns it takes."""

    @property
    def name(self) -> str: ...

    @property
    def width(self) -> int: ...


def check_context(
    given: int | None,
    kept: Iterable[ContextVariable],
    where: str = "model.yaml: lightning_loader.flow.context",
) -> int:
    """The context width of the *kept* variables, which *given* must equal unless it is None.

    Raises:
        ConfigError: when *given* differs; the message shows the sum.
    """
    variables = list(kept)
    width = sum(variable.width for variable in variables)
    if given is None or given == width:
        return width
    terms = " + ".join(f"{variable.name} {variable.width}" for variable in variables) or "nothing"
    raise ConfigError(
        f"{where} is {given}, but the kept variables take {terms} = {width}. "
        f"Write `context: {width}`, or leave it out to have it computed."
    )
