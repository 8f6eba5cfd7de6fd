"""A throwaway Ray of several "hosts" on one machine: network, process and mount namespaces."""

__all__ = ["Nodes", "requires_namespaces"]

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

NETWORKS = "10.199"
PREFIX = "wwdcn"
WAIT_S = 90.0
STORE_BYTES = 100 * 1024**2
RAY = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start"]
TOOLS = ("ip", "mount", "nsenter", "setpriv", "unshare")
LEFT_BY_ANOTHER_RAY = ("RAY_ADDRESS", "RAY_GCS_SERVER_PORT")
HOST = """
hostname "$1"
mount --bind "$2" /etc/hosts
mount -t tmpfs tmpfs "$3"
export TMPDIR="$3"
mount -t tmpfs tmpfs /dev/shm
shift 3
"$@" &
wait
"""
"""First process of a host: when it dies, the kernel ends every other one of its namespace."""


class Nodes:
    """A Ray of a head, in this machine's own namespaces, and workers in namespaces of their own.

    Every worker has a host name, an address on a bridge, its own process numbers, `/dev/shm` and
    disk for temporary files; all other disks are shared. What it makes carries this process'
    number: a later `Nodes` removes what a killed process left.

    Args:
        workers: how many worker hosts.
        cpus: Ray's CPUs of each worker.
        head_cpus: Ray's CPUs of the head, where the driver runs.
        folder: for logs and the token, on the shared disk.
    """

    def __init__(self, workers: int, folder: Path, cpus: int = 1, head_cpus: int = 0) -> None:
        self.folder = folder
        self.address = ""
        self._sizes = [head_cpus, *[cpus] * workers]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ray = Path()
        self._token = folder / "token"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of whoever talks to this Ray."""
        mine = {name: text for name, text in os.environ.items() if name not in LEFT_BY_ANOTHER_RAY}
        return mine | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self._token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
        }

    def __enter__(self) -> "Nodes":
        _remove_stale()
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def kill_node(self, number: int) -> None:
        """SIGKILL to a worker's first process: everything on that host dies in an instant."""
        process = self._processes[number]
        (first,) = psutil.Process(process.pid).children()
        first.kill()
        process.wait(WAIT_S)

    def host(self, number: int) -> str:
        """Host name of a worker; the first worker is number 1."""
        return f"node{number}"

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._token.write_text(secrets.token_hex(32))
        self._token.chmod(0o600)
        self._ray = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-", dir="/tmp"))
        network = _free_network()
        hosts = self.folder / "hosts"
        addresses = [f"{network}.{number + 1}" for number in range(len(self._sizes))]
        lines = [f"{address} {self.host(i)}" for i, address in enumerate(addresses)]
        hosts.write_text("127.0.0.1 localhost\n" + "\n".join(lines) + "\n")
        _run("ip", "link", "add", _bridge(), "type", "bridge")
        _run("ip", "address", "add", f"{addresses[0]}/24", "dev", _bridge())
        _run("ip", "link", "set", _bridge(), "up")
        self.address = f"{addresses[0]}:{_free_port(addresses[0])}"
        self._launch(0, [*self._ray_start(addresses[0], 0), "--head", "--include-dashboard=true",
                         f"--port={self.address.rpartition(':')[2]}",
                         f"--dashboard-port={_free_port('127.0.0.1')}"])  # fmt: skip
        self._wait_for(1)
        for number, address in enumerate(addresses[1:], start=1):
            _wire(number, f"{address}/24")
            inside = ["nsenter", f"--net=/run/netns/{_name(number)}", "unshare", "--uts", "--pid",
                      "--fork", "--kill-child", "--mount", "--mount-proc",
                      "sh", "-c", HOST, "host", self.host(number), hosts, self._ray]  # fmt: skip
            start = [*self._ray_start(address, number), f"--address={self.address}"]
            self._launch(number, [*inside, *start])
        self._wait_for(len(self._sizes))

    def _ray_start(self, address: str, number: int) -> list[str]:
        return [
            *RAY,
            "--block",
            f"--node-ip-address={address}",
            f"--num-cpus={self._sizes[number]}",
            "--num-gpus=0",
            f"--temp-dir={self._ray}",
            f"--object-store-memory={STORE_BYTES}",
        ]

    def _launch(self, number: int, command: list[object]) -> None:
        log = (self.folder / f"{self.host(number)}.log").open("w")
        self._processes.append(
            subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *map(str, command)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )

    def _wait_for(self, count: int) -> None:
        """Until the head counts so many living nodes."""
        end = time.monotonic() + WAIT_S
        while (alive := self.alive()) < count:
            ended = [i for i, process in enumerate(self._processes) if process.poll() is not None]
            if ended or time.monotonic() > end:
                logs = "\n".join(p.read_text()[-2000:] for p in sorted(self.folder.glob("*.log")))
                raise RuntimeError(f"{alive} of {count} nodes, ended {ended}:\n{logs}")
            time.sleep(0.5)

    def alive(self) -> int:
        """How many nodes the head believes to be alive, itself included."""
        if not self.address:
            return 0
        code = (
            "import sys; from ray._raylet import GcsClient; "
            "print(sum(n.state == 0 for n in "
            "GcsClient(address=sys.argv[1]).get_all_node_info(timeout=5).values()))"
        )
        asked = subprocess.run(
            [sys.executable, "-c", code, self.address],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
        )
        return int(asked.stdout) if asked.returncode == 0 else 0

    def _stop(self) -> None:
        everyone: list[psutil.Process] = []
        for process in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                everyone += psutil.Process(process.pid).children(recursive=True)
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for member in everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        for process in self._processes:
            process.wait(WAIT_S)
        psutil.wait_procs(everyone, timeout=WAIT_S)
        _remove(os.getpid())


def _remove_stale() -> None:
    """Remove what `Nodes` of killed processes left."""
    names = [path.name for path in Path("/run/netns").glob(f"{PREFIX}-*")]
    names += [path.name for path in Path("/sys/class/net").glob(f"{PREFIX}-*")]
    names += [path.name for path in Path("/tmp").glob(f"{PREFIX}-*")]
    for pid in {int(name.split("-")[1]) for name in names}:
        if not psutil.pid_exists(pid):
            _remove(pid)


def _remove(pid: int) -> None:
    for path in Path("/run/netns").glob(f"{PREFIX}-{pid}-*"):
        subprocess.run(["ip", "netns", "delete", path.name], check=False)
    for path in Path("/sys/class/net").glob(f"{PREFIX}-{pid}*"):
        if path.name.split("-")[1] == str(pid):
            subprocess.run(["ip", "link", "delete", path.name], check=False, capture_output=True)
    for path in Path("/tmp").glob(f"{PREFIX}-{pid}-*"):
        shutil.rmtree(path, ignore_errors=True)


def _name(number: int) -> str:
    return f"{PREFIX}-{os.getpid()}-{number}"


def _bridge() -> str:
    return f"{PREFIX}-{os.getpid()}"


def _wire(number: int, address: str) -> None:
    """A network namespace with one end of a cable; the other end is on the bridge."""
    name = _name(number)
    _run("ip", "netns", "add", name)
    _run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    _run("ip", "link", "set", name, "master", _bridge(), "up")
    _run("ip", "-n", name, "address", "add", address, "dev", "eth0")
    _run("ip", "-n", name, "link", "set", "eth0", "up")
    _run("ip", "-n", name, "link", "set", "lo", "up")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=30, capture_output=True)


def _free_network() -> str:
    """The first three numbers of a private network that no interface of this machine uses."""
    used = subprocess.run(["ip", "-o", "address"], check=True, capture_output=True, text=True)
    start = os.getpid()
    for number in range(start, start + 250):
        network = f"{NETWORKS}.{number % 250 + 1}"
        if f" {network}." not in used.stdout:
            return network
    raise RuntimeError(f"every network of {NETWORKS}.0.0/16 is used")


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _missing() -> str:
    """Why this machine cannot have namespaces of its own; empty where it can."""
    if sys.platform != "linux":
        return "needs Linux's namespaces"
    if os.geteuid() != 0:
        return "needs root to make network namespaces"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"needs {', '.join(absent)} (iproute2, util-linux)"
    name = f"{PREFIX}-{os.getpid()}-0"
    tried = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True)
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    return "" if tried.returncode == 0 else f"no network namespaces: {tried.stderr.decode()}"


WHY_NOT = _missing()
requires_namespaces = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
