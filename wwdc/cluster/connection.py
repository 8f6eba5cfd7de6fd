"""The Ray a sweep runs on: found or started, checked for room, ended cleanly."""

__all__ = ["cluster", "start_local"]

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import ray
from ray.job_config import JobConfig

from wwdc.cluster.folders import hold, is_left_over
from wwdc.cluster.room import Engine, Room
from wwdc.config.devices import gpu_count
from wwdc.config.schema import TuneConfig
from wwdc.errors import ClusterError

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
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # an epoch may lack the metric
}


@dataclass(frozen=True)
class LocalRay:
    """A Ray that this process started, and the address of its dashboard where it has one."""

    folder: Path
    dashboard: str | None
    lock: IO[str]

    def end(self) -> None:
        """Shut it down and remove what it wrote."""
        ray.shutdown()
        self.lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def cluster(settings: TuneConfig, engine: Engine, cpus: int, name: str) -> Iterator[str | None]:
    """A Ray to run on: the one this process is connected to, else ``tune.address``.

    ``local`` starts one on this machine and ends it afterwards. Yields the address of the
    dashboard of one that was started here, where it has one.

    Args:
        name: of the experiment, which the dashboard shows with the job.

    Raises:
        ClusterError: a trial can never fit, or the address does not answer.
    """
    if ray.is_initialized():
        _refuse_unfit(settings, _connected("the connected cluster"))
        yield None
        return
    local: LocalRay | None = None
    before = {name: os.environ.get(name) for name in (*LOCAL_ENVIRONMENT, *TUNE_ENVIRONMENT)}
    if settings.address == "local":
        here = {"CPU": float(cpus), "GPU": float(gpu_count())}
        _refuse_unfit(settings, Room("this machine", (here,)))
        wanted = settings.dashboard or engine == "torch"
        local = start_local(cpus, dashboard=wanted, name=name)
    else:
        _connect(settings.address, name)
    try:
        if settings.address != "local":
            _refuse_unfit(settings, _connected(f"the cluster at {settings.address}"))
        yield local.dashboard if local else None
    finally:
        local.end() if local else ray.shutdown()
        _restore(before)


def start_local(cpus: int, dashboard: bool, name: str = "wwdc") -> LocalRay:
    """Start a Ray of our own, the caller's to end.

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
    folder, lock = _ray_folder()
    context = ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=dashboard,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=OBJECT_STORE_BYTES,
        _node_ip_address=address,
        _temp_dir=str(folder),
        job_config=_named(name),
    )
    return LocalRay(folder, f"http://{context.dashboard_url}" if dashboard else None, lock)


def _named(name: str) -> JobConfig:
    return JobConfig(metadata={"job_name": name, "experiment": name})


def _refuse_unfit(settings: TuneConfig, room: Room) -> None:
    misfit = room.misfit(settings)
    if misfit:
        remedy = misfit.remedy[0].upper() + misfit.remedy[1:]
        raise ClusterError(f"{misfit.reason}. {remedy}.")


def _connected(where: str) -> Room:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Room(where, tuple(nodes))


def _ray_folder() -> tuple[Path, IO[str]]:
    """A short folder for Ray (a socket's path has 107 bytes); those of killed runs are removed."""
    parent = Path("/tmp")
    for folder in parent.glob("wwdc-ray-*"):
        if is_left_over(folder):
            shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"wwdc-ray-{os.getpid()}-", dir=parent))
    return folder, hold(folder)


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


def _connect(address: str, name: str) -> None:
    os.environ.update(TUNE_ENVIRONMENT)
    _knock(address)
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="ERROR",
            job_config=_named(name),
            # A nested trainer's clean-up looks for its Ray by this where several run on a machine.
            runtime_env={} if address == "auto" else {"env_vars": {"RAY_ADDRESS": address}},
        )
    except ConnectionError as error:
        raise ClusterError(f"tune.address={address}: no Ray answers there ({error}).") from error


def _restore(variables: Mapping[str, str | None]) -> None:
    """Give the process back its environment: the address in it leads nowhere now."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
