"""The Ray a sweep runs on: found or started, checked for room, ended cleanly."""

__all__ = ["Engine", "cluster", "engine_for", "needed", "start_local"]

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psutil
import ray

from wwdc.config.schema import TuneConfig
from wwdc.errors import ClusterError

Engine = Literal["inline", "torch"]
KNOCK_S = 5.0
OBJECT_STORE_BYTES = 200 * 1024**2
LOCAL_ENVIRONMENT = (
    "RAY_ADDRESS",
    "RAY_GCS_SERVER_PORT",
    "RAY_TRAIN_ENABLE_STATE_TRACKING",
    "RAY_worker_niceness",
)
TUNE_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one talks even when asked not to
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


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
    trial = needed(settings)
    if ray.is_initialized():
        _refuse_unfit(trial, ray.cluster_resources(), "the connected cluster")
        yield
        return
    folder: Path | None = None
    before = {name: os.environ.get(name) for name in (*LOCAL_ENVIRONMENT, *TUNE_ENVIRONMENT)}
    if settings.address == "local":
        _refuse_unfit(trial, {"CPU": float(cpus), "GPU": float(_local_gpus())}, "this machine")
        folder = start_local(cpus, dashboard=engine == "torch")
    else:
        _connect(settings.address)
    try:
        if settings.address != "local":
            _refuse_unfit(trial, ray.cluster_resources(), f"the cluster at {settings.address}")
        yield
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        _restore(before)


def needed(settings: TuneConfig) -> dict[str, float]:
    """What one trial takes with all its workers: Ray's resource name → amount."""
    each = {"CPU": settings.resources.cpu or 0, "GPU": settings.resources.gpu or 0}
    return {name: float(amount) * settings.num_workers for name, amount in each.items()}


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
    folder = _ray_folder()
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=dashboard,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=OBJECT_STORE_BYTES,
        _node_ip_address=address,
        _temp_dir=str(folder),
    )
    return folder


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


def _ray_folder() -> Path:
    """A short folder for Ray (a socket's path has 107 bytes); those of killed runs are removed."""
    parent = Path("/tmp")
    for stale in parent.glob("wwdc-ray-*-*"):
        pid = stale.name.split("-")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(stale, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"wwdc-ray-{os.getpid()}-", dir=parent))


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


def _restore(variables: Mapping[str, str | None]) -> None:
    """Give the process back its environment: the address in it leads nowhere now."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
