"""Query strategies: which rows of a pool to ask about next, by name."""

__all__ = ["STRATEGIES", "Strategy", "make_strategy"]

from collections.abc import Callable

from wwdc.discovery.strategies.base import Strategy
from wwdc.discovery.strategies.combined import ForestAndProcess
from wwdc.discovery.strategies.diverse import (
    DiverseForest,
    DiverseForestAndProcess,
    DiverseProcess,
)
from wwdc.discovery.strategies.forests import ActiveForest, PineForest
from wwdc.discovery.strategies.gaussian import GaussianProcess, Uncertainty
from wwdc.discovery.strategies.mirror import MirrorDescent
from wwdc.discovery.strategies.neighbour import NeighbourScore
from wwdc.discovery.strategies.passive import Random, Top
from wwdc.errors import ConfigError, closest

STRATEGIES: dict[str, Callable[[int], Strategy]] = {
    "aad": ActiveForest,
    "aad_diverse": DiverseForest,
    "aadgp": ForestAndProcess,
    "aadgp_diverse": DiverseForestAndProcess,
    "gp": GaussianProcess,
    "gp_diverse": DiverseProcess,
    "neighbour": NeighbourScore,
    "omd": MirrorDescent,
    "pine": PineForest,
    "random": Random,
    "top": Top,
    "uncertainty": Uncertainty,
}
"""What makes a strategy from a seed, by name."""


def make_strategy(name: str, seed: int = 0) -> Strategy:
    """The strategy called *name*, which has seen no label yet.

    Raises:
        ConfigError: there is none of that name.

    >>> make_strategy("gpp")
    Traceback (most recent call last):
    wwdc.errors.ConfigError: strategy: unknown name 'gpp'. Did you mean 'gp'? Known: aad, ...
    """
    if name not in STRATEGIES:
        raise ConfigError(
            f"strategy: unknown name {name!r}.{closest(name, STRATEGIES)} "
            f"Known: {', '.join(STRATEGIES)}."
        )
    return STRATEGIES[name](seed)
