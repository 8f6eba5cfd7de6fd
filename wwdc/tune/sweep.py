"""A sweep from plan to products: what a run writes, in which order, and how it ends."""

__all__ = ["new_job_id", "run_sweep"]

import json
import os
import random
import shutil
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import yaml
from rich.console import Console

from wwdc.config import Composed, fill
from wwdc.config.schema import TuneConfig
from wwdc.prepare import write_catalogue
from wwdc.products import Tree, atomic_write
from wwdc.terminal import EXIT_FAILED, EXIT_OK, EXIT_STOPPED, notice
from wwdc.tune.points import Plan, Point, make_plan
from wwdc.tune.preflight import preflight
from wwdc.tune.progress import Progress
from wwdc.tune.stopping import Stopped, StopRequest
from wwdc.tune.trial import TrialSpec

POLL_S = 2.0


def run_sweep(
    composed: Composed, tree: Tree, plan: Plan, *, fresh: bool, console: Console
) -> tuple[Plan, int]:
    """Train every point that is left; the plan afterwards and the exit code.

    Raises:
        WWDCError: a mistake that is found before anything starts.
    """
    if not plan.left and not plan.counts["running"] and not plan.counts["blocked"]:
        return plan, EXIT_OK
    with console.status("checking data and models"):
        datasets = preflight(plan, composed, notice)
    from wwdc.cluster import cluster, engine_for
    from wwdc.tune.runner import Sweep, run_points

    settings = _with_gpus(composed.tune, plan)
    engine = engine_for(settings)
    cpus = settings.cpus or _own_cpus()
    outcomes: dict[str, str] = {}
    code, stop = EXIT_OK, StopRequest()
    deadline = time.monotonic() + settings.time_budget_s if settings.time_budget_s else None
    with ExitStack() as stack:
        with console.status("starting Ray"):
            stack.enter_context(cluster(settings, engine, cpus))
        stack.enter_context(stop.listening())
        for dataset in datasets:
            write_catalogue(dataset, composed.data_root / composed.meta.data_name, notice)
        job_id = composed.job or new_job_id()
        folder = tree.multiruns / job_id
        _freeze(composed, plan, folder, job_id)
        progress = Progress(plan, str(settings.metric), _epochs(plan), console)
        sweep = Sweep(settings, engine, folder, progress, stop)
        try:
            with progress:
                while todo := [p for p in plan.left if p.point_id not in outcomes]:
                    specs = {p.point_id: _spec(p, composed, job_id, fresh) for p in todo}
                    outcomes |= {
                        point: outcome
                        for point, outcome in run_points(specs, sweep).items()
                        if outcome != "elsewhere"
                    }
                    if deadline and time.monotonic() >= deadline:
                        break
                    plan = _wait_for_others(composed, tree, progress, outcomes, stop)
        except Stopped as stopped:
            code = stopped.code
    after = make_plan(composed, tree)
    return after, code or _exit_code(after)


def _with_gpus(settings: TuneConfig, plan: Plan) -> TuneConfig:
    """The settings with a number of GPUs: one where a trainer asks for it and none is said."""
    if settings.resources.gpu is not None:
        return settings
    wanted = any(point.config["trainer"].get("accelerator") == "gpu" for point in plan.points)
    resources = settings.resources.model_copy(update={"gpu": float(wanted)})
    return settings.model_copy(update={"resources": resources})


def _own_cpus() -> int:
    """CPUs this process may use, which on a shared node are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def new_job_id() -> str:
    """Slurm's job id (array: ``A_T``) under Slurm, else date, time and three random digits."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    if array and task:
        return f"{array}_{task}"
    stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
    return os.environ.get("SLURM_JOB_ID") or f"{stamp}{random.SystemRandom().randrange(1000):03d}"


def _freeze(composed: Composed, plan: Plan, folder: Path, job_id: str) -> None:
    """Keep what this run was asked for: the experiment folder, the plan, every configuration."""
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        composed.folder,
        folder / "experiment",
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__", ".*"),
    )
    atomic_write(folder / "plan.json", json.dumps(plan.as_json(), indent=1))
    for point in plan.left:
        job = f"{job_id}_{point.job_num}"
        config = fill(point.config, job=job, data_root=composed.data_root)
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        atomic_write(folder / "configs" / f"{point.job_num}.yaml", text)


def _spec(point: Point, composed: Composed, job_id: str, fresh: bool) -> TrialSpec:
    value = json.dumps(point.value) if point.param else None
    record = {
        "param": _as_written(point, composed),
        "val": value,
        "sweep": point.sweep,
        "description": point.description,
        "config_id": point.config_id,
        "seed": point.seed,
        "overrides": point.overrides,
    }
    return TrialSpec(
        point_id=point.point_id,
        job_id=job_id,
        job_num=point.job_num,
        data_root=composed.data_root,
        data_name=composed.meta.data_name,
        experiment_name=composed.meta.experiment_name,
        config=point.config,
        record=record,
        lineage=point.lineage,
        fresh=fresh,
        code=composed.folder if composed.trust else None,
    )


def _as_written(point: Point, composed: Composed) -> str | None:
    entry = composed.sweeps.get(point.sweep or "")
    return entry.param if entry else point.param


def _epochs(plan: Plan) -> dict[str, int | None]:
    return {point.point_id: point.config["trainer"].get("max_epochs") for point in plan.points}


def _wait_for_others(
    composed: Composed,
    tree: Tree,
    progress: Progress,
    outcomes: dict[str, str],
    stop: StopRequest,
) -> Plan:
    """The plan once no other run trains a point of ours, or has left one behind."""
    told = False
    while True:
        stop.check()
        plan = make_plan(composed, tree)
        left = [point for point in plan.left if point.point_id not in outcomes]
        running = plan.counts["running"]
        for point in plan.points:
            if point.status in ("done", "stopped") and point.point_id not in outcomes:
                progress.event(point.point_id, point.status)
        if left or not running:
            return plan
        if not told:
            notice(f"{running} points are being trained by another run; waiting for them.")
            told = True
        time.sleep(POLL_S)


def _exit_code(plan: Plan) -> int:
    if plan.counts["failed"]:
        return EXIT_FAILED
    return EXIT_OK if not plan.left and not plan.counts["running"] else EXIT_STOPPED
