"""The ``label`` group: what is looked at, what asks next, how the page is served."""

__all__ = ["LabelSettings", "read_settings"]

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from wwdc.config import Composed, check_targets
from wwdc.config.schema import validate
from wwdc.label.events import Labeller

SplitName = Literal["train", "val", "test"]


class LabelSettings(BaseModel):
    """The checked ``label`` group; wwdc/conf/label/default.yaml says what each key means."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    embedding: Annotated[str, Field(min_length=1)] | int | None = None
    split: list[SplitName] | SplitName | None = None
    strategy: Annotated[str, Field(min_length=1)] = "aadgp"
    columns: list[str] | None = None
    batch: Annotated[int, Field(ge=1, le=1000)] = 1
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    lease_s: PositiveFloat = 120.0
    seed: Annotated[int, Field(ge=0)] = 0
    image_size: Annotated[int, Field(ge=16, le=2048)] = 280
    labeller: Labeller | None = None
    umap: bool = True
    umap_rows: Annotated[int, Field(ge=10, le=100_000)] = 20_000
    budget: PositiveInt = 100
    simulate_seeds: PositiveInt = 3
    viewer: dict[str, Any] = {"_target_": "wwdc.label.pictures.ImageViewer"}

    @property
    def splits(self) -> tuple[str, ...] | None:
        """The splits to look at; None for all that are scored."""
        if self.split is None:
            return None
        return (self.split,) if isinstance(self.split, str) else tuple(dict.fromkeys(self.split))


def read_settings(composed: Composed) -> LabelSettings:
    """The ``label`` group of an experiment.

    Raises:
        ConfigError: a key is unknown or out of range, or a target is not allowed.
    """
    node = composed.resolve()["label"]
    settings = validate(LabelSettings, node, origin=composed.origin, key="label")
    with composed.naming_files():
        check_targets({"label": node}, composed.allow)
    return settings
