"""Who works on a point: a lease that its holder keeps alive and that dies with it."""

__all__ = ["CLAIM", "Claim", "Holder", "acquire", "claim", "claimed", "holder", "is_stale"]

import contextlib
import functools
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock

from wwdc.errors import ProductError
from wwdc.products.atomic import beside, exclusive_write
from wwdc.products.tree import Tree

CLAIM = "claim.json"
HEARTBEAT_S = 10.0
EXPIRY_S = 60.0


@dataclass(frozen=True)
class Holder:
    """The process behind a claim. `start` tells it from a later one with the same number."""

    host: str
    machine: str
    pid: int
    start: float
    token: str


class Claim:
    """A lease on one point, kept alive by a thread until it is released.

    When the process dies the lease is free at once for others on the same machine, and after a
    minute for other machines; the same minute applies when the process lives and its thread
    does not.
    """

    def __init__(self, path: Path, owner: Holder, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.path = path
        self.owner = owner
        self._heartbeat_s = heartbeat_s
        self._done = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(
            target=self._beat, name=f"claim {path.parent.name}", daemon=True
        )
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether somebody else took the point, because this process seemed dead for a minute."""
        return self._lost.is_set()

    def release(self) -> None:
        """Give the point back. Releasing twice, or what was lost, does nothing."""
        if self._done.is_set():
            return
        self._done.set()
        self._thread.join()
        with _locked(self.path):
            if self._is_ours():
                self.path.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        found = _read(self.path)
        return found is not None and found.token == self.owner.token

    def _beat(self) -> None:
        while not self._done.wait(self._heartbeat_s):
            with contextlib.suppress(OSError, ProductError):  # a hiccup of the disk: try again
                if not self._is_ours():
                    self._lost.set()
                    return
                os.utime(self.path)


@contextlib.contextmanager
def claim(tree: Tree, point_id: str) -> Iterator[Claim | None]:
    """Hold a point inside a `with`; None there when a living process already does.

    >>> import tempfile
    >>> tree = Tree(Path(tempfile.mkdtemp()), "DIGITS", "VAE")
    >>> with claim(tree, "0a1b2c3d4e5f") as mine, claim(tree, "0a1b2c3d4e5f") as theirs:
    ...     mine is not None, theirs is None
    (True, True)
    """
    lease = acquire(tree, point_id)
    try:
        yield lease
    finally:
        if lease is not None:
            lease.release()


def acquire(tree: Tree, point_id: str) -> Claim | None:
    """Claim a point until `Claim.release`, or get None when a living process holds it."""
    path = tree.point(point_id) / CLAIM
    if claimed(tree, point_id):
        return None
    owner = _myself()
    with _locked(path):
        found = _read(path)
        if found is not None and not _stale(path, found):
            return None
        path.unlink(missing_ok=True)
        won = exclusive_write(path, json.dumps(asdict(owner)))
    return Claim(path, owner) if won else None


def claimed(tree: Tree, point_id: str) -> bool:
    """Whether a living process holds the point."""
    return holder(tree, point_id) is not None


def holder(tree: Tree, point_id: str) -> Holder | None:
    """The living process that holds the point, if there is one."""
    path = tree.point(point_id) / CLAIM
    found = _read(path)
    return None if found is None or _stale(path, found) else found


def is_stale(path: Path) -> bool:
    """Whether a claim file was left behind by a process that is gone."""
    found = _read(path)
    return path.exists() and (found is None or _stale(path, found))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One short lock for all claims of a tree; the kernel frees it when its holder dies."""
    folder = path.parent.parent
    lock = FileLock(folder / ".claims.lock", timeout=60)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise ProductError(
            f"cannot lock {folder}: {error}. Is DATA_ROOT a folder you may write to, on a file "
            "system that supports locks?"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _read(path: Path) -> Holder | None:
    """The holder in a claim file; None when there is none, or nothing sensible in it."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    except OSError as error:
        raise ProductError(f"cannot read {path}: {error.strerror}.") from error


def _stale(path: Path, found: Holder) -> bool:
    if found.machine == _machine() and not _runs(found):
        return True
    try:
        return _clock(path.parent) - path.stat().st_mtime > EXPIRY_S
    except FileNotFoundError:  # released while we looked
        return True


def _clock(folder: Path) -> float:
    """The time by the clock that stamps the claims: a file server's may differ from ours."""
    try:
        with beside(folder / "clock") as probe:
            probe.touch()
            return probe.stat().st_mtime
    except ProductError:  # somebody else's tree, which we may only read
        return time.time()


def _runs(found: Holder) -> bool:
    try:
        alive = psutil.Process(found.pid).status() != psutil.STATUS_ZOMBIE
        return alive and abs(_start(found.pid) - found.start) < 1.0
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _myself() -> Holder:
    pid = os.getpid()
    return Holder(socket.gethostname(), _machine(), pid, _start(pid), secrets.token_hex(8))


def _start(pid: int) -> float:
    """When a process began; on Linux in ticks since boot, which no change of the clock moves."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return psutil.Process(pid).create_time()
    return float(status.rpartition(")")[2].split()[19])


@functools.cache
def _machine() -> str:
    """What two processes share that can see each other: host, boot and space of process ids."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return "/".join(parts)
