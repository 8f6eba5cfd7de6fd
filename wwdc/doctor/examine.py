"""All checks, in groups and in the order in which they are told."""

__all__ = ["Group", "Machine", "examine"]

import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from wwdc.doctor.check import Check, guarded

if TYPE_CHECKING:
    from wwdc.doctor.disk import Disk
    from wwdc.doctor.gpus import Driver
    from wwdc.doctor.machine import ProcessorFacts
    from wwdc.doctor.packages import Needed, Torch
    from wwdc.doctor.slurm import SlurmFacts

_Looks = Iterator[tuple[str, Callable[[], Check]]]


@dataclass(frozen=True)
class Group:
    """Checks that belong together."""

    name: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Machine:
    """What several checks ask, found out once, when the first of them does.

    Attributes:
        environment: the variables of the shell.
        quick: whether to start no Ray.
        early_stop: whether to stop trials early in the Ray that is started.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    quick: bool = False
    early_stop: bool = False

    @cached_property
    def imported(self) -> "tuple[tuple[Needed, ...], Torch | None]":
        from wwdc.doctor.packages import import_packages

        return import_packages()

    @cached_property
    def disk(self) -> "Disk":
        from wwdc.doctor.disk import disk_facts

        return disk_facts(self.environment)

    @cached_property
    def processors(self) -> "ProcessorFacts":
        from wwdc.doctor.machine import processor_facts

        return processor_facts(self.environment)

    @cached_property
    def driver(self) -> "Driver":
        from wwdc.doctor.gpus import driver_facts

        return driver_facts()

    @cached_property
    def slurm(self) -> "SlurmFacts":
        from wwdc.doctor.slurm import slurm_facts

        return slurm_facts(self.environment)

    @property
    def in_job(self) -> bool:
        """Whether this process looks like part of a Slurm job."""
        return "SLURM_JOB_ID" in self.environment

    @property
    def on_cluster(self) -> bool:
        """Whether there are other nodes that matter."""
        return self.in_job or self.slurm.answers


def examine(machine: Machine, say: Callable[[str], None] = lambda text: None) -> Iterator[Group]:
    """Look at everything; *say* is told what comes next.

    A package that is missing or broken makes the checks fail that need it, and no others.
    """
    for name, looks in _GROUPS.items():
        say(name)
        yield Group(name, tuple(guarded(what, look) for what, look in looks(machine)))


def _python(machine: Machine) -> _Looks:
    from wwdc.doctor import packages as its

    python = its.python_facts()
    yield "Python", lambda: its.check_python(python)
    yield "wwdc", lambda: its.check_wwdc(its.wwdc_facts(), python.executable)
    yield "packages", lambda: its.check_packages(machine.imported[0], python.executable)


def _machine(machine: Machine) -> _Looks:
    from wwdc.doctor import machine as its

    named = machine.environment.get("TMPDIR")
    folders = dict.fromkeys([Path("/tmp"), Path(named or "/tmp")])
    shared_memory = Path("/dev/shm")
    yield "host name", lambda: its.check_host(its.host_facts(), machine.on_cluster)
    yield "CPUs", lambda: its.check_processors(machine.processors)
    yield "memory", lambda: its.check_memory(machine.processors)
    yield "limits", lambda: its.check_limits(its.limit_facts())
    yield "temp folders", lambda: its.check_temporary([*map(its.place_facts, folders)], named)
    yield (
        "/dev/shm",
        lambda: its.check_shared_memory(
            its.place_facts(shared_memory) if shared_memory.is_dir() else None
        ),
    )


def _data(machine: Machine) -> _Looks:
    from wwdc.doctor import disk as its

    temporary = Path(tempfile.gettempdir())
    yield "DATA_ROOT", lambda: its.check_data_root(machine.disk)
    yield "space", lambda: its.check_space(machine.disk)
    yield "files", lambda: its.check_files(machine.disk)
    yield "shared", lambda: its.check_shared(machine.disk, temporary, machine.on_cluster)


def _gpus(machine: Machine) -> _Looks:
    from wwdc.doctor import gpus as its

    def torch() -> Check:
        found = machine.imported[1]
        return its.check_torch(found, machine.driver, machine.environment, sys.executable)

    def gpus() -> Check:
        counted = importlib.import_module("wwdc.config.devices").gpu_count()
        return its.check_gpus(machine.driver, machine.imported[1], counted, machine.environment)

    yield "torch", torch
    yield "GPUs", gpus


def _ray(machine: Machine) -> _Looks:
    from wwdc.doctor import rays as its

    yield "RAY_*", lambda: its.check_variables(machine.environment)
    yield "leftovers", lambda: its.check_leftovers(its.leftover_facts())
    yield (
        "Ray",
        lambda: its.check_start(
            None if machine.quick else its.start_ray(machine.early_stop), machine.early_stop
        ),
    )


def _slurm(machine: Machine) -> _Looks:
    from wwdc.doctor import slurm as its

    yield "Slurm", lambda: its.check_programs(machine.slurm)
    if machine.in_job or len(machine.slurm.missing) < len(its.PROGRAMS):
        yield "controller", lambda: its.check_controller(machine.slurm, machine.in_job)
    if machine.slurm.answers:
        yield "partitions", lambda: its.check_partitions(machine.slurm)
        yield "requeueing", lambda: its.check_requeue(machine.slurm)
    yield "job", lambda: its.check_job(its.job_facts(machine.environment))


_GROUPS: dict[str, Callable[[Machine], _Looks]] = {
    "Python": _python,
    "Machine": _machine,
    "Data": _data,
    "GPUs": _gpus,
    "Ray": _ray,
    "Slurm": _slurm,
}
