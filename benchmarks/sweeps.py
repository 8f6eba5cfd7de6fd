"""The same sweep by wwdc and by what one would otherwise use, start-up apart from training.

    python benchmarks/sweeps.py [--seconds 10] [--points 24] [--rounds 3] [--ways a,b,c]
    python benchmarks/sweeps.py --scale

Every way trains the same points (``digits_flow`` with one drop set and so many seeds, early
stopping off) with the same ``train_point``, the same resolved configurations, one thread of torch
and latents that are cached already, on two CPUs:

- *a wwdc*: ``python -m wwdc.tune experiments/digits_flow``, inline engine, two points at a time;
- *b Hydra*: multirun with the basic launcher, one process, one point after the other;
- *c Hydra, joblib*: multirun with the joblib launcher, two processes;
- *d Optuna*: ``study.optimize(n_jobs=2)`` over the grid, two threads of one process;
- *e Ray Tune*: a function trainable without ``reuse_actors``, two trials at a time;
- *f nested*: a TorchTrainer inside each trial of Ray Tune, two at a time;
- *g pool*: ``multiprocessing`` with two processes, nothing else: the floor;
- *h loop*: one process and at most four points, to see what a point trains when it is alone.

Each is a process of its own. Its wall time is what the sweep takes *with start-up*. A stopwatch
around ``train_point`` in every process tells when points trained, so the wall time is split into
*before* the first point's training, the *span* to the last point's end, and *after*. *Without
start-up* is the span's CPU time (span × points at a time) over the sum of what its points trained,
less one: 0 % is a way whose CPUs do nothing but train. Two points that train at once slow each
other down, which the seconds a point *trains* show; and the span is compared with the pool's as
well. *Between* is the median time from a point's end to the start of its successor. What wwdc does
and the others do not (claims, checkpoints to resume from on disk that survives, published and
hashed products) is in its figures.

Rounds go through the ways forwards and backwards in turn; medians are shown. ``--once`` names slow
ways that only the first round runs. *Others* are the CPUs that were busy with other work in the
two seconds before a run, the largest of the rounds: where it is not near 0, repeat on a quieter
machine. With ``--scale``, see ``scale.py``.
"""

import argparse
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import REPOSITORY, machine, table
from timed import Failed, Run, data_root, pin, timed
from ways import CPUS, EXPERIMENTS, overrides

ALONE = 4
OVER_TARGET = 0.05
FASTER_THAN = ("b", "c", "e", "f")


@dataclass(frozen=True)
class Way:
    """A way to run the sweep; the last three only serve the estimate, in seconds.

    Attributes:
        command: of ``ways.py``; empty for wwdc's own.
        at_once: points that train at a time.
        startup: from the start of the process to its end, training apart.
        extra: a point's beyond training.
        slower: how much longer a point trains than alone.
    """

    name: str
    command: str
    at_once: int = CPUS
    startup: float = 15.0
    extra: float = 0.1
    slower: float = 1.2

    def estimate(self, points: int, alone_s: float) -> float:
        """Seconds of a run, roughly."""
        waves = -(-points // self.at_once)
        return self.startup + waves * (alone_s * self.slower + self.extra)


WAYS = {
    "a": Way("wwdc", ""),
    "b": Way("Hydra", "hydra", at_once=1, slower=1.0),
    "c": Way("Hydra, joblib", "joblib"),
    "d": Way("Optuna", "optuna", slower=1.7),
    "e": Way("Ray Tune", "raw", extra=8.0),
    "f": Way("nested", "nested", extra=35.0),
    "g": Way("pool", "pool"),
    "h": Way("loop", "loop", at_once=1, slower=1.0),
}


@dataclass(frozen=True)
class Setting:
    """What all ways share."""

    template: Path
    todo: Path
    points: int
    epochs: int
    alone_s: float

    def of(self, key: str) -> int:
        """How many points a way trains."""
        return min(self.points, ALONE) if key == "h" else self.points

    def run(self, key: str) -> Run:
        """One way, once; wwdc publishes into a tree of its own."""
        way, points = WAYS[key], self.of(key)
        limit = 5 * way.estimate(points, self.alone_s) + 300
        with tempfile.TemporaryDirectory(prefix="wwdc-bench-") as folder:
            root = Path(folder) / "root"
            if way.command:
                root = self.template
                command = [str(REPOSITORY / "benchmarks" / "ways.py"), way.command, str(points)]
            else:
                shutil.copytree(self.template, root)
                what = overrides(self.points, self.epochs)
                command = ["-m", "wwdc.tune", str(EXPERIMENTS / "digits_flow"), *what]
            variables = {"DATA_ROOT": str(root), "SWEEPS_POINTS": str(self.todo)}
            return timed([sys.executable, *command], points, variables, limit_s=limit)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="a point trains alone")
    parser.add_argument("--points", type=int, default=24, help="of the sweep (default: 24)")
    parser.add_argument("--rounds", type=int, default=3, help="of each figure (default: 3)")
    parser.add_argument("--ways", type=keys, default=list(WAYS), help="letters (default: all)")
    parser.add_argument("--once", type=keys, default=["f"], help="first round only (default: f)")
    parser.add_argument("--scale", action="store_true", help="10 to 1000 points of 0.1 s by wwdc")
    parser.add_argument(
        "--sizes", type=sizes, default=[10, 100, 300, 1000], help="with --scale: points"
    )
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell ignores the first for background jobs
        signal.signal(number, signal.default_int_handler)
    print(machine(), flush=True)
    pin(CPUS)
    try:
        if options.scale:
            from scale import scale

            scale(options.sizes, options.rounds)
        else:
            compare(options)
    except KeyboardInterrupt:
        raise SystemExit("interrupted before anything was measured") from None


def keys(text: str) -> list[str]:
    """Letters of ways, as on the command line."""
    named = [key for key in text.replace(",", "") if key.strip()]
    if unknown := [key for key in named if key not in WAYS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]}: no such way; there are {', '.join(WAYS)}")
    return sorted(set(named))


def sizes(text: str) -> list[int]:
    """Numbers of points, as on the command line."""
    return sorted({int(word) for word in text.split(",")})


def compare(options: argparse.Namespace) -> None:
    """Run every way and print the table, also of what is there when it is interrupted."""
    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory(prefix="wwdc-bench-") as folder:
        template, todo = Path(folder) / "template", Path(folder) / "points.json"
        found = data_root(template, options.points, options.seconds, todo)
        epochs, alone_s = int(found["epochs"]), found["alone_s"]
        setting = Setting(template, todo, options.points, epochs, alone_s)
        order = schedule(options.rounds, options.ways, options.once)
        print(
            f"{options.points} points of {epochs} epochs, {found['epoch_s']:.3f} s each: "
            f"{alone_s:.1f} s a point, alone\n{estimate(order, setting)}",
            flush=True,
        )
        try:
            run_all(order, setting, runs)
        except KeyboardInterrupt:
            print("\ninterrupted; what was measured until then:")
    report(runs, setting, options.once, options.rounds)


def schedule(rounds: int, ways: Sequence[str], once: Sequence[str]) -> list[tuple[int, str]]:
    """Round and way, one after the other; every second round backwards."""
    order = []
    for number in range(1, rounds + 1):
        left = [way for way in ways if number == 1 or way not in once]
        order += [(number, way) for way in (left if number % 2 else reversed(left))]
    return order


def estimate(order: Iterable[tuple[int, str]], setting: Setting) -> str:
    """A line with the minutes that all will take, roughly, and those of each way."""
    minutes: dict[str, float] = {}
    for _, key in order:
        run = WAYS[key].estimate(setting.of(key), setting.alone_s) / 60
        minutes[key] = minutes.get(key, 0.0) + run
    parts = ", ".join(f"{key} {value:.1f}" for key, value in minutes.items())
    return f"this takes about {sum(minutes.values()):.0f} min ({parts}), more on a busy machine"


def run_all(order: Iterable[tuple[int, str]], setting: Setting, runs: dict[str, list[Run]]) -> None:
    """Measure one run after the other into *runs*, each told as it ends."""
    for number, key in order:
        at = time.strftime("%H:%M:%S")
        name = f"{at} round {number}, {key} {WAYS[key].name}"
        try:
            run = setting.run(key)
        except Failed as failure:
            print(f"{name}: failed: {failure}", flush=True)
            continue
        runs.setdefault(key, []).append(run)
        print(
            f"{name}: {run.wall:.1f} s = {run.before:.1f} + {run.span:.1f} + {run.after:.1f}, "
            f"a point trains {run.point:.2f}, over training {run.over(WAYS[key].at_once):+.1%}, "
            f"{run.others:.1f} CPUs busy before",
            flush=True,
        )


def report(
    runs: Mapping[str, Sequence[Run]], setting: Setting, once: Sequence[str], rounds: int
) -> None:
    """Print the table and how the targets were met."""
    header = ["way", "points", "at a time", "rounds", "wall s", "least–most"]
    header += ["before s", "span s", "after s", "a point trains s", "over training", "between s"]
    rows = [row(key, runs[key], setting.of(key)) for key in WAYS if key in runs]
    print()
    print(table([*header, "others"], rows))
    slow = [f"{key} {WAYS[key].name}" for key in once if key in runs]
    if slow and rounds > 1:
        print(f"\nmeasured in the first round only, being slow: {', '.join(slow)}")
    if "h" in runs and "g" in runs:
        ratio = middle(runs["g"], "point") / middle(runs["h"], "point")
        print(f"\na point trains {ratio:.2f} × as long in the pool, beside another, as alone")
    print("\n" + "\n".join(verdicts(runs, setting)))


def row(key: str, measured: Sequence[Run], points: int) -> list[str]:
    """The table's cells."""
    way, walls = WAYS[key], [run.wall for run in measured]
    parts = [middle(measured, name) for name in ("before", "span", "after")]
    over = statistics.median(run.over(way.at_once) for run in measured)
    return [
        f"{key} {way.name}",
        *(str(number) for number in (points, way.at_once, len(measured))),
        f"{statistics.median(walls):.1f}",
        f"{min(walls):.1f}–{max(walls):.1f}",
        *(f"{part:.1f}" for part in parts),
        f"{middle(measured, 'point'):.2f}",
        f"{over:+.1%}",
        f"{statistics.median(run.gap(way.at_once) for run in measured):.2f}",
        f"{max(run.others for run in measured):.1f}",
    ]


def middle(measured: Sequence[Run], name: str) -> float:
    """The median of a figure over the rounds."""
    return float(statistics.median(getattr(run, name) for run in measured))


def verdicts(runs: Mapping[str, Sequence[Run]], setting: Setting) -> list[str]:
    """A line for each target: wwdc against another way, then against pure training."""
    if "a" not in runs:
        return ["no target can be judged without a"]
    ours = runs["a"]
    lines = []
    for key in WAYS:
        if key not in runs or key in ("a", "h"):
            continue
        ratio = middle(runs[key], "wall") / middle(ours, "wall")
        line = f"with start-up, {key} {WAYS[key].name} : wwdc = {ratio:.2f}"
        judged = key in FASTER_THAN
        lines.append(line + (f"; > 1: {'met' if ratio > 1 else 'missed'}" if judged else ""))
    over = statistics.median(run.over(CPUS) for run in ours)
    lines.append(f"without start-up, wwdc over the training of its points: {told(over)}")
    if "g" in runs:
        over = middle(ours, "span") / middle(runs["g"], "span") - 1
        lines.append(f"without start-up, wwdc's span over the pool's: {told(over)}")
    return [*lines, f"at {setting.alone_s:.1f} s a point, {setting.points} points"]


def told(over: float) -> str:
    """A share of overhead against its target."""
    return f"{over:+.1%}; ≤ {OVER_TARGET:.0%}: {'met' if over <= OVER_TARGET else 'missed'}"


if __name__ == "__main__":
    main()
