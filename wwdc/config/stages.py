"""The stages after training: their own settings, and the points whose products they take."""

__all__ = ["Staged", "load_stage"]

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wwdc.config.compose import load
from wwdc.config.composed import Composed
from wwdc.config.overrides import parse_override
from wwdc.config.schema import EmbedConfig, validate
from wwdc.data.colour_mnist import SPLITS
from wwdc.errors import ConfigError, closest

STAGE_KEYS = ("embed", "splits", "tests", "detectors", "label", "figures")
"""Settings of later stages; every other override chooses points, as it does when training."""


@dataclass(frozen=True)
class Staged:
    """An experiment as a stage after training sees it.

    Attributes:
        composed: embed.yaml composed, for the settings of later stages.
        training: train.yaml composed, with the axes that embed.yaml names: whose points they are.
        embed: the ``embed`` group.
        splits: the splits to embed, in the order asked for.
    """

    composed: Composed
    training: Composed
    embed: EmbedConfig
    splits: tuple[str, ...]


def load_stage(folder: Path, overrides: Sequence[str] = (), *, trust: bool = False) -> Staged:
    """Compose embed.yaml for its settings, and train.yaml for the points.

    A point is what was trained: what embed.yaml changes of the training itself finds no product
    and is not looked at. Its ``hydra.sweeper.params`` choose the points.

    Raises:
        ConfigError: names the file and the key, or the override, that is wrong.
    """
    composed = load(folder, overrides, stage="embed", trust=trust)
    chosen = [text for text in overrides if not _belongs_to_stage(text)]
    training = load(folder, chosen, trust=trust)
    config = composed.resolve()
    settings = validate(EmbedConfig, config["embed"], origin=composed.origin, key="embed")
    return Staged(
        composed,
        replace(training, sweeper=composed.sweeper),
        settings,
        _splits(config["splits"], composed.origin("splits")),
    )


def _belongs_to_stage(text: str) -> bool:
    return parse_override(text).key.strip("/").partition(".")[0] in STAGE_KEYS


def _splits(value: object, place: str) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed:
        raise ConfigError(f"{place}: splits: expected a list such as [test], got {value!r}")
    for name in listed:
        if name not in SPLITS:
            guess = closest(str(name), SPLITS)
            raise ConfigError(
                f"{place}: splits: there is no split {name!r}.{guess} "
                f"Splits are {', '.join(SPLITS)}."
            )
    return tuple(dict.fromkeys(listed))
