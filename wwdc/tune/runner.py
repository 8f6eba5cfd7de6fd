"""Runs the points that are left on Ray Tune. The engine decides how one trial trains."""

__all__ = ["Sweep", "run_points"]

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from wwdc.cluster import Engine, needed
from wwdc.config.schema import TuneConfig
from wwdc.errors import ClusterError, ConfigError, WWDCError
from wwdc.tune.progress import Progress
from wwdc.tune.stopping import StopRequest
from wwdc.tune.trial import Row, TrialSpec, complete, hold, record_failure

REPORT_EVERY_S = 1.0
STATUS = "wwdc_status"


@dataclass(frozen=True)
class Sweep:
    """What a run of Ray Tune needs besides the points themselves."""

    settings: TuneConfig
    engine: Engine
    folder: Path
    progress: Progress
    stop: StopRequest


def run_points(specs: Mapping[str, TrialSpec], sweep: Sweep) -> dict[str, str]:
    """Train every spec as one Ray Tune run; point_id → ``done``, ``failed`` or ``elsewhere``.

    Raises:
        ConfigError: what the first epoch showed to be wrong for every point.
    """
    settings = sweep.settings
    trainable = _nested_trial if sweep.engine == "torch" else _inline_trial
    resources: Any = (
        tune.PlacementGroupFactory([{"node:__internal_head__": 0.001}])
        if sweep.engine == "torch"
        else {"cpu": settings.resources.cpu, "gpu": settings.resources.gpu}
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are told by the watcher
    watcher = _Watcher(specs, sweep)
    function = tune.with_parameters(
        trainable, specs=dict(specs), settings=settings.model_dump(), folder=sweep.folder
    )
    tuner = tune.Tuner(
        tune.with_resources(function, resources),
        param_space={"point": tune.grid_search(list(specs))},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=_concurrent(sweep),
            reuse_actors=sweep.engine == "inline",
            time_budget_s=settings.time_budget_s,
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=str(sweep.folder),
            failure_config=tune.FailureConfig(max_failures=settings.max_failures),
            callbacks=[watcher],
            stop=_WhenRefused(watcher),
            verbose=0,
        ),
    )
    tuner.fit()
    if watcher.refused:
        raise ConfigError(watcher.refused)
    return watcher.outcomes


def _inline_trial(
    config: dict[str, Any], specs: dict[str, TrialSpec], settings: dict[str, Any], folder: Path
) -> None:
    """A Tune trial that trains the point in its own, reused, process."""
    spec = specs[config["point"]]
    last = 0.0

    def report(row: Row) -> None:
        nonlocal last
        if time.monotonic() - last >= REPORT_EVERY_S:  # a report costs a round trip
            last = time.monotonic()
            tune.report(row | {"epoch": row["epoch"] + 1})

    _guarded(spec, lambda: {"metrics": complete(spec, report)})


def _nested_trial(
    config: dict[str, Any], specs: dict[str, TrialSpec], settings: dict[str, Any], folder: Path
) -> None:
    """A Tune trial that trains the point with a TorchTrainer of its own."""
    from wwdc.training.ray_train import fit_workers

    spec = specs[config["point"]]
    _guarded(
        spec,
        lambda: fit_workers(
            spec,
            num_workers=settings["num_workers"],
            resources=settings["resources"],
            storage=folder / "train",
            max_failures=settings["max_failures"],
        ),
    )


def _guarded(spec: TrialSpec, train: Any) -> None:
    """Claim, train, and tell Tune how it ended. What a retry may mend is raised for Tune."""
    with hold(spec) as held:
        if not held:
            tune.report({STATUS: "elsewhere"})
            return
        try:
            outcome = train()
        except ConfigError as error:
            tune.report({STATUS: "refused", "message": str(error)})
            return
        except WWDCError as error:
            record_failure(spec, error)
            outcome = {"error": str(error)}
        except Exception as error:
            record_failure(spec, error)
            raise
        if "error" in outcome:
            tune.report({STATUS: "failed", "message": outcome["error"]})
            return
    metrics = outcome["metrics"]
    tune.report({STATUS: "done", **metrics, "epoch": metrics.get("epochs")})


class _Watcher(tune.Callback):
    """Passes Tune's events to the terminal and remembers how each point ended."""

    def __init__(self, specs: Mapping[str, TrialSpec], sweep: Sweep) -> None:
        self.specs = specs
        self.progress = sweep.progress
        self.stop = sweep.stop
        self.outcomes: dict[str, str] = {}
        self.refused = ""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks; nothing of ours survives that, nor needs to.
        return {"outcomes": {}, "refused": ""}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.stop.check()

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
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
        self.progress.event(point, status or "running", result)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        point = trial.config["point"]
        self.outcomes[point] = "failed"
        spec = self.specs[point]
        if not (spec.keep / "failed.yaml").is_file():
            text = trial.error_file and Path(trial.error_file).read_text()
            record_failure(spec, ClusterError(text or "the trial's process died"))
        self.progress.event(point, "failed")


class _WhenRefused(tune.Stopper):
    """Ends the whole run when a point met a mistake that all points share."""

    def __init__(self, watcher: _Watcher) -> None:
        self.watcher = watcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return bool(self.watcher.refused)


def _concurrent(sweep: Sweep) -> int | None:
    """Tune does not see what a nested trainer asks for: count for it."""
    if sweep.engine == "inline":
        return sweep.settings.max_concurrent
    total, each = ray.cluster_resources(), needed(sweep.settings)
    fits = min(int(total.get(name, 0) // amount) for name, amount in each.items() if amount)
    return max(1, min(fits, sweep.settings.max_concurrent or fits))
