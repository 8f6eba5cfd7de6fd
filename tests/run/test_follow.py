"""Embedding beside training: when it pays, and that it ends with it."""

import sys
import time

import pytest

from tests.conftest import flow_experiment
from wwdc.config.schema import TuneConfig
from wwdc.run.follow import Follower, follower_of, idle_cpus
from wwdc.run.survey import look

WRITES = "import sys, time, pathlib; p = pathlib.Path(sys.argv[1]); p.open('a').write('x');"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("wwdc.run.follow.POLL_S", 0.02)


@pytest.mark.parametrize(
    ("unfinished", "slots", "cpus", "each", "idle"),
    [(12, 2, 2, 1, 0), (1, 2, 2, 1, 1), (3, 16, 16, 1, 13), (5, 4, 16, 4, 0), (0, 2, 2, 1, 2)],
)
def test_what_training_leaves(unfinished, slots, cpus, each, idle):
    assert idle_cpus(unfinished, slots, cpus, each) == idle


def follower(flow, code, path, cpus):
    survey = look(flow)
    settings = TuneConfig(cpus=cpus)
    return Follower(survey.tree, survey.plan(), settings, [sys.executable, "-c", code, str(path)])


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_it_runs_once_for_what_is_finished_and_again_for_more(flow, tree, tmp_path, quick):
    """Seen from the tree alone: three of four points are done, then the fourth."""
    note = tree.products()[0].info_path
    hidden = note.rename(note.with_suffix(".away"))
    said = tmp_path / "said"
    with follower(flow, WRITES, said, cpus=2):
        assert wait_for(said.is_file)
        time.sleep(0.5)
        assert said.read_text() == "x"
        hidden.rename(note)
        assert wait_for(lambda: said.read_text() == "xx")


def test_without_an_idle_cpu_it_waits(flow, tree, tmp_path, quick):
    for product in tree.products()[:2]:
        product.info_path.unlink()
    said = tmp_path / "said"
    with follower(flow, WRITES, said, cpus=2):
        time.sleep(0.5)
    assert not said.exists()


def test_it_ends_when_training_does(flow, tmp_path, quick):
    said = tmp_path / "said"
    began = follower(flow, f"{WRITES} time.sleep(600)", said, cpus=2)
    with began:
        assert wait_for(said.is_file)
    assert began._process.poll() is not None


@pytest.mark.parametrize(
    "words", [["tune.address=10.0.0.1:6379"], ["tune.resources.gpu=1"], ["embed.resources.gpu=1"]]
)
def test_it_stays_away_where_it_cannot_count(vae_root, tmp_path, words):
    flow = flow_experiment(tmp_path)
    assert follower_of(look(flow), []) is not None
    assert follower_of(look(flow, words), []) is None
