"""What any machine has: processors, memory, limits, folders for temporary files, a name."""

__all__ = [
    "HostFacts",
    "LimitFacts",
    "Place",
    "ProcessorFacts",
    "check_host",
    "check_limits",
    "check_memory",
    "check_processors",
    "check_shared_memory",
    "check_temporary",
    "host_facts",
    "limit_facts",
    "place_facts",
    "processor_facts",
]

import ipaddress
import json
import os
import resource
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wwdc.doctor.ask import ask
from wwdc.doctor.check import Check, State

MIB = 1024**2
GIB = 1024**3
LONGEST = 30  # of the folder's path: that of a socket of Ray in it has at most 107 bytes
OPEN_FILES = 4096
PROCESSES = 1024
STORE = 200 * MIB  # Ray's object store as wwdc starts it
LEAST_FREE = GIB
LEAST_MEMORY = 2 * GIB

_RESOLVE = (
    "import json, socket, sys; "
    "print(json.dumps(sorted({i[4][0] for i in socket.getaddrinfo(sys.argv[1], None)})))"
)


@dataclass(frozen=True)
class HostFacts:
    """This machine's name and the addresses that it leads to."""

    name: str
    addresses: tuple[str, ...]
    fault: str = ""


@dataclass(frozen=True)
class ProcessorFacts:
    """Processors and memory.

    Attributes:
        own: CPUs that this process may use.
        machine: CPUs that there are.
        threads: OMP_NUM_THREADS as it is set.
        memory: bytes that the machine has.
        available: bytes of them that can be had.
    """

    own: int
    machine: int
    threads: str | None = None
    memory: int = 64 * GIB
    available: int = 32 * GIB


@dataclass(frozen=True)
class LimitFacts:
    """What one user may have at once; None is without a limit."""

    open_files: int | None
    open_files_most: int | None
    processes: int | None


@dataclass(frozen=True)
class Place:
    """A folder for temporary files; *fault* says why it cannot be written to."""

    path: Path
    free: int = 100 * GIB
    fault: str | None = None


def check_host(facts: HostFacts, several_nodes: bool) -> Check:
    """Whether other machines can reach this one by its name.

    With a name that leads to the machine itself, workers on several nodes do not find each other.
    """
    listed = ", ".join(facts.addresses)
    if not facts.addresses:
        return Check(
            "host name",
            "note",
            f"{facts.name} leads to no address ({facts.fault})",
            "Give it one in /etc/hosts: workers of one training find each other by it.",
            f"echo 127.0.1.1 {facts.name} | sudo tee --append /etc/hosts",
        )
    found = f"{facts.name} → {listed}"
    if not all(ipaddress.ip_address(text.split("%")[0]).is_loopback for text in facts.addresses):
        return Check("host name", "ok", found)
    if not several_nodes:
        return Check("host name", "ok", f"{found}, which does for one machine")
    return Check(
        "host name",
        "note",
        f"{found}: other nodes cannot use that",
        "Name the network that the nodes share in the site's file, as `ip -brief address` lists "
        "it; outside of cluster/ray_head.sh set GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME to it.",
        'WWDC_INTERFACE="ib0"',
    )


def check_processors(facts: ProcessorFacts) -> Check:
    """CPUs, and threads that do not fit them."""
    found = f"{facts.own} of {facts.machine} for this process"
    if facts.threads is None:
        return Check("CPUs", "ok", found)
    found += f", OMP_NUM_THREADS={facts.threads}"
    threads = int(facts.threads) if facts.threads.strip().isdecimal() else 0
    if threads < 1:
        fix = "It has to be a whole number of at least 1. Without it, each trial sets its own."
        return Check("CPUs", "note", found, fix, "unset OMP_NUM_THREADS")
    if threads > facts.own:
        fix = (
            "More threads than CPUs only wait for each other. Without it, each trial sets its own."
        )
        return Check("CPUs", "note", found, fix, "unset OMP_NUM_THREADS")
    return Check("CPUs", "ok", found)


def check_memory(facts: ProcessorFacts) -> Check:
    """Memory that can be had; each worker takes about half a GiB before it has data."""
    found = f"{facts.available / GIB:.1f} of {facts.memory / GIB:.1f} GiB can be had"
    if facts.available >= LEAST_MEMORY:
        return Check("memory", "ok", found)
    fix = "End what fills it, or run fewer trials at a time: tune.cpus=1."
    return Check("memory", "note", found, fix)


def check_limits(facts: LimitFacts) -> Check:
    """Open files and processes: Ray takes many of both."""
    files, processes = _number(facts.open_files), _number(facts.processes)
    found = f"{files} open files, {processes} processes"
    if facts.open_files is not None and facts.open_files < OPEN_FILES:
        most = facts.open_files_most
        if most is None or most >= OPEN_FILES:
            fix = "Raise the number of open files before a sweep."
            return Check("limits", "note", found, fix, f"ulimit -n {most or OPEN_FILES}")
        fix = f"Ask who runs the machine for at least {OPEN_FILES} open files (nofile)."
        return Check("limits", "note", found, fix)
    if facts.processes is not None and facts.processes < PROCESSES:
        fix = "Raise the number of processes (threads count, too), or run fewer trials at a time."
        return Check("limits", "note", found, fix, f"ulimit -u {PROCESSES}")
    return Check("limits", "ok", found)


def check_temporary(places: Sequence[Place], named: str | None) -> Check:
    """Folders for temporary files: /tmp, where Ray starts on one machine, and $TMPDIR.

    Args:
        places: the folders, of which $TMPDIR is the last.
        named: $TMPDIR as it is set.
    """
    found = ", ".join(f"{place.path}: {_room(place)}" for place in places)
    worst = next((place for place in places if place.fault), None)
    if worst is not None:
        fix = f"Ray and training write to {worst.path}: make it writable."
        if named and worst.path == Path(named):
            fix = "TMPDIR names a folder that cannot be written to: make it, or choose another."
            return Check("temp folders", "fails", found, fix, "export TMPDIR=/tmp")
        return Check("temp folders", "fails", found, fix, f"sudo chmod 1777 {worst.path}")
    full = next((place for place in places if place.free < LEAST_FREE), None)
    if full is not None:
        state: State = "fails" if full.free < LEAST_FREE / 10 else "note"
        fix = f"Make room in {full.path}, or set TMPDIR to another folder: Ray's logs go there."
        return Check("temp folders", state, found, fix, f"du -sh {full.path}/* | sort -h | tail")
    if named and len(named.encode()) > LONGEST:
        fix = (
            f"TMPDIR has {len(named.encode())} letters, too many for Ray's sockets, so Ray uses "
            "/tmp. Shorten it where /tmp is small."
        )
        return Check("temp folders", "note", found, fix, "export TMPDIR=/tmp")
    return Check("temp folders", "ok", found)


def check_shared_memory(place: Place | None) -> Check:
    """/dev/shm, where Ray keeps its objects."""
    if place is None:
        return Check("/dev/shm", "not here", "no /dev/shm; Ray uses its temporary folder")
    found = _room(place)
    if not place.fault and place.free >= STORE:
        return Check("/dev/shm", "ok", found)
    fix = (
        f"Ray needs {STORE // MIB} MiB there and otherwise uses the disk, which is slower. Remove "
        "what is left in it; for a container: docker run --shm-size=1g"
    )
    return Check("/dev/shm", "note", found, fix)


def host_facts() -> HostFacts:
    """Names are looked up in another process: a name server that is out of reach takes minutes."""
    name = socket.gethostname()
    answer = ask(sys.executable, "-c", _RESOLVE, name)
    if not answer.ok:
        return HostFacts(name, (), answer.fault)
    return HostFacts(name, tuple(json.loads(answer.out)))


def processor_facts(environment: Mapping[str, str]) -> ProcessorFacts:
    """Of this process and machine."""
    import psutil

    from wwdc.cluster.room import own_cpus

    memory = psutil.virtual_memory()
    return ProcessorFacts(
        own=own_cpus(environment),
        machine=os.cpu_count() or 1,
        threads=environment.get("OMP_NUM_THREADS"),
        memory=memory.total,
        available=memory.available,
    )


def limit_facts() -> LimitFacts:
    """Of this process."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    return LimitFacts(_limit(files), _limit(most), _limit(processes))


def place_facts(path: Path) -> Place:
    """Of a folder, in which a nameless file is tried."""
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
        return Place(path, shutil.disk_usage(path).free)
    except OSError as error:
        return Place(path, 0, error.strerror or str(error))


def _limit(value: int) -> int | None:
    return None if value == resource.RLIM_INFINITY else value


def _number(value: int | None) -> str:
    return "unlimited" if value is None else str(value)


def _room(place: Place) -> str:
    if place.fault:
        return place.fault
    if place.free < GIB:
        return f"{place.free / MIB:.0f} MiB free"
    return f"{place.free / GIB:.0f} GiB free"
