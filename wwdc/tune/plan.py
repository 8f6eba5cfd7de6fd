"""The plan: what a sweep consists of and what of it is left to do."""

__all__ = ["Plan", "make_plan"]

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wwdc.cluster.job import batch_job
from wwdc.config import Composed
from wwdc.errors import ConfigError
from wwdc.products import Info, Tree, claimed
from wwdc.tune.pairs import check_settings, searcher_of
from wwdc.tune.points import LEFT, Builder, Point
from wwdc.tune.search import Sample, best, corners, known, samples
from wwdc.tune.sweeps import Axes, read_axes


@dataclass(frozen=True)
class Plan:
    """Every point of a sweep with its status in the product tree.

    Attributes:
        axes: what the sweep varies.
        probes: points at the extremes of searched axes, to be checked and never trained.
        to_ask: samples that a searcher has yet to choose.
        to_replicate: points of the best samples with other seeds, once these are known.
    """

    experiment: str
    points: tuple[Point, ...]
    notices: tuple[str, ...] = ()
    axes: Axes | None = field(default=None, repr=False)
    probes: tuple[Point, ...] = field(default=(), repr=False)
    to_ask: int = 0
    to_replicate: int = 0

    @property
    def left(self) -> tuple[Point, ...]:
        """The points a run would train now."""
        return tuple(point for point in self.points if point.status in LEFT)

    @property
    def counts(self) -> Counter[str]:
        """How many points have each status."""
        return Counter(point.status for point in self.points)

    @property
    def open(self) -> int:
        """Points that will follow and whose configuration is not known yet."""
        return self.to_ask + self.to_replicate

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.counts["done"] + self.counts["stopped"] == len(self.points) and not self.open

    def first_seed(self, points: Iterable[Point]) -> list[Point]:
        """Those of *points* that a search trains itself; the others repeat its best.

        Without a search all are.
        """
        if self.axes is None or not self.axes.searched or not self.axes.seeds:
            return list(points)
        return [point for point in points if point.seed == self.axes.seeds[0].value]

    def as_json(self) -> dict[str, Any]:
        """The plan as the one document ``--json`` prints."""
        keys = ("job_num", "point_id", "sweep", "config_id", "overrides", "status")
        points = [{key: getattr(point, key) for key in keys} for point in self.points]
        document = {"experiment": self.experiment, "points": points, "num_points": len(points)}
        if self.axes is not None and self.axes.drops:
            document["drops"] = [
                {"sweep": drop.sweep, "drop_variables": drop.value, "description": drop.description}
                for drop in self.axes.drops
            ]
        if self.axes is None or not self.axes.searched:
            return document
        searched = [
            {
                "sweep": axis.name,
                "param": axis.key,
                "space": axis.text,
                "when": axis.when.text if axis.when else None,
                "description": axis.description,
            }
            for axis in self.axes.searched
        ]
        return document | {"searched": searched, "open_ended": self.open > 0, "open": self.open}


def make_plan(composed: Composed, tree: Tree, *, fresh: bool = False) -> Plan:
    """Resolve every point of *composed* and look up its status in *tree*.

    Nothing is written and neither torch nor Ray is imported. With *fresh*, finished points
    count as new.

    Raises:
        ConfigError: a value, target, context or variable name is wrong; two points are the same;
            searcher, scheduler and axes do not go together.
        DataError: the raw data are unreadable.
    """
    _check_data_root(composed.data_root)
    axes = read_axes(composed)
    check_settings(composed, axes)
    Builder(composed).check_drops(axes.drops)
    name = f"{composed.meta.data_name}/{composed.meta.experiment_name}"
    mine = batch_job().id if fresh else ""  # what this job made before it was started again
    infos = {
        point: found.info
        for point, found in tree.finished().items()
        if not fresh or found.info.job_id == mine
    }
    planner = _Planner(composed, tree, axes, infos, fresh)
    plan = planner.search() if axes.searched else planner.grid()
    notices = (*composed.notices, *axes.notices, *plan.notices)
    return replace(plan, experiment=name, notices=notices, axes=axes)


@dataclass
class _Planner:
    composed: Composed
    tree: Tree
    axes: Axes
    infos: Mapping[str, Info]
    fresh: bool

    def __post_init__(self) -> None:
        self.builder = Builder(self.composed)

    def grid(self) -> Plan:
        """Every combination with every seed."""
        points: list[Point] = []
        for combination in self.axes.combinations():
            for seed in self.axes.seed_settings():
                points.append(self.builder.build(len(points), (*combination, *seed)))
        _refuse_doubles(points)
        return Plan("", tuple(self.with_status(point) for point in points))

    def search(self) -> Plan:
        """The samples on the first seed, then the best of them on the others."""
        settings = self.composed.tune
        first, *others = self.axes.seed_settings()
        groups: list[list[Sample]] = []
        probes: list[Point] = []
        notices: list[str] = []
        to_ask = number = 0
        for combination in self.axes.combinations():
            for corner in corners(self.axes, combination):
                probes.append(self.builder.build(0, (*corner, *first)))
            group: list[Sample] = []
            if searcher_of(settings) == "random":
                drawn = samples(self.axes, combination, settings.num_samples, settings.seed)
                if len(drawn) < settings.num_samples:
                    notices.append(f"The searched space holds {len(drawn)} different samples.")
                for each in drawn:
                    point = self.builder.build(number, (*each, *first))
                    group.append(Sample(self.with_status(point), each))
                    number += 1
            else:
                if not self.fresh:
                    found = known(self.builder, self.axes, combination, first, self.tree)
                    for item in (item for item in found if item.swept):
                        point = replace(item.sample.point, job_num=number)
                        group.append(Sample(self.with_status(point), item.sample.settings))
                        number += 1
                to_ask += max(0, settings.num_samples - len(group))
            groups.append(group)
        points = [sample.point for group in groups for sample in group]
        replicates = settings.replicate if others and settings.scheduler != "pbt" else 0
        waiting = to_ask or any(
            p.status in ("new", "partial", "running", "blocked") for p in points
        )
        for group in groups if replicates and not waiting else []:
            for sample in best(group, self.infos, settings, replicates):
                for seed in others:
                    point = self.builder.build(len(points), (*sample.settings, *seed))
                    points.append(self.with_status(point))
        later = replicates * len(others) * len(groups) if waiting else 0
        return Plan("", tuple(points), tuple(notices), None, tuple(probes), to_ask, later)

    def with_status(self, point: Point) -> Point:
        """The point with its status in the tree."""
        folder = self.tree.point(point.point_id)
        status, detail = point.status, point.detail
        if point.point_id in self.infos:
            info = self.infos[point.point_id]
            status, detail = info.status, info.job
        elif status == "blocked":
            pass
        elif claimed(self.tree, point.point_id):
            status = "running"
        elif (folder / "failed.yaml").is_file():
            status, detail = "failed", str(folder / "failed.yaml")
        elif (folder / "last.ckpt").is_file() and not self.fresh:
            status = "partial"
        return replace(point, status=status, detail=detail)


def _check_data_root(root: Path) -> None:
    for folder in (root, *root.parents):
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"DATA_ROOT={root}: {folder} is a file. Set DATA_ROOT to a folder.")


def _refuse_doubles(points: Iterable[Point]) -> None:
    seen: dict[str, Point] = {}
    for point in points:
        twin = seen.setdefault(point.point_id, point)
        if twin is not point:
            raise ConfigError(
                f"sweeps.yaml: points {twin.job_num} ({twin.label}) and {point.job_num} "
                f"({point.label}) are the same configuration. Remove one of them."
            )
