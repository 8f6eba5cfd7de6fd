"""The ranking learns in an actor of a real Ray's, and survives it."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.label.scored import campaign_in, load, said
from wwdc.config.schema import TuneConfig
from wwdc.discovery.strategies import make_strategy
from wwdc.label.campaign import Campaign
from wwdc.label.features import Features, features_of, read_pool
from wwdc.label.projection import place_all
from wwdc.label.ranker import Ranker

pytestmark = pytest.mark.ray
TIMEOUT_S = 120


def until(true: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + TIMEOUT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """An embedding, its scores, the objects."""
    return load(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def features(opened) -> Features:
    """What the strategy sees."""
    embedding, scores, objects = opened
    return features_of(objects, embedding, ["u_mean", "kind"], scores)


@pytest.fixture
def campaign(opened, tmp_path) -> Campaign:
    """A campaign without labels."""
    return campaign_in(tmp_path, opened[2])


@pytest.fixture
def start(campaign, features, ray_session):
    """Starts a ranker, which is stopped in the end."""
    started: list[Ranker] = []

    def begin(**more) -> Ranker:
        ranker = Ranker(campaign, features, TuneConfig(), "test", "gp", **more)
        started.append(ranker)
        ranker.start()
        return ranker

    yield begin
    for ranker in started:
        ranker.stop()


def expected(features: Features, campaign: Campaign) -> np.ndarray:
    """The ranking of a strategy that reads the whole log at once."""
    targets = campaign.targets()
    pool = read_pool(features, 0)
    return make_strategy("gp").rank(pool, targets.rows, targets.values).astype(np.float32)


def follows(campaign: Campaign) -> Callable[[], bool]:
    return lambda: campaign.ranking.revision == campaign.revision


def test_the_ranking_follows_the_labels(campaign, features, start):
    ranker = start()
    until(follows(campaign))
    assert campaign.ranking.labels == 0
    for number, (id, kind) in enumerate([(3, "anomaly"), (50, "normal"), (60, "anomaly")]):
        campaign.say(said(number, id, kind))
    until(follows(campaign))
    assert campaign.ranking.labels == 3
    assert np.array_equal(campaign.ranking.acquisition, expected(features, campaign))
    campaign.say(said(9, None, "undo"))
    until(follows(campaign))
    assert campaign.ranking.labels == 2
    assert np.array_equal(campaign.ranking.acquisition, expected(features, campaign))
    assert ranker.status.error is None


def test_a_label_does_not_wait_for_the_ranking(campaign, features, start):
    ranker = start()
    for number in range(30):  # Ray's actor has not even begun
        campaign.say(said(number, number, "normal"))
    assert campaign.counts()["normal"] == 30
    until(follows(campaign))
    assert campaign.ranking.labels == 30
    assert ranker.status.error is None


def test_an_actor_that_is_killed_is_replaced_and_reads_the_log(campaign, features, start):
    ranker = start()
    campaign.say(said(1, 3))
    until(follows(campaign))
    first = ranker.pid
    os.kill(first, signal.SIGKILL)
    campaign.say(said(2, 50, "normal"))
    until(follows(campaign))
    assert ranker.pid != first
    assert ranker.status.error is None
    assert np.array_equal(campaign.ranking.acquisition, expected(features, campaign))


def test_a_log_with_labels_is_learnt_at_the_start(campaign, features, start):
    campaign.say(said(1, 3))
    start(batch=3)
    until(follows(campaign))
    assert campaign.ranking.labels == 1
    assert np.array_equal(campaign.ranking.acquisition, expected(features, campaign))
    queue = campaign.ranking.queue
    assert len(queue) == 3
    assert campaign.objects.row(3) not in queue


def test_a_strategy_that_fails_is_told_and_tried_again_with_the_next_label(
    campaign, features, start, monkeypatch
):
    right, wrong = campaign.targets, threading.Event()
    wrong.set()

    def targets():
        found = right()
        if wrong.is_set():
            found.values[:] = 9.0
        return found

    monkeypatch.setattr(campaign, "targets", targets)
    campaign.say(said(1, 3))
    ranker = start()
    until(lambda: ranker.status.error is not None)
    assert "gp: labels: targets lie between -1 and 1" in ranker.status.error
    assert campaign.ranking.revision == -1  # the prior stays in force
    wrong.clear()
    campaign.say(said(2, 4))
    until(follows(campaign))
    assert ranker.status.error is None


def test_umap_is_made_beside_the_ranking(campaign, features, start):
    ranker = start(umap_rows=60)
    until(lambda: ranker.status.umap in ("ready", "failed"))
    assert ranker.status.umap == "ready"
    assert ranker.umap.shape == (80, 2)
    assert np.array_equal(ranker.umap, place_all(features, 60, 0))


def test_the_pool_has_the_splits_that_are_looked_at(opened):
    from wwdc.label.objects import load_objects

    embedding, scores, _ = opened
    test = load_objects(embedding, scores, ["test"])
    pool = read_pool(features_of(test, embedding, ["u_mean"], scores), 0)
    assert len(pool) == 40
    assert np.array_equal(np.argsort(pool.prior), np.argsort(test.score))


def test_objects_without_a_score_end_the_prior(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    embedding, scores, objects = load(tmp_path)
    table = pq.read_table(scores)
    gap = int(np.argmax(objects.score))
    for name in ("score", "iforest"):
        values = table[name].to_numpy().copy()
        values[gap] = np.nan
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values))
    pq.write_table(table, scores)
    pool = read_pool(features_of(objects, embedding, ["u_mean"], scores), 0)
    assert pool.prior[gap] == 0.0


def test_a_cluster_that_is_not_there_is_told_and_labels_are_taken(campaign, features, monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    settings = TuneConfig(address="127.0.0.1:1")
    ranker = Ranker(campaign, features, settings, "test", "gp", umap_rows=60)
    ranker.start()
    until(lambda: ranker.status.error is not None)
    assert "tune.address=127.0.0.1:1" in ranker.status.error
    assert ranker.status.umap == "failed"
    campaign.say(said(1, 3))
    assert campaign.counts()["anomaly"] == 1
    ranker.stop()
