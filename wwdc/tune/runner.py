"""Runs the points that are left on Ray Tune. The engine decides how one trial trains."""

__all__ = ["Sweep", "run_points"]

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from wwdc.cluster import Engine, needed
from wwdc.cluster.groups import free_placement_groups
from wwdc.config.schema import TuneConfig
from wwdc.errors import ClusterError, ConfigError, Paused, WWDCError
from wwdc.products import Tree
from wwdc.terminal import notice
from wwdc.training.names import metrics_of
from wwdc.tune.asking import OptunaPoints
from wwdc.tune.exchange import Exchange, last_values, pack
from wwdc.tune.flags import (
    ask_to_pause,
    ask_to_stop,
    end_run,
    ended_run,
    start_run,
    tell_epoch_seconds,
)
from wwdc.tune.plan import Plan
from wwdc.tune.points import Point
from wwdc.tune.progress import Progress
from wwdc.tune.schedulers import EPOCH, STATUS, make_scheduler
from wwdc.tune.stopping import StopRequest
from wwdc.tune.sweeps import Searched
from wwdc.tune.trial import Ended, Row, TrialSpec, complete, hold, record_failure
from wwdc.tune.wishes import Wishes, has_time

if TYPE_CHECKING:
    from wwdc.training.callbacks import Wish

REPORT_EVERY_S = 1.0


@dataclass(frozen=True)
class Sweep:
    """What a run of Ray Tune needs besides the points themselves.

    Attributes:
        folder: of the run, named by its job's id.
        name: of the experiment, for Ray's dashboard.
        launch: what a trial needs to train a point.
        end: when the run has to have ended [s since 1970].
    """

    settings: TuneConfig
    engine: Engine
    folder: Path
    name: str
    tree: Tree
    progress: Progress
    stop: StopRequest
    launch: Callable[[Point], TrialSpec]
    end: float

    @property
    def over(self) -> bool:
        """Whether no more time is left."""
        return time.time() >= self.end


def run_points(points: Sequence[Point], plan: Plan, sweep: Sweep, *, ask: bool) -> dict[str, str]:
    """Train *points* as one Ray Tune run, and what a searcher asks for besides if *ask*.

    Returns:
        point_id → ``done``, ``stopped``, ``failed``, ``elsewhere`` or one of `LATER`; a point that
        was cut off is left out.

    Raises:
        ConfigError: what the first epoch showed to be wrong for every point.
    """
    outcomes = _run(points, plan, sweep, ask=ask)
    over = sweep.over or sweep.stop.soon
    resting = [point for point in points if point.point_id not in outcomes]
    if sweep.settings.scheduler == "hyperband" and resting and not over:
        # Paused and never taken up again: what they have is published.
        outcomes |= _run(resting, plan, sweep, ask=False, finish=True)
    return outcomes


def _run(
    points: Sequence[Point], plan: Plan, sweep: Sweep, *, ask: bool, finish: bool = False
) -> dict[str, str]:
    settings = sweep.settings
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are told by the watcher
    scheduler = "fifo" if finish else settings.scheduler
    specs = {point.point_id: sweep.launch(point) for point in points}
    watcher = _Watcher(specs, sweep)
    searched = {axis.key: axis for axis in plan.axes.searched} if plan.axes else {}
    work = _Work(settings.model_dump() | {"scheduler": scheduler}, sweep.folder, finish)
    search: dict[str, Any] = {}
    if ask:
        search["search_alg"] = OptunaPoints(
            plan, points, sweep.tree, settings, watcher.launch, notice
        )
        search["num_samples"] = len(points) + plan.to_ask
    space = {} if ask else {"point": tune.grid_search(list(specs))}
    if scheduler == "pbt":
        space |= {key: tune.sample_from(_Start(specs, key)) for key in searched}
    trainable = _nested_trial if sweep.engine == "torch" else _inline_trial
    function = tune.with_parameters(trainable, specs={} if ask else specs, work=work)
    function.__name__ = sweep.name
    tuner = tune.Tuner(
        tune.with_resources(function, _resources(sweep)),
        param_space=space,
        tune_config=tune.TuneConfig(
            max_concurrent_trials=_concurrent(sweep, ask),
            reuse_actors=sweep.engine == "inline",
            scheduler=_scheduler(scheduler, points, plan, sweep, searched),
            **search,
        ),
        run_config=tune.RunConfig(
            name="finish" if finish else "ray",
            storage_path=str(sweep.folder),
            failure_config=tune.FailureConfig(max_failures=settings.max_failures),
            callbacks=[watcher],
            stop=_Ends(watcher, sweep),
            verbose=0,
        ),
    )
    start_run(sweep.folder.name)
    try:
        tuner.fit()
    finally:
        for packed in sweep.folder.glob("ray/*/checkpoint_*"):
            shutil.rmtree(packed, ignore_errors=True)
    if sweep.engine == "torch" and watcher.specs.keys() != watcher.outcomes.keys():
        free_placement_groups()  # the time was over: Tune ended trials
    if watcher.refused:
        raise ConfigError(watcher.refused)
    return watcher.outcomes


@dataclass(frozen=True)
class _Work:
    """What is the same for every trial of a run."""

    settings: dict[str, Any]
    folder: Path
    finish: bool


def _inline_trial(config: dict[str, Any], specs: dict[str, TrialSpec], work: _Work) -> None:
    """A Tune trial that trains the point in its own, reused, process."""
    spec = config.get("spec") or specs[config["point"]]
    scheduler = work.settings["scheduler"]
    watched = metrics_of(work.settings)
    last = 0.0
    wishes = Wishes(spec, watched=scheduler != "fifo")

    def report(row: Row) -> "Wish | None":
        nonlocal last
        row = row | {"epoch": row["epoch"] + 1}
        if scheduler == "fifo":
            if time.monotonic() - last >= REPORT_EVERY_S:  # a report costs a round trip
                last = time.monotonic()
                tune.report(row)
            return wishes()
        if any(name not in row for name in watched):
            return wishes()
        if scheduler in ("pbt", "hyperband"):
            with tempfile.TemporaryDirectory(prefix="wwdc-pack-") as folder:
                packed = (
                    pack(spec.keep, spec.point_id, Path(folder)) if scheduler == "pbt" else folder
                )
                tune.report(row, checkpoint=tune.Checkpoint.from_directory(str(packed)))
        else:
            tune.report(row)
        return wishes()

    def train() -> Outcome:
        if scheduler != "pbt":
            return _told(complete(spec, report, finish=work.finish))
        values = {key: config[key] for key in spec.searched}
        checkpoint = tune.get_checkpoint()
        if checkpoint is None:
            return _told(complete(spec, report, exchange=Exchange(values)))
        with checkpoint.as_directory() as folder:
            return _told(complete(spec, report, exchange=Exchange(values, Path(folder))))

    _guarded(spec, train)


def _nested_trial(config: dict[str, Any], specs: dict[str, TrialSpec], work: _Work) -> None:
    """A Tune trial that trains the point with a TorchTrainer of its own."""
    from wwdc.training.ray_train import fit_workers

    spec = config.get("spec") or specs[config["point"]]
    _guarded(
        spec,
        lambda: fit_workers(
            spec,
            num_workers=work.settings["num_workers"],
            resources=work.settings["resources"],
            storage=work.folder / "train",
            max_failures=work.settings["max_failures"],
            watch=work.settings["scheduler"] != "fifo",
        ),
    )


Outcome = dict[str, Any]


def _told(ended: Ended) -> Outcome:
    return {"status": ended.status, "metrics": ended.metrics}


def _guarded(spec: TrialSpec, train: Callable[[], Outcome]) -> None:
    """Claim, train, and tell Tune how it ended. What a retry may mend is raised for Tune."""
    if not has_time(spec):
        tune.report({STATUS: "unstarted"})
        return
    with hold(spec) as held:
        if not held:
            tune.report({STATUS: "elsewhere"})
            return
        try:
            outcome = train()
        except Paused:
            tune.report({STATUS: "paused"})
            return
        except ConfigError as error:
            tune.report({STATUS: "refused", "message": str(error)})
            return
        except WWDCError as error:
            record_failure(spec, error)
            outcome = {"error": str(error)}
        except Exception as error:
            if not ended_run(spec.job_id):
                record_failure(spec, error)
            raise
        if "error" in outcome:
            tune.report({STATUS: "failed", "message": outcome["error"]})
            return
    metrics = outcome["metrics"]
    tune.report({STATUS: outcome["status"], **metrics, EPOCH: metrics.get("epochs")})


class _Watcher(tune.Callback):
    """Passes Tune's events to the terminal and remembers how each point ended."""

    def __init__(self, specs: Mapping[str, TrialSpec], sweep: Sweep) -> None:
        self.specs = dict(specs)
        self.sweep = sweep
        self.progress = sweep.progress
        self.outcomes: dict[str, str] = {}
        self.refused = ""
        self.training: set[str] = set()
        self._asked_to_pause = False
        self._seen: dict[str, tuple[float, float]] = {}  # point → its epoch, when that was heard of

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks; nothing of ours survives that, nor needs to.
        return {"outcomes": {}, "refused": ""}

    def launch(self, point: Point) -> dict[str, Any]:
        """The configuration of a trial for a point that a searcher chose."""
        spec = self.sweep.launch(point)
        self.specs[point.point_id] = spec
        self.progress.add(point)
        return {"point": point.point_id, "spec": spec}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if self.sweep.stop.code is not None:
            end_run(self.sweep.folder.name)
        self.sweep.stop.check()
        if self.sweep.stop.soon and not self._asked_to_pause:
            self._asked_to_pause = True
            ask_to_pause(self.sweep.folder.name)

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        if self._asked_to_pause:
            return  # it looks, and leaves
        self.training.add(trial.config["point"])
        self.progress.event(trial.config["point"], "running")

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        point, status = trial.config["point"], result.get(STATUS)
        if status == "refused":
            self.refused = str(result["message"])
            return
        if status is not None:
            self.outcomes[point] = status
            self.training.discard(point)
        else:
            self._time(point, result)
        self.progress.event(point, status or "running", result)

    def _time(self, point: str, result: dict[str, Any]) -> None:
        """Tell the trials to come how long an epoch takes."""
        epoch, now = result.get(EPOCH), time.monotonic()
        if epoch is None:
            return
        before, then = self._seen.get(point, (epoch, now))
        if epoch > before:
            tell_epoch_seconds(self.sweep.folder.name, (now - then) / (epoch - before))
        self._seen[point] = epoch, now

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        point = trial.config["point"]
        self.outcomes[point] = "failed"
        self.training.discard(point)
        spec = self.specs[point]
        if not (spec.keep / "failed.yaml").is_file():
            text = trial.error_file and Path(trial.error_file).read_text()
            record_failure(spec, ClusterError(text or "the trial's process died"))
        self.progress.event(point, "failed")


class _Ends(tune.Stopper):
    """Ends the whole run when a point met a mistake that all share, or when the time is over.

    It is over at the run's end, or before once a warning came and no point trains any more. What
    the trials then meet, as their resources go, is no failure of theirs: it is said first.
    """

    def __init__(self, watcher: _Watcher, sweep: Sweep) -> None:
        self.watcher = watcher
        self.sweep = sweep

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as the watcher's

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        left = self.sweep.stop.soon and not self.watcher.training
        ends = bool(self.watcher.refused) or left or self.sweep.over
        if ends:
            end_run(self.sweep.folder.name)
        return ends


class _Start:
    """The value that a member of a population begins with: what it last had, if it was killed."""

    def __init__(self, specs: Mapping[str, TrialSpec], key: str) -> None:
        self.values = {
            point: (spec.searched | last_values(spec.keep))[key] for point, spec in specs.items()
        }

    def __call__(self, chosen: Any) -> Any:
        return self.values[chosen["config"]["point"]]


def _scheduler(
    name: str,
    points: Sequence[Point],
    plan: Plan,
    sweep: Sweep,
    searched: Mapping[str, Searched],
) -> TrialScheduler:
    epochs = [point.config["trainer"]["max_epochs"] for point in (*points, *plan.probes)]
    settings = sweep.settings.model_copy(update={"scheduler": name})

    def ask(trial: Trial) -> None:
        ask_to_stop(sweep.folder.name, trial.config["point"])

    return make_scheduler(settings, max(epochs, default=1) or 1, searched, ask)


def _resources(sweep: Sweep) -> Any:
    if sweep.engine == "torch":
        return tune.PlacementGroupFactory([{"node:__internal_head__": 0.001}])
    resources = sweep.settings.resources
    return {"cpu": resources.cpu, "gpu": resources.gpu}


def _concurrent(sweep: Sweep, ask: bool) -> int | None:
    """Tune does not see what a nested trainer asks for: count for it.

    A searcher is counted for too: it should choose as late as it can.
    """
    if sweep.engine == "inline" and not ask:
        return sweep.settings.max_concurrent
    total, each = ray.cluster_resources(), needed(sweep.settings)
    fits = min(int(total.get(name, 0) // amount) for name, amount in each.items() if amount)
    return max(1, min(fits, sweep.settings.max_concurrent or fits))
