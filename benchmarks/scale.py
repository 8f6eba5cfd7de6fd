"""How wwdc's driver bears many points: ``sweeps.py --scale [--sizes 10,100,300,1000]``.

``python -m wwdc.tune experiments/digits_flow seed=range(0,N)`` with a stand-in for ``train_point``
that sleeps 0.1 s and leaves a checkpoint of a byte, put in by ``stopwatch/sitecustomize.py``:
planning, checks, claims, Ray Tune, publishing and the table at the end are the real ones. Two
points run at a time, so with a driver that costs nothing N of them last N × 0.05 s. *Over* is what
the span from the first point's start to the last one's end takes beyond that, by N. *Outside* is
the rest of the wall time: start-up, the plan before and the plan after, as a whole. *CPU* are the
seconds of the driver's process alone, by N; *memory* is its peak.

Two ratios tell whether it is linear, i.e. near 1: the *over* of many points by that of few, and the
same of *marginal* CPU, which leaves out what the start costs: seconds of the driver for each
further point, between neighbouring sizes.
"""

__all__ = ["scale"]

import itertools
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from measure import Memory, table
from timed import Failed, Run, data_root, timed
from ways import CPUS, EXPERIMENTS, overrides

TRAIN_S = 0.1
STARTUP_S = 25.0  # for the estimate, as is the next
OVER_S = 0.15
LINEAR = 1.5
FEW, MANY = 100, 1000


@dataclass(frozen=True)
class Size:
    """A run with so many points, and the driver's peak memory in MB."""

    points: int
    run: Run
    memory: float

    @property
    def over(self) -> float:
        """Seconds a point, beyond the stand-in's own."""
        return self.run.span / self.points - TRAIN_S / CPUS


def scale(sizes: Sequence[int], rounds: int) -> None:
    """Run every size and print the curve, also of what is there when it is interrupted."""
    seconds = rounds * sum(STARTUP_S + n * (TRAIN_S / CPUS + OVER_S) for n in sizes)
    found: dict[int, list[Size]] = {}
    with tempfile.TemporaryDirectory(prefix="wwdc-bench-") as folder:
        template = Path(folder) / "template"
        data_root(template, 1, 0.0, Path(folder) / "points.json")
        print(f"this takes about {seconds / 60:.0f} min, more on a busy machine", flush=True)
        try:
            for number, points in itertools.product(range(1, rounds + 1), sizes):
                name = f"{time.strftime('%H:%M:%S')} round {number}, {points} points"
                try:
                    size = measured(points, template)
                except Failed as failure:
                    print(f"{name}: failed: {failure}", flush=True)
                    continue
                found.setdefault(points, []).append(size)
                run = size.run
                print(
                    f"{name}: {run.wall:.1f} s = {run.before:.1f} + {run.span:.1f} + "
                    f"{run.after:.1f}, over {size.over:.3f} a point, driver {run.cpu:.1f} s of CPU "
                    f"and {size.memory:.0f} MB, {run.others:.1f} CPUs busy before",
                    flush=True,
                )
        except KeyboardInterrupt:
            print("\ninterrupted; what was measured until then:")
    report(found)


def measured(points: int, template: Path) -> Size:
    """One run in a tree of its own."""
    command = ["-m", "wwdc.tune", str(EXPERIMENTS / "digits_flow"), *overrides(points, 1)]
    memories: list[Memory] = []

    def watch(process: psutil.Process) -> Memory:
        memories.append(Memory(process, lambda one: "driver" if one == process else "others", 1.0))
        return memories[0]

    with tempfile.TemporaryDirectory(prefix="wwdc-bench-") as folder:
        root = Path(folder) / "root"
        shutil.copytree(template, root)
        run = timed(
            [sys.executable, *command],
            points,
            {"DATA_ROOT": str(root), "SWEEPS_STAND_IN": str(TRAIN_S)},
            limit_s=300 + 3 * points,
            watch=watch,
        )
    return Size(points, run, memories[0].peaks.get("driver", float("nan")))


def report(found: Mapping[int, Sequence[Size]]) -> None:
    """Print the curve and whether it is linear."""
    header = ["points", "rounds", "wall s", "outside s", "over s a point", "CPU s a point"]
    header += ["marginal CPU s", "memory MB", "others"]
    marginals: dict[int, float] = {}
    rows = []
    for before, points in itertools.pairwise([0, *sorted(found)]):
        sizes = found[points]
        if before:
            more = cpu(sizes) - cpu(found[before])
            marginals[points] = more / (points - before)
        rows.append(
            [
                str(points),
                str(len(sizes)),
                f"{statistics.median(size.run.wall for size in sizes):.1f}",
                f"{statistics.median(size.run.wall - size.run.span for size in sizes):.1f}",
                f"{over(sizes):.3f}",
                f"{cpu(sizes) / points:.3f}",
                f"{marginals[points]:.4f}" if before else "–",
                f"{statistics.median(size.memory for size in sizes):.0f}",
                f"{max(size.run.others for size in sizes):.1f}",
            ]
        )
    print()
    print(table(header, rows))
    if FEW in found and MANY in found:
        ratio = over(found[MANY]) / over(found[FEW])
        print(f"\nover, {MANY} points : {FEW} points = {verdict(ratio)}")
    if FEW in marginals and MANY in marginals:
        ratio = marginals[MANY] / marginals[FEW]
        print(f"\nmarginal CPU, up to {MANY} : up to {FEW} points = {verdict(ratio)}")


def over(sizes: Sequence[Size]) -> float:
    """Seconds a point beyond the stand-in's own, the median of the rounds."""
    return statistics.median(size.over for size in sizes)


def cpu(sizes: Sequence[Size]) -> float:
    """CPU seconds of the driver, the median of the rounds."""
    return statistics.median(size.run.cpu for size in sizes)


def verdict(ratio: float) -> str:
    """A ratio against its target."""
    return f"{ratio:.2f}; ≤ {LINEAR:g}: {'met' if ratio <= LINEAR else 'missed'}"


if __name__ == "__main__":
    raise SystemExit("run it as sweeps.py --scale")
