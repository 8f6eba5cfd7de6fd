"""What there is to run on and how many trials it holds, told without importing Ray or torch."""

__all__ = ["Engine", "Misfit", "Room", "engine_for", "needed", "own_cpus", "room_of"]

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from wwdc.config.devices import gpu_count
from wwdc.config.schema import TuneConfig
from wwdc.errors import ClusterError

Engine = Literal["inline", "torch"]
Amounts = Mapping[str, float]  # Ray's resource name → how many

_ROUNDING = 1e-9
_NODES = re.compile(r"(\d+)(?:\(x(\d+)\))?")


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


def needed(settings: TuneConfig) -> dict[str, float]:
    """What one trial takes with all its workers: Ray's resource name → amount."""
    return {name: amount * settings.num_workers for name, amount in _worker(settings).items()}


@dataclass(frozen=True)
class Misfit:
    """Why no trial will ever start, and what to change."""

    reason: str
    remedy: str


@dataclass(frozen=True)
class Room:
    """The machines that trials may use.

    Attributes:
        where: what they are, for people: ``this machine``.
        nodes: what each of them offers.

    >>> room = Room("this machine", ({"CPU": 8, "GPU": 1},))
    >>> room.holds(TuneConfig.model_validate({"resources": {"cpu": 2, "gpu": 0.5}}))
    2
    """

    where: str
    nodes: tuple[Amounts, ...]

    @property
    def total(self) -> dict[str, float]:
        """What all machines offer together."""
        return {name: float(sum(node.get(name, 0) for node in self.nodes)) for name in _NAMES}

    def holds(self, settings: TuneConfig) -> int:
        """How many trials run at a time: a worker takes one machine, a trial may take several."""
        worker = _worker(settings)
        return sum(_slots(node, worker) for node in self.nodes) // settings.num_workers

    def misfit(self, settings: TuneConfig) -> Misfit | None:
        """Why not even one trial can run here; None where it can."""
        total = self.total
        for name, amount in needed(settings).items():
            if amount > total[name]:
                return Misfit(
                    f"a trial needs {amount:g} {name}, {self.where} has {total[name]:g}",
                    f"lower tune.resources.{name.lower()} or tune.num_workers",
                )
        if self.holds(settings):
            return None
        worker = " and ".join(f"{amount:g} {name}" for name, amount in _worker(settings).items())
        return Misfit(
            f"a trial needs {settings.num_workers} × ({worker}), each on one machine, and "
            f"{self.where} has no machines for that",
            "lower tune.resources or tune.num_workers",
        )


def room_of(settings: TuneConfig, environment: Mapping[str, str] = os.environ) -> Room | None:
    """What a run with these settings would have: this machine, or the whole Slurm allocation.

    None with ``tune.address`` outside Slurm: it is known once the cluster is connected to.
    """
    if settings.address == "local":
        cpus = settings.cpus or own_cpus(environment)
        return Room("this machine", ({"CPU": cpus, "GPU": _own_gpus(environment)},))
    if "SLURM_JOB_ID" not in environment:
        return None
    gpus = int(environment.get("SLURM_GPUS_ON_NODE") or 0)
    nodes = tuple({"CPU": cpus, "GPU": gpus} for cpus in _allocated(environment))
    return Room("this Slurm job", nodes) if nodes else None


def own_cpus(environment: Mapping[str, str] = os.environ) -> int:
    """CPUs this process may use, which on a shared node are fewer than there are."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return min(cpus, int(environment.get("SLURM_CPUS_ON_NODE") or cpus))


_NAMES = ("CPU", "GPU")


def _worker(settings: TuneConfig) -> dict[str, float]:
    resources = settings.resources
    return {"CPU": float(resources.cpu), "GPU": float(resources.gpu or 0)}


def _slots(node: Amounts, worker: Amounts) -> int:
    """How many workers fit on a machine. Shares of a GPU are of the same card."""
    slots = []
    for name, amount in worker.items():
        has = node.get(name, 0)
        if name == "GPU" and 0 < amount < 1:
            slots.append(int(has) * int(1 / amount + _ROUNDING))
        elif amount:
            slots.append(int(has / amount + _ROUNDING))
    return min(slots)


def _own_gpus(environment: Mapping[str, str]) -> int:
    here = gpu_count()
    return min(here, int(environment.get("SLURM_GPUS_ON_NODE") or here))


def _allocated(environment: Mapping[str, str]) -> list[int]:
    """CPUs of each node of the Slurm job: ``72(x2),36`` are three nodes."""
    listed = environment.get("SLURM_JOB_CPUS_PER_NODE", "")
    found = [(int(cpus), int(times or 1)) for cpus, times in _NODES.findall(listed)]
    if found:
        return [cpus for cpus, times in found for _ in range(times)]
    cpus, nodes = environment.get("SLURM_CPUS_ON_NODE"), environment.get("SLURM_JOB_NUM_NODES")
    return [int(cpus)] * int(nodes or 1) if cpus else []
