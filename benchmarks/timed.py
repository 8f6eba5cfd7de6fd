"""A sweep as a process of its own: how long it took, and when each of its points trained."""

__all__ = ["Failed", "Run", "data_root", "environment", "others", "pin", "timed"]

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from measure import REPOSITORY
from ways import EXPERIMENTS

STOPWATCH = REPOSITORY / "benchmarks" / "stopwatch"
END_S = 20.0


class Failed(Exception):
    """A command failed, trained other points than it should have, or took too long."""


@dataclass(frozen=True)
class Run:
    """What the stopwatch saw of a run; all in seconds.

    Attributes:
        wall: from the start of the process to its end.
        before: from the start of the process to the first point's training.
        span: from there to the end of the last point's training.
        trained: what each point trained, whatever else ran meanwhile.
        cpu: CPU seconds of the process alone, without those it started.
        others: CPUs that were busy with other work just before.
    """

    wall: float
    before: float
    span: float
    trained: list[float] = field(repr=False)
    starts: list[float] = field(repr=False)
    ends: list[float] = field(repr=False)
    cpu: float
    others: float

    @property
    def after(self) -> float:
        """From the end of the last point's training to the end of the process."""
        return self.wall - self.before - self.span

    @property
    def point(self) -> float:
        """What a point trains, the median."""
        return statistics.median(self.trained)

    def over(self, at_once: int) -> float:
        """The CPUs' time in the span by the time they trained, less one."""
        return self.span * at_once / sum(self.trained) - 1

    def gap(self, at_once: int) -> float:
        """Median time from a point's end to the start of the one that takes its place."""
        pairs = zip(self.ends, self.starts[at_once:], strict=False)
        gaps = [start - end for end, start in pairs]
        return statistics.median(gaps) if gaps else float("nan")


def timed(
    command: Sequence[str],
    points: int,
    variables: Mapping[str, str],
    *,
    limit_s: float,
    watch: Callable[[psutil.Process], AbstractContextManager[object]] = lambda _: nullcontext(),
) -> Run:
    """Run *command* under the stopwatch.

    Args:
        points: how many it has to train.
        variables: environment beyond `environment`.
        limit_s: after this long it is ended.
        watch: entered while it runs.

    Raises:
        Failed: it returned an error, took too long, or trained another number of points.
    """
    with tempfile.TemporaryDirectory(prefix="wwdc-bench-") as folder:
        lines, log = Path(folder) / "times.jsonl", Path(folder) / "log"
        lines.touch()
        stopwatch = {
            "PYTHONPATH": os.pathsep.join([str(STOPWATCH), *_given("PYTHONPATH")]),
            "SWEEPS_STOPWATCH": str(lines),
            "SWEEPS_PARENT": str(os.getpid()),
            "SWEEPS_FOLDER": folder,
        }
        busy = others()
        with log.open("w") as output:
            start = time.time()
            child = subprocess.Popen(
                command,
                env=environment() | stopwatch | variables,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                with watch(psutil.Process(child.pid)):
                    code = child.wait(limit_s)
                end = time.time()
            except subprocess.TimeoutExpired:
                raise Failed(f"not done after {limit_s:.0f} s\n{_tail(log)}") from None
            finally:
                _end(child)
        notes = [json.loads(line) for line in lines.read_text().splitlines()]
        if code:
            raise Failed(f"exit code {code}\n{_tail(log)}")
    cpu = next((note["cpu"] for note in notes if "cpu" in note), float("nan"))
    calls = sorted((note["start"], note["end"]) for note in notes if "start" in note)
    if len(calls) != points:
        raise Failed(f"it trained {len(calls)} points, not {points}")
    starts, ends = [call[0] for call in calls], sorted(call[1] for call in calls)
    return Run(
        wall=end - start,
        before=starts[0] - start,
        span=ends[-1] - starts[0],
        trained=[b - a for a, b in calls],
        starts=starts,
        ends=ends,
        cpu=cpu,
        others=busy,
    )


def _given(name: str) -> list[str]:
    return [value] if (value := os.environ.get(name)) else []


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a process that still runs, and what it started in its session."""
    if child.poll() is not None:
        return
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def environment() -> dict[str, str]:
    """This process' environment with one thread for numerics, as Ray gives a one-CPU trial."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def pin(cpus: int) -> None:
    """Keep this process and all it starts on so many CPUs."""
    if not hasattr(os, "sched_setaffinity"):
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])


def others(seconds: float = 2.0) -> float:
    """How many CPUs are busy while this process waits so long."""
    return psutil.cpu_percent(seconds) / 100 * (psutil.cpu_count() or 1)


def data_root(root: Path, points: int, seconds: float, todo: Path) -> dict[str, float]:
    """Train a VAE and cache its latents in *root*; what ``ways.py prepare`` measured."""
    variables = {"DATA_ROOT": str(root), "SWEEPS_POINTS": str(todo)}
    small = ("data.x_ds.views=2", "trainer.max_epochs=1", "seed=1", "tune.cpus=1")
    ways = str(REPOSITORY / "benchmarks" / "ways.py")
    for command in (
        ["-m", "wwdc.tune", str(EXPERIMENTS / "digits_vae"), *small],
        [ways, "prepare", str(points), "--seconds", str(seconds)],
    ):
        done = subprocess.run(
            [sys.executable, *command],
            env=environment() | variables,
            cwd=todo.parent,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr[-2000:]}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured
