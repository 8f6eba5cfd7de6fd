"""Whole or not there: on a full disk, across file systems, between processes."""

import errno
import multiprocessing
import os
import resource
import subprocess
from pathlib import Path

import pytest

from wwdc.errors import ProductError
from wwdc.products.atomic import atomic_copy, atomic_write, exclusive_write, is_temporary, sha256

FORK = multiprocessing.get_context("fork")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def tiny_disk(tmp_path: Path):
    """A file system of 64 kB."""
    mount = tmp_path / "tiny"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting needs root")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_write_replaces_and_makes_folders(tmp_path):
    path = tmp_path / "a" / "b.txt"
    atomic_write(path, "one")
    atomic_write(path, b"two")
    assert path.read_bytes() == b"two"
    assert _names(path.parent) == ["b.txt"]


def test_copy_returns_the_hash(tmp_path):
    src, dst = tmp_path / "src", tmp_path / "out" / "dst"
    src.write_bytes(os.urandom(3_000_000))
    assert atomic_copy(src, dst) == sha256(src) == sha256(dst)


def test_copy_crosses_file_systems(tiny_disk, tmp_path):
    src = tiny_disk / "src"
    src.write_bytes(b"x" * 1000)
    with pytest.raises(OSError, match="cross-device"):
        src.rename(tmp_path / "dst")
    atomic_copy(src, tmp_path / "dst")
    assert (tmp_path / "dst").read_bytes() == b"x" * 1000


@pytest.mark.parametrize("existing", [None, b"old"])
def test_full_disk_leaves_nothing(tiny_disk, tmp_path, existing):
    src, dst = tmp_path / "src", tiny_disk / "dst"
    src.write_bytes(b"x" * 100_000)
    if existing:
        dst.write_bytes(existing)
    with pytest.raises(ProductError, match=r"No space left on device.*DATA_ROOT"):
        atomic_copy(src, dst)
    with pytest.raises(ProductError, match="No space left"):
        atomic_write(dst, src.read_bytes())
    assert _names(tiny_disk) == (["dst"] if existing else [])
    assert not existing or dst.read_bytes() == existing


def _write_with_a_limit(path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        atomic_write(path, b"x" * 10_000)
    except ProductError:
        os._exit(0 if not _names(path.parent) else 1)
    os._exit(2)


def test_write_cut_short_leaves_nothing(tmp_path):
    process = FORK.Process(target=_write_with_a_limit, args=(tmp_path / "file",))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_missing_source_is_named(tmp_path):
    with pytest.raises(ProductError, match="absent"):
        atomic_copy(tmp_path / "absent", tmp_path / "dst")
    assert _names(tmp_path) == []


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ProductError, match=r"cannot write .*file/x: File exists"):
        atomic_write(tmp_path / "file" / "x", "")


def test_hash_of_a_missing_file(tmp_path):
    with pytest.raises(ProductError, match=r"cannot read .*absent"):
        sha256(tmp_path / "absent")


def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "x", "data")
    assert _names(tmp_path) == []


def _race(path, barrier, wins, number, hard_links):
    if not hard_links:
        os.link = _refuse
    barrier.wait()
    if exclusive_write(path, f"{number}\n"):
        wins.put(number)


def _refuse(*_arguments):
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("hard_links", [True, False])
def test_exactly_one_process_creates_a_file(tmp_path, hard_links):
    for trial in range(5):
        path, barrier, wins = tmp_path / str(trial), FORK.Barrier(6), FORK.SimpleQueue()
        processes = [
            FORK.Process(target=_race, args=(path, barrier, wins, number, hard_links))
            for number in range(6)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert path.read_text() == f"{wins.get()}\n"
        assert wins.empty()
    assert not any(is_temporary(name) for name in _names(tmp_path))
