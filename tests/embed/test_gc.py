"""`gc` and the work of embeddings."""

import os
import time

import pytest

from tests.embed.conftest import contents
from wwdc.embed.__main__ import main
from wwdc.products import acquire
from wwdc.products.gc import EMBEDDING, gc

pytestmark = pytest.mark.ray

INLINE = ("embed.engine=inline", "tune.cpus=1", "+seed=1")


def leave(tree, name, target, age=7200):
    """A work folder as a killed run leaves it."""
    folder = tree.point(name)
    (folder / "parts-0").mkdir(parents=True)
    (folder / "parts-0" / "000000.arrow").write_bytes(b"x" * 1000)
    (folder / EMBEDDING).write_text(f"{target}\n")
    then = time.time() - age
    for path in folder.rglob("*"):
        os.utime(path, (then, then))
    return folder


def test_work_of_an_embedding_that_is_there_can_go_and_no_other(flow, tree):
    assert main([str(flow), *INLINE]) == 0
    before = contents(tree)
    there = str(tree.embedded()[0].path.relative_to(tree.embeddings))
    done = leave(tree, "embed-00000000000a", there)
    unfinished = leave(tree, "embed-00000000000b", "none_0/test.parquet")
    young = leave(tree, "embed-00000000000c", there, age=0)
    held = leave(tree, "embed-00000000000d", there)
    claim = acquire(tree, held.name)
    found = [garbage.path for garbage in gc(tree)]
    assert done in found
    assert not {unfinished, young, held} & set(found)
    gc(tree, delete=True)
    assert not done.exists()
    assert all(folder.exists() for folder in (unfinished, young, held))
    assert contents(tree) == before
    claim.release()
