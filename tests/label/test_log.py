"""The log grows, keeps what it acknowledged, and is shared by processes."""

import multiprocessing
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.label.scored import open_log, said
from wwdc.errors import ProductError
from wwdc.label.events import fold
from wwdc.label.log import Refused, read_log


@pytest.fixture
def log(tmp_path: Path):
    opened = open_log(tmp_path / "a.sqlite")
    yield opened
    opened.close()


def test_an_event_said_twice_is_written_once(log):
    first = log.add(said(1, 7), model=3, score=0.5, rank=2)
    again = log.add(said(1, 7), model=9, score=0.9, rank=9)
    assert (first.new, again.new) == (True, False)
    assert again.event == first.event
    assert (first.event.model, first.event.score, first.event.rank) == (3, 0.5, 2)
    assert log.since(0)[0] == [first.event]


def test_a_uuid_names_one_event(log):
    log.add(said(1, 7))
    for other in (said(1, 8), said(1, 7, "normal"), said(1, 7, labeller="bob")):
        with pytest.raises(Refused, match="event-0001"):
            log.add(other)


def test_nothing_written_can_be_changed(log):
    log.add(said(1, 7))
    other = sqlite3.connect(log.path)
    for statement in ("DELETE FROM events", "UPDATE events SET kind = 'normal'"):
        with pytest.raises(sqlite3.Error, match="only grows"):
            other.execute(statement)
    other.close()


def test_undo_takes_the_labellers_last_event_back_each_time(log):
    log.add(said(1, 7))
    log.add(said(2, 8, "normal"))
    log.add(said(3, 9, labeller="bob"))
    first, second = log.add(said(4, None, "undo")), log.add(said(5, None, "undo"))
    assert (first.undone.uuid, second.undone.uuid) == ("event-0002", "event-0001")
    assert (first.event.id, first.event.value) == (8, "event-0002")
    again = log.add(said(4, None, "undo"))
    assert (again.new, again.undone.uuid) == (False, "event-0002")
    with pytest.raises(Refused, match="nothing to undo"):
        log.add(said(6, None, "undo"))
    assert list(fold(log.since(0)[0]).labels) == [9]


@pytest.mark.parametrize("value", ["event-0003", "event-0004", "event-0009"])
def test_undo_takes_back_ones_own_events_once(log, value):
    log.add(said(1, 7))
    log.add(said(3, 9, labeller="bob"))
    log.add(said(4, None, "undo", value="event-0001"))
    for wrong in (value, "event-0001"):
        with pytest.raises(Refused, match=wrong):
            log.add(said(5, None, "undo", value=wrong))


def test_a_labellers_events_are_in_order_though_the_clock_goes_back(log):
    ahead = log.add(said(1, 7)).event.as_dict() | {
        "uuid": "event-0002",
        "time": "2999-01-01T00:00:00+00:00",
    }
    log.merge([type(log.since(0)[0][0])(**ahead)])
    later = log.add(said(3, 7, "normal")).event
    assert later.time > "2999"
    assert fold(log.since(0)[0]).labels[7].verdict == "normal"


def test_since_tells_only_what_is_new(log):
    log.add(said(1, 7))
    events, seq = log.since(0)
    assert len(events) == 1
    assert log.since(seq) == ([], seq)
    log.add(said(2, 8))
    assert [event.id for event in log.since(seq)[0]] == [8]


def test_merging_adds_what_is_new_and_can_be_repeated(log, tmp_path):
    other = open_log(tmp_path / "b.sqlite")
    other.add(said(1, 7))
    other.add(said(2, 8))
    log.add(said(2, 8))
    events = other.since(0)[0]
    assert log.merge(events) == (1, 1)
    assert log.merge(events) == (0, 2)
    other.close()


def test_a_merge_that_contradicts_the_log_adds_nothing(log, tmp_path):
    other = open_log(tmp_path / "b.sqlite")
    for number, id in ((1, 7), (2, 8)):
        other.add(said(number, id))
    log.add(said(2, 9))
    with pytest.raises(Refused, match="event-0002"):
        log.merge(other.since(0)[0])
    assert len(log.since(0)[0]) == 1
    other.close()


def test_leases_do_not_overlap_and_run_out(log):
    def first_free(taken):
        return next(id for id in (1, 2, 3) if id not in taken)

    assert log.lease(first_free, "ada", 60.0)[0] == 1
    assert log.lease(first_free, "ada", 60.0)[0] == 1  # one's own
    assert log.lease(first_free, "bob", -1.0)[0] == 2
    assert log.lease(first_free, "cid", 60.0)[0] == 2  # bob's is over
    log.add(said(1, 1))
    assert log.lease(first_free, "bob", 60.0)[0] == 1  # a label ends the lease
    assert log.lease(lambda taken: None, "ada", 60.0) is None


def test_an_empty_file_is_told_and_begun_anew(tmp_path):
    path = tmp_path / "empty.sqlite"
    path.touch()
    with pytest.raises(ProductError, match="an empty file, no log of labels"):
        read_log(path)
    assert not path.stat().st_size
    open_log(path).close()
    assert read_log(path)[1] == []


def test_labels_of_other_data_are_refused(log):
    with pytest.raises(ProductError, match=r"labels of other data.*--name"):
        open_log(log.path, fingerprint="0" * 16)


@pytest.mark.parametrize("content", [b"not a database, certainly not", b""])
def test_what_is_no_log_is_refused(tmp_path, content):
    path = tmp_path / "x.sqlite"
    path.write_bytes(content)
    with pytest.raises(ProductError, match=r"x\.sqlite"):
        read_log(path)


def test_another_programs_database_is_left_alone(tmp_path):
    path = tmp_path / "x.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (a)")
    other.commit()
    with pytest.raises(ProductError, match="schema 0"):
        open_log(path)
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    other.close()


def test_a_later_schema_is_refused(log):
    other = sqlite3.connect(log.path)
    other.execute("PRAGMA user_version = 2")
    other.close()
    with pytest.raises(ProductError, match="schema 2"):
        open_log(log.path)


def _write(path: Path, number: int, acked: Path, count: int) -> None:
    log = open_log(path)
    with acked.open("a") as file:
        for i in range(count):
            event = log.add(said(number * 1000 + i, i, labeller=f"w{number}")).event
            file.write(f"{event.uuid}\n")
            file.flush()
            os.fsync(file.fileno())


def test_four_processes_write_and_the_one_that_is_killed_loses_nothing(tmp_path):
    path, acked = tmp_path / "log.sqlite", [tmp_path / f"acked{i}" for i in range(4)]
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_write, args=(path, i, acked[i], 10_000 if i == 0 else 25))
        for i in range(4)
    ]
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if acked[0].exists() and acked[0].read_text().count("\n") >= 10:
            break
        time.sleep(0.02)
    os.kill(workers[0].pid, signal.SIGKILL)
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [-signal.SIGKILL, 0, 0, 0]
    stored = {event.uuid for event in read_log(path)[1]}
    for i, file in enumerate(acked):
        known = set(file.read_text().splitlines())
        assert len(known) >= (10 if i == 0 else 25)
        assert known <= stored
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()
