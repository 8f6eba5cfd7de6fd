"""Running one unit: rows are read, the test is built from its settings, figures come back."""

__all__ = ["make_worker", "run_unit", "score_of"]

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.config import instantiate
from wwdc.data.catalogue import Catalogue, Variable
from wwdc.embed.published import choose_rows, read_rows
from wwdc.errors import DataError
from wwdc.stats.curves import label_curve
from wwdc.stats.probes import Probe, Rows, cross_validated, run_probe
from wwdc.stats.resampling import split_groups
from wwdc.stats.scores import Score, not_tested
from wwdc.stats.store import Outcome
from wwdc.stats.units import Unit

FITTED_SHARE = 2 / 3
"""Of the objects of a split that probes are both fitted and scored on."""

ARRAYS = ("observed", "null", "bootstrap")


class Untestable(Exception):
    """A test that cannot run on this embedding, and why."""


def make_worker() -> Callable[[Unit], Outcome]:
    """What an actor calls with each unit."""
    return run_unit


def run_unit(unit: Unit) -> Outcome:
    """The figures of one test on one space, a row a variable."""
    if unit.code is not None and str(unit.code) not in sys.path:
        sys.path.insert(0, str(unit.code))
    began = time.perf_counter()
    try:
        outcome = _RUNNERS[unit.kind](unit)
    except (Untestable, DataError) as error:
        outcome = Outcome(_untested(unit, str(error)))
    seconds = (time.perf_counter() - began) / max(1, len(outcome.rows))
    rows = [{**row, "seconds": round(seconds, 3)} for row in outcome.rows]
    return Outcome(rows, outcome.samples)


def rows_of(
    unit: Unit, split: str, limit: int | None, objects: NDArray[np.int64] | None = None
) -> Rows:
    """At most *limit* rows of a split in the unit's space, of some *objects* or all.

    Without a limit, one row of every object: rows that are exchangeable.

    Raises:
        Untestable: the split is not embedded.
        ProductError: the file cannot be read or lacks a column.
    """
    embedding, settings = unit.embedding, unit.rows
    path = _file(unit, split)
    groups = read_rows(path, ["object"])["object"]
    if limit is None:
        limit = len(np.unique(groups))
    if objects is not None:
        among = np.flatnonzero(np.isin(groups, objects))
        chosen = among[choose_rows(groups[among], limit, settings["seed"])]
    else:
        chosen = choose_rows(groups, limit, settings["seed"])
    names = [name for name in embedding.catalogue.names if name in embedding.columns]
    table = read_rows(path, [unit.column, *names], chosen)
    x = table.pop(unit.column)
    groups = groups[chosen]
    rng = np.random.default_rng(
        np.random.SeedSequence((settings["seed"], len(x), split == "train"))
    )
    if unit.control == "normal":
        x = rng.standard_normal(x.shape, dtype=np.float32)
    if unit.control == "shuffled":
        table = _shuffled(table, groups, rng)
    return Rows(x, table, groups)


def _shuffled(
    table: Mapping[str, NDArray[Any]], groups: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Labels of other objects: each object takes the first row of another for all of its own."""
    _, first, index = np.unique(groups, return_index=True, return_inverse=True)
    source = first[rng.permutation(len(first))][index]
    return {name: column[source] for name, column in table.items()}


def _sides(unit: Unit) -> tuple[Rows, Rows]:
    """Rows to fit on and rows to score, without an object in common."""
    settings = unit.rows
    score_split = settings["score_split"]
    fit_split = settings["fit_split"]
    if fit_split == "auto":
        fit_split = "train" if "train" in unit.embedding.files else score_split
    if fit_split != score_split:
        fit = rows_of(unit, fit_split, settings["fit_rows"])
        return fit, rows_of(unit, score_split, settings["score_rows"])
    groups = _objects(unit, score_split)
    fitted, scored = split_groups(groups, 1 - FITTED_SHARE, settings["seed"])
    fit = rows_of(unit, score_split, settings["fit_rows"], np.unique(groups[fitted]))
    return fit, rows_of(unit, score_split, settings["score_rows"], np.unique(groups[scored]))


def _file(unit: Unit, split: str) -> Path:
    if split not in unit.embedding.files:
        command = f"python -m wwdc.embed EXPERIMENT splits=[{split}]"
        raise Untestable(f"the {split} split is not embedded: {command}")
    return unit.embedding.files[split]


def _objects(unit: Unit, split: str) -> NDArray[np.int64]:
    objects: NDArray[np.int64] = np.unique(read_rows(_file(unit, split), ["object"])["object"])
    if len(objects) < 2:
        raise Untestable(f"the {split} split holds {len(objects)} objects")
    return objects


def _built(unit: Unit, key: str) -> Any:
    where = f"tests.{unit.kind}.{unit.name}.{key}"
    return instantiate(unit.spec[key], allow=unit.allow, key=where)


def _probe(unit: Unit) -> Outcome:
    settings = unit.rows
    probe = Probe(_built(unit, "regressor"), _built(unit, "classifier"))
    resampling = {key: settings[key] for key in ("permutations", "bootstraps", "seed")}
    variables = _variables(unit)
    if settings["folds"]:
        rows = rows_of(unit, settings["score_split"], settings["score_rows"])
        scores = cross_validated(
            probe, rows, variables, folds=settings["folds"], level=unit.level, **resampling
        )
    else:
        fit, score = _sides(unit)
        scores = run_probe(probe, fit, score, variables, level=unit.level, **resampling)
    samples = {
        f"{name}/{score.variable}": getattr(score, name)
        for score in scores
        if score.status == "tested"
        for name in ARRAYS
    }
    rows_out = [
        {**score.row(), "statistic": score.value, "effect": score.value} for score in scores
    ]
    return Outcome([*rows_out, *_absent(unit)], samples)


def score_of(row: Mapping[str, Any], samples: Mapping[str, NDArray[np.float32]]) -> Score:
    """A probe's score again, from what was kept of it."""
    names = {field.name for field in dataclasses.fields(Score)} - set(ARRAYS)
    kept: dict[str, Any] = {name: row[name] for name in names if name in row}
    for name in ARRAYS:
        if f"{name}/{row['variable']}" in samples:
            kept[name] = samples[f"{name}/{row['variable']}"]
    return Score(**kept)


def _curve(unit: Unit) -> Outcome:
    probe = Probe(_built(unit, "regressor"), _built(unit, "classifier"))
    fit, score = _sides(unit)
    points = label_curve(
        probe,
        fit,
        score,
        _variables(unit),
        sizes=unit.spec["sizes"],
        repeats=unit.spec["repeats"],
        seed=unit.rows["seed"],
    )
    return Outcome([{**point.row(), "effect": point.value} for point in points])


def _one_each(unit: Unit) -> Rows:
    return rows_of(unit, unit.rows["score_split"], limit=None)


def _variables(unit: Unit) -> Any:
    """Variables that the embedding has a column of; they are tested where they are known."""
    missing = set(unit.embedding.catalogue.names) - set(unit.embedding.columns)
    return Catalogue(tuple(v.certain for v in unit.embedding.catalogue.keep(missing)))


def _absent(unit: Unit) -> list[dict[str, Any]]:
    names = unit.embedding.columns
    return _untested(unit, "the embedding has no column of it", names)


def _each(unit: Unit, test: Callable[[Rows, Variable, NDArray[Any]], Any]) -> Outcome:
    rows = _one_each(unit)
    found = [
        {"variable": v.name, **dataclasses.asdict(test(rows, v, rows.table[v.name]))}
        for v in _variables(unit)
    ]
    return Outcome([*found, *_absent(unit)])


def _independence(unit: Unit) -> Outcome:
    test = partial(_built(unit, "test"), seed=unit.rows["seed"])
    return _each(unit, lambda rows, variable, y: test(rows.x, variable, y))


def _two_sample(unit: Unit) -> Outcome:
    from wwdc.stats.two_sample import groups_of

    test = partial(_built(unit, "test"), seed=unit.rows["seed"])
    return _each(unit, lambda rows, variable, y: test(rows.x, groups_of(variable, y)))


def _conditional(unit: Unit) -> Outcome:
    test = partial(_built(unit, "test"), seed=unit.rows["seed"])
    rows = _one_each(unit)
    kept = unit.embedding.kept
    given = kept.encode(rows.table)
    targets = _variables(unit).keep(set(kept.names) & set(unit.embedding.columns))
    found = [
        {"variable": v.name, **dataclasses.asdict(test(rows.x, v, rows.table[v.name], given))}
        for v in targets
    ]
    return Outcome(found)


def _base(unit: Unit) -> Outcome:
    result = _built(unit, "test")(_one_each(unit).x, seed=unit.rows["seed"])
    return Outcome([{"variable": "", **dataclasses.asdict(result)}])


def _untested(unit: Unit, reason: str, but: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A row for every variable, except those in *but*, that says why it was not tested."""
    if unit.kind == "base":
        return [{"variable": "", "status": "not tested", "reason": reason, "n": 0}]
    scores = [not_tested(v, reason) for v in unit.embedding.catalogue if v.name not in but]
    return [dict(score.row()) for score in scores]


_RUNNERS: Mapping[str, Callable[[Unit], Outcome]] = {
    "probes": _probe,
    "curves": _curve,
    "independence": _independence,
    "two_sample": _two_sample,
    "conditional": _conditional,
    "base": _base,
}
