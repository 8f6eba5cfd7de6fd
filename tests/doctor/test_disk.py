"""DATA_ROOT and the disk it is on."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from wwdc.doctor import disk as its
from wwdc.doctor.disk import (
    GIB,
    Disk,
    check_data_root,
    check_files,
    check_shared,
    check_space,
    disk_facts,
)

GOOD = Disk(Path("/data/mine"), True, Path("/data/mine"), faults={})


@pytest.mark.parametrize(
    ("disk", "state", "found"),
    [
        (GOOD, "ok", "/data/mine"),
        (replace(GOOD, there=Path("/data")), "ok", "will be made"),
        (replace(GOOD, given=False), "note", "not set"),
        (replace(GOOD, fault="Permission denied"), "fails", "Permission denied"),
        (replace(GOOD, given=False, fault="Read-only file system"), "fails", "Read-only"),
    ],
)
def test_data_root(disk, state, found):
    check = check_data_root(disk)
    assert check.state == state
    assert found in check.found
    assert (check.command or "export DATA_ROOT=").startswith("export DATA_ROOT=")
    assert bool(check.fix) == (state != "ok")


@pytest.mark.parametrize(
    ("free", "files", "quota", "state"),
    [
        (100 * GIB, None, "", "ok"),
        (100 * GIB, 10**6, "", "ok"),
        (5 * GIB, None, "", "note"),
        (GIB // 2, None, "", "fails"),
        (100 * GIB, 500, "", "note"),
        (100 * GIB, 0, "", "fails"),
        (100 * GIB, None, "/home: 12G over", "note"),
        (0, None, "/home: 12G over", "fails"),
    ],
)
def test_space(free, files, quota, state):
    check = check_space(replace(GOOD, free=free, free_files=files, quota=quota))
    assert check.state == state
    assert bool(check.fix) == (state != "ok")


@pytest.mark.parametrize(
    ("faults", "state"),
    [
        ({}, "ok"),
        ({"hard links": "Operation not permitted"}, "note"),
        ({"locks": "No locks available"}, "fails"),
        ({"renaming": "the old file is still there", "hard links": "no"}, "fails"),
        (None, "not here"),
    ],
)
def test_files(faults, state):
    check = check_files(replace(GOOD, faults=faults))
    assert check.state == state
    assert all(said in check.found for said in (faults or {}).values())
    assert bool(check.fix) == (state in ("note", "fails"))


@pytest.mark.parametrize(
    ("path", "kind", "on_cluster", "state"),
    [
        ("/home/me", "ext4", False, "not here"),
        ("/home/me", "ext4", True, "note"),
        ("/home/me", "overlay", True, "note"),
        ("/home/me", "nfs4", True, "ok"),
        ("/scratch/me", "lustre", True, "ok"),
        ("/home/me", None, True, "note"),
        ("/tmp/root", "ext4", False, "note"),
        ("/local/tmp/root", "nfs4", True, "note"),
        ("/tmp/root", "nfs4", True, "note"),
        ("/ram", "tmpfs", False, "note"),
    ],
)
def test_shared(path, kind, on_cluster, state):
    check = check_shared(replace(GOOD, path=Path(path), kind=kind), Path("/local/tmp"), on_cluster)
    assert check.state == state
    assert bool(check.fix) == (state == "note")


def test_a_folder_that_works_and_keeps_nothing_of_the_trial(tmp_path):
    disk = disk_facts({"DATA_ROOT": str(tmp_path)})
    assert (disk.path, disk.there, disk.fault, disk.faults) == (tmp_path, tmp_path, None, {})
    assert disk.free > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_still_to_be_made(tmp_path):
    disk = disk_facts({"DATA_ROOT": str(tmp_path / "a" / "b")})
    assert disk.there == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_without_one_it_is_the_current_folders_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    disk = disk_facts({})
    assert (disk.path, disk.given) == (tmp_path / "data", False)


@pytest.mark.parametrize("place", ["file/below", "/proc/sys/root"])
def test_a_folder_that_cannot_be_written_to(tmp_path, place):
    (tmp_path / "file").write_text("")
    disk = disk_facts({"DATA_ROOT": str(tmp_path / place)})
    assert check_data_root(disk).state == "fails"
    assert check_files(disk).state == check_space(disk).state == "not here"


def test_each_thing_that_does_not_work_is_told_by_its_name(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    faults = disk_facts({"DATA_ROOT": str(tmp_path)}).faults
    assert set(faults) == {"locks", "renaming", "hard links"}
    assert "Operation not permitted" in faults["hard links"]


def test_locks_that_lock_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    assert "two processes" in disk_facts({"DATA_ROOT": str(tmp_path)}).faults["locks"]


def test_a_rename_that_does_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", lambda *_: None)
    assert "old file" in disk_facts({"DATA_ROOT": str(tmp_path)}).faults["renaming"]


def test_the_file_system_is_that_of_the_mount_closest_above(monkeypatch):
    from types import SimpleNamespace as Mount

    mounts = [
        Mount(mountpoint="/", fstype="ext4"),
        Mount(mountpoint="/proc", fstype="autofs"),
        Mount(mountpoint="/proc", fstype="nfs4"),
        Mount(mountpoint="/proc/self/fd", fstype="lustre"),
    ]
    monkeypatch.setattr("psutil.disk_partitions", lambda all: mounts)
    assert its._kind(Path("/proc/sys")) == "nfs4"
    assert its._kind(Path("/")) == "ext4"
