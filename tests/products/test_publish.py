"""No half products: names, failures, and processes killed at any instant."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from wwdc.errors import ProductError
from wwdc.products import Info, Tree, free_job, info_path, publish, publish_point, sha256
from wwdc.products.atomic import is_temporary
from wwdc.products.gc import gc

FORK = multiprocessing.get_context("fork")
OTHER = "ffffffffffff"


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def src(tmp_path: Path) -> Path:
    path = tmp_path / "scratch.ckpt"
    path.write_bytes(os.urandom(5000))
    return path


def test_publish(tree, make_info, src):
    dst = tree.ckpt("5240735_2")
    info = publish(src, dst, make_info())
    assert (info.sha256, info.bytes) == (sha256(src), 5000)
    assert tree.products()[0].info == info
    assert _names(tree.ckpts) == ["5240735_2.ckpt", "5240735_2_info.yaml"]


def test_a_name_belongs_to_its_point(tree, make_info, src):
    dst = tree.ckpt("5240735_2")
    publish(src, dst, make_info())
    before = sha256(dst)
    src.write_bytes(b"other")
    with pytest.raises(ProductError, match="belongs to another point"):
        publish(src, dst, make_info(point_id=OTHER))
    assert sha256(dst) == before
    product = publish_point(tree, src, make_info(point_id=OTHER))
    assert product.path.name == "5240735_3.ckpt"
    assert product.info.model_fp == str(product.path)
    assert len(tree.products()) == 2


def test_a_stray_file_is_not_overwritten(tree, make_info, src):
    tree.ckpts.mkdir(parents=True)
    tree.ckpt("5240735_2").write_text("mine")
    assert publish_point(tree, src, make_info()).path.name == "5240735_3.ckpt"
    assert tree.ckpt("5240735_2").read_text() == "mine"


def test_the_same_point_may_be_published_again(tree, make_info, src):
    publish_point(tree, src, make_info())
    src.write_bytes(b"trained again")
    product = publish_point(tree, src, make_info())
    assert tree.products() == [product]
    assert product.path.read_bytes() == b"trained again"


def test_a_reserved_name_is_kept(tree, make_info, src):
    assert free_job(tree, "7", 0, OTHER) == 0
    assert free_job(tree, "7", 0, "0a1b2c3d4e5f") == 1
    assert free_job(tree, "7", 0, OTHER) == 0
    assert publish_point(tree, src, make_info(job_id="7", job_num=0)).info.job_num == 1


def test_metrics_go_along(tree, make_info, src, tmp_path):
    table = tmp_path / "metrics.csv"
    table.write_text("epoch,val_loss\n0,1.5\n")
    publish_point(tree, src, make_info(), table)
    assert (tree.metrics / "5240735_2.csv").read_text() == table.read_text()


@pytest.mark.parametrize("fails_at", range(1, 6))
def test_a_failure_leaves_no_half_product(tree, make_info, src, monkeypatch, fails_at):
    """The disk fills up at the n-th time something is forced to it."""
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) >= fails_at:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProductError, match="No space left"):
        publish(src, tree.ckpt("5240735_2"), make_info())
    monkeypatch.undo()
    assert _names(tree.ckpts) == []
    publish(src, tree.ckpt("5240735_2"), make_info())
    assert len(tree.products()) == 1


def _publish_for_ever(root: Path, worker: int, seed: int) -> None:
    chance = random.Random(seed)
    tree = Tree(root, "COLOUR_MNIST", "FLOW")
    src = root / f"scratch_{worker}"
    for number in range(10_000):
        src.write_bytes(chance.randbytes(chance.randrange(1, 300_000)))
        point = f"{seed:04x}{worker:04x}{number:04x}"
        info = Info(job_id="1", job_num=0, point_id=point, config_id=point, status="done")
        job_num = chance.randrange(8) + 8 * number  # workers want the same names
        publish_point(tree, src, info.model_copy(update={"job_num": job_num}))


def _complete(tree: Tree) -> list[str]:
    products = tree.products()
    assert len(products) == sum(1 for _ in tree.info_files())
    for product in products:
        assert sha256(product.path) == product.info.sha256
        assert product.path.stem == product.info.job
    return [product.info.point_id for product in products]


def test_kill_leaves_no_half_product(tree):
    """Two processes that fight for names, killed 24 times at random instants."""
    tree.data_root.mkdir()
    chance, before = random.Random(0), 0
    for kill in range(24):
        workers = [
            FORK.Process(target=_publish_for_ever, args=(tree.data_root, worker, kill))
            for worker in range(2)
        ]
        for process in workers:
            process.start()
        time.sleep(chance.uniform(0.02, 0.15))
        for process in workers:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        points = _complete(tree)
        assert len(points) == len(set(points)) >= before
        before = len(points)
    assert before > 24
    gc(tree, delete=True, age_s=-1)
    assert len(_complete(tree)) == before
    names = _names(tree.ckpts)
    assert not [name for name in names if is_temporary(name) or name.startswith(".")]
    assert len(names) == 2 * before


def _publish_one(root: Path, barrier, worker: int) -> None:
    tree = Tree(root, "COLOUR_MNIST", "FLOW")
    src = root / f"scratch_{worker}"
    src.write_bytes(bytes([worker]) * 1000)
    point = f"{worker:012x}"
    info = Info(job_id="1", job_num=0, point_id=point, config_id=point, status="done")
    barrier.wait()
    publish_point(tree, src, info)


def test_points_that_want_one_name_get_one_each(tree):
    tree.data_root.mkdir()
    barrier = FORK.Barrier(6)
    workers = [
        FORK.Process(target=_publish_one, args=(tree.data_root, barrier, number))
        for number in range(6)
    ]
    for process in workers:
        process.start()
    for process in workers:
        process.join()
        assert process.exitcode == 0
    assert sorted(product.info.job_num for product in tree.products()) == list(range(6))
    for product in tree.products():
        assert product.path.read_bytes()[0] == int(product.info.point_id, 16)
        assert info_path(product.path).exists()
