"""Searched axes: which samples there are, which the tree knows already, which are the best."""

__all__ = ["Known", "Sample", "best", "corners", "known", "samples"]

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np

from wwdc.config.schema import TuneConfig
from wwdc.config.tree import ABSENT, get
from wwdc.products import Info, Tree
from wwdc.tune.pareto import pareto_mask
from wwdc.tune.points import Builder, Point
from wwdc.tune.sweeps import Axes, Searched, Setting

RECORD = "record.json"
"""What says, in a point's work folder, which values it was given."""

_PATIENCE = 50

Settings = tuple[Setting, ...]


@dataclass(frozen=True)
class Sample:
    """A point of a search and what is set in it besides the seed."""

    point: Point
    settings: Settings = field(repr=False)


@dataclass(frozen=True)
class Known:
    """A sample that the tree holds.

    Attributes:
        info: of the finished product; None while it is partial or failed.
        swept: whether a search over the same keys made it, not a sweep that happened to be there.
    """

    sample: Sample
    info: Info | None
    swept: bool


def samples(axes: Axes, combination: Settings, number: int, seed: int) -> list[Settings]:
    """*number* random draws of the searched axes, all different, added to *combination*.

    Draw i of an axis depends on (*seed*, i, the axis' key) alone: more samples, another axis or
    another combination leave it as it was. Fewer come back where the space holds fewer.
    """
    found: dict[str, Settings] = {}
    index = tries = 0
    while len(found) < number and tries < _PATIENCE + number:
        drawn = axes.draw(combination, _drawer(seed, index))
        name = json.dumps([(s.key, s.value) for s in drawn], sort_keys=True)
        tries = tries + 1 if name in found else 0
        found.setdefault(name, drawn)
        index += 1
    return list(found.values())


def _drawer(seed: int, index: int) -> Callable[[Searched], Any]:
    def value(axis: Searched) -> Any:
        rng = np.random.default_rng(np.random.SeedSequence((seed, index, crc32(axis.key.encode()))))
        return axis.domain.sample(rng)

    return value


def corners(axes: Axes, combination: Settings) -> list[Settings]:
    """Draws with each axis at its extremes in turn: where a wrong space shows itself."""
    found = {}
    longest = max(len(axis.domain.corners) for axis in axes.searched)
    for index in range(longest):
        drawn = axes.draw(combination, _corner(index))
        found[repr([(s.key, s.value) for s in drawn])] = drawn
    return list(found.values())


def _corner(index: int) -> Callable[[Searched], Any]:
    return lambda axis: axis.domain.corners[index % len(axis.domain.corners)]


def known(
    builder: Builder, axes: Axes, combination: Settings, seed: Settings, tree: Tree
) -> list[Known]:
    """Every point of *tree* that lies in the searched space, oldest first."""
    found: dict[str, Known] = {}
    for point_id, values, info, swept in _recorded(tree):
        if point_id in found:
            continue
        drawn = _draw_recorded(axes, combination, values)
        if drawn is None:
            continue
        point = builder.build(len(found), (*drawn, *seed))
        if point.point_id == point_id:
            keys = {axis.key for axis in axes.searched} & {setting.key for setting in drawn}
            found[point_id] = Known(Sample(point, drawn), info, keys <= swept)
    return list(found.values())


Recorded = tuple[str, Mapping[str, Any], Info | None, set[str]]


def _recorded(tree: Tree) -> Iterator[Recorded]:
    """Point, its values, its info if it is finished, and the keys that were swept."""
    for product in sorted(tree.finished().values(), key=lambda p: p.info.finished):
        info = product.info
        yield info.point_id, _lookup(info.config, info.overrides), info, set(info.overrides)
    for path in sorted(tree.points.glob(f"*/{RECORD}")):
        try:
            overrides = json.loads(path.read_text())["overrides"]
        except (FileNotFoundError, ValueError, KeyError):  # ended while we looked, or cut short
            continue
        yield path.parent.name, overrides, None, set(overrides)
    for info in tree.failed():
        yield info.point_id, info.overrides, None, set(info.overrides)


def _lookup(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    class Values(dict[str, Any]):
        def __missing__(self, key: str) -> Any:
            return get(config, key)

    return Values(overrides)


def _draw_recorded(axes: Axes, combination: Settings, values: Mapping[str, Any]) -> Settings | None:
    try:
        drawn = axes.draw(combination, lambda axis: values[axis.key])
    except KeyError:
        return None
    chosen = {setting.key: setting.value for setting in drawn}
    for axis in axes.searched:
        value = chosen.get(axis.key, ABSENT)
        if value is not ABSENT and not axis.domain.contains(value):
            return None
    return drawn


def best(
    found: Sequence[Sample], infos: Mapping[str, Info], settings: TuneConfig, number: int
) -> list[Sample]:
    """The *number* best of the samples that are done; of the stopped ones only if none is done.

    With several objectives the Pareto front comes first, then what is next to it.
    """
    scored = []
    for wanted in ("done", "stopped"):
        for sample in found:
            info = infos.get(sample.point.point_id)
            if info is None or info.status != wanted:
                continue
            values = objectives(info, settings)
            if values is not None:
                scored.append((values, sample))
        if scored:
            break
    chosen: list[Sample] = []
    while scored and len(chosen) < number:
        front = pareto_mask(np.array([values for values, _ in scored]), settings.modes)
        ahead = [pair for pair, on_it in zip(scored, front, strict=True) if on_it]
        sign = -1.0 if settings.modes[0] == "max" else 1.0
        chosen += [sample for _, sample in sorted(ahead, key=lambda pair: sign * pair[0][0])]
        scored = [pair for pair, on_it in zip(scored, front, strict=True) if not on_it]
    return chosen[:number]


def objectives(info: Info, settings: TuneConfig) -> list[float] | None:
    """The objectives of a finished point; None where one is missing or NaN."""
    values = [info.metrics.get(name, math.nan) for name in settings.metrics]
    return None if any(math.isnan(value) for value in values) else values
