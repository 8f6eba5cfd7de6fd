"""Does removing the known help to find anomalies? AUROC of planted ones on u and on VAE means.

    python -m wwdc.tune experiments/RGBMNIST_FLOW
    python benchmarks/planted.py experiments/RGBMNIST_FLOW [+seed=42 …] [--draws 3]

Eight kinds of anomalies are planted in images of test objects, 100 of each against 1 900 normal
ones (5 % where there are fewer): *inverted* (a dark digit on its colour), *flipped* left to right,
*occluded* (a square of 10 × 10 pixels), *overlaid* (with another object), *rotated* by 45° more,
*scaled* to 0.6, *gradient* (one colour fades from left to right) and *dark blue*. The catalogue
says what it said before. The published VAE and flows embed them as `wwdc.embed` does; the isolation
forest of ``detectors=default`` is fitted on training objects, and scores u of the mean, with which
`wwdc.detect` works, and the VAE's mean. Figures are means over flows and draws.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import machine, table
from sklearn.metrics import roc_auc_score

from wwdc.config import Staged, instantiate, load_stage
from wwdc.data.render import affine
from wwdc.detect.settings import read_detection
from wwdc.discovery.fitted import fit, seeded
from wwdc.embed.jobs import find_jobs
from wwdc.embed.passes import plan_passes
from wwdc.embed.shards import Models, Pass, Target, residuals
from wwdc.products import Tree
from wwdc.tune.plan import make_plan

PLANTED, NORMAL, SHARE = 100, 1_900, 0.05
FITTED = 20_000
BAR, GAIN = 0.87, 0.08

Images = torch.Tensor
"""(B, 3, H, W) in [0, 1]."""
Plant = Callable[[Images, Images, Images, np.random.Generator], Images]
"""Images, their colours (B, 3), images of other objects, and what to draw from."""


def inverted(x: Images, colour: Images, _other: Images, _rng: np.random.Generator) -> Images:
    return (colour[:, :, None, None] - x).clamp(0, 1)


def flipped(x: Images, _colour: Images, _other: Images, _rng: np.random.Generator) -> Images:
    return x.flip(3)


def occluded(x: Images, _colour: Images, _other: Images, rng: np.random.Generator) -> Images:
    found = x.clone()
    for image, (row, column) in zip(found, rng.integers(5, 13, size=(len(x), 2)), strict=True):
        image[:, row : row + 10, column : column + 10] = 0
    return found


def overlaid(x: Images, _colour: Images, other: Images, _rng: np.random.Generator) -> Images:
    return torch.maximum(x, other)


def rotated(x: Images, _colour: Images, _other: Images, _rng: np.random.Generator) -> Images:
    ones = torch.ones(len(x))
    return affine(x, ones * torch.pi / 4, ones)


def scaled(x: Images, _colour: Images, _other: Images, _rng: np.random.Generator) -> Images:
    return affine(x, torch.zeros(len(x)), torch.full((len(x),), 0.6))


def gradient(x: Images, _colour: Images, _other: Images, rng: np.random.Generator) -> Images:
    found = x.clone()
    ramp = torch.linspace(0, 1, x.shape[3])
    for image, channel in zip(found, rng.integers(3, size=len(x)), strict=True):
        image[channel] *= ramp
    return found


def dark_blue(x: Images, colour: Images, _other: Images, _rng: np.random.Generator) -> Images:
    stroke = (x / colour[:, :, None, None]).mean(dim=1, keepdim=True)
    return stroke * torch.tensor([0.0, 0.0, 0.3])[:, None, None]


KINDS: Mapping[str, Plant] = {
    "inverted": inverted,
    "flipped": flipped,
    "occluded": occluded,
    "overlaid": overlaid,
    "rotated 45°": rotated,
    "scaled": scaled,
    "gradient": gradient,
    "dark blue": dark_blue,
}


class Bench:
    """The VAE and flows of one pass over the test split, and what they make of training objects."""

    def __init__(self, test: Pass, train: Pass, node: Mapping[str, Any], seed: int) -> None:
        self.work = test
        self.models = Models(test)
        self.node, self.seed = node, seed
        self.table = self.models.table(0, test.rows)
        known = Models(train)
        rows = np.random.default_rng(seed).permutation(train.rows)[:FITTED]
        mean = known.posterior(0, train.rows)[0][np.sort(rows)]
        columns = {name: c[np.sort(rows)] for name, c in known.table(0, train.rows).items()}
        self.fitted = {"": self._detector(mean)}
        for target in test.targets:
            self.fitted[target.key] = self._detector(self._u(target, mean, columns))

    def auroc(self, plant: Plant, rng: np.random.Generator) -> tuple[float, float]:
        """AUROC on the VAE's means, and on u averaged over flows, of one draw."""
        rows = rng.permutation(self.work.rows)
        count = min(PLANTED, int(SHARE * len(rows)))
        chosen, normal = rows[:count], rows[count : count + NORMAL]
        other = torch.as_tensor(rng.permutation(normal)[:count].copy())
        images = self.models.dataset.images("test", torch.as_tensor(chosen.copy()))
        colour = torch.stack([torch.as_tensor(self.table[c][chosen]) for c in "rgb"], dim=1)
        changed = plant(images, colour, self.models.dataset.images("test", other), rng)
        both = np.concatenate([self._encoded(changed), self._means()[normal]])
        columns = {n: c[np.concatenate([chosen, normal])] for n, c in self.table.items()}
        truth = np.arange(len(both)) < count

        def score(key: str, x: np.ndarray) -> float:
            return float(roc_auc_score(truth, self.fitted[key](x, 2**40)))

        on_u = [score(t.key, self._u(t, both, columns)) for t in self.work.targets]
        return score("", both), float(np.mean(on_u))

    def _means(self) -> np.ndarray:
        return self.models.posterior(0, self.work.rows)[0]

    @torch.no_grad()
    def _encoded(self, images: Images) -> np.ndarray:
        return self.models.vae.encode(images.float())[0].float().numpy()

    @torch.no_grad()
    def _u(self, target: Target, mean: np.ndarray, columns: dict[str, np.ndarray]) -> np.ndarray:
        latents = {"z": mean, "z_mean": mean}
        module = self.models.flow(target)
        found = residuals(self.models, module, target, columns, latents, lambda: None)
        return found["u_mean"]

    def _detector(self, x: np.ndarray) -> Any:
        state = seeded(type(instantiate(self.node)), self.node, "iforest", self.seed)
        built = instantiate(self.node, random_state=state)
        names = [str(i) for i in range(x.shape[1])]
        return fit(built, x, np.arange(len(x)), names, self.seed)


def passes(staged: Staged) -> list[tuple[Pass, Pass]]:
    """The passes over test and over train that the experiment's flows need."""
    meta = staged.training.meta
    tree = Tree(staged.training.data_root, meta.data_name, meta.experiment_name)
    both = replace(staged, splits=("test", "train"))
    jobs, _ = find_jobs(both, tree, make_plan(staged.training, tree), fresh=True)
    planned = plan_passes(
        jobs, tree, staged.embed, device="cpu", allow=staged.composed.allow
    ).passes
    by_split = {split: [p for p in planned if p.split == split] for split in ("test", "train")}
    if not by_split["test"]:
        raise SystemExit(f"{tree.name} has no trained flow")
    return list(zip(by_split["test"], by_split["train"], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path, help="folder of a flow experiment")
    parser.add_argument("overrides", nargs="*", help="choose points: +seed=42")
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_intermixed_args()
    print(machine() + "\n")
    staged = load_stage(options.experiment, options.overrides)
    detection = read_detection(staged.composed)
    node = next(d.node for d in detection.detectors if d.name == "iforest")
    benches = [Bench(test, train, node, detection.seed) for test, train in passes(staged)]
    found: dict[str, np.ndarray] = {}
    for number, (kind, plant) in enumerate(KINDS.items()):
        draws = [
            bench.auroc(plant, np.random.default_rng((number, draw)))
            for bench in benches
            for draw in range(options.draws)
        ]
        found[kind] = np.mean(draws, axis=0)
    found["mean"] = np.mean(list(found.values()), axis=0)
    flows = sum(len(bench.work.targets) for bench in benches)
    print(f"AUROC of an isolation forest, {flows} flows × {options.draws} draws\n")
    lines = [[kind, f"{z:.3f}", f"{u:.3f}", f"{u - z:+.3f}"] for kind, (z, u) in found.items()]
    print(table(["anomaly", "VAE means", "u of the mean", "gain"], lines))
    z, u = found["mean"]
    for what, value, bar in (("AUROC on u", u, BAR), ("gain", u - z, GAIN)):
        print(f"\n{what} {value:.3f} ≥ {bar}: {'met' if value >= bar else 'missed'}", end="")
    print()


if __name__ == "__main__":
    main()
