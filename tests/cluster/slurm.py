"""A throwaway Slurm for tests: its jobs, and what can befall its hosts."""

__all__ = ["DEV", "HostProcess", "Job", "Slurm", "requires_slurm"]

import contextlib
import hashlib
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import psutil
import pytest

DEV = Path(__file__).parents[2] / "wwdc" / "cluster" / "scripts" / "dev"
LOCAL = "/tmp/wwdc-l"
PREFIX = "wwdc-test-"
PROGRAMS = (
    "slurmctld",
    "slurmd",
    "sbatch",
    "munged",
    "flock",
    "ip",
    "nsenter",
    "setpriv",
    "unshare",
)
COMMAND_S = 60.0
ENDED = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "TIMEOUT",
}
FIELD = re.compile(r"(?:^| )([A-Z][\w:/]*)=(.*?)(?= [A-Z][\w:/]*=|$)")
CGROUPS = Path("/sys/fs/cgroup")
T = TypeVar("T")

KEEP_DISK = """
disk={dir}/spool/disk
if [ ! -e "$disk" ]; then
    mkdir -m 0700 "$disk"
    mount --rbind / "$disk"
fi
"""
"""What will be covered has to stay within reach, for what is bound to it later."""
COVER = "mount -t tmpfs -o mode=0755 tmpfs {folder}\n"
BIND = 'mkdir -p {path}\nmount --rbind "$disk"{path} {path}\n'


class HostProcess(NamedTuple):
    """A process of a host, with its number in this machine's own count."""

    pid: int
    user: str
    command: str


class Job:
    """A batch job that was submitted."""

    def __init__(self, slurm: "Slurm", job_id: str) -> None:
        self.id = job_id
        self._slurm = slurm

    def fields(self) -> dict[str, str]:
        """What `scontrol show job` says; there is no accounting to ask."""
        said = self._slurm.run("scontrol", "show", "job", "--oneliner", self.id).stdout
        return dict(FIELD.findall(said.splitlines()[0]))

    def state(self) -> str:
        """Such as PENDING, RUNNING or COMPLETED."""
        return self.fields()["JobState"]

    def wait_for(self, states: str | Sequence[str], timeout: float) -> str:
        """Wait until the job is in one of *states*; returns which."""
        wanted = {states} if isinstance(states, str) else set(states)

        def reached() -> str | None:
            state = self.state()
            return state if state in wanted else None

        return _until(reached, timeout, lambda: f"not {sorted(wanted)}, but {self._describe()}")

    def wait(self, timeout: float) -> int:
        """Wait for the end; returns the exit code, or minus the signal that ended it."""
        self.wait_for(sorted(ENDED), timeout)
        code, number = self.fields()["ExitCode"].split(":")
        return -int(number) or int(code)

    @property
    def log(self) -> Path:
        """Where the job's output goes."""
        return Path(self.fields()["StdOut"])

    def text(self) -> str:
        """The job's output so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for_text(self, text: str, timeout: float) -> None:
        """Wait until the job's output holds *text*."""
        _until(lambda: text in self.text(), timeout, lambda: f"no {text!r}: {self._describe()}")

    def cancel(self, *options: str) -> None:
        """`scancel` with *options*."""
        self._slurm.run("scancel", *options, self.id)

    def _describe(self) -> str:
        return f"{self.fields()}\n{self.text()[-3000:]}"


class Slurm:
    """A Slurm of its own, with hosts ``node1``, ``node2``, …; a context manager.

    It is no other's: neither another process' nor another `Slurm`'s of this one. What a killed
    process left is removed by the next one's.

    Args:
        folder: gets the logs of the daemons at the end.
        hosts: how many.
        cpus: of each host.

    Attributes:
        hosts: names of the hosts.
        shared: a folder that every user may enter, on a disk that all hosts share.
    """

    def __init__(self, folder: Path, hosts: int = 3, cpus: int = 2) -> None:
        self.hosts = [f"node{number + 1}" for number in range(hosts)]
        self.shared = Path()
        self._folder = folder
        self._cpus = cpus
        self._dev = Path()
        self._exposed: list[Path] = []
        self._covered: list[Path] = []
        self._limits: dict[str, int] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of whoever talks to this Slurm."""
        mine = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
        return mine | {"SLURM_CONF": str(self._dev / "slurm.conf")}

    def __enter__(self) -> "Slurm":
        _remove_stale()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._dev = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir="/run"))
        self.shared = Path("/tmp") / self._dev.name
        self.shared.mkdir(mode=0o755)
        try:
            self._dev.chmod(0o755)
            self._up(str(len(self.hosts)))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for log in [*self._dev.glob("*.log"), *self._dev.glob("*.err")]:
            shutil.copy(log, self._folder)
        _remove(self._dev)

    def run(
        self, *command: str, uid: int | None = None, timeout: float = COMMAND_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a command outside of the hosts, as on a login node; it must succeed."""
        return self._checked(self._as(uid, command), self._environment(uid), timeout)

    def submit(
        self,
        script: Path | str,
        *arguments: str,
        options: Sequence[str] = (),
        uid: int | None = None,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Job:
        """`sbatch` a script.

        Args:
            script: a file, or the text of one.
            arguments: of the script.
            options: of `sbatch`.
            uid: the user; without one, root.
            environment: variables besides those of this process.
            cwd: the job's working folder; without one, the user's home.
        """
        if isinstance(script, str):
            text = script
            script = Path(tempfile.mkdtemp(dir=self.shared)) / "job.sh"
            script.parent.chmod(0o755)
            script.write_text(text)
        command = ["sbatch", "--parsable", *options, str(script), *arguments]
        done = self._checked(
            self._as(uid, command),
            self._environment(uid) | dict(environment or {}),
            COMMAND_S,
            cwd or self.home(uid),
        )
        return Job(self, done.stdout.strip().partition(";")[0])

    def home(self, uid: int | None = None) -> Path:
        """The private folder of a user on the shared disk."""
        user = pwd.getpwuid(uid or 0)
        home = self.shared / user.pw_name
        if not home.exists():
            home.mkdir(mode=0o700)
            os.chown(home, user.pw_uid, user.pw_gid)
        return home

    def kill_host(self, name: str) -> None:
        """SIGKILL to the host's first process: everything on that host dies in an instant."""
        os.kill(self._first(name), signal.SIGKILL)
        _until(lambda: not self._members(name), COMMAND_S, lambda: f"{name} does not end")

    def start_host(self, name: str) -> None:
        """Boot a host that was killed, and wait until the controller knows that it is back."""
        self._up("--host", name)
        if name in self._limits:
            self.limit_memory(name, self._limits[name])

    def cut(self, name: str) -> None:
        """Pull the host's network cable."""
        self._plug(name, "down")

    def join(self, name: str) -> None:
        """Put the host's network cable back."""
        self._plug(name, "up")

    def processes(self, name: str) -> list[HostProcess]:
        """What runs on a host, besides its first process and slurmd."""
        found = []
        first = self._first(name)
        its_own = {first, psutil.Process(first).ppid()}
        for pid in self._members(name):
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if pid not in its_own and process.name() != "slurmd":
                    command = " ".join(process.cmdline())
                    found.append(HostProcess(pid, process.username(), command))
        return found

    def on(
        self, name: str, *command: str, uid: int | None = None, timeout: float = COMMAND_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host, beside Slurm; it may fail."""
        return subprocess.run(
            [*self._enter(name), *self._as(uid, command)],
            env=self._environment(uid) | {"TMPDIR": LOCAL},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )

    def local(self, name: str) -> list[str]:
        """All that lies on a host's own disk and in its `/dev/shm`."""
        found = self.on(name, "find", LOCAL, "/dev/shm", "-mindepth", "1")
        found.check_returncode()
        return sorted(found.stdout.splitlines())

    def expose(self, path: Path) -> None:
        """Let every user of the hosts reach a folder below one that they may not enter.

        The hosts then see nothing else of the folder that others may not enter, an interpreter's
        private home for example. This machine sees no change.
        """
        path = path.resolve(strict=True)
        if path in self._exposed:
            return
        if not path.stat().st_mode & 0o001:
            raise ValueError(f"{path} itself keeps others out")
        closed = [p for p in reversed(path.parents) if not p.stat().st_mode & 0o001]
        if not closed:
            return
        steps = KEEP_DISK.format(dir=self._dev)
        if closed[0] not in self._covered:
            self._covered.append(closed[0])
            steps += COVER.format(folder=shlex.quote(str(closed[0])))
        self._exposed.append(path)
        steps += BIND.format(path=shlex.quote(str(path)))
        with (self._dev / "mounts.sh").open("a") as at_boot:
            at_boot.write(steps)
        for name in self.hosts:
            if self._members(name):
                self._checked([*self._enter(name), "sh", "-e", "-c", steps])

    def limit_memory(self, name: str, size: int) -> None:
        """Let the kernel kill processes of a host rather than give it more memory [bytes]."""
        self._limits[name] = size
        group = _memory_groups() / f"{_tag(self._dev)}-{name}"
        group.mkdir(exist_ok=True)
        if (CGROUPS / "cgroup.controllers").exists():
            (group / "memory.max").write_text(str(size))
            (group / "memory.swap.max").write_text("0")
        else:
            (group / "memory.limit_in_bytes").write_text(str(size))
        # Those that are born meanwhile of one that was not yet moved are met the second time.
        for pid in [*self._members(name), *self._members(name)]:
            with contextlib.suppress(ProcessLookupError):
                (group / "cgroup.procs").write_text(str(pid))

    def _up(self, *arguments: str) -> None:
        mine = self.environment | {"WWDC_DEV_DIR": str(self._dev), "WWDC_DEV_CPUS": str(self._cpus)}
        self._checked([str(DEV / "up"), *arguments], mine, 4 * COMMAND_S)

    def _plug(self, name: str, state: str) -> None:
        self._checked(["ip", "-n", f"{_tag(self._dev)}-switch", "link", "set", name, state])

    def _first(self, name: str) -> int:
        pid = int((self._dev / f"{name}.pid").read_text())
        if pid not in self._members(name):
            raise ProcessLookupError(f"{name} does not run")
        return pid

    def _members(self, name: str) -> list[int]:
        """All living processes of a host, and the one that waits for it."""
        network = Path("/run/netns") / f"{_tag(self._dev)}-{name}"
        return [pid for pid in psutil.pids() if _is_in(pid, network)]

    def _enter(self, name: str) -> list[str]:
        kinds = ("--mount", "--uts", "--ipc", "--net", "--pid")
        return ["nsenter", f"--target={self._first(name)}", *kinds]

    def _as(self, uid: int | None, command: Sequence[str]) -> list[str]:
        if uid is None:
            return list(command)
        gid = pwd.getpwuid(uid).pw_gid
        return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *command]

    def _environment(self, uid: int | None) -> dict[str, str]:
        user = pwd.getpwuid(uid or 0).pw_name
        mine = {"HOME": str(self.home(uid)), "USER": user, "LOGNAME": user}
        return self.environment | (mine if uid is not None else {})

    def _checked(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        timeout: float = COMMAND_S,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            env=environment or self.environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )
        if done.returncode:
            said = f"{done.stdout}{done.stderr}"
            raise RuntimeError(f"{shlex.join(command)} exits {done.returncode}: {said}")
        return done


def _until(ask: Callable[[], T], timeout: float, fault: Callable[[], str]) -> T:
    """Ask until the answer is true."""
    end = time.monotonic() + timeout
    while not (answer := ask()):
        if time.monotonic() > end:
            raise TimeoutError(fault())
        time.sleep(0.2)
    return answer


def _is_in(pid: int, network: Path) -> bool:
    """Whether a process lives in a network namespace."""
    try:
        return Path(f"/proc/{pid}/ns/net").samefile(network)
    except OSError:
        return False


def _tag(dev: Path) -> str:
    """What names the namespaces of the instance in a folder, as in `down`."""
    return "wwdc" + hashlib.sha256(str(dev.resolve()).encode()).hexdigest()[:6]


def _memory_groups() -> Path:
    version_2 = (CGROUPS / "cgroup.controllers").exists()
    return CGROUPS if version_2 else CGROUPS / "memory"


def _remove(dev: Path) -> None:
    environment = os.environ | {"WWDC_DEV_DIR": str(dev)}
    subprocess.run([DEV / "down"], env=environment, check=True, timeout=4 * COMMAND_S)
    for group in _memory_groups().glob(f"{_tag(dev)}-*"):
        group.rmdir()
    for folder in (dev, Path("/tmp") / dev.name):
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale() -> None:
    """Remove what killed processes left."""
    for dev in [*Path("/run").glob(f"{PREFIX}*")]:
        if not psutil.pid_exists(int(dev.name.removeprefix(PREFIX).split("-")[0])):
            _remove(dev)


def _missing() -> str:
    """Why this machine cannot have hosts of its own; empty where it can."""
    if sys.platform != "linux":
        return "needs Linux's namespaces"
    if os.geteuid() != 0:
        return "needs root to make network namespaces"
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"needs {', '.join(absent)}"
    name = f"{PREFIX}{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True)
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    return "" if tried.returncode == 0 else f"no network namespaces: {tried.stderr.decode()}"


WHY_NOT = _missing()
requires_slurm = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
