"""Does a search help? TPE with ASHA against the shipped configuration, on objects it never saw.

    DATA_ROOT=… python benchmarks/search.py [--samples 30]

Searches learning rate, width and number of transforms of ``RGBMNIST_FLOW`` with b, angle and scale
dropped, on one training seed and by the loss of the validation split. The best sample and the
shipped configuration are then trained with three seeds that the search did not use, and compared
by the loss of the test split. Needs MNIST in ``$DATA_ROOT/MNIST/raw`` and ``rgbmnist_vae`` trained.
What is trained already is not trained again, so it can be interrupted.
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from measure import REPOSITORY, machine, table
from scipy import stats

import wwdc
from wwdc.config import load
from wwdc.data.colour_mnist import SPLITS
from wwdc.data.latents import latent_cache
from wwdc.data.modules import LatentDataModule
from wwdc.products import Product, Tree
from wwdc.training.load import load_flow
from wwdc.training.loop import build_dataset
from wwdc.training.probes import science_metrics
from wwdc.tune.__main__ import main as tune

EXPERIMENT = REPOSITORY / "experiments" / "RGBMNIST_FLOW"
DROPPED = "x_ds.drop_variables=[b,angle,scale]"
LR, WIDTH, DEPTH = (
    f"lightning_loader.{name}" for name in ("lr", "flow.hidden_features", "flow.transforms")
)
SEARCH = (
    *(DROPPED, "seed=42", "tune.searcher=optuna", "tune.scheduler=asha", "tune.grace_period=3"),
    f"{LR}=loguniform(3e-4,1e-2)",
    f"{WIDTH}=choice([64,64],[128,128],[256,256])",
    f"{DEPTH}=randint(2,13)",
)
FRESH = "+seed=101,102,103"
METRICS = ("val_loss", "test_loss", "epochs")


def main() -> None:
    """Search, repeat, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=30)
    samples = f"tune.num_samples={parser.parse_args().samples}"
    print(machine(), flush=True)
    run(*SEARCH, samples)
    searched = wwdc.results(EXPERIMENT, [*SEARCH, samples])
    best = searched[searched.status == "done"].nsmallest(1, "val_loss").iloc[0]
    print_search(searched)
    chosen = (f"{LR}={float(best[LR])!r}", f"{WIDTH}={best[WIDTH]}", f"{DEPTH}={best[DEPTH]}")
    found = {}
    for name, overrides in (("shipped", ()), ("found", chosen)):
        arguments = (DROPPED, FRESH, *(text.replace(" ", "") for text in overrides))
        run(*arguments)
        found[name] = wwdc.results(EXPERIMENT, list(arguments))
    print_comparison(found)
    print_science(found)
    shared = REPOSITORY / "docs" / "images" / "importance.png"
    figures = product_tree().path / "figures" / "sweep"
    shutil.copyfile(figures / "importance.png", shared)


def run(*overrides: str) -> None:
    """``wwdc.tune``, its progress on standard error."""
    standard, sys.stdout = sys.stdout, sys.stderr
    try:
        code = tune([str(EXPERIMENT), *overrides])
    finally:
        sys.stdout = standard
    if code:
        raise SystemExit(f"exit code {code}")


def product_tree() -> Tree:
    """Where the experiment's products lie."""
    composed = load(EXPERIMENT)
    return Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)


def print_search(frame: pd.DataFrame) -> None:
    """How many samples ended how, and the best five."""
    counts = ", ".join(f"{count} {status}" for status, count in frame.status.value_counts().items())
    print(f"\n{len(frame)} samples: {counts}; {frame.epochs.sum():.0f} epochs in all\n")
    best = frame[frame.status == "done"].nsmallest(5, "val_loss")
    rows = [
        [f"{row[LR]:.2e}", str(row[WIDTH]), str(row[DEPTH]), f"{row.val_loss:.3f}"]
        for _, row in best.iterrows()
    ]
    print(table(["lr", "width", "transforms", "val_loss"], rows))


def print_comparison(found: dict[str, pd.DataFrame]) -> None:
    """Means over fresh seeds, and the paired difference on the test split."""
    rows = []
    for name, frame in found.items():
        cells = [name]
        for metric in METRICS:
            mean, half = interval(frame[metric].to_numpy(float))
            cells.append(f"{mean:.3f} ± {half:.3f}")
        rows.append(cells)
    print(f"\nfresh seeds {FRESH[6:]}, mean ± 95 % interval:\n")
    print(table(["configuration", *METRICS], rows))
    paired = [frame.sort_values("seed").test_loss.to_numpy(float) for frame in found.values()]
    mean, half = interval(paired[1] - paired[0])
    verdict = "no difference shown" if abs(mean) < half else "better" if mean < 0 else "worse"
    print(f"\ntest_loss, found − shipped, paired by seed: {mean:+.3f} ± {half:.3f} nat: {verdict}")


def print_science(found: dict[str, pd.DataFrame]) -> None:
    """What the cheap probes read from the residuals of validation objects, means over seeds."""
    tree = product_tree()
    products = tree.finished()
    rows = []
    names: list[str] = []
    for name, frame in found.items():
        measured = pd.DataFrame([science(products[point]) for point in frame.point_id])
        names = list(measured)
        rows.append([name, *(f"{measured[metric].mean():.3f}" for metric in names)])
    print("\nleakage and retention by linear and nearest-neighbour probes:\n")
    print(table(["configuration", *names], rows))


def science(product: Product) -> dict[str, float]:
    """`science_metrics` of a published flow."""
    config = product.info.config
    module = load_flow(product.path, config["lightning_loader"], Path(str(product.info.vae_fp)))
    dataset = build_dataset(config)
    root = product_tree().path.parent / "latents"
    vae = str(product.info.parents["vae"].point_id)
    latents = {split: latent_cache(root, module.vae, vae, dataset, split) for split in SPLITS}
    data = LatentDataModule(dataset, latents, config["data"]["loader"], seed=0)
    return science_metrics(module, data)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean and half width of Student's 95 % interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean()), float(half)


if __name__ == "__main__":
    main()
