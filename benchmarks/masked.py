"""One masked flow for a whole sweep against a flow for each drop set: leakage, retention, time.

    python -m wwdc.tune experiments/RGBMNIST_FLOW     # then embed and stats; the same for MASKED
    python benchmarks/masked.py experiments/RGBMNIST_FLOW experiments/RGBMNIST_MASKED

Effects are those of the strongest probe in the tables of ``wwdc.stats``, mean over seeds with the
lowest and highest in brackets. For the time, a point of each is trained anew, one after the other,
alone on one CPU: the separate way costs that once for each drop set.
"""

import argparse
import datetime
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from measure import machine, table

from wwdc.config import Composed, load
from wwdc.products import Tree
from wwdc.tune.__main__ import main as tune
from wwdc.tune.plan import make_plan
from wwdc.tune.sweeps import DROPS


@dataclass(frozen=True)
class Way:
    """One way to serve a sweep's drop sets."""

    folder: Path
    verdicts: pd.DataFrame


def read(folder: Path, space: str) -> Way:
    """The verdicts of an experiment's plan."""
    tree, composed = tree_of(folder)
    known = {point.point_id for point in make_plan(composed, tree).points}
    found = pd.read_parquet(tree.path / "stat_tests" / "verdicts.parquet")
    own = found[(found["space"] == space) & found["point_id"].isin(known)]
    return Way(folder, own[own["variable"] != ""])


def tree_of(folder: Path, *overrides: str) -> tuple[Tree, Composed]:
    """Where an experiment's products lie."""
    composed = load(folder, overrides)
    meta = composed.meta
    return Tree(composed.data_root, meta.data_name, meta.experiment_name), composed


def seconds(way: Way) -> float:
    """Training one point, of the first drop set where there are several."""
    name = f"meta.experiment_name=TIMED_{way.folder.name}"
    tree, composed = tree_of(way.folder, name)
    plan = make_plan(composed, tree)
    drop = plan.points[0].overrides.get(DROPS)
    chosen = [f"{DROPS}=[{','.join(drop)}]"] if drop else []
    code = tune([str(way.folder), name, "+seed=42", "tune.cpus=1", "--fresh", *chosen])
    if code:
        raise SystemExit(code)
    info = tree.products()[-1].info
    begin, end = (datetime.datetime.fromisoformat(text) for text in (info.created, info.finished))
    shutil.rmtree(tree.path)
    return (end - begin).total_seconds()


def cell(rows: pd.DataFrame) -> str:
    """Mean effect over seeds, with the lowest and highest, and the verdicts."""
    effect = rows["effect"]
    words = "/".join(dict.fromkeys(rows["verdict"]))
    return f"{effect.mean():.3f} ({effect.min():.3f} {effect.max():.3f}) {words}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("separate", type=Path, help="experiment with a flow for each drop set")
    parser.add_argument("masked", type=Path, help="experiment with one flow for all")
    parser.add_argument("--space", default="u")
    given = parser.parse_args()
    ways = [read(folder, given.space) for folder in (given.separate, given.masked)]
    print(machine())
    lines = []
    for (sweep, variable), rows in ways[0].verdicts.groupby(["sweep", "variable"], sort=False):
        other = ways[1].verdicts
        twin = other[(other["sweep"] == sweep) & (other["variable"] == variable)]
        role = "kept" if rows["conditioned"].iloc[0] else "dropped"
        lines.append([str(sweep), str(variable), role, cell(rows), cell(twin)])
    header = ["sweep", "variable", "role", *(way.folder.name for way in ways)]
    print(table(header, lines), flush=True)
    sets = ways[0].verdicts["sweep"].nunique()
    one, all_ = (seconds(way) for way in ways)
    print(f"\none seed: {sets} drop sets × {one:.0f} s, against {all_:.0f} s for one masked flow")
    print(f"ratio of the times: {sets * one / all_:.2f}")


if __name__ == "__main__":
    main()
