"""Label efficiency: how well a variable is read by the number of objects with a label."""

__all__ = ["CurvePoint", "label_curve", "label_sizes"]

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwdc.data.catalogue import Catalogue
from wwdc.errors import ConfigError
from wwdc.stats.probes import Probe, Rows, known_rows, predict, why_not_tested
from wwdc.stats.scores import Metric, effect, metric_of


@dataclass(frozen=True)
class CurvePoint:
    """The score of one fit.

    Args:
        variable: what was read.
        metric: as in `wwdc.stats.probes.Score`.
        labels: objects fitted on.
        repeat: which draw of them.
        value: the metric on all rows to score; NaN where it was not tested.
        n: objects scored.
        reason: why it was not tested, else empty.
    """

    variable: str
    metric: Metric
    labels: int
    repeat: int
    value: float
    n: int
    reason: str = ""

    def row(self) -> dict[str, float | int | str]:
        """The fields, for a table."""
        return dataclasses.asdict(self)


def label_sizes(objects: int, least: int = 10, count: int = 6) -> list[int]:
    """At most *count* numbers of labelled objects, evenly spaced in their logarithm, up to all.

    >>> label_sizes(1000, least=10, count=3)
    [10, 100, 1000]
    """
    if objects < 1 or least < 1 or count < 1:
        raise ConfigError(
            f"label sizes of {objects} objects, at least {least}, {count} of them: each must be "
            f"1 or more."
        )
    if objects <= least or count == 1:
        return [objects]
    return sorted({round(float(size)) for size in np.geomspace(least, objects, count)})


def label_curve(
    probe: Probe,
    fit: Rows,
    score: Rows,
    variables: Catalogue,
    sizes: Sequence[int] | None = None,
    repeats: int = 3,
    seed: int = 0,
) -> list[CurvePoint]:
    """Scores of probes fitted on few and on more objects, always on the same rows to score.

    In each repeat the objects are put in an order, and a size takes the first of them: the
    objects of a size are among those of the next. Where the labels drawn are all of one class,
    that is the prediction.

    Args:
        probe: what to fit.
        fit: rows to draw labelled objects from.
        score: rows of other objects.
        variables: what to read.
        sizes: numbers of labelled objects; those beyond what there is mean all. Left out:
            `label_sizes`.
        repeats: orders to draw; all objects are fitted on once.
        seed: of the orders, the same for every probe.

    Returns:
        One point a variable, size and repeat, in that order; a single one, without a value,
        where the variable cannot be tested.

    Raises:
        ConfigError: a size or the repeats are not positive.
    """
    if repeats < 1 or any(size < 1 for size in sizes or ()):
        raise ConfigError(f"sizes {sizes} and repeats {repeats} of a label curve must be positive.")
    points: dict[str, list[CurvePoint]] = {v.name: [] for v in variables}
    alike: dict[bytes, list[str]] = {}
    for v in variables:
        reason = why_not_tested(v, fit, score)
        if reason:
            nothing = CurvePoint(v.name, metric_of(v), 0, 0, math.nan, 0, reason)
            points[v.name].append(nothing)
        else:
            alike.setdefault(known_rows(v, fit).tobytes(), []).append(v.name)
    for mask, names in alike.items():
        labelled = fit.take(np.frombuffer(mask, bool))
        wanted = variables.keep(set(variables.names) - set(names))
        for point in _curve(probe, labelled, score, wanted, sizes, repeats, seed):
            points[point.variable].append(point)
    return [point for of_variable in points.values() for point in of_variable]


def _curve(
    probe: Probe,
    fit: Rows,
    score: Rows,
    variables: Catalogue,
    sizes: Sequence[int] | None,
    repeats: int,
    seed: int,
) -> list[CurvePoint]:
    """The curves of variables that are known in all rows to fit on."""
    points = []
    objects = np.unique(fit.groups)
    for size in sorted({min(n, len(objects)) for n in sizes or label_sizes(len(objects))}):
        for repeat in range(repeats if size < len(objects) else 1):
            chosen = _order(objects, seed, repeat)[:size]
            found = predict(probe, fit.take(np.isin(fit.groups, chosen)), score, variables)
            points += [
                CurvePoint(
                    variable=name,
                    metric=metric_of(prediction.variable),
                    labels=size,
                    repeat=repeat,
                    value=effect(prediction),
                    n=len(np.unique(prediction.groups)),
                )
                for name, prediction in found.items()
            ]
    return points


def _order(objects: NDArray[np.int64], seed: int, repeat: int) -> NDArray[np.int64]:
    return np.random.default_rng(np.random.SeedSequence((seed, repeat))).permutation(objects)
