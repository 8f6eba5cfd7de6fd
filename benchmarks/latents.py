"""An epoch of flow training on cached latents, against the VAE inside the training step.

    python benchmarks/latents.py [--rounds 5] [--views 2]

The same flow, optimizer, batches and Lightning trainer three times: as wwdc trains (latents encoded
once, read from the memory-mapped cache); with images drawn and encoded in each step by the frozen
VAE, without gradient; and with the VAE's gradient computed as well, which is what a training step
does that calls the VAE and forgets to freeze it, as the method's original code does. Recipes are
those of the shipped experiments; the VAEs have random
weights, as weights change no timing. How much the cache saves depends on the flow it feeds, so the
compact VAE for MNIST is also timed under the small flow that ``digits_flow`` uses. It needs MNIST
in ``$DATA_ROOT/MNIST/raw``; without it only the digits are timed. *Drawing* the images alone,
which the cache saves as well, and *encoding* the split once, which it costs, stand beside. Other
load on the machine disturbs wall times more than CPU seconds, so the verdict is by the latter.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from measure import REPOSITORY, interleaved, machine, table
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wwdc.config import fill, instantiate, load
from wwdc.data.latents import latent_cache
from wwdc.data.modules import ImageDataModule, LatentDataModule
from wwdc.training.lightning_loaders import LightningFlow

DROPPED = "data.x_ds.drop_variables=[b,angle,scale]"
SMALL = ("lightning_loader.flow.hidden_features=[64,64]", "lightning_loader.flow.transforms=4")
RECIPES = {
    "digits_flow, as shipped": ("digits_flow", ()),
    "RGBMNIST_FLOW, as shipped": ("RGBMNIST_FLOW", ()),
    "RGBMNIST_FLOW, small flow": ("RGBMNIST_FLOW", SMALL),
}
TARGET = 4.0


@dataclass(frozen=True)
class Case:
    """A flow with its frozen VAE, and its data both ways."""

    module: LightningFlow
    cached: LatentDataModule
    images: "WithContext"
    clip: float | None
    encoding: float
    rows: int


class WithContext(ImageDataModule):
    """Images with their catalogue columns: what a flow needs when nothing is cached."""

    def batches(self, split: Any, device: torch.device) -> Dataset[dict[str, Tensor]]:
        images = super().batches(split, device)
        context = torch.from_numpy(self.dataset.context(split)).float().to(device)

        class Joined(Dataset[dict[str, Tensor]]):
            def __getitem__(self, index: Tensor) -> dict[str, Tensor]:
                return images[index] | {"context": context[index]}

        return Joined()


class TrainOnly(pl.LightningDataModule):
    """Leaves validation out, as only the training epoch is timed."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def train_dataloader(self) -> DataLoader[Any]:
        self.inner.trainer = self.trainer
        loader: DataLoader[Any] = self.inner.train_dataloader()
        return loader


class Clock(pl.Callback):
    """Wall and CPU seconds of the training epoch, start-up of the trainer not counted."""

    wall = cpu = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        self.start = time.perf_counter(), time.process_time()

    def on_train_epoch_end(self, *_: Any) -> None:
        self.wall = time.perf_counter() - self.start[0]
        self.cpu = time.process_time() - self.start[1]


def epoch(case: Case, data: Any, cpu: list[float]) -> float:
    """Wall seconds of an epoch; its CPU seconds are added to *cpu*."""
    clock = Clock()
    trainer = pl.Trainer(
        max_epochs=1,
        gradient_clip_val=case.clip,
        accelerator="cpu",
        devices=1,
        logger=False,
        callbacks=[clock],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(case.module, datamodule=TrainOnly(data))
    cpu.append(clock.cpu)
    return clock.wall


def case_of(experiment: str, overrides: tuple[str, ...], folder: Path) -> Case:
    """Build what an experiment trains with; the VAE is not read but made up."""
    composed = load(REPOSITORY / "experiments" / experiment, (*overrides, DROPPED))
    config = fill(composed.resolve(), job="0_0", data_root=composed.data_root)
    dataset = instantiate(config["data"]["x_ds"], allow=())
    torch.manual_seed(0)
    node = dict(config["lightning_loader"])
    context = dataset.context("train")
    node["flow"] = {**node["flow"], "context": context.shape[1]}
    module = instantiate({**node, "vae_ckpt_path": None}, allow=())
    module.set_context(context.shape[1], context.mean(axis=0), context.std(axis=0))
    start = time.perf_counter()
    latents = latent_cache(folder, module.vae, "benchmark", dataset, "train")
    encoding = time.perf_counter() - start
    loader = config["data"]["loader"]
    return Case(
        module=module,
        cached=LatentDataModule(dataset, {"train": latents}, loader, seed=0),
        images=WithContext(dataset, loader, seed=0),
        clip=config["trainer"].get("gradient_clip_val"),
        encoding=encoding,
        rows=dataset.rows("train"),
    )


@contextmanager
def unfrozen(module: LightningFlow) -> Iterator[None]:
    """The VAE as a part of the step like any other: its gradient is computed, though not used."""
    module.vae.requires_grad_(True)
    module.posterior = lambda batch: module.vae.encode(batch["x"])  # type: ignore[method-assign]
    try:
        yield
    finally:
        del module.posterior
        module.vae.requires_grad_(False)


def epoch_unfrozen(case: Case, cpu: list[float]) -> float:
    """As `epoch`, with the gradient of the VAE."""
    with unfrozen(case.module):
        return epoch(case, case.images, cpu)


def draw(images: ImageDataModule) -> float:
    """Seconds to make the images of an epoch."""
    start = time.perf_counter()
    for _ in images.train_dataloader():
        pass
    return time.perf_counter() - start


def compare(name: str, case: Case, rounds: int) -> list[str]:
    """The table's row for one recipe."""
    cached, inside, tracked = list[float](), list[float](), list[float]()
    medians = interleaved(
        {
            "cached": lambda: epoch(case, case.cached, cached),
            "inside": lambda: epoch(case, case.images, inside),
            "tracked": lambda: epoch_unfrozen(case, tracked),
            "drawing": lambda: draw(case.images),
        },
        rounds,
        warm=True,
    )
    networks = (case.module.vae, case.module.flow)
    weights = [sum(p.numel() for p in network.parameters()) for network in networks]
    seconds = (*medians.values(), case.encoding)
    of_cpu = [
        statistics.median(seconds[1:]) / statistics.median(cached[1:])
        for seconds in (inside, tracked)
    ]
    return [
        name,
        str(case.rows),
        *(f"{count / 1000:.0f} k" for count in weights),
        *(f"{value:.2f}" for value in seconds),
        *(f"{ratio:.1f}" for ratio in of_cpu),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each figure (default: 5)")
    parser.add_argument("--views", type=int, default=2, help="of an object (default: 2)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1, as wwdc)")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    print(f"{machine()}, {options.threads} threads of torch\n", flush=True)
    torch.set_num_threads(options.threads)
    raw = Path(os.environ.get("DATA_ROOT", "data")) / "MNIST" / "raw"
    known = raw.is_dir() and any(raw.iterdir())
    views = f"data.x_ds.views={options.views}"
    rows = []
    for name, (experiment, overrides) in RECIPES.items():
        if known or experiment == "digits_flow":
            with tempfile.TemporaryDirectory(prefix="wwdc-bench-") as folder:
                case = case_of(experiment, (*overrides, views), Path(folder))
                rows.append(compare(name, case, options.rounds))
    names = ["recipe", "rows", "VAE weights", "flow weights"]
    times = ["cached s", "VAE in step s", "with gradient s", "drawing s", "encoding s"]
    print(table([*names, *times, "CPU ratio", "with gradient"], rows))
    print()
    for row in rows:
        verdict = "met" if float(row[-1]) >= TARGET else "missed"
        print(
            f"{row[0]}: {row[-2]} × less CPU an epoch than with the frozen VAE in the step, "
            f"{row[-1]} × less than with its gradient; ≥ {TARGET:g}: {verdict}"
        )


if __name__ == "__main__":
    main()
