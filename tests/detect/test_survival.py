"""Actors that are killed, few or many, with blocks of any size: the same bits."""

import os
import signal

import pytest

from tests.detect.test_main import FAST, contents
from wwdc.detect import run, work
from wwdc.detect.__main__ import main as detect

pytestmark = pytest.mark.ray

SIZE = "detectors.fit_rows=300"


@pytest.fixture
def reference(planted, tree):
    """What one process in one piece gives."""
    assert detect([str(planted), *FAST, SIZE, "+seed=1"]) == 0
    return contents(tree)


def test_an_actor_that_is_killed_costs_a_block_and_no_bit(
    planted, tree, reference, ray_session, monkeypatch
):
    from wwdc.cluster import pool

    monkeypatch.setattr(run, "LITTLE", 0)
    killed = []
    original = pool._Pool._settle

    def settle(self, actor):
        import ray

        known = actor.known
        original(self, actor)
        if known and not killed and actor.tasks:  # one of its blocks is done, another is not
            killed.append(ray.get(actor.ready))
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(pool._Pool, "_settle", settle)
    settings = [text for text in FAST if not text.startswith("tune.cpus")]
    assert detect([str(planted), *settings, SIZE, "+seed=1", "--fresh"]) == 0
    assert killed
    assert contents(tree) == reference


def test_blocks_of_another_size(planted, tree, reference, monkeypatch):
    monkeypatch.setattr("wwdc.discovery.fitted.CHUNK", 128)
    monkeypatch.setattr(work, "CHUNK", 128)
    found = []
    for rows in (128, 512):
        monkeypatch.setattr(work, "BLOCK_ROWS", rows)
        assert detect([str(planted), *FAST, SIZE, "+seed=1", "--fresh"]) == 0
        found.append(contents(tree))
    assert found[0] == found[1] == reference
