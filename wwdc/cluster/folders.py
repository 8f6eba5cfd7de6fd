"""Folders on a machine's own disk that live as long as a process holds their lock.

A process number would not do: containers and hosts that share a disk do not see each other's.
"""

__all__ = ["LOCK", "hold", "is_left_over"]

import fcntl
import os
from pathlib import Path
from typing import IO

LOCK = ".lock"


def hold(folder: Path) -> IO[str]:
    """Lock a folder of ours until the file that comes back is closed, or the process ends."""
    file = (folder / LOCK).open("w")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def is_left_over(folder: Path) -> bool:
    """Whether a folder is this user's and was held by a process that is gone.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with hold(folder):
    ...     is_left_over(folder)
    False
    >>> is_left_over(folder)
    True
    """
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        with (folder / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # there is none, somebody has it, or the folder has just gone
        return False
    return True
