"""A sweep from plan to products: what a run writes, in which order, and how it ends."""

__all__ = ["new_job_id", "run_sweep", "with_gpus"]

import json
import random
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from wwdc.cluster.job import batch_job
from wwdc.config import Composed, fill
from wwdc.config.schema import TuneConfig
from wwdc.prepare import write_catalogue
from wwdc.products import Tree, atomic_write
from wwdc.terminal import EXIT_FAILED, EXIT_OK, EXIT_STOPPED, notice
from wwdc.tune.costs import Costs
from wwdc.tune.plan import Plan, make_plan
from wwdc.tune.points import Point
from wwdc.tune.preflight import preflight
from wwdc.tune.progress import Progress
from wwdc.tune.stopping import LATER, Stopped, StopRequest
from wwdc.tune.sweeps import read_axes
from wwdc.tune.trial import TrialSpec

if TYPE_CHECKING:
    from wwdc.cluster import Engine

POLL_S = 2.0


def run_sweep(
    composed: Composed, tree: Tree, plan: Plan, *, fresh: bool, console: Console
) -> tuple[Plan, int]:
    """Train every point that is left; the plan afterwards and the exit code.

    Raises:
        WWDCError: a mistake that is found before anything starts.
    """
    if not plan.left and not plan.open and not plan.counts["running"] + plan.counts["blocked"]:
        return plan, EXIT_OK
    with console.status("checking data and models"):
        datasets = preflight(plan, composed, notice)
    from wwdc.cluster import cluster, engine_for, own_cpus

    settings = with_gpus(composed.tune, plan)
    engine = engine_for(settings)
    stop = StopRequest(patient=True)
    code = EXIT_OK
    with ExitStack() as stack:
        with console.status("starting Ray"):
            cpus = settings.cpus or own_cpus()
            dashboard = stack.enter_context(cluster(settings, engine, cpus, plan.experiment))
        if dashboard:
            console.print(f"Ray dashboard: {dashboard}", markup=False, soft_wrap=True)
        stack.enter_context(stop.listening())
        for dataset in datasets:
            write_catalogue(dataset, composed.data_root / composed.meta.data_name, notice)
        run = _Run(composed, tree, settings, engine, fresh, console, stop)
        try:
            run.train(plan)
        except Stopped as stopped:
            code = stopped.code
    after = make_plan(composed, tree)
    code = code or _exit_code(after, run.over)
    return after, batch_job().stopped(run.progressed) if code == EXIT_STOPPED else code


class _Run:
    """One run of a sweep: its folder, and what came of its points so far."""

    def __init__(
        self,
        composed: Composed,
        tree: Tree,
        settings: TuneConfig,
        engine: "Engine",
        fresh: bool,
        console: Console,
        stop: StopRequest,
    ) -> None:
        self.composed, self.tree, self.settings, self.engine = composed, tree, settings, engine
        self.fresh, self.console, self.stop = fresh, console, stop
        self.job_id = composed.job or new_job_id()
        self.outcomes: dict[str, str] = {}
        self.end = batch_job().deadline(settings.time_budget_s)
        self.costs = Costs(product.info for product in tree.products())
        self.before = _kept(tree)

    @property
    def progressed(self) -> bool:
        """Whether anything was trained that need not be trained again."""
        return _kept(self.tree) != self.before

    @property
    def over(self) -> bool:
        """Whether the time ended the run, or is about to."""
        late = time.time() >= self.end or self.stop.soon
        return late or any(how in LATER for how in self.outcomes.values())

    def train(self, plan: Plan) -> None:
        """Train what is left until nothing is, or the time is over.

        Samples of a search come first, then the replicates of the best, which no scheduler stops.
        """
        folder = self.tree.multiruns / self.job_id
        _freeze(self.composed, plan, folder, self.job_id)
        progress = Progress(plan, self.settings.metrics[0], console=self.console)
        with progress:
            while True:
                todo = [p for p in plan.left if p.point_id not in self.outcomes]
                ask = plan.to_ask > 0
                if todo or ask:
                    found = self._batch(plan, todo, ask, folder, progress)
                    if ask and not found:
                        return  # the space holds no more
                elif not plan.counts["running"]:
                    return
                if self.over:
                    return
                plan = self._wait_for_others(progress)

    def _batch(
        self, plan: Plan, todo: Sequence[Point], ask: bool, folder: Path, progress: Progress
    ) -> dict[str, str]:
        """Train the points that come next, and keep how each ended."""
        from wwdc.tune.runner import Sweep, run_points

        first = plan.first_seed(todo)
        sweep = Sweep(
            self._settings(replicates=not first and not ask),
            self.engine,
            folder,
            plan.experiment.replace("/", " "),
            self.tree,
            progress,
            self.stop,
            self._launch,
            self.end,
        )
        found = run_points(first if first or ask else todo, plan, sweep, ask=ask)
        self.outcomes |= {p: how for p, how in found.items() if how != "elsewhere"}
        return found

    def _settings(self, replicates: bool) -> TuneConfig:
        if not replicates:
            return self.settings
        return self.settings.model_copy(update={"scheduler": "fifo"})

    def _launch(self, point: Point) -> TrialSpec:
        cost = self.costs.of(point.config)
        return replace(
            _spec(point, self.composed, self.job_id, self.fresh),
            end=self.end,
            epoch_s=cost.epoch_s if cost else None,
        )

    def _wait_for_others(self, progress: Progress) -> Plan:
        """The plan once no other run trains a point of ours, or has left one behind."""
        told = False
        while True:
            self.stop.check()
            plan = make_plan(self.composed, self.tree)
            progress.follow(plan)
            left = [point for point in plan.left if point.point_id not in self.outcomes]
            running = plan.counts["running"]
            for point in plan.points:
                if point.status in ("done", "stopped") and point.point_id not in self.outcomes:
                    progress.event(point.point_id, point.status)
            if left or not running or self.over:
                return plan
            if not told:
                notice(f"Waiting for another run, which trains {running} of the points.")
                told = True
            time.sleep(POLL_S)


def with_gpus(settings: TuneConfig, plan: Plan) -> TuneConfig:
    """The settings with a number of GPUs: one where a trainer asks for it and none is said."""
    points = (*plan.points, *plan.probes)
    if settings.resources.gpu is None:
        wanted = any(point.config["trainer"].get("accelerator") == "gpu" for point in points)
        resources = settings.resources.model_copy(update={"gpu": float(wanted)})
        settings = settings.model_copy(update={"resources": resources})
    if settings.scheduler in ("hyperband", "pbt"):  # which need the engine that Tune sees into
        return settings.model_copy(update={"engine": "inline"})
    return settings


def new_job_id() -> str:
    """Slurm's job id (array: ``A_T``) under Slurm, else date, time and three random digits."""
    stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
    return batch_job().id or f"{stamp}{random.SystemRandom().randrange(1000):03d}"


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
        searched=_searched(point, composed),
        fresh=fresh,
        code=composed.folder if composed.trust else None,
    )


def _searched(point: Point, composed: Composed) -> dict[str, Any]:
    """The values that population-based training may change."""
    if composed.tune.scheduler != "pbt":
        return {}
    keys = {axis.key for axis in read_axes(composed).searched}
    return {key: value for key, value in point.overrides.items() if key in keys}


def _as_written(point: Point, composed: Composed) -> str | None:
    entry = composed.sweeps.get(point.sweep or "")
    return entry.param if entry else point.param


def _kept(tree: Tree) -> dict[str, int]:
    """What is finished, and when what is not was last saved, by point."""
    saved = {path.parent.name: path.stat().st_mtime_ns for path in tree.points.glob("*/last.ckpt")}
    return saved | dict.fromkeys(tree.finished(), 0)


def _exit_code(plan: Plan, over: bool) -> int:
    waiting = plan.open or any(point.status != "failed" for point in plan.left)
    if over and waiting:
        return EXIT_STOPPED  # what failed has its reason, what waits its turn: the run goes on
    if plan.counts["failed"]:
        return EXIT_FAILED
    return EXIT_OK if plan.finished else EXIT_STOPPED
