"""What goes, and above all what stays."""

import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from wwdc.products import acquire, free_job, record_failure
from wwdc.products.claims import CLAIM
from wwdc.products.gc import gc

HALF = ".5_0.ckpt.17-0a1b2c3d.tmp"
PARTIAL = "bbbbbbbbbbbb"


def _put(path: Path, content: str = "x" * 100, age_s: float = 7200) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and "lock" not in path.name}


@pytest.fixture
def garbage(tree, make_product) -> set[Path]:
    """A tree with a finished point, a partial one, and one of each kind of garbage."""
    done = make_product()
    _put(tree.point(PARTIAL) / "last.ckpt")
    return {
        _put(tree.point(done.info.point_id) / "last.ckpt").parent,
        _put(tree.ckpts / HALF),
        _put(tree.ckpts / "lost_1.ckpt"),
        _put(tree.embeddings / "5240735_2" / "test.parquet"),
        _put(tree.point(PARTIAL) / ".last.ckpt.17-0a1b2c3d.tmp"),
        _put(tree.point(PARTIAL) / CLAIM, "{}"),
        _put(tree.ckpts / ".5240735_7.ckpt.owner", PARTIAL),
    }


def test_dry_run_lists_and_leaves(tree, garbage):
    before = _files(tree.path)
    found = gc(tree)
    assert {item.path for item in found} == garbage
    assert sum(item.bytes for item in found) == 5 * 100 + 2 + 12
    assert _files(tree.path) == before


def test_delete_removes_just_that(tree, garbage):
    _put(tree.ckpts / "notes.txt")
    assert {item.path for item in gc(tree, delete=True)} == garbage
    left = {path.relative_to(tree.path).as_posix() for path in _files(tree.path)}
    assert left == {
        "ckpts/5240735_2.ckpt",
        "ckpts/5240735_2_info.yaml",
        "ckpts/notes.txt",
        f"multiruns/points/{PARTIAL}/last.ckpt",
    }
    assert gc(tree, delete=True) == []


def test_nothing_there(tree):
    assert gc(tree, delete=True) == []
    assert not tree.path.exists()


def test_what_is_young_stays(tree, make_product):
    make_product()
    for name in (HALF, "lost_1.ckpt", ".5240735_7.ckpt.owner"):
        _put(tree.ckpts / name, age_s=60)
    assert gc(tree) == []


@pytest.mark.parametrize("young", ["last.ckpt", CLAIM])
def test_young_work_of_a_finished_point_stays(tree, make_product, young):
    """Such as that of a point that was begun again with --fresh, and paused."""
    point = tree.point(make_product().info.point_id)
    _put(point / "plan.yaml")
    _put(point / young, "{}", age_s=60)
    assert gc(tree) == []
    _put(point / young, "{}")
    assert [item.path for item in gc(tree)] == [point]


def test_looking_at_a_claim_does_not_make_its_work_young(tree, make_product):
    """A claim of another machine is read by the clock of the disk, a file beside it."""
    point = tree.point(make_product().info.point_id)
    lease = acquire(tree, point.name)
    elsewhere = json.dumps(asdict(lease.owner) | {"machine": "elsewhere"})
    lease.release()
    _put(point / CLAIM, elsewhere)
    assert [[item.path for item in gc(tree)] for _ in range(2)] == [[point]] * 2


def test_a_young_claim_of_a_process_that_is_gone_stays(tree):
    claim = _put(tree.point(PARTIAL) / CLAIM, "{}", age_s=60)
    assert gc(tree) == []
    _put(claim, "{}")
    assert [item.path for item in gc(tree)] == [claim]


def test_what_is_claimed_stays(tree, make_product, garbage):
    leases = [acquire(tree, "0a1b2c3d4e5f"), acquire(tree, PARTIAL)]
    _put(tree.ckpts / ".lost_1.ckpt.owner", PARTIAL)
    names = {item.path.name for item in gc(tree, delete=True)}
    assert names == {HALF, "test.parquet"}
    for lease in leases:
        lease.release()


def test_a_failed_point_and_a_reserved_name_stay(tree, make_info):
    record_failure(tree, make_info(status="failed", reason="loss is NaN"))
    free_job(tree, "5", 0, PARTIAL)
    assert gc(tree) == []


def test_a_broken_info_file_keeps_its_artefact(tree, make_product):
    make_product("000000000001", job_num=1)
    _put(tree.ckpts / "lost_1.ckpt")
    _put(tree.ckpts / "lost_1_info.yaml", "a: [")
    with pytest.raises(Exception, match=r"lost_1_info\.yaml"):
        gc(tree, delete=True)
    assert (tree.ckpts / "lost_1.ckpt").exists()


def test_links_lead_nowhere(tree, make_product, tmp_path):
    product = make_product()
    outside = tmp_path / "outside"
    kept = {_put(outside / HALF), _put(outside / "lost_1.ckpt"), _put(outside / "deep" / HALF)}
    (tree.path / "embeddings").symlink_to(outside)
    (tree.multiruns / "linked").parent.mkdir(parents=True, exist_ok=True)
    (tree.multiruns / "linked").symlink_to(outside)
    tree.points.mkdir(parents=True, exist_ok=True)
    (tree.points / product.info.point_id).symlink_to(outside)
    assert gc(tree, delete=True) == []
    assert _files(outside) == kept
