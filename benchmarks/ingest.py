"""Images a second into training batches, against a plain PyTorch DataLoader over the same files.

    python benchmarks/ingest.py [--images 8000] [--rounds 3] [--memory]

PNG files and one `.npy` array, 64 × 64 in three channels, made by the script; workers 0 and 2. The
plain loader opens each file with Pillow, or indexes the memory-mapped array, and makes [0, 1]
tensors row by row. Ours reads the array that ``wwdc.prepare`` decoded once; what that took stands
beside. Both give the rows of the training split in random full batches. With ``--memory`` the
resident memory of one pass over arrays of 1e3 to 1e5 images is measured, each in a process of its
own.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import machine, table
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Subset

from wwdc.data.modules import ImageDataModule
from wwdc.data.tabled import TabledImages

SIDE, CHANNELS, BATCH = 64, 3, 128
WORKERS = (0, 2)


class Files(Dataset[torch.Tensor]):
    """What one writes first: a file is opened when its row is asked for."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> torch.Tensor:
        with Image.open(self.files[row]) as image:
            return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(255)


class Rows(Dataset[torch.Tensor]):
    """Rows of a memory-mapped array."""

    def __init__(self, path: Path) -> None:
        self.array = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.from_numpy(np.array(self.array[row])).permute(2, 0, 1).float().div_(255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--pass-over", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.pass_over:
        print(_memory_of_a_pass(options.pass_over))
        return
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        _speed(Path(folder), options.images, options.rounds)
        if options.memory:
            _memory(Path(folder))


def _speed(folder: Path, count: int, rounds: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, CHANNELS), np.uint8)
    files = folder / "png"
    files.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(files / f"{number:06d}.png", compress_level=1)
    np.save(folder / "images.npy", images)
    names = [f"{number:06d}" for number in range(count)]
    _write_table(folder / "table.csv", names)
    rows = []
    for kind, source, plain in (
        ("PNG files", files, Files(sorted(files.iterdir()))),
        ("memory-mapped array", folder / "images.npy", Rows(folder / "images.npy")),
    ):
        began = time.perf_counter()
        dataset = _dataset(source, folder, "name" if source == files else None)
        once = time.perf_counter() - began
        same = Subset(plain, dataset.table("train")["name"].astype(int).tolist())
        for workers in WORKERS:
            rates: dict[str, list[float]] = {"plain": [], "wwdc": []}
            for _ in range(rounds):  # in turn, so that other load meets both
                rates["plain"].append(
                    _rate(
                        DataLoader(same, BATCH, shuffle=True, drop_last=True, num_workers=workers)
                    )
                )
                rates["wwdc"].append(_rate(_loader(dataset, workers)))
            a, b = (statistics.median(rates[name]) for name in ("plain", "wwdc"))
            rows.append(
                (kind, str(workers), f"{a:,.0f}", f"{b:,.0f}", f"{b / a:.1f}", f"{once:.2f}")
            )
    print(table(("from", "workers", "plain /s", "wwdc /s", "ratio", "prepared once s"), rows))


def _loader(dataset: TabledImages, workers: int) -> Iterable[Any]:
    return ImageDataModule(
        dataset, {"batch_size": BATCH, "num_workers": workers}, seed=0
    ).train_dataloader()


def _rate(loader: Iterable[Any]) -> float:
    """Images a second of one epoch, the start of workers included."""
    began, seen = time.perf_counter(), 0
    for batch in loader:
        seen += len(batch["x"] if isinstance(batch, dict) else batch)
    return seen / (time.perf_counter() - began)


def _dataset(source: Path, folder: Path, id: str | None) -> TabledImages:
    size = [CHANNELS, SIDE, SIDE]
    split = {"fractions": [0.9, 0.05, 0.05]}
    known = {"v": "continuous"}
    dataset = TabledImages(
        source,
        folder / "table.csv",
        known,
        size,
        folder / "cache",
        id=id,
        split=split,
    )
    dataset.prepare(lambda text: None)
    return dataset


def _memory(folder: Path) -> None:
    rows = []
    for count in (1_000, 10_000, 100_000):
        place = folder / str(count)
        place.mkdir()
        shape = (count, SIDE, SIDE, CHANNELS)
        array = np.lib.format.open_memmap(place / "images.npy", "w+", np.uint8, shape)
        for start in range(0, count, 1000):
            array[start : start + 1000] = start // 1000
        del array
        _write_table(place / "table.csv", [str(number) for number in range(count)])
        command = [sys.executable, __file__, "--pass-over", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        size = count * SIDE * SIDE * CHANNELS / 2**20
        rows.append((f"{count:,}", f"{size:,.0f}", *done.stdout.split()))
    head = ("images", "array MiB", "before MiB", "own memory after MiB", "most, with pages MiB")
    print(table(head, rows))


def _memory_of_a_pass(folder: Path) -> str:
    """Memory before and after one epoch, and the most there was."""
    dataset = _dataset(folder / "images.npy", folder, None)
    before = _own()
    for _ in _loader(dataset, 0):
        pass
    return f"{before:.0f} {_own():.0f} {_own('VmHWM'):.0f}"


def _own(name: str = "RssAnon") -> float:
    """Memory of the process [MiB]: what is no page of a file; ``VmHWM`` is the most, with pages."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def _write_table(path: Path, names: list[str]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "v"])
        writer.writerows((name, number / 7) for number, name in enumerate(names))


if __name__ == "__main__":
    main()
