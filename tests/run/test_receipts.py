"""Receipts: what makes a stage out of date."""

import os
import shutil
import sqlite3

import pytest

from wwdc.products import Tree
from wwdc.run.receipts import (
    difference,
    kept,
    read_receipt,
    take_receipt,
    write_receipt,
)
from wwdc.run.stages import CHAIN

STATS, REPORT = CHAIN[3], CHAIN[5]


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path, "D", "E")
    for name in ("ckpts/1_0_info.yaml", "embeddings/1_0/test_info.yaml", "stat_tests/info.yaml"):
        path = tree.path / name
        path.parent.mkdir(parents=True)
        path.write_text(name)
    (tree.stat_tests / "verdicts.parquet").write_bytes(b"1234")
    write_receipt(STATS, tree, take_receipt(STATS, tree, {"alpha": 1}))
    return tree


def reason(tree, settings=None):
    current = take_receipt(STATS, tree, settings or {"alpha": 1})
    return difference(STATS, read_receipt(STATS, tree), current)


def test_nothing_changed(tree):
    assert reason(tree) == ""


def test_a_copied_tree_is_up_to_date(tree, tmp_path):
    other = Tree(tmp_path / "copy", "D", "E")
    shutil.copytree(tree.path, other.path, copy_function=shutil.copyfile)
    os.utime(other.stat_tests / "info.yaml", (1, 1))
    assert reason(other) == ""


def test_other_settings(tree):
    assert "settings" in reason(tree, {"alpha": 2})


@pytest.mark.parametrize("name", ["1_0_info.yaml", "1_1_info.yaml"])
def test_another_checkpoint(tree, name):
    (tree.ckpts / name).write_text("of another")
    assert "reads" in reason(tree)


@pytest.mark.parametrize("name", ["info.yaml", "verdicts.parquet"])
def test_a_lost_or_changed_table(tree, name):
    (tree.stat_tests / name).unlink()
    assert "wrote" in reason(tree)
    (tree.stat_tests / name).write_text("x")
    assert "wrote" in reason(tree)


def test_a_half_written_file_is_no_change(tree):
    (tree.stat_tests / ".info.yaml.12-0123abcd.tmp").write_text("x")
    assert reason(tree) == ""


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": 9}', '{"schema": 1, "a": 2}'])
def test_a_damaged_receipt_is_none(tree, text):
    (tree.multiruns / "run" / "stats.json").write_text(text)
    assert read_receipt(STATS, tree) is None
    assert "not been run" in reason(tree)


def test_what_changes_while_a_stage_runs_is_not_taken_for_seen(tree):
    before = take_receipt(STATS, tree, {"alpha": 1})
    (tree.ckpts / "1_0_info.yaml").write_text("trained again meanwhile")
    write_receipt(STATS, tree, take_receipt(STATS, tree, {"alpha": 1}, before))
    assert "reads" in reason(tree)


def test_a_log_changes_by_its_events_not_by_being_read(tree):
    tree.labels.mkdir()
    path = tree.labels / "default.sqlite"
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, kind TEXT)")
    db.execute("INSERT INTO events (kind) VALUES ('anomaly')")
    db.commit()
    first = take_receipt(REPORT, tree, None)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert take_receipt(REPORT, tree, None) == first
    db.execute("INSERT INTO events (kind) VALUES ('normal')")
    db.commit()
    assert take_receipt(REPORT, tree, None) != first
    db.close()


def test_progress_is_what_need_not_be_made_again(tree):
    before = kept([tree])
    (tree.multiruns / "ray").mkdir()
    (tree.multiruns / "ray" / "log.txt").write_text("chatter")
    assert kept([tree]) == before
    (tree.embeddings / "1_0" / "train_info.yaml").write_text("x")
    assert kept([tree]) - before
