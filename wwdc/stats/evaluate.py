"""From the outcomes of units to the tables a user reads."""

__all__ = ["CURVES", "SUMMARY", "TESTS", "VERDICTS", "Tables", "evaluate"]

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from wwdc.data.catalogue import Variable
from wwdc.embed.published import Fault
from wwdc.stats.resampling import adjust, interval
from wwdc.stats.scores import CLASSES, Strongest, strongest
from wwdc.stats.settings import Margin, Suite
from wwdc.stats.store import Outcome
from wwdc.stats.units import Unit
from wwdc.stats.verdicts import Evidence, Floor, decide, floor_fault
from wwdc.stats.work import score_of

Row = dict[str, Any]

IDENTITY = ("point_id", "config_id", "sweep", "seed")
TESTS = (
    *IDENTITY,
    "space",
    "kind",
    "test",
    "variable",
    "conditioned",
    "statistic",
    "effect",
    "ci_low",
    "ci_high",
    "p_value",
    "q_value",
    "detectable",
    "null_mean",
    "null_sd",
    "accuracy",
    "n",
    "n_fit",
    "status",
    "reason",
    "seconds",
)
VERDICTS = (
    "point_id",
    "sweep",
    "seed",
    "variable",
    "conditioned",
    "space",
    "verdict",
    "p_value",
    "effect",
    "ci_low",
    "ci_high",
    "n",
    "q_value",
    "p_equivalence",
    "q_equivalence",
    "margin",
    "detectable",
    "probe",
    "ceiling",
    "config_id",
    "reason",
)
SUMMARY = (
    "config_id",
    "sweep",
    "variable",
    "conditioned",
    "space",
    "verdict",
    "seeds",
    "agree",
    "effect",
    "effect_ci_low",
    "effect_ci_high",
    "ci_low",
    "ci_high",
    "ceiling",
    "reason",
)
CURVES = (*IDENTITY, "space", "test", "variable", "labels", "repeat", "effect", "n", "reason")


@dataclass(frozen=True)
class Tables:
    """What a suite found.

    Attributes:
        tests: one row a test × variable × embedding and space.
        verdicts: one row a variable × embedding and space.
        summary: verdicts of the same configuration and drop set over its seeds.
        curves: scores against the number of labelled objects.
        fault: why there are no verdicts; empty where the controls hold.
    """

    tests: pd.DataFrame
    verdicts: pd.DataFrame
    summary: pd.DataFrame
    curves: pd.DataFrame
    fault: str


def evaluate(
    suite: Suite,
    units: Sequence[Unit],
    outcomes: Mapping[str, Outcome],
    faults: Sequence[Fault],
) -> Tables:
    """Adjust p-values over the grid, hold effects against controls and margin, and decide.

    Args:
        suite: margins and levels.
        units: what was to be tested.
        outcomes: by the units' ids; a unit that failed has none.
        faults: embeddings that could not be used.
    """
    tests: list[Row] = []
    curves: list[Row] = []
    for unit in units:
        found = outcomes.get(unit.id)
        for row in found.rows if found else ():
            of_kind = curves if unit.kind == "curves" else tests
            place = {"space": unit.space, "kind": unit.kind, "test": unit.name}
            told = _told(unit, row.get("variable", ""))
            of_kind.append({**row, **_identity(unit), **place, "conditioned": told})
    table = _frame(tests, TESTS)
    for _, group in table.groupby(["space", "kind", "test"]):
        p = group["p_value"].to_numpy(float)
        table.loc[group.index, "q_value"] = adjust(p, suite.correction)
    decided, fault = _verdicts(suite, units, outcomes)
    verdicts = _frame([*decided, *map(_lost, faults)], VERDICTS)
    return Tables(table, verdicts, _summary(verdicts), _frame(curves, CURVES), fault)


@dataclass
class _Cell:
    """One variable in one space of one embedding, read by all probes together.

    Attributes:
        lacking: names of probes that failed.
    """

    unit: Unit
    variable: Variable
    margin: float
    found: Strongest
    lacking: str
    q_value: float = np.nan
    q_equivalence: float = np.nan

    @property
    def evidence(self) -> Evidence:
        found = self.found
        limits = (found.value, found.ci_low, found.ci_high)
        varies = not np.isnan(found.detectable)
        return Evidence(*limits, self.q_value, self.q_equivalence, found.reason, varies)


def _verdicts(
    suite: Suite, units: Sequence[Unit], outcomes: Mapping[str, Outcome]
) -> tuple[list[Row], str]:
    cells = _cells(suite, units, outcomes)
    for space in {cell.unit.space for cell in cells}:
        grid = [cell for cell in cells if cell.unit.space == space]
        q = adjust([cell.found.p_value for cell in grid], suite.correction)
        removed = adjust([cell.found.p_equivalence for cell in grid], suite.correction)
        for cell, q_value, q_equivalence in zip(grid, q, removed, strict=True):
            cell.q_value, cell.q_equivalence = float(q_value), float(q_equivalence)
    controls = [cell for cell in cells if cell.unit.control]
    ceilings = {
        (cell.unit.embedding.family, cell.variable.name): cell
        for cell in cells
        if cell.unit.space == "z"
    }
    floor = [c for c in controls if c.unit.control != "latents"]
    fault = floor_fault(Floor(c.unit.space, c.variable.name, c.evidence, c.margin) for c in floor)
    return [_row(cell, ceilings, suite, fault) for cell in cells], fault


def _cells(suite: Suite, units: Sequence[Unit], outcomes: Mapping[str, Outcome]) -> list[_Cell]:
    """Every variable in every space that probes were run on; controls have cells of their own."""
    probed: dict[tuple[str, str, str], list[Unit]] = {}
    for unit in units:
        if unit.kind == "probes":
            key = (unit.embedding.family, "" if unit.control else unit.embedding.name, unit.space)
            probed.setdefault(key, []).append(unit)
    cells = []
    for wanted in probed.values():
        group = [unit for unit in wanted if unit.id in outcomes]
        lacking = ", ".join(unit.name for unit in wanted if unit.id not in outcomes)
        if not group:
            continue
        for variable in group[0].embedding.catalogue:
            margin = _margin(suite.margin, variable)
            scores = {
                unit.name: score_of(row, outcomes[unit.id].samples)
                for unit in group
                for row in outcomes[unit.id].rows
                if row["variable"] == variable.name
            }
            if scores:
                found = strongest(scores, margin, suite.level)
                cells.append(_Cell(group[0], variable, margin, found, lacking))
    return cells


def _margin(margin: Margin, variable: Variable) -> float:
    return margin.class_ if variable.kind in CLASSES else margin.number


def _row(cell: _Cell, ceilings: Mapping[tuple[str, str], _Cell], suite: Suite, fault: str) -> Row:
    unit, found = cell.unit, cell.found
    ceiling = ceilings.get((unit.embedding.family, cell.variable.name))
    told = _told(unit, cell.variable.name)
    verdict, reason = decide(
        cell.evidence,
        ceiling.evidence if ceiling else None,
        conditioned=bool(told),
        margin=cell.margin,
        alpha=suite.alpha,
    )
    if verdict == "removed" and cell.lacking:
        verdict, reason = "undecided", f"a probe failed, which might have read it: {cell.lacking}"
    if fault and not unit.control:
        verdict, reason = "not tested", fault
    return {
        **_identity(unit),
        "variable": cell.variable.name,
        "conditioned": told,
        "space": unit.space,
        "verdict": verdict,
        "p_value": found.p_value,
        "effect": found.value,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "n": found.n,
        "q_value": cell.q_value,
        "p_equivalence": found.p_equivalence,
        "q_equivalence": cell.q_equivalence,
        "margin": cell.margin,
        "detectable": found.detectable,
        "probe": found.strongest,
        "ceiling": ceiling.found.value if ceiling else np.nan,
        "reason": reason,
    }


def _lost(fault: Fault) -> Row:
    """An embedding that could not be used has a row that says so."""
    return {
        "point_id": fault.point_id,
        "config_id": fault.config_id,
        "sweep": fault.sweep,
        "seed": fault.seed,
        "variable": "",
        "space": "u",
        "verdict": "not tested",
        "reason": f"{fault.path}: {fault.reason}",
    }


def _identity(unit: Unit) -> Row:
    """Whose row it is; a control is of no point."""
    if unit.control:
        return dict.fromkeys(IDENTITY)
    return {name: getattr(unit.embedding, name) for name in IDENTITY}


def _told(unit: Unit, variable: str) -> bool | None:
    """Whether the flow was told the variable; of latents and controls there is nothing to say."""
    if unit.control or unit.space.startswith("z") or not variable:
        return None
    return variable not in unit.embedding.dropped


def _summary(verdicts: pd.DataFrame) -> pd.DataFrame:
    """One row a configuration, drop set, variable and space: what its seeds agree on."""
    rows = []
    own = verdicts[verdicts["point_id"].notna() & (verdicts["variable"] != "")]
    keys = ["config_id", "sweep", "variable", "space"]
    for _, group in own.groupby(keys, sort=False, dropna=False):
        counts = group["verdict"].value_counts()
        verdict = str(counts.index[0]) if len(counts) == 1 else "undecided"
        reasons = group.loc[group["verdict"] == verdict, "reason"]
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        rows.append(
            {
                **group.iloc[0][["config_id", "sweep", "variable", "conditioned", "space"]],
                "verdict": verdict,
                "seeds": len(group),
                "agree": int(counts.iloc[0]),
                **interval("effect", group["effect"].dropna().to_numpy(float)),
                "ci_low": group["ci_low"].min(),
                "ci_high": group["ci_high"].max(),
                "ceiling": group["ceiling"].iloc[0],
                "reason": f"seeds disagree: {told}" if len(counts) > 1 else reasons.iloc[0],
            }
        )
    return _frame(rows, SUMMARY)


_TEXT = ("point_id", "config_id", "sweep", "space", "kind", "test", "variable", "verdict", "probe")
_WHOLE = ("seed", "n", "n_fit", "labels", "repeat", "seeds", "agree")


def _frame(rows: Iterable[Row], columns: Sequence[str]) -> pd.DataFrame:
    """A table with fixed columns and types, also where it has no rows."""
    frame = pd.DataFrame(list(rows), columns=list(columns))
    for name in columns:
        if name in (*_TEXT, "status", "reason"):
            frame[name] = frame[name].astype("string")
        elif name == "conditioned":
            frame[name] = frame[name].astype("boolean")
        elif name in _WHOLE:
            frame[name] = frame[name].astype("Int64")
        else:
            frame[name] = frame[name].astype(float)
    for name in ("status", "reason"):
        if name in frame:
            frame[name] = frame[name].fillna("tested" if name == "status" else "")
    return frame
