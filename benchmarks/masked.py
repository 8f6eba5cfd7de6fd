"""One masked flow for a whole sweep against a flow for each drop set: leakage, retention, time.

    python -m wwdc.tune experiments/RGBMNIST_FLOW     # and embed, stats; the same for MASKED
    python benchmarks/masked.py experiments/RGBMNIST_FLOW experiments/RGBMNIST_MASKED

Reads what the stages left in the product tree: effects by the strongest probe from the tables of
``wwdc.stats``, mean over seeds with the lowest and highest in brackets, and the training time from
the info files, the sum over all points. Times compare where both were trained on one machine with
as many points at a time and nothing beside them.
"""

import argparse
import datetime
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from measure import machine, table

from wwdc.config import load
from wwdc.products import Tree
from wwdc.tune.plan import make_plan


@dataclass(frozen=True)
class Way:
    """One way to serve a sweep's drop sets."""

    name: str
    points: int
    seconds: float
    verdicts: pd.DataFrame


def read(folder: Path, space: str) -> Way:
    """What an experiment's plan came to."""
    composed = load(folder)
    tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
    finished = tree.finished()
    infos = [finished[p.point_id].info for p in make_plan(composed, tree).points]
    stamps = [(info.created, info.finished) for info in infos]
    spans = [[datetime.datetime.fromisoformat(text) for text in pair] for pair in stamps]
    seconds = sum((end - begin).total_seconds() for begin, end in spans)
    found = pd.read_parquet(tree.path / "stat_tests" / "verdicts.parquet")
    known = {info.point_id for info in infos}
    own = found[(found["space"] == space) & found["point_id"].isin(known)]
    return Way(folder.name, len(infos), seconds, own[own["variable"] != ""])


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
    header = ["sweep", "variable", "role", *(way.name for way in ways)]
    print(table(header, lines))
    for way in ways:
        print(f"{way.name}: {way.points} points, {way.seconds:.0f} s of training")
    print(f"ratio of the times: {ways[0].seconds / ways[1].seconds:.2f}")


if __name__ == "__main__":
    main()
