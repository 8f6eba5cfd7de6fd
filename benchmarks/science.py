"""Leakage and retention of every published flow of an experiment, against the bars.

    DATA_ROOT=… python benchmarks/science.py experiments/RGBMNIST_FLOW

Probes are fitted on residuals of the training split and scored on the test split, whose objects
neither they nor the networks have seen; ``--held-out`` fits them on two thirds of the objects of
validation and test and scores them on the last third. Residuals come from the averaged weights
and from posterior samples z, as in training; ``--mean`` embeds the posterior's mean instead.
"""

import argparse
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from probes import PROBES, score

from wwdc.config import fill, instantiate, load
from wwdc.products import Product, Tree
from wwdc.training.lightning_loaders import LightningFlow
from wwdc.training.load import load_flow

VARIABLES = ("r", "g", "b", "angle", "scale", "digit")
ROWS = 14_000
Scores = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Bar:
    """A bound on the mean over seeds; *probe* ``strong`` is the largest of the non-linear ones."""

    variable: str
    probe: str
    kept: bool
    bound: float


def bars(dataset: str) -> list[Bar]:
    """What the residuals of *dataset* must reach."""
    leakage = [Bar(v, "linear", True, 0.02) for v in ("r", "g", "b")]
    leakage.append(Bar("digit", "linear", True, 0.13))
    if dataset == "Digits":
        floors = {"b": 0.55, "angle": 0.74, "scale": 0.88, "digit": 0.85}
    else:
        floors = {"b": 0.80, "scale": 0.70, "angle": 0.20}
        leakage += [Bar(v, "strong", True, 0.03) for v in ("r", "g", "b")]
        leakage.append(Bar("digit", "strong", True, 0.25))
    return leakage + [Bar(v, "linear", False, floor) for v, floor in floors.items()]


@torch.no_grad()
def residuals(
    module: LightningFlow, dataset: Any, split: str, limit: int | None, mean: bool
) -> tuple[NDArray, dict[str, NDArray]]:
    """u (N, D) of the first *limit* rows of a split, and those rows' catalogue."""
    table = dataset.table(split)
    rows = torch.arange(len(table["id"]))[:limit]
    context = torch.from_numpy(dataset.context(split))
    generator = torch.Generator().manual_seed(5)
    parts = []
    for index in rows.split(1_000):
        mu, logvar = module.vae.encode(dataset.images(split, index))
        noise = 0.0 if mean else torch.randn(mu.shape, generator=generator)
        z = mu + torch.exp(0.5 * logvar) * noise
        parts.append(module.ema(z, module.standardise(context[index])))
    u = torch.cat(parts).numpy()
    return u, {name: column[: len(u)] for name, column in table.items()}


def fitting_and_scoring(
    module: LightningFlow, node: Mapping[str, Any], held_out: bool, mean: bool
) -> tuple[NDArray, dict[str, NDArray], NDArray, dict[str, NDArray]]:
    """Rows to fit probes on, rows to score them on; no object is in both."""
    dataset = instantiate(node)
    if not held_out:
        fit = residuals(module, dataset, "train", ROWS, mean)
        return *fit, *residuals(module, dataset, "test", None, mean)
    objects = dataset.rows("val") + dataset.rows("test")
    views = -(-3 * ROWS * dataset.views // (2 * objects))  # enough for ROWS in two thirds
    dataset = instantiate({**node, "views": views})
    parts = [residuals(module, dataset, split, None, mean) for split in ("val", "test")]
    u = np.concatenate([part[0] for part in parts])
    table = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]}
    ids = np.random.default_rng(0).permutation(np.unique(table["object"]))
    fitted = np.isin(table["object"], ids[: 2 * len(ids) // 3])
    split = [(u[m], {name: column[m] for name, column in table.items()}) for m in (fitted, ~fitted)]
    return *split[0], *split[1]


def probe(point: Product, root: Path, arguments: argparse.Namespace) -> tuple[str, Scores]:
    """The dataset's name and all scores of one point."""
    config = fill(point.info.config, job=point.info.job, data_root=root)
    module = load_flow(
        point.path, config["lightning_loader"], Path(config["lightning_loader"]["vae_ckpt_path"])
    )
    node = config["data"]["x_ds"]
    x, known, x_test, known_test = fitting_and_scoring(
        module, node, arguments.held_out, arguments.mean
    )
    scores = {
        (name, kind): score(kind, x, known[name], x_test, known_test[name], classes=name == "digit")
        for kind in arguments.probes
        for name in VARIABLES
    }
    for name in VARIABLES:
        strong = [scores[name, kind] for kind in arguments.probes if kind != "linear"]
        if strong:
            scores[name, "strong"] = max(strong)
    return node["_target_"].rpartition(".")[2], scores


def report(sweep: str, dropped: list[str], runs: list[Scores], checks: list[Bar]) -> bool:
    """Print the means over seeds of a sweep and hold them against the bars."""
    print(f"\n{sweep}: dropped {', '.join(dropped)}; {len(runs)} seeds, mean (lowest highest)")
    kinds = list(dict.fromkeys(kind for _, kind in runs[0]))
    print(f"{'':12}" + "".join(f"{name:>22}" for name in VARIABLES))
    for kind in kinds:
        cells = [[run[name, kind] for run in runs] for name in VARIABLES]
        row = "".join(f"{np.mean(c):8.3f} ({min(c):5.2f} {max(c):5.2f})" for c in cells)
        print(f"{kind:12}{row}")
    passed = True
    for bar in checks:
        if bar.probe not in kinds or bar.kept == (bar.variable in dropped):
            continue
        value = float(np.mean([run[bar.variable, bar.probe] for run in runs]))
        good = value <= bar.bound if bar.kept else value >= bar.bound
        passed &= good
        sign = "≤" if bar.kept else "≥"
        verdict = "PASS" if good else "MISS"
        print(f"  {verdict}  {bar.probe} {bar.variable}: {value:.3f} {sign} {bar.bound}")
    return passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", type=Path, help="folder of a flow experiment")
    parser.add_argument("--probes", nargs="+", choices=PROBES, default=list(PROBES))
    parser.add_argument("--held-out", action="store_true", help="fit probes on held-out objects")
    parser.add_argument("--mean", action="store_true", help="embed posterior means")
    parser.add_argument("--sweep", help="this sweep only")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    composed = load(arguments.experiment)
    tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
    runs: dict[str, list[Scores]] = defaultdict(list)
    dropped: dict[str, list[str]] = {}
    dataset = ""
    for point in tree.finished().values():
        sweep = point.info.sweep or str(point.info.val)
        if arguments.sweep not in (None, sweep):
            continue
        dataset, scores = probe(point, composed.data_root, arguments)
        runs[sweep].append(scores)
        dropped[sweep] = list(point.info.config["data"]["x_ds"]["drop_variables"])
        print(
            f"{sweep} seed {point.info.seed}: val_loss {point.info.metrics.get('val_loss')}",
            flush=True,
        )
    results = [report(sweep, dropped[sweep], runs[sweep], bars(dataset)) for sweep in sorted(runs)]
    print(f"\n{sum(results)} of {len(results)} sweeps meet every bar")


if __name__ == "__main__":
    main()
