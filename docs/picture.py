"""Draw the README's picture from a trained `digits_flow`: what is removed and what stays.

DATA_ROOT=data python docs/picture.py docs/images/digits.png
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from wwdc.config import fill, instantiate, load
from wwdc.products import Product, Tree
from wwdc.training.lightning_loaders import LightningFlow
from wwdc.training.load import load_flow

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "digits_flow"
DROPPED = ["b", "angle", "scale"]
LATENT, RESIDUAL = "#9aa5b1", "#0072b2"  # Okabe and Ito's blue, told apart by everyone


def main() -> None:
    """Load the newest flow that drops b, angle and scale, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    composed = load(EXPERIMENT)
    tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
    product = next(
        item
        for item in reversed(tree.products())
        if sorted(item.info.config["data"]["x_ds"]["drop_variables"]) == sorted(DROPPED)
    )
    draw(product, composed.data_root).savefig(options.picture, dpi=160)


@torch.no_grad()
def draw(product: Product, root: Path) -> Figure:
    """Swapped conditions on the left, what linear probes read on the right."""
    config = fill(product.info.config, job="0_0", data_root=root)
    dataset = instantiate(config["data"]["x_ds"])
    module = load_flow(product.path, config["lightning_loader"], Path(product.info.vae_fp))
    mpl.rcParams.update({"font.size": 9, "font.family": "sans-serif"})
    figure = plt.figure(figsize=(9.5, 3.1), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.25, 1])
    _swaps(left, module, dataset)
    _bars(right, module, dataset)
    return figure


def _swaps(figure: Figure, module: LightningFlow, dataset: object, columns: int = 7) -> None:
    table = dataset.table("test")
    shown = [int(np.flatnonzero(table["digit"] == digit)[0]) for digit in range(columns)]
    index = torch.tensor(shown)
    images = dataset.images("test", index)
    context = torch.from_numpy(dataset.context("test"))[index]
    u = module.ema(module.vae.encode(images)[0], module.standardise(context))
    rows = {"image x": images}
    for name, change in {
        "same u,\nred and green\nswapped": {0: context[:, 1], 1: context[:, 0]},
        "same u,\ntold: a bright\nred 3": {0: 0.95, 1: 0.1, "digit": 3},
    }.items():
        told = context.clone()
        for column, value in change.items():
            if column == "digit":
                told[:, 2:] = torch.eye(10)[value]
            else:
                told[:, column] = value
        rows[name] = module.vae.decode(module.ema.inverse(u, module.standardise(told)))
    axes = figure.subplots(len(rows), columns)
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(line, pictures, strict=True):
            axis.imshow(picture.permute(1, 2, 0).clamp(0, 1).numpy())
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", labelpad=6)
    figure.suptitle("The flow is told red, green and digit. Tell it something else:", fontsize=9.5)


def _bars(figure: Figure, module: LightningFlow, dataset: object) -> None:
    parts = {split: _latents(module, dataset, split) for split in ("train", "test")}
    names = ["r", "g", "digit", *DROPPED]
    scores = {
        space: [_score(name, parts["train"], parts["test"], space, dataset) for name in names]
        for space in ("z", "u")
    }
    axis = figure.subplots()
    places = np.arange(len(names))
    axis.bar(places - 0.2, scores["z"], 0.38, color=LATENT, label="in the VAE's latents z")
    axis.bar(places + 0.2, scores["u"], 0.38, color=RESIDUAL, label="in the residual u")
    axis.plot([1.6, 2.4], [0.1, 0.1], color="black", lw=1)
    axis.text(2.2, 0.16, "chance", ha="center", fontsize=8)
    axis.axvline(2.5, color="#cccccc", lw=0.8)
    axis.text(1.0, 1.06, "known: removed", ha="center")
    axis.text(4.0, 1.06, "not told: stays", ha="center")
    axis.set_xticks(places, ["red", "green", "digit", "blue", "angle", "scale"])
    axis.set_ylabel("linear probe: R² (digit: accuracy)")
    axis.set_ylim(-0.03, 1.15)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)


def _latents(module: LightningFlow, dataset: object, split: str) -> dict[str, np.ndarray]:
    table = dataset.table(split)
    index = torch.arange(len(table["id"]))
    mean, logvar = module.vae.encode(dataset.images(split, index))
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
    z = mean + torch.exp(0.5 * logvar) * noise
    context = module.standardise(torch.from_numpy(dataset.context(split)))
    return {"z": z.numpy(), "u": module.ema(z, context).numpy(), **table}


def _score(name: str, train: dict, test: dict, space: str, dataset: object) -> float:
    if name == "digit":
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    else:
        probe = make_pipeline(StandardScaler(), RidgeCV())
    return float(probe.fit(train[space], train[name]).score(test[space], test[name]))


if __name__ == "__main__":
    main()
