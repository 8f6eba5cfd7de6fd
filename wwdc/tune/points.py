"""One point of a sweep: a resolved configuration with its identity."""

__all__ = ["LEFT", "Builder", "Point", "Status", "short"]

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from wwdc.config import ROOT, Composed, check_targets, instantiate
from wwdc.data.catalogue import Catalogue
from wwdc.data.dataset import check_dataset
from wwdc.errors import ConfigError, DataError
from wwdc.models.context import check_context, is_masked
from wwdc.tune.identity import digest, scientific
from wwdc.tune.lineage import checkpoints, identity
from wwdc.tune.sweeps import DROPS, Setting

Status = Literal["new", "partial", "running", "done", "stopped", "failed", "blocked"]

LEFT: tuple[Status, ...] = ("new", "partial", "failed")


@dataclass(frozen=True)
class Point:
    """One resolved configuration of a sweep.

    Attributes:
        job_num: position in the sweep; names the products together with the job's id.
        point_id: 12 hex digits, the same for the same science wherever it runs.
        config_id: the same without the seed; replicates share it.
        overrides: dotted key → value, for every swept key.
        config: plain resolved configuration with placeholders for job and DATA_ROOT.
        lineage: what the result depends on besides: the dataset's fingerprint, a VAE's id and hash.
        detail: why a point is blocked or failed.
    """

    job_num: int
    point_id: str
    config_id: str
    sweep: str | None
    description: str
    param: str | None
    overrides: dict[str, Any]
    seed: int | None
    config: dict[str, Any] = field(repr=False)
    lineage: dict[str, dict[str, str]] = field(repr=False)
    status: Status = "new"
    detail: str = ""

    @property
    def value(self) -> Any:
        """The value of the named sweep's parameter."""
        return self.overrides.get(self.param) if self.param else None

    @property
    def label(self) -> str:
        """What differs, for people: the sweep's name and every other swept value."""
        words = [self.sweep] if self.sweep else []
        for key, value in self.overrides.items():
            if not (self.sweep and key == self.param):
                words.append(f"{key.rsplit('.', 1)[-1]}={short(value)}")
        return " ".join(words) or "the only point"


class Builder:
    """Makes points of an experiment from what is set in each.

    Nothing is written and neither torch nor Ray is imported.
    """

    def __init__(self, composed: Composed) -> None:
        self.composed = composed

    def build(self, num: int, settings: Sequence[Setting]) -> Point:
        """Resolve the configuration with *settings* made, and check it.

        Raises:
            ConfigError: a value, target, context or variable name is wrong.
            DataError: the raw data are unreadable.
        """
        with self.composed.naming_files():
            return self._build(num, settings)

    def check_drops(self, drops: Sequence[Setting]) -> None:
        """Check the drop sets that a masked flow serves.

        Raises:
            ConfigError: one names an unknown variable, or two are the same.
            DataError: the raw data are unreadable.
        """
        if not drops:
            return
        with self.composed.naming_files():
            dataset = _dataset(self.composed.resolve({}), self.composed)
        seen: dict[tuple[str, ...], Setting] = {}
        for drop in drops:
            kept = _without(dataset.catalogue, drop.value, drop.place)
            twin = seen.setdefault(kept.names, drop)
            if twin is not drop:
                raise ConfigError(
                    f"{drop.place}: {short(drop.value)} drops the same variables as {twin.place}. "
                    "Remove one of them."
                )

    def _build(self, num: int, settings: Sequence[Setting]) -> Point:
        composed = self.composed
        overrides = {setting.key: setting.value for setting in settings}
        places = {setting.key: setting.place for setting in settings}
        config = composed.resolve(overrides, places)
        if is_masked(config["lightning_loader"]):
            config["data"]["x_ds"]["drop_variables"] = []  # they are chosen when embedding
        check_targets(config, composed.allow)
        dataset = _dataset(config, composed)
        kept = _kept(dataset.catalogue, config, places.get(DROPS) or composed.origin(DROPS))
        lineage, missing = checkpoints(config, composed.data_root, composed.folder)
        lineage["data"] = {"fingerprint": dataset.fingerprint}
        builds_on: dict[str, Any] = {name: identity(parent) for name, parent in lineage.items()}
        science = scientific(_hashed(config), builds_on | {"kept": kept.names})
        named = next((setting for setting in settings if setting.sweep), None)
        return Point(
            job_num=num,
            point_id=digest(science),
            config_id=digest({key: item for key, item in science.items() if key != "seed"}),
            sweep=named.sweep if named else None,
            description=named.description if named else "",
            param=named.key if named else None,
            overrides=overrides,
            seed=config.get("seed"),
            config=config,
            lineage=lineage,
            status="blocked" if missing else "new",
            detail=missing,
        )


def _dataset(config: Mapping[str, Any], composed: Composed) -> Any:
    node = {**config["data"]["x_ds"], "drop_variables": []}
    text = json.dumps(node).replace(ROOT, str(composed.data_root))
    return _built_dataset(text, composed.allow)


@lru_cache(maxsize=64)
def _built_dataset(text: str, allow: tuple[str, ...]) -> Any:
    dataset = instantiate(json.loads(text), allow=allow, key="data.x_ds")
    check_dataset(dataset, "data.x_ds")
    return dataset


def _hashed(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """*config* without a ``condition_dropout`` of 0, which is the same as none."""
    loader = config["lightning_loader"]
    if loader.get("condition_dropout") != 0:
        return config
    rest = {key: value for key, value in loader.items() if key != "condition_dropout"}
    return {**config, "lightning_loader": rest}


def _kept(catalogue: Catalogue, config: Mapping[str, Any], place: str) -> Catalogue:
    kept = _without(catalogue, config["data"]["x_ds"].get("drop_variables"), place)
    loader = config["lightning_loader"]
    flow = loader.get("flow")
    if isinstance(flow, Mapping):
        check_context(flow.get("context"), kept, masked=is_masked(loader))
    return kept


def _without(catalogue: Catalogue, drops: Any, place: str) -> Catalogue:
    try:
        return catalogue.keep(drops or [])
    except DataError as error:
        raise ConfigError(f"{place}: {DROPS}: {error}") from None


def short(value: Any) -> str:
    """A value of a sweep in few characters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "[" + ",".join(map(str, value)) + "]" if isinstance(value, list) else str(value)
