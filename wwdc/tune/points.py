"""Points and the plan: what a sweep consists of and what of it is left to do."""

__all__ = ["BLOCKED", "LEFT", "Plan", "Point", "make_plan"]

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from wwdc.config import ROOT, Composed, check_targets, instantiate
from wwdc.data.catalogue import Catalogue
from wwdc.errors import ConfigError, DataError
from wwdc.models.context import check_context
from wwdc.products import Info, Tree, claimed, info_path, read_info, sha256
from wwdc.tune.identity import digest, scientific
from wwdc.tune.siblings import command_that_trains
from wwdc.tune.sweeps import Axis, Choice, place_of, read_axes

Status = Literal["new", "partial", "running", "done", "stopped", "failed", "blocked"]

LEFT: tuple[Status, ...] = ("new", "partial", "failed")
BLOCKED = "@MISSING_PRODUCT:"
DROPS = "data.x_ds.drop_variables"


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
                words.append(f"{key.rsplit('.', 1)[-1]}={_short(value)}")
        return " ".join(words) or "the only point"


@dataclass(frozen=True)
class Plan:
    """Every point of a sweep with its status in the product tree."""

    experiment: str
    points: tuple[Point, ...]
    notices: tuple[str, ...] = ()

    @property
    def left(self) -> tuple[Point, ...]:
        """The points a run would train now."""
        return tuple(point for point in self.points if point.status in LEFT)

    @property
    def counts(self) -> Counter[str]:
        """How many points have each status."""
        return Counter(point.status for point in self.points)

    def as_json(self) -> dict[str, Any]:
        """The plan as the one document ``--json`` prints."""
        keys = ("job_num", "point_id", "sweep", "config_id", "overrides", "status")
        points = [{key: getattr(point, key) for key in keys} for point in self.points]
        return {"experiment": self.experiment, "points": points, "num_points": len(points)}


def make_plan(composed: Composed, tree: Tree, *, fresh: bool = False) -> Plan:
    """Resolve every point of *composed* and look up its status in *tree*.

    Nothing is written and neither torch nor Ray is imported. With *fresh*, finished points
    count as new.

    Raises:
        ConfigError: a value, target, context or variable name is wrong; two points are the same.
        DataError: the raw data are unreadable.
    """
    _check_data_root(composed.data_root)
    axes, notices = read_axes(composed)
    done = {} if fresh else {name: item.info for name, item in tree.finished().items()}
    points = []
    for num, combination in enumerate(itertools.product(*(axis.choices for axis in axes))):
        with composed.naming_files():
            point = _point(composed, num, axes, combination)
        points.append(_with_status(point, tree, done, fresh))
    _refuse_doubles(points)
    name = f"{composed.meta.data_name}/{composed.meta.experiment_name}"
    return Plan(name, tuple(points), (*composed.notices, *notices))


def _point(
    composed: Composed, num: int, axes: list[Axis], combination: tuple[Choice, ...]
) -> Point:
    overrides = {axis.key: choice.value for axis, choice in zip(axes, combination, strict=True)}
    places = {
        axis.key: place_of(axis, choice, composed)
        for axis, choice in zip(axes, combination, strict=True)
    }
    config = composed.resolve(overrides, places)
    check_targets(config, composed.allow)
    dataset = _dataset(config, composed)
    kept = _kept(dataset.catalogue, config, places.get(DROPS) or composed.origin(DROPS))
    lineage, missing = _checkpoints(config, composed.data_root, composed.folder)
    lineage["data"] = {"fingerprint": dataset.fingerprint}
    builds_on: dict[str, Any] = {name: _identity(parent) for name, parent in lineage.items()}
    science = scientific(config, builds_on | {"kept": kept.names})
    named = next((i for i, choice in enumerate(combination) if choice.sweep), None)
    return Point(
        job_num=num,
        point_id=digest(science),
        config_id=digest({key: item for key, item in science.items() if key != "seed"}),
        sweep=combination[named].sweep if named is not None else None,
        description=combination[named].description if named is not None else "",
        param=axes[named].key if named is not None else None,
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
    if not all(hasattr(type(dataset), name) for name in ("catalogue", "fingerprint", "images")):
        raise ConfigError(f"data.x_ds: {type(dataset).__name__} is not a dataset of wwdc.data.")
    return dataset


def _check_data_root(root: Path) -> None:
    for folder in (root, *root.parents):
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"DATA_ROOT={root}: {folder} is a file. Set DATA_ROOT to a folder.")


def _kept(catalogue: Catalogue, config: Mapping[str, Any], place: str) -> Catalogue:
    drops = config["data"]["x_ds"].get("drop_variables") or []
    try:
        kept = catalogue.keep(drops)
    except DataError as error:
        raise ConfigError(f"{place}: {DROPS}: {error}") from None
    flow = config["lightning_loader"].get("flow")
    if isinstance(flow, Mapping):
        check_context(flow.get("context"), kept)
    return kept


def _checkpoints(
    config: Mapping[str, Any], root: Path, folder: Path
) -> tuple[dict[str, dict[str, str]], str]:
    """Identity of the checkpoints a point starts from, and what of them is missing."""
    given = {
        "vae": config["lightning_loader"].get("vae_ckpt_path"),
        "resume": config.get("trainer_ckpt_path"),
    }
    lineage, missing = {}, ""
    for name, text in given.items():
        if text is None or text == "":
            continue
        key = "trainer_ckpt_path" if name == "resume" else "lightning_loader.vae_ckpt_path"
        if not isinstance(text, str):
            raise ConfigError(f"{key}: expected the path of a checkpoint, got {text!r}")
        path = Path(str(text).replace(ROOT, str(root)))
        if str(text).startswith(BLOCKED):
            product = str(text)[len(BLOCKED) : -1]
            command = command_that_trains(product, folder)
            missing = f"needs a checkpoint of {product}, which is not trained yet: {command}"
            lineage[name] = {"missing": product}
        elif not path.is_file():
            missing = f"needs the checkpoint {path}, which does not exist: {_way_to(path, folder)}"
            lineage[name] = {"missing": str(text)}
        else:
            lineage[name] = dict(_parent(path, path.stat().st_mtime_ns))
    return lineage, missing


def _way_to(path: Path, folder: Path) -> str:
    if path.parent.name == "ckpts" and len(path.parts) > 4:
        return command_that_trains("/".join(path.parts[-4:-2]), folder)
    return "correct the path, or write ${product:DATA_NAME/EXPERIMENT}"


@lru_cache(maxsize=64)
def _parent(path: Path, _mtime_ns: int) -> Mapping[str, str]:
    if not info_path(path).is_file():
        return {"sha256": sha256(path)}
    info = read_info(info_path(path))
    return {"point_id": info.point_id, "sha256": str(info.sha256)}


def _identity(parent: Mapping[str, str]) -> str:
    """The point's id where there is one: the same point trained again is the same science."""
    order = ("point_id", "sha256", "fingerprint", "missing")
    return next(parent[key] for key in order if key in parent)


def _with_status(
    point: Point, tree: Tree, done: Mapping[str, Info], fresh: bool
) -> Point:
    folder = tree.point(point.point_id)
    status, detail = point.status, point.detail
    if point.point_id in done:
        info = done[point.point_id]
        status, detail = info.status, info.job
    elif status == "blocked":
        pass
    elif claimed(tree, point.point_id):
        status = "running"
    elif (folder / "failed.yaml").is_file():
        status, detail = "failed", str(folder / "failed.yaml")
    elif (folder / "last.ckpt").is_file() and not fresh:
        status = "partial"
    return Point(**{**point.__dict__, "status": status, "detail": detail})


def _refuse_doubles(points: Iterable[Point]) -> None:
    seen: dict[str, Point] = {}
    for point in points:
        twin = seen.setdefault(point.point_id, point)
        if twin is not point:
            raise ConfigError(
                f"sweeps.yaml: points {twin.job_num} ({twin.label}) and {point.job_num} "
                f"({point.label}) are the same configuration. Remove one of them."
            )


def _short(value: Any) -> str:
    return "[" + ",".join(map(str, value)) + "]" if isinstance(value, list) else str(value)
