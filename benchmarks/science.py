"""Leakage and retention of an experiment's flows against the bars, from the tables of wwdc.stats.

    python -m wwdc.embed experiments/RGBMNIST_FLOW 'splits=[train,test]'
    python -m wwdc.stats experiments/RGBMNIST_FLOW
    python benchmarks/science.py experiments/RGBMNIST_FLOW

Probes were fitted on residuals of posterior samples of the training objects and scored on those of
test objects, which neither they nor the networks have seen. *strong* is the largest of MLP, nearest
neighbours and boosting. Figures are R², for classes plain accuracy.
"""

import argparse
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from wwdc.config import load
from wwdc.products import Tree

COLOURS = ("r", "g", "b")
LINEAR, STRONG = "linear", "strong"


@dataclass(frozen=True)
class Bar:
    """A bound on kept (*leak*) or dropped variables; *worst* takes the worst seed, not the mean."""

    variable: str
    probe: str
    leak: bool
    bound: float
    worst: bool = False

    def value(self, table: pd.DataFrame) -> float:
        """The mean over seeds, or the largest."""
        found = table[(table["variable"] == self.variable) & (table["test"] == self.probe)]
        return float(found["score"].max() if self.worst else found["score"].mean())


def bars(data_name: str) -> list[Bar]:
    """What residuals must reach."""
    leakage = [Bar(v, LINEAR, True, 0.02) for v in COLOURS] + [Bar("digit", LINEAR, True, 0.13)]
    if data_name == "DIGITS":
        floors = {"b": 0.55, "angle": 0.74, "scale": 0.88, "digit": 0.85}
    else:
        floors = {"b": 0.80, "scale": 0.70, "angle": 0.20}
        leakage += [Bar(v, STRONG, True, 0.03) for v in COLOURS]
        leakage += [Bar(v, "mlp", True, 0.05, worst=True) for v in COLOURS]
        leakage.append(Bar("digit", STRONG, True, 0.25))
    return leakage + [Bar(v, LINEAR, False, floor) for v, floor in floors.items()]


def scores(tree: Tree) -> pd.DataFrame:
    """Every probe's score of every variable, with the strongest as a probe of its own."""
    table = pd.read_parquet(tree.path / "stat_tests" / "tests.parquet")
    table = table[(table["kind"] == "probes") & table["space"].isin(["u", "z"])].copy()
    table["score"] = table["accuracy"].fillna(table["effect"])
    keys = ["space", "sweep", "seed", "variable", "conditioned"]
    weak = table["test"] == LINEAR
    strong = table[~weak].groupby(keys, dropna=False, sort=False)["score"].max().reset_index()
    columns = [*keys, "test", "score"]
    return pd.concat([table[columns], strong.assign(test=STRONG)[columns]], ignore_index=True)


def show(table: pd.DataFrame) -> None:
    """Means over seeds, lowest and highest in brackets; a row a probe."""
    variables = list(dict.fromkeys(table["variable"]))
    print(f"{'':10}" + "".join(f"{name:>23}" for name in variables))
    for probe, rows in table.groupby("test", sort=False):
        cells = []
        for name in variables:
            found = rows.loc[rows["variable"] == name, "score"]
            cells.append(f"{found.mean():.3f} ({found.min():6.3f} {found.max():6.3f})")
        print(f"{probe:10}" + "".join(f"{cell:>23}" for cell in cells))


def hold(table: pd.DataFrame, data_name: str) -> Iterator[bool]:
    """Print which bars hold in one sweep."""
    told = dict(zip(table["variable"], table["conditioned"], strict=True))
    for bar in bars(data_name):
        if bar.leak != bool(told[bar.variable]):
            continue
        value = bar.value(table)
        good = value <= bar.bound if bar.leak else value >= bar.bound
        what = f"{bar.probe} {bar.variable}" + (", worst seed" if bar.worst else "")
        kind, sign = ("leakage", "≤") if bar.leak else ("retention", "≥")
        print(f"  {'PASS' if good else 'MISS'}  {kind:9} {what}: {value:.3f} {sign} {bar.bound}")
        yield good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", type=Path, help="folder of a flow experiment")
    composed = load(parser.parse_args().experiment)
    meta = composed.meta
    tree = Tree(composed.data_root, meta.data_name, meta.experiment_name)
    table = scores(tree)
    date = datetime.datetime.now(datetime.UTC).date()
    print(f"{tree.name}, {date}. R² (digit: accuracy), mean over seeds (lowest highest)")
    print("\nlatents z")
    show(table[table["space"] == "z"])
    held: list[bool] = []
    residuals = table[table["space"] == "u"]
    for sweep, rows in residuals.groupby("sweep", sort=False):
        dropped = dict.fromkeys(rows.loc[~rows["conditioned"].astype(bool), "variable"])
        seeds = ", ".join(str(seed) for seed in dict.fromkeys(rows["seed"]))
        print(f"\n{sweep}: drop {', '.join(dropped)}; seeds {seeds}")
        show(rows)
        held += hold(rows, meta.data_name)
    print(f"\n{sum(held)} of {len(held)} bars hold")


if __name__ == "__main__":
    main()
