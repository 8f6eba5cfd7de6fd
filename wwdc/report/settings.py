"""The ``figures`` group: which figures a report has, and how much they may draw."""

__all__ = ["SECTIONS", "Plot", "Settings", "read_figures"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from wwdc.config import Composed, check_targets
from wwdc.config.schema import validate
from wwdc.errors import ConfigError

Node = dict[str, Any]
Section = Literal["asked", "sweep", "vae", "flow", "left", "maps", "anomalies", "products"]

SECTIONS: Mapping[Section, str] = {
    "asked": "What was asked",
    "sweep": "The sweep",
    "vae": "The VAE",
    "flow": "The flow",
    "left": "What is left",
    "maps": "Maps of the embedding",
    "anomalies": "Anomalies",
    "products": "Products and lineage",
}
"""Sections of the page by their names in YAML, in order."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Plot(_Schema):
    figure: Node
    section: Section
    title: Annotated[str, Field(min_length=1)]
    caption: str = ""
    optional: bool = False


class _Settings(_Schema):
    seed: Annotated[int, Field(ge=0)] = 0
    split: Literal["train", "val", "test"] = "test"
    rows: PositiveInt = 100_000
    map: bool = True
    plots: Node | None = None


@dataclass(frozen=True)
class Plot:
    """A figure as it is declared.

    Attributes:
        node: ``_target_`` with its arguments.
        optional: whether it is left out without a word where it has nothing to draw from.
    """

    name: str
    node: Mapping[str, Any] = field(repr=False)
    section: Section
    title: str
    caption: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Settings:
    """The checked ``figures`` group.

    Attributes:
        seed: of every choice of rows and every projection.
        split: of the embeddings that are drawn.
        rows: of an embedding read at most.
        map: whether ``report/map`` is written.
    """

    plots: tuple[Plot, ...]
    seed: int = 0
    split: str = "test"
    rows: int = 100_000
    map: bool = True


def read_figures(composed: Composed) -> Settings:
    """The figures that ``figures`` declares, those set to null left out.

    Raises:
        ConfigError: a key or section is unknown, or a target is not allowed.
    """
    node, origin = composed.resolve()["figures"], composed.origin
    settings = validate(_Settings, node, origin=origin, key="figures")
    plots = []
    for name, entry in (settings.plots or {}).items():
        key = f"figures.plots.{name}"
        if entry is None:
            continue
        if not name.isidentifier():
            raise ConfigError(f"{origin(key)}: {key}: a figure's name is letters, digits and _.")
        plot = validate(_Plot, entry, origin=origin, key=key)
        plots.append(Plot(name, plot.figure, plot.section, plot.title, plot.caption, plot.optional))
    with composed.naming_files():
        check_targets({"figures": node}, composed.allow)
    chosen = {key: getattr(settings, key) for key in ("seed", "split", "rows", "map")}
    return Settings(tuple(plots), **chosen)
