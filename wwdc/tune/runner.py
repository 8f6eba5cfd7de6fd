"""Runs the points that are left on Ray Tune. The engine decides how one trial trains."""

__all__ = ["Sweep", "cluster", "engine_for", "run_points", "start_local"]

import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ray
from ray import tune
from ray.tune.experiment import Trial

from wwdc.config.schema import TuneConfig
from wwdc.errors import ClusterError, ConfigError, WWDCError
from wwdc.tune.progress import Progress
from wwdc.tune.stopping import StopRequest
from wwdc.tune.trial import Row, TrialSpec, complete, hold, record_failure

Engine = Literal["inline", "torch"]
REPORT_EVERY_S = 1.0
KNOCK_S = 5.0
STATUS = "wwdc_status"
OBJECT_STORE_BYTES = 200 * 1024**2
TUNE_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one talks even when asked not to
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


@dataclass(frozen=True)
class Sweep:
    """What a run of Ray Tune needs besides the points themselves."""

    settings: TuneConfig
    engine: Engine
    folder: Path
    progress: Progress
    stop: StopRequest


def engine_for(settings: TuneConfig) -> Engine:
    """The engine ``auto`` means: ``torch`` with GPUs or several workers, else ``inline``.

    Raises:
        ClusterError: several workers were asked of the inline engine.
    """
    wants_torch = settings.num_workers > 1 or (settings.resources.gpu or 0) > 0
    if settings.engine == "inline" and settings.num_workers > 1:
        raise ClusterError(
            f"tune.num_workers={settings.num_workers} needs tune.engine=torch: the inline engine "
            "trains a point in one process."
        )
    if settings.engine == "auto":
        return "torch" if wants_torch else "inline"
    return settings.engine


@contextmanager
def cluster(settings: TuneConfig, engine: Engine, cpus: int) -> Iterator[None]:
    """A Ray to run on: the one this process is connected to, else ``tune.address``.

    ``local`` starts one on this machine and ends it afterwards.

    Raises:
        ClusterError: a trial can never fit, or the address does not answer.
    """
    needed = _needed(settings)
    if ray.is_initialized():
        _refuse_unfit(needed, ray.cluster_resources(), "the connected cluster")
        yield
        return
    folder: Path | None = None
    if settings.address == "local":
        _refuse_unfit(needed, {"CPU": float(cpus), "GPU": float(_local_gpus())}, "this machine")
        folder = start_local(cpus, dashboard=engine == "torch")
    else:
        _connect(settings.address)
    try:
        if settings.address != "local":
            _refuse_unfit(needed, ray.cluster_resources(), f"the cluster at {settings.address}")
        yield
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


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
    total, needed = ray.cluster_resources(), _needed(sweep.settings)
    fits = min(int(total.get(name, 0) // amount) for name, amount in needed.items() if amount)
    return max(1, min(fits, sweep.settings.max_concurrent or fits))


def _needed(settings: TuneConfig) -> dict[str, float]:
    each = {"CPU": settings.resources.cpu or 0, "GPU": settings.resources.gpu or 0}
    return {name: float(amount) * settings.num_workers for name, amount in each.items()}


def _refuse_unfit(needed: Mapping[str, float], total: Mapping[str, float], where: str) -> None:
    for name, amount in needed.items():
        if amount > total.get(name, 0.0):
            raise ClusterError(
                f"a trial needs {amount:g} {name}, {where} has {total.get(name, 0.0):g}. "
                f"Lower tune.resources.{name.lower()} or tune.num_workers."
            )


def _local_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def start_local(cpus: int, dashboard: bool) -> Path:
    """Start a Ray of our own and return its temporary folder, the caller's to remove.

    Its address is in every process' environment.

    A nested trainer frees an early-stopped trial's workers through the state API (so the dashboard
    must run) of the Ray that ``RAY_ADDRESS`` names (so several on a machine are told apart).
    """
    address, port = ray.util.get_node_ip_address(), _free_port()
    os.environ.update(
        RAY_ADDRESS=f"{address}:{port}",
        RAY_GCS_SERVER_PORT=str(port),
        RAY_worker_niceness="0",
        RAY_TRAIN_ENABLE_STATE_TRACKING="1",
        **TUNE_ENVIRONMENT,
    )
    folder = tempfile.mkdtemp(prefix="wwdc-ray-", dir="/tmp")  # sockets: 107 bytes at most
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=dashboard,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=OBJECT_STORE_BYTES,
        _node_ip_address=address,
        _temp_dir=folder,
    )
    return Path(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _knock(address: str) -> None:
    """Ray waits minutes for an address where nobody listens."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ClusterError(
            f"tune.address={address}: expected local, auto or HOST:PORT, such as 10.0.0.1:6379."
        )
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
    except OSError as error:
        raise ClusterError(
            f"tune.address={address}: no Ray answers there ({error}). Start one, or use "
            "tune.address=local."
        ) from error


def _connect(address: str) -> None:
    os.environ.update(TUNE_ENVIRONMENT)
    _knock(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        raise ClusterError(f"tune.address={address}: no Ray answers there ({error}).") from error
