"""DATA_ROOT: whether all that products need of a disk works there."""

__all__ = ["Disk", "check_data_root", "check_files", "check_shared", "check_space", "disk_facts"]

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wwdc.doctor.ask import ask
from wwdc.doctor.check import Check

GIB = 1024**3
SCARCE = 10 * GIB
TOO_LITTLE = GIB
FEW_FILES = 10_000  # a sweep's products, logs and checkpoints
_NODE_LOCAL = ("tmpfs", "ramfs", "overlay", "devtmpfs")
_ONE_MACHINE = ("apfs", "btrfs", "ext", "f2fs", "hfs", "jfs", "reiserfs", "vfat", "xfs", "zfs")
_SET = "export DATA_ROOT=/path/of/a/folder/of/yours"


@dataclass(frozen=True)
class Disk:
    """A folder and the disk that it is on, or would be.

    Attributes:
        path: the folder, absolute.
        given: whether DATA_ROOT names it.
        there: itself, or the closest folder above that exists.
        fault: why nothing can be written there.
        free: bytes that this user may still write.
        free_files: how many files; None where the disk does not count them.
        kind: of file system, such as ``nfs4``.
        faults: what does not work there besides, by its name: locks, renaming, hard links.
        quota: what ``quota`` says where this user has used up more than is allowed.
    """

    path: Path
    given: bool = True
    there: Path = Path("/")
    fault: str | None = None
    free: int = 100 * GIB
    free_files: int | None = None
    kind: str | None = None
    faults: Mapping[str, str] | None = None
    quota: str = ""


def check_data_root(disk: Disk) -> Check:
    """Where data and products will lie, and whether they can be written."""
    where = f"{disk.path}" if disk.given else f"not set: {disk.path} is used"
    if disk.fault:
        text = f"{where}: cannot be written to ({disk.fault})"
        fix = "Set DATA_ROOT to a folder that you may write to."
        return Check("DATA_ROOT", "fails", text, fix, _SET)
    if disk.there != disk.path:
        where += ", will be made"
    if disk.given:
        return Check("DATA_ROOT", "ok", where)
    fix = "Set it, so that every command finds the same data and products wherever it is started."
    return Check("DATA_ROOT", "note", where, fix, _SET)


def check_space(disk: Disk) -> Check:
    """Room for products."""
    if disk.fault:
        return Check("space", "not here", "not tried: nothing can be written")
    files = "" if disk.free_files is None else f", {disk.free_files:,} files"
    found = f"{disk.free / GIB:.0f} GiB{files} free"
    if disk.free < TOO_LITTLE:
        found = f"{disk.free / 1024**2:.0f} MiB free"
    fix = "Make room: see what nobody needs any more, or set DATA_ROOT to another disk."
    command = "python -m wwdc.products gc EXPERIMENT"
    no_files = disk.free_files is not None and disk.free_files < FEW_FILES
    if disk.free < TOO_LITTLE or disk.free_files == 0:
        return Check("space", "fails", found, fix, command)
    if disk.quota:
        return Check("space", "note", f"over quota: {disk.quota}", fix, command)
    if disk.free < SCARCE or no_files:
        return Check("space", "note", found, fix, command)
    return Check("space", "ok", found)


def check_files(disk: Disk) -> Check:
    """Locks, by which runs share a tree; renaming, by which products appear whole; hard links."""
    if disk.faults is None:
        return Check("files", "not here", "not tried: nothing can be written")
    needed = {name: said for name, said in disk.faults.items() if name != "hard links"}
    said = "; ".join(f"{name}: {why}" for name, why in disk.faults.items())
    if needed:
        fix = (
            "Set DATA_ROOT to a disk with locks and atomic renames, or have this one mounted with "
            "them (NFS: without nolock; Lustre: with flock)."
        )
        return Check("files", "fails", said, fix, _SET)
    if said:
        fix = "Nothing to do: a lock takes the place of hard links there."
        return Check("files", "note", said, fix)
    return Check("files", "ok", "locks, atomic renames and hard links work")


def check_shared(disk: Disk, temporary: Path, on_cluster: bool) -> Check:
    """Whether other machines see the folder too, as far as can be told from one of them.

    Args:
        disk: of DATA_ROOT.
        temporary: this machine's folder for temporary files.
        on_cluster: whether there is Slurm, whose nodes have to share it.
    """
    kind = disk.kind or "unknown file system"
    fix = "Set DATA_ROOT to a folder on a disk that all nodes share."
    command = "export DATA_ROOT=/path/on/the/shared/disk"
    folders = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), temporary)
    temporary_one = next((f for f in folders if disk.path.is_relative_to(f)), None)
    if temporary_one or kind in ("tmpfs", "ramfs"):
        where = f"below {temporary_one}" if temporary_one else f"in memory ({kind})"
        if on_cluster:
            return Check("shared", "note", f"{where}: of this node only", fix, command)
        fix = "Set DATA_ROOT to a folder that is kept."
        return Check("shared", "note", f"{where}, which may be emptied at any time", fix, _SET)
    if not on_cluster:
        return Check("shared", "not here", f"{kind}; only a cluster needs a shared disk")
    if kind in _NODE_LOCAL or kind.startswith(_ONE_MACHINE):
        return Check("shared", "note", f"{kind}: looks like a disk of this node", fix, command)
    if disk.kind is None:
        return Check("shared", "note", f"{kind}; nobody knows who sees it", fix, command)
    return Check("shared", "ok", kind)


def disk_facts(environment: Mapping[str, str]) -> Disk:
    """Of DATA_ROOT, or of ``./data`` without one; files are tried there and removed again."""
    given = environment.get("DATA_ROOT")
    path = Path(given or "data").absolute()
    there = next((folder for folder in (path, *path.parents) if _exists(folder)), Path("/"))
    fault = _write_fault(there)
    if fault is not None:
        return Disk(path, bool(given), there, fault, kind=_kind(there))
    status = os.statvfs(there)
    return Disk(
        path=path,
        given=bool(given),
        there=there,
        free=shutil.disk_usage(there).free,
        free_files=status.f_favail if status.f_files else None,
        kind=_kind(there),
        faults=_faults(there),
        quota=_over_quota(),
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # of a folder that others may not enter, or a disk that is gone
        return False


def _write_fault(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"wwdc")
    except OSError as error:
        return error.strerror or str(error)
    return None


def _faults(folder: Path) -> dict[str, str]:
    """What does not work of all that products do with files."""
    faults = {}
    with tempfile.TemporaryDirectory(prefix=".wwdc-doctor-", dir=folder) as name:
        place = Path(name)
        for what, do in (("locks", _lock), ("renaming", _rename), ("hard links", _link)):
            try:
                do(place)
            except (OSError, NotImplementedError) as error:
                faults[what] = getattr(error, "strerror", None) or str(error)
    return faults


def _lock(folder: Path) -> None:
    """Two that want one lock: the second must not get it."""
    from filelock import FileLock, Timeout

    path = folder / "lock"
    second = FileLock(path, timeout=0)
    with FileLock(path, timeout=10), contextlib.suppress(Timeout):
        second.acquire()
        second.release()
        raise OSError("two processes can hold one lock")


def _rename(folder: Path) -> None:
    """One file over another, and the folder made to last."""
    new, old = folder / "new", folder / "old"
    old.write_text("old")
    with new.open("w") as file:
        file.write("new")
        os.fsync(file.fileno())
    new.replace(old)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if old.read_text() != "new":
        raise OSError("the old file is still there afterwards")


def _link(folder: Path) -> None:
    path = folder / "linked"
    path.write_text("")
    os.link(path, folder / "link")


def _kind(folder: Path) -> str | None:
    """The file system of the disk that is mounted closest above."""
    import psutil

    real = folder.resolve()
    mounts = [
        (len(Path(mount.mountpoint).parts), mount.fstype)
        for mount in psutil.disk_partitions(all=True)
        if real.is_relative_to(mount.mountpoint)
    ]
    # Of several mounts on one folder the last hides the others.
    return max(reversed(mounts), key=lambda mount: mount[0])[1] if mounts else None


def _over_quota() -> str:
    """Only what is over is said by ``quota -q``."""
    if shutil.which("quota") is None:
        return ""
    lines = [line.strip() for line in ask("quota", "-q").out.splitlines()]
    return "; ".join(line for line in lines if line)
