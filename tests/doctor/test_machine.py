"""Name, processors, memory, limits and folders of a machine."""

import os
import sys
from pathlib import Path

import pytest

from wwdc.doctor import machine
from wwdc.doctor.machine import (
    GIB,
    HostFacts,
    LimitFacts,
    Place,
    ProcessorFacts,
    check_host,
    check_limits,
    check_memory,
    check_processors,
    check_shared_memory,
    check_temporary,
    host_facts,
    limit_facts,
    place_facts,
    processor_facts,
)

TMP = Place(Path("/tmp"))


@pytest.mark.parametrize(
    ("addresses", "several", "state"),
    [
        (("10.0.0.7",), True, "ok"),
        (("127.0.1.1", "10.0.0.7"), True, "ok"),
        (("fe80::1%eth0",), True, "ok"),
        (("127.0.1.1",), True, "note"),
        (("127.0.1.1", "::1"), True, "note"),
        (("127.0.1.1",), False, "ok"),
        ((), False, "note"),
    ],
)
def test_host(addresses, several, state):
    check = check_host(HostFacts("node7", addresses, "Name or service not known"), several)
    assert check.state == state
    assert "node7" in check.found
    assert bool(check.fix) == (state != "ok")


@pytest.mark.parametrize(
    ("own", "threads", "state"),
    [(4, None, "ok"), (4, "4", "ok"), (4, "8", "note"), (4, "0", "note"), (4, "all", "note")],
)
def test_processors(own, threads, state):
    check = check_processors(ProcessorFacts(own, 64, threads))
    assert check.state == state
    assert f"{own} of 64" in check.found
    assert bool(check.command) == (state != "ok")


@pytest.mark.parametrize(("available", "state"), [(3 * GIB, "ok"), (GIB, "note")])
def test_memory(available, state):
    assert check_memory(ProcessorFacts(1, 1, available=available)).state == state


@pytest.mark.parametrize(
    ("files", "most", "processes", "state", "command"),
    [
        (4096, 4096, 4096, "ok", None),
        (None, None, None, "ok", None),
        (1024, 65536, None, "note", "ulimit -n 65536"),
        (1024, None, None, "note", "ulimit -n 4096"),
        (1024, 2048, None, "note", None),
        (65536, 65536, 200, "note", "ulimit -u 1024"),
    ],
)
def test_limits(files, most, processes, state, command):
    check = check_limits(LimitFacts(files, most, processes))
    assert (check.state, check.command) == (state, command)
    assert bool(check.fix) == (state != "ok")


LONG = "/scratch/a-user-with-a-long-name/jobs/1234567"


@pytest.mark.parametrize(
    ("places", "named", "state", "fix"),
    [
        ([TMP], None, "ok", ""),
        ([TMP, Place(Path("/local"))], "/local", "ok", ""),
        ([TMP, Place(Path(LONG))], LONG, "note", "too many"),
        ([TMP, Place(Path("/gone"), 0, "No such file")], "/gone", "fails", "TMPDIR"),
        ([Place(Path("/tmp"), 0, "Permission denied")], None, "fails", "/tmp"),
        ([Place(Path("/tmp"), GIB // 2)], None, "note", "room"),
        ([TMP, Place(Path("/local"), 0)], "/local", "fails", "/local"),
    ],
)
def test_temporary(places, named, state, fix):
    check = check_temporary(places, named)
    assert check.state == state
    assert fix in (check.fix or "")
    assert bool(check.fix) == (state != "ok")


@pytest.mark.parametrize(
    ("place", "state"),
    [
        (None, "not here"),
        (Place(Path("/dev/shm"), 64 * 1024**2), "note"),  # what Docker gives
        (Place(Path("/dev/shm"), GIB), "ok"),
        (Place(Path("/dev/shm"), GIB, "Permission denied"), "note"),
    ],
)
def test_shared_memory(place, state):
    assert check_shared_memory(place).state == state


def test_the_name_of_this_machine(monkeypatch):
    monkeypatch.setattr(machine.socket, "gethostname", lambda: "localhost")
    assert set(host_facts().addresses) & {"127.0.0.1", "::1"}


def test_a_name_that_leads_nowhere(monkeypatch):
    monkeypatch.setattr(machine.socket, "gethostname", lambda: "a b")
    facts = host_facts()
    assert facts.addresses == ()
    assert facts.fault


def test_processors_of_a_slurm_job():
    facts = processor_facts({"SLURM_CPUS_ON_NODE": "1", "OMP_NUM_THREADS": "3"})
    assert (facts.own, facts.threads) == (1, "3")
    assert facts.machine == os.cpu_count()
    assert facts.memory > facts.available > 0


def test_limits_of_this_process():
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
    try:
        assert limit_facts().open_files == 1000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_places(tmp_path):
    assert place_facts(tmp_path).fault is None
    assert place_facts(tmp_path).free > 0
    assert "No such file" in place_facts(tmp_path / "gone").fault
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_place_that_cannot_be_written_to():
    assert place_facts(Path("/proc")).fault
