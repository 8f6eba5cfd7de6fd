"""Files that are either whole or not there, whenever the power goes."""

__all__ = [
    "atomic_copy",
    "atomic_write",
    "beside",
    "copy_into",
    "exclusive_write",
    "is_temporary",
    "sha256",
    "sync_directory",
    "write_into",
]

import contextlib
import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from wwdc.errors import ProductError

_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")
_CHUNK = 1 << 20
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NO_DIRECTORY_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EACCES}


def atomic_write(path: Path, data: bytes | str) -> None:
    """Replace *path* by *data*: a reader, or a crash, sees the old content or the new."""
    with beside(path) as temporary:
        write_into(temporary, data)
        temporary.replace(path)
        sync_directory(path.parent)


def atomic_copy(src: Path, dst: Path) -> str:
    """Copy *src* to *dst* as `atomic_write` does, across file systems; return the SHA-256."""
    with beside(dst) as temporary:
        digest = copy_into(src, temporary)
        temporary.replace(dst)
        sync_directory(dst.parent)
    return digest


def exclusive_write(path: Path, data: bytes | str) -> bool:
    """Create *path* whole if nobody else has: of several processes exactly one gets `True`."""
    with beside(path) as temporary:
        write_into(temporary, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            # A network file system may repeat a link that had succeeded.
            return _same(temporary, path)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            return _rename_if_free(temporary, path)
        return True


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ProductError(f"cannot read {path}: {error.strerror}.") from error


def is_temporary(name: str) -> bool:
    """Whether a file's name is one that `beside` gives.

    >>> is_temporary(".5240735_2.ckpt.4711-0a1b2c3d.tmp"), is_temporary("notes.tmp")
    (True, False)
    """
    return _TEMPORARY.fullmatch(name) is not None


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Give a temporary name in *path*'s folder and remove what is left under it afterwards.

    Raises:
        ProductError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
    except OSError as error:
        raise ProductError(_explain(path, error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_into(path: Path, data: bytes | str) -> None:
    """Create *path* with *data* and wait until it is on the disk."""
    with path.open("xb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())


def copy_into(src: Path, dst: Path) -> str:
    """Create *dst* from *src*, wait until it is on the disk, return the SHA-256 of what went by."""
    digest = hashlib.sha256()
    with src.open("rb") as source, dst.open("xb") as target:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    return digest.hexdigest()


def sync_directory(path: Path) -> None:
    """Wait until a folder's new names are on the disk, where the file system can do that."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(descriptor)


def _same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except FileNotFoundError:  # the other one was released in the meantime
        return False


def _rename_if_free(temporary: Path, path: Path) -> bool:
    """`os.link` for file systems without hard links: rename under a lock the kernel releases."""
    with FileLock(path.with_name(".exclusive.lock"), timeout=60):
        if path.exists():
            return False
        temporary.replace(path)
        return True


def _explain(path: Path, error: OSError) -> str:
    where = f" ({error.filename})" if error.filename and str(path) != error.filename else ""
    message = f"cannot write {path}: {error.strerror or error}{where}. Nothing was left behind."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{message} Free some space there, or point DATA_ROOT at a disk that has some."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{message} Point DATA_ROOT at a folder you may write to."
    return message
