"""What a Slurm job costs and what more hosts bring, on a throwaway Slurm of this machine.

    python benchmarks/cluster.py [--points 24] [--seconds 3] [--rounds 1]
    python benchmarks/cluster.py --parts requeue
    python benchmarks/cluster.py --points 12 --seconds 1    # a small run

Needs Linux, root and the packages that ``cluster/dev/up --help`` names. Hosts ``node1`` to
``node3`` have two CPUs each, in name: they share this machine's. Three parts:

- *start*: seconds from the first lines of ``cluster/ray_head.sh`` to the end of the first epoch of
  any point, on one and on three hosts, with as many points as fit at a time. Ray's head is up when
  ``ray start`` says so; the nodes have joined when the script begins the stage; the sweep is
  planned when its plan is written; a trial begins in a worker that has imported torch. Beside it
  *local*, a plain ``python -m wwdc.tune`` here, from the start of the process; and *bare*, Ray's
  own template of a batch script with its fixed pauses and Ray Tune on the same points, no wwdc
  around them.
- *trials*: trials a minute on one, two and three hosts, the same sweep on each. A point sleeps for
  two epochs, as training itself would measure nothing but this machine's cores. Counted is from
  the first trial's start to the last one's end, by their info files, so that no boot is in it. But
  the time in which the other workers import torch is, six of them on this machine's cores; so the
  figures stand there a second time, from the moment when all slots are *busy*. *Ideal* is that all
  slots sleep all the time.
- *requeue*: a sweep on two hosts is warned after three epochs, as it is before a time limit, goes
  back to the queue and is finished. Epochs trained twice come from the logs of all starts. The
  seconds without an epoch are split into leaving (last epoch to requeue), Slurm's own wait, and
  the second start.

Latents are cached beforehand for all ways. Each run tells on stderr how many CPUs were busy with
other work just before: where that is not near 0, repeat on a quieter machine.
"""

import argparse
import contextlib
import datetime
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from measure import REPOSITORY, machine, table
from timed import environment, others

sys.path.insert(0, str(REPOSITORY))

from tests.cluster.conftest import Case
from tests.cluster.slurm import WHY_NOT, Job, Slurm
from tests.conftest import flow_experiment, vae_experiment

PARTS = ("start", "trials", "requeue")
SLOTS = 2  # of a host
HOSTS = (1, 2, 3)
EPOCHS = 2
REQUEUE_EPOCHS = 20
WARN_AFTER = 3
LIMIT_S = 420.0
TICK_S = 0.05
BAR = 2.4
STEPS = ("Ray's head", "all nodes", "planned", "first trial", "first epoch")
CHEAP = {"sweeps": {}}
BEGAN = '[ -n "${{WWDC_JOB_DIR:-}}" ] || echo "$EPOCHREALTIME" >>{file}'
"""Evaluated by the batch script first of all, and by the nodes, which have the folder's name."""

BARE_JOB = """#!/bin/bash
echo "$EPOCHREALTIME" >>{folder}/starts
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head_ip=$(srun --nodes=1 --ntasks=1 --nodelist="${{nodes[0]}}" hostname --ip-address)
export RAY_ADDRESS=$head_ip:6379
export RAY_AUTH_MODE=disabled
srun --nodes=1 --ntasks=1 --nodelist="${{nodes[0]}}" {ray} start --head --block \\
  --node-ip-address="$head_ip" --port=6379 --num-cpus="$SLURM_CPUS_PER_TASK" &
sleep 10
for node in "${{nodes[@]:1}}"; do
  srun --nodes=1 --ntasks=1 --nodelist="$node" {ray} start --block \\
    --address="$RAY_ADDRESS" --num-cpus="$SLURM_CPUS_PER_TASK" &
  sleep 5
done
{python} -u {folder}/bare.py $((SLURM_JOB_NUM_NODES * SLURM_CPUS_PER_TASK))
echo "job ends with code $?"
"""
BARE_SWEEP = """
import json, os, sys, tempfile, time
from pathlib import Path
from ray import tune

folder = Path({folder!r})
config, vae_id = json.loads((folder / "point.json").read_text())

def report(row):
    with (folder / "epochs").open("a") as file:
        file.write(f"{{time.time()}}\\n")

def trial(_):
    from wwdc.training.loop import train_point

    with tempfile.TemporaryDirectory() as scratch:
        keep = Path(scratch, "keep")
        keep.mkdir()
        train_point(config, keep=keep, work=Path(scratch, "work"), vae_id=vae_id, report=report)

tune.Tuner(
    tune.with_resources(trial, {{"cpu": 1}}),
    tune_config=tune.TuneConfig(num_samples=int(sys.argv[1])),
    run_config=tune.RunConfig(storage_path=str(folder / "ray"), verbose=0),
).fit()
"""


class Epoch(NamedTuple):
    """An epoch that was trained, and when it ended [s since 1970]."""

    point: str
    number: int
    moment: float


class Place:
    """The hosts, and a DATA_ROOT with a VAE and its cached latents for each run to copy."""

    def __init__(self, slurm: Slurm, folder: Path) -> None:
        self.slurm = slurm
        self.folder = folder
        self.template = folder / "template"
        small = ("tune.cpus=1", "trainer.max_epochs=1")
        _tune(self.template, str(vae_experiment(folder)), *small)
        _tune(self.template, str(flow_experiment(folder, seeds=[0], **CHEAP)), *small)
        shutil.rmtree(self.template / "DIGITS" / "FLOW")

    def case(self, what: str) -> Case:
        """A run's own folder, once the hosts are empty; tells how busy the machine is."""
        self._empty_hosts()
        busy = others()
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}, {busy:.1f} CPUs busy before\n")
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        folder.chmod(0o755)
        return Case(self.slurm, folder, self.template)

    def _empty_hosts(self, patience_s: float = 30.0) -> None:
        """A bare `ray start` leaves processes behind, which would be in the next run's way."""
        end = time.monotonic() + patience_s
        while left := [p for host in self.slurm.hosts for p in self.slurm.processes(host)]:
            waited = time.monotonic() - end
            if waited > patience_s:
                raise SystemExit(f"the hosts do not get empty: {left[0].command}")
            for process in left:
                if waited > 0 and not process.command.startswith("slurmstepd"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.2)


def submit(case: Case, experiment: Path, *overrides: str, hosts: int) -> Job:
    """A job whose starts are noted in the case's folder."""
    setup = BEGAN.format(file=case.folder / "starts")
    return case.submit(experiment, *overrides, nodes=hosts, cpus=SLOTS, WWDC_SETUP=setup)


def starts(case: Case) -> list[float]:
    """When the batch script began, each time."""
    return [float(line) for line in _text(case.folder / "starts").splitlines()]


def output(case: Case, job: Job) -> str:
    """What the job said; asks nothing of the controller, which would take its time."""
    return _text(case.folder / f"{job.id}.out")


def epochs(root: Path) -> list[Epoch]:
    """Every epoch that was trained in the tree, in all runs, by time."""
    found = []
    for log in root.glob("DIGITS/FLOW/multiruns/*/logs/*.log"):
        for day, clock, number in re.findall(r"^(\S+) (\S+) INFO epoch (\d+):", _text(log), re.M):
            moment = datetime.datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H:%M:%S,%f")
            found.append(Epoch(log.stem, int(number), moment.timestamp()))
    return sorted(found, key=lambda epoch: epoch.moment)


def wait_for(
    signs: Mapping[str, Callable[[], object]], ended: Callable[[], str | None]
) -> dict[str, float]:
    """When each sign was seen first [s since 1970]; *ended* says why it will come no more."""
    seen: dict[str, float] = {}
    limit = time.monotonic() + LIMIT_S
    while len(seen) < len(signs):
        why = ended()
        seen |= {name: time.time() for name, sign in signs.items() if name not in seen and sign()}
        if len(seen) < len(signs) and (why is not None or time.monotonic() > limit):
            missing = ", ".join(name for name in signs if name not in seen)
            raise SystemExit(f"it was not seen: {missing}\n{why or ''}")
        time.sleep(TICK_S)
    return seen


def finish(case: Case, job: Job) -> None:
    """Wait for the end of a job that has to succeed."""
    text = wait_for_end(case, job)
    if job.wait(LIMIT_S):
        raise SystemExit(f"job {job.id} failed:\n{text[-3000:]}")


def wait_for_end(case: Case, job: Job) -> str:
    """The job's output once its script has ended for good."""
    wait_for({"end": lambda: "ends with code" in output(case, job)}, lambda: None)
    return output(case, job)


def end_of(case: Case, job: Job) -> Callable[[], str | None]:
    """For `wait_for`."""

    def ended() -> str | None:
        text = output(case, job)
        return text[-3000:] if "ends with code" in text else None

    return ended


# --- start -----------------------------------------------------------------------------------


def start_on(place: Place, hosts: int) -> dict[str, float]:
    """Seconds from a job's start to each of `STEPS`."""
    case = place.case(f"start on {hosts} host(s)")
    experiment = case.experiment(seeds=list(range(SLOTS * hosts)), **CHEAP)
    job = submit(case, experiment, "trainer.max_epochs=1", hosts=hosts)

    def head() -> bool:
        texts = [_text(log) for log in case.root.glob(".wwdc-*/*.log")]
        return any("head on" in text and "Ray runtime started" in text for text in texts)

    signs = {
        STEPS[0]: head,
        STEPS[1]: lambda: re.search("^1 node$|nodes joined", output(case, job), re.M),
        STEPS[2]: lambda: planned(case),
    }
    seen = wait_for(signs, end_of(case, job))
    finish(case, job)
    seen[STEPS[0]] = min(seen[STEPS[0]], seen[STEPS[1]])  # it may say so after it was counted
    (began,) = starts(case)
    return {name: moment - began for name, moment in (seen | first(case)).items()}


def start_here(place: Place) -> dict[str, float]:
    """The same of a plain sweep on this machine; Ray is started within the stage."""
    case = place.case("start here")
    experiment = case.experiment(seeds=list(range(SLOTS)), **CHEAP)
    command = [sys.executable, "-m", "wwdc.tune", str(experiment), "trainer.max_epochs=1"]
    log = case.folder / "log"
    with log.open("w") as file:
        began = time.time()
        child = subprocess.Popen(
            [*command, f"tune.cpus={SLOTS}"],
            env=environment() | case.environment(),
            cwd=case.folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            seen = wait_for(
                {STEPS[2]: lambda: planned(case)},
                lambda: None if child.poll() is None else _text(log)[-3000:],
            )
            code = child.wait(LIMIT_S)
        finally:
            child.terminate()
            child.wait()
    if code:
        raise SystemExit(f"{' '.join(command)} failed:\n{_text(log)[-3000:]}")
    return {name: moment - began for name, moment in (seen | first(case)).items()}


def start_bare(place: Place, hosts: int) -> dict[str, float]:
    """Seconds to the first epoch with Ray's own batch script."""
    case = place.case(f"start of bare Ray on {hosts} host(s)")
    (case.folder / "point.json").write_text(json.dumps(resolved(case)))
    (case.folder / "bare.py").write_text(BARE_SWEEP.format(folder=str(case.folder)))
    ray = Path(sys.executable).with_name("ray")
    job = place.slurm.submit(
        BARE_JOB.format(folder=case.folder, ray=ray, python=sys.executable),
        options=[
            f"--nodes={hosts}",
            "--ntasks-per-node=1",
            f"--cpus-per-task={SLOTS}",
            f"--output={case.folder}/%j.out",
        ],
        environment=environment() | case.environment(),
        cwd=case.folder,
    )
    finish(case, job)
    (began,) = starts(case)
    trained = [float(line) for line in _text(case.folder / "epochs").splitlines()]
    if len(trained) != SLOTS * hosts or "ends with code 0" not in output(case, job):
        raise SystemExit(f"bare Ray trained {len(trained)} points:\n{output(case, job)[-3000:]}")
    return {STEPS[-1]: min(trained) - began}


def planned(case: Case) -> bool:
    """Whether the sweep's plan is written."""
    return any(case.tree.multiruns.glob("*/plan.json"))


def first(case: Case) -> dict[str, float]:
    """When the first trial began, and when the first epoch of any ended."""
    return {STEPS[3]: spans(case)[0][0], STEPS[4]: epochs(case.root)[0].moment}


def resolved(case: Case) -> tuple[dict[str, object], str]:
    """What `train_point` takes for a point: its configuration and the id of its VAE."""
    from wwdc.config import fill, load
    from wwdc.tune.plan import make_plan

    os.environ["DATA_ROOT"] = str(case.root)
    composed = load(case.experiment(seeds=[0], **CHEAP), ("trainer.max_epochs=1",))
    (point,) = make_plan(composed, case.tree).points
    config = fill(point.config, job=f"0_{point.job_num}", data_root=case.root)
    return config, point.lineage["vae"]["point_id"]


def start(place: Place, rounds: int) -> None:
    """Print the table of starts."""
    ways: dict[str, Callable[[], dict[str, float]]] = {
        "local": lambda: start_here(place),
        "job, 1 host": lambda: start_on(place, 1),
        "job, 3 hosts": lambda: start_on(place, 3),
        "bare, 1 host": lambda: start_bare(place, 1),
        "bare, 3 hosts": lambda: start_bare(place, 3),
    }
    took: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(rounds):
        for name, way in ways.items():
            took[name].append(way())
    medians = {
        name: {step: statistics.median(run[step] for run in runs) for step in runs[0]}
        for name, runs in took.items()
    }
    local = medians["local"][STEPS[-1]]
    rows = []
    for name, steps in medians.items():
        before, cells = 0.0, []
        for step in STEPS:
            cells.append(f"{steps[step] - before:.1f}" if step in steps else "–")
            before = steps.get(step, before)
        if len(steps) == 1:
            cells[-1] = "–"
        rows.append([name, *cells, f"{before:.1f}", f"{before / local:.2f}"])
    print(f"\nseconds to each step from the one before, {rounds} round(s):\n")
    print(table(["start", *STEPS, "in all s", "× local"], rows))
    for hosts in ("1 host", "3 hosts"):
        ratio = medians[f"bare, {hosts}"][STEPS[-1]] / medians[f"job, {hosts}"][STEPS[-1]]
        print(f"\nbare : job, {hosts}, to the first epoch: {ratio:.2f}")


# --- trials ----------------------------------------------------------------------------------


def spans(case: Case) -> list[tuple[float, float]]:
    """When each trial began and ended [s since 1970], by its beginning."""

    def moment(text: str) -> float:
        return datetime.datetime.fromisoformat(text).timestamp()

    infos = [product.info for product in case.tree.products()]
    return sorted((moment(info.created), moment(info.finished)) for info in infos)


def sweep_on(place: Place, hosts: int, points: int, seconds: float) -> list[tuple[float, float]]:
    """A sweep of points that sleep; when each began and ended."""
    case = place.case(f"{points} trials on {hosts} host(s)")
    experiment = case.experiment(pace(seconds), seeds=list(range(points)), **CHEAP)
    job = submit(case, experiment, f"trainer.max_epochs={EPOCHS}", hosts=hosts)
    finish(case, job)
    found = spans(case)
    used = {product.info.host for product in case.tree.products()}
    if len(found) != points or len(used) != hosts:
        raise SystemExit(f"{len(found)} trials on {sorted(used)}:\n{output(case, job)[-3000:]}")
    return found


def pace(seconds: float) -> dict[str, object]:
    """The callback that sleeps in every epoch."""
    return {"_target_": "tests.cluster.pace.Pace", "seconds": seconds}


def trials(place: Place, points: int, seconds: float) -> None:
    """Print the table of trials a minute."""
    header = ["hosts", "slots", "span s", "a trial s", "trials/min", "× 1 host", "of the ideal"]
    rows, whole, full = [], {}, {}
    for hosts in HOSTS:
        found = sweep_on(place, hosts, points, seconds)
        slots, begin = SLOTS * hosts, found[0][0]
        busy = all_busy(found, slots)
        whole[hosts], full[hosts] = rate(found, begin), rate(found, busy)
        ideal = 60 * slots / (EPOCHS * seconds)
        rows.append(
            [
                f"{hosts}",
                f"{slots}",
                f"{max(end for _, end in found) - begin:.1f}",
                f"{statistics.median(end - begin for begin, end in found):.2f}",
                f"{whole[hosts]:.1f}",
                f"{whole[hosts] / whole[1]:.2f}",
                f"{whole[hosts] / ideal:.2f}",
                f"{busy - begin:.1f}",
                f"{full[hosts]:.1f}",
                f"{full[hosts] / full[1]:.2f}",
                f"{full[hosts] / ideal:.2f}",
            ]
        )
    print(f"\n{points} trials of {EPOCHS} × {seconds:g} s of sleep:\n")
    print(table([*header, "all busy after s", *header[-3:]], rows))
    last = HOSTS[-1]
    ratio = whole[last] / whole[1]
    verdict = "met" if ratio >= BAR else "missed"
    print(f"\n{last} hosts : 1 host, trials a minute: {ratio:.2f}; ≥ {BAR}: {verdict}")
    print(f"\n{last} hosts : 1 host, once all slots are busy: {full[last] / full[1]:.2f}")


def all_busy(found: Sequence[tuple[float, float]], slots: int) -> float:
    """When as many trials as there are slots ran at once, for the first time."""
    for moment, _ in found:
        if sum(begin <= moment < end for begin, end in found) >= slots:
            return moment
    raise SystemExit(f"never did {slots} trials run at once: take more --points")


def rate(found: Sequence[tuple[float, float]], since: float) -> float:
    """Trials a minute from a moment to the last end; of one that has begun before, what is left."""
    last = max(end for _, end in found)
    done = sum((end - max(begin, since)) / (end - begin) for begin, end in found if end > since)
    return 60 * done / (last - since)


# --- requeue ---------------------------------------------------------------------------------


def requeue(place: Place) -> None:
    """Print what a requeue costs."""
    hosts, seconds = 2, 1.0
    points = SLOTS * hosts
    case = place.case("requeue")
    experiment = case.experiment(pace(seconds), seeds=list(range(points)), **CHEAP)
    job = submit(case, experiment, f"trainer.max_epochs={REQUEUE_EPOCHS}", hosts=hosts)
    enough = {"epochs": lambda: len(epochs(case.root)) >= WARN_AFTER * points}
    wait_for(enough, end_of(case, job))
    job.cancel("--signal=USR1", "--batch")
    signs = {
        "requeue": lambda: "is back in the queue" in output(case, job),
        "start": lambda: len(starts(case)) == 2,
    }
    queued = wait_for(signs, end_of(case, job))["requeue"]
    finish(case, job)
    began = starts(case)
    trained = epochs(case.root)
    before = [epoch for epoch in trained if epoch.moment < began[1]]
    after = [epoch for epoch in trained if epoch.moment > began[1]]
    expected = points * REQUEUE_EPOCHS
    if not after or len({epoch[:2] for epoch in trained}) != expected:
        raise SystemExit(f"trained {len(trained)} epochs:\n{output(case, job)[-3000:]}")
    idle = after[0].moment - before[-1].moment
    wait = began[1] - queued
    again = after[0].moment - began[1]
    twice = len(trained) - expected
    rows = [
        ["from the last epoch to requeue", f"{queued - before[-1].moment:.1f}"],
        ["Slurm's own wait", f"{wait:.1f}"],
        ["from the second start to an epoch", f"{again:.1f}"],
        ["without an epoch", f"{idle:.1f}"],
        ["without an epoch, Slurm's wait apart", f"{idle - wait:.1f}"],
    ]
    told = f"{points} points of {REQUEUE_EPOCHS} epochs, {len(before)} of them before the requeue"
    print(f"\n{told}:\n")
    print(table(["requeue", "s"], rows))
    ratio = again / (trained[0].moment - began[0])
    print(f"\nsecond start : first start, to an epoch: {ratio:.2f}")
    verdict = "met" if twice == 0 else "missed"
    print(f"\nepochs trained twice: {twice}; 0: {verdict} (without resuming: {len(before)})")


def parts(text: str) -> Sequence[str]:
    """Parts that an option names."""
    found = text.split(",")
    if not set(found) <= set(PARTS):
        raise argparse.ArgumentTypeError(f"{text!r}; the parts are {', '.join(PARTS)}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", type=parts, default=PARTS, help="which (default: all three)")
    parser.add_argument("--rounds", type=int, default=1, help="of each start (default: 1)")
    parser.add_argument("--points", type=int, default=24, help="of trials (default: 24)")
    parser.add_argument("--seconds", type=float, default=3.0, help="an epoch of trials sleeps")
    options = parser.parse_args()
    if WHY_NOT:
        raise SystemExit(f"there can be no Slurm here: {WHY_NOT}")
    for number in (signal.SIGINT, signal.SIGTERM):  # hosts are taken down in both cases
        signal.signal(number, signal.default_int_handler)
    print(machine(), flush=True)
    try:
        measure(options)
    except KeyboardInterrupt:
        raise SystemExit("interrupted") from None


def measure(options: argparse.Namespace) -> None:
    """Run the parts on a Slurm of their own, and print their tables."""
    with tempfile.TemporaryDirectory(prefix="wwdc-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Slurm(folder / "slurm", hosts=HOSTS[-1], cpus=SLOTS) as slurm:
            place = Place(slurm, folder)
            if "start" in options.parts:
                start(place, options.rounds)
            if "trials" in options.parts:
                trials(place, options.points, options.seconds)
            if "requeue" in options.parts:
                requeue(place)


def _tune(root: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "wwdc.tune", *arguments]
    variables = environment() | {"DATA_ROOT": str(root)}
    done = subprocess.run(command, env=variables, cwd=root.parent, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr[-2000:]}")


def _text(path: Path) -> str:
    """A file's text; none while it is not there."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    main()
