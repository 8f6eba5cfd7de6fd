"""Leakage and retention of every published flow of an experiment, against the bars.

    DATA_ROOT=… python benchmarks/science.py experiments/RGBMNIST_FLOW

Probes are fitted on residuals of the training split and scored on the test split, whose objects
neither they nor the networks have seen; ``--held-out`` fits them on two thirds of the objects of
validation and test and scores them on the last third, which tells leakage from overfitting. The
flow's averaged weights embed posterior samples z, as in training; ``--mean`` embeds the
posterior's mean instead. The same probes on z say what there is to retain or to leak.
"""

import argparse
import datetime
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from probes import PROBES, scores

from wwdc.config import fill, instantiate, load
from wwdc.products import Product, Tree
from wwdc.training.lightning_loaders import LightningFlow
from wwdc.training.load import load_flow
from wwdc.tune.plan import make_plan

VARIABLES = ("r", "g", "b", "angle", "scale", "digit")
COLOURS = ("r", "g", "b")
NULL = "permuted"
FIT_ROWS, SCORE_ROWS = 14_000, 8_000
Table = dict[str, NDArray[Any]]
Scores = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Bar:
    """A bound on kept (*leak*) or dropped variables; *worst* takes the worst seed, not the mean.

    The probe ``strong`` is the largest of MLP, nearest neighbours and boosting.
    """

    variable: str
    probe: str
    leak: bool
    bound: float
    worst: bool = False

    def value(self, runs: list[Scores]) -> float:
        found = [run[self.variable, self.probe] for run in runs]
        return float(max(found) if self.worst else np.mean(found))


@dataclass
class Run:
    """Scores of one point's residuals."""

    label: str
    dropped: list[str]
    dataset: str
    seed: int | None
    vae: Path
    rows: tuple[int, int]
    scores: Scores = field(default_factory=dict)


def bars(dataset: str) -> list[Bar]:
    """What the residuals of *dataset* must reach."""
    leakage = [Bar(v, "linear", True, 0.02) for v in COLOURS] + [Bar("digit", "linear", True, 0.13)]
    if dataset == "Digits":
        floors = {"b": 0.55, "angle": 0.74, "scale": 0.88, "digit": 0.85}
    else:
        floors = {"b": 0.80, "scale": 0.70, "angle": 0.20}
        leakage += [Bar(v, "strong", True, 0.03) for v in COLOURS]
        leakage += [Bar(v, "mlp", True, 0.05, worst=True) for v in COLOURS]
        leakage.append(Bar("digit", "strong", True, 0.25))
    return leakage + [Bar(v, "linear", False, floor) for v, floor in floors.items()]


@torch.no_grad()
def residuals(
    module: LightningFlow, dataset: Any, split: str, limit: int | None, mean: bool
) -> tuple[NDArray[Any], NDArray[Any], Table]:
    """u and z (N, D) of the first *limit* rows of a split, and those rows' catalogue."""
    table = dataset.table(split)
    rows = torch.arange(len(table["id"]))[:limit]
    context = torch.from_numpy(dataset.context(split))
    generator = torch.Generator().manual_seed(5)
    parts = []
    for index in rows.split(1_000):
        mu, logvar = module.vae.encode(dataset.images(split, index))
        noise = 0.0 if mean else torch.randn(mu.shape, generator=generator)
        z = mu + torch.exp(0.5 * logvar) * noise
        parts.append(torch.stack([module.ema(z, module.condition(context[index])), z]))
    u, z = torch.cat(parts, dim=1).numpy()
    return u, z, {name: column[: len(u)] for name, column in table.items()}


def fitting_and_scoring(
    module: LightningFlow, node: Mapping[str, Any], held_out: bool, mean: bool
) -> list[tuple[NDArray[Any], NDArray[Any], Table]]:
    """Rows to fit probes on, rows to score them on; no object is in both."""
    dataset = instantiate(node)
    if not held_out:
        fit = residuals(module, dataset, "train", FIT_ROWS, mean)
        return [fit, residuals(module, dataset, "test", SCORE_ROWS, mean)]
    objects = (dataset.rows("val") + dataset.rows("test")) // dataset.views
    views = -(-3 * FIT_ROWS // (2 * objects))  # enough for FIT_ROWS in two thirds
    dataset = instantiate({**node, "views": views})
    parts = [residuals(module, dataset, split, None, mean) for split in ("val", "test")]
    u, z = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    table = {name: np.concatenate([part[2][name] for part in parts]) for name in parts[0][2]}
    ids = np.random.default_rng(0).permutation(np.unique(table["object"]))
    fitted = np.isin(table["object"], ids[: 2 * len(ids) // 3])
    return [
        (u[m], z[m], {name: column[m] for name, column in table.items()}) for m in (fitted, ~fitted)
    ]


def probed(
    kinds: Iterable[str], x: NDArray[Any], known: Table, x_test: NDArray[Any], known_test: Table
) -> Scores:
    """All scores; digit also by probes that were fitted on permuted labels, the chance level."""
    found: Scores = {}
    shuffled = {"digit": np.random.default_rng(0).permutation(known["digit"])}
    for kind in kinds:
        for name, value in scores(kind, x, known, x_test, known_test, VARIABLES).items():
            found[name, kind] = value
        if kind in ("mlp", "knn"):
            null = scores(kind, x, shuffled, x_test, known_test, ["digit"])["digit"]
            found["digit", NULL] = max(null, found.get(("digit", NULL), 0.0))
    for name in VARIABLES:
        strong = [found[name, kind] for kind in kinds if kind != "linear"]
        if strong:
            found[name, "strong"] = max(strong)
    return found


def probe(
    point: Product, root: Path, kinds: list[str], held_out: bool, mean: bool, of_z: bool = False
) -> Run:
    """Scores of the residuals of one point, or of its latents."""
    torch.set_num_threads(1)
    config = fill(point.info.config, job=point.info.job, data_root=root)
    vae = Path(config["lightning_loader"]["vae_ckpt_path"])
    module = load_flow(point.path, config["lightning_loader"], vae)
    node = config["data"]["x_ds"]
    fit, test = fitting_and_scoring(module, node, held_out, mean)
    found = probed(kinds, fit[of_z], fit[2], test[of_z], test[2])
    dropped = list(node["drop_variables"])
    return Run(
        label="latents z" if of_z else point.info.description or f"Drop {', '.join(dropped)}",
        dropped=dropped,
        dataset=node["_target_"].rpartition(".")[2],
        seed=point.info.seed,
        vae=vae,
        rows=(len(fit[0]), len(test[0])),
        scores=found,
    )


def table(runs: list[Scores]) -> None:
    """Print means over seeds, lowest and highest in brackets; one row a probe."""
    print(f"{'':10}" + "".join(f"{name:>22}" for name in VARIABLES))
    for kind in dict.fromkeys(kind for _, kind in runs[0]):
        row = f"{kind:10}"
        for name in VARIABLES:
            cells = [run[name, kind] for run in runs if (name, kind) in run]
            text = f"{np.mean(cells):.3f} ({min(cells):5.2f} {max(cells):5.2f})" if cells else ""
            row += f"{text:>22}"
        print(row.rstrip())


def report(label: str, runs: list[Run]) -> tuple[int, int]:
    """Print a sweep's table and hold it against the bars: how many hold, of how many."""
    dropped = runs[0].dropped
    seeds = ", ".join(str(run.seed) for run in runs)
    fit, test = runs[0].rows
    print(f"\n{label}; seeds {seeds}; probes fitted on {fit} rows, scored on {test}")
    found = [run.scores for run in runs]
    table(found)
    held, asked = 0, 0
    for bar in bars(runs[0].dataset):
        if (bar.variable, bar.probe) not in found[0] or bar.leak == (bar.variable in dropped):
            continue
        value = bar.value(found)
        good = value <= bar.bound if bar.leak else value >= bar.bound
        held, asked = held + good, asked + 1
        what = f"{bar.probe} {bar.variable}" + (", worst seed" if bar.worst else "")
        kind, sign = ("leakage", "≤") if bar.leak else ("retention", "≥")
        print(f"  {'PASS' if good else 'MISS'}  {kind:9} {what}: {value:.3f} {sign} {bar.bound}")
    return held, asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", type=Path, help="folder of a flow experiment")
    parser.add_argument("--probes", nargs="+", choices=PROBES, default=list(PROBES))
    parser.add_argument("--held-out", action="store_true", help="fit probes on held-out objects")
    parser.add_argument("--mean", action="store_true", help="embed posterior means")
    parser.add_argument("--sweep", help="this sweep only, by its description")
    parser.add_argument("--jobs", type=int, default=1, help="points probed at a time")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes started below
    composed = load(given.experiment)
    tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
    planned = {point.point_id for point in make_plan(composed, tree).points}
    points = sorted(
        (point for name, point in tree.finished().items() if name in planned),
        key=lambda point: point.info.job,
    )
    if given.sweep:
        points = [point for point in points if point.info.description == given.sweep]
    if not points:
        raise SystemExit(f"{tree.ckpts}: no finished point. Train {given.experiment} first.")
    work = partial(
        probe,
        root=composed.data_root,
        kinds=given.probes,
        held_out=given.held_out,
        mean=given.mean,
    )
    runs: dict[str, list[Run]] = defaultdict(list)
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        ceiling = pool.submit(work, points[0], of_z=True)
        for run in pool.map(work, points):
            runs[run.label].append(run)
            print(f"probed: {run.label}, seed {run.seed}", flush=True)
        latents = ceiling.result()
    vaes = {run.vae for group in runs.values() for run in group}
    date = datetime.datetime.now(datetime.UTC).date()
    print(f"\n{composed.meta.experiment_name} on {latents.dataset}, {date}, {len(vaes)} VAE")
    print("R² (digit: accuracy), mean over seeds (lowest highest); permuted: MLP and k-NN, chance")
    print(f"\nlatents z; probes fitted on {latents.rows[0]} rows, scored on {latents.rows[1]}")
    table([latents.scores])
    results = [report(label, group) for label, group in runs.items()]
    held, asked = (sum(column) for column in zip(*results, strict=True))
    print(f"\n{held} of {asked} bars hold")


if __name__ == "__main__":
    main()
