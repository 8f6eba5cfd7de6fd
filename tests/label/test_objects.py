"""Objects are those that were scored, found by id, in any order, a million of them as well."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.label.scored import scored
from wwdc.data.catalogue import Catalogue
from wwdc.errors import ConfigError, DataError, ProductError
from wwdc.label.objects import Objects, load_objects
from wwdc.label.ordering import Orders


def test_objects_are_the_rows_of_the_scores(source, objects):
    table = pq.read_table(source[1])
    assert np.array_equal(objects.ids, table["id"].to_numpy())
    assert objects.split_names == ("train", "test")
    assert np.array_equal(objects.index, np.tile(np.arange(40), 2))
    assert list(objects.detectors) == ["iforest", "ecod"]
    assert set(objects.table) == {"object", "view", "colour", "size", "kind"}
    assert objects.kept.names == ("colour", "kind")
    assert objects.row(int(objects.ids[50])) == 50
    assert objects.row(10**6) is None
    assert objects.row(2**70) is None


def test_one_split_may_be_looked_at(source):
    embedding, scores, whole = source
    test = load_objects(embedding, scores, ["test"])
    assert np.array_equal(test.ids, whole.ids[40:])
    assert np.array_equal(test.rank, whole.rank[40:])
    with pytest.raises(ConfigError, match="Did you mean 'test'"):
        load_objects(embedding, scores, ["tests"])


def test_scores_of_another_embedding_are_refused(source):
    embedding, scores, _ = source
    table = pq.read_table(scores)
    ids = table["id"].to_numpy()[::-1]
    pq.write_table(table.set_column(0, "id", pa.array(ids)), scores)
    with pytest.raises(ProductError, match="another embedding"):
        load_objects(embedding, scores)


def test_an_id_is_found_by_its_beginning_the_exact_one_first(objects):
    found = [int(objects.ids[row]) for row in objects.find("7", 20)]
    assert found == [7, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79]
    assert [int(objects.ids[row]) for row in objects.find("1", 3)] == [1, 10, 11]


def test_the_prior_follows_the_score_and_ends_with_what_has_none(source):
    objects = source[2]
    score = objects.score.copy()
    score[3] = np.nan
    prior = replace(objects, score=score).prior
    assert prior[3] == 0.0
    assert prior[np.nanargmax(score)] == 1.0
    assert len(np.unique(prior)) == len(prior)


def test_percentiles_are_shares_of_what_is_less_odd(objects):
    best, worst = int(np.argmax(objects.score)), int(np.argmin(objects.score))
    assert objects.percentile("score", best) == pytest.approx(100 * 79 / 80)
    assert objects.percentile("score", worst) == 0.0
    assert objects.percentile("ecod", best) == 0.0


def test_orders_break_ties_by_id_and_end_with_nan():
    ids = np.array([30, 10, 20, 40])
    values = {"a": np.array([1.0, 1.0, np.nan, 2.0])}
    orders = Orders(np.argsort(ids), lambda key: (values[key], 0), ("a",))
    assert orders.get("a").tolist() == [3, 1, 0, 2]
    assert orders.get("a", descending=False).tolist() == [1, 0, 3, 2]
    with pytest.raises(DataError, match="Did you mean 'a'"):
        orders.get("aa")


def test_an_order_is_made_anew_when_its_values_are():
    state = {"values": np.array([1.0, 2.0]), "version": 1}
    orders = Orders(np.arange(2), lambda _: (state["values"], state["version"]), ("a",))
    assert orders.get("a").tolist() == [1, 0]
    kept = orders.get("a")
    state["values"] = np.array([2.0, 1.0])
    assert orders.get("a") is kept
    state["version"] = 2
    assert orders.get("a").tolist() == [0, 1]


def test_a_million_objects_are_paged(tmp_path):
    from tests.label.scored import campaign_in, said

    n = 1_000_000
    rng = np.random.default_rng(0)
    score = rng.normal(size=n)
    rank = np.empty(n, np.int64)
    rank[np.argsort(-score)] = np.arange(1, n + 1)
    objects = Objects(
        ids=rng.permutation(n) + 5,
        split=np.zeros(n, np.int8),
        split_names=("test",),
        index=np.arange(n),
        files={},
        score=score,
        rank=rank,
        detectors={},
        measures={},
        table={},
        catalogue=Catalogue(),
        kept=Catalogue(),
    )
    campaign = campaign_in(tmp_path, objects)
    total, rows = campaign.page("score", None, "all", 999_990, 60)
    assert (total, len(rows)) == (n, 10)
    assert rank[rows].tolist() == list(range(n - 9, n + 1))
    row, _ = campaign.next("ada", "acquisition")
    assert rank[row] == 1
    campaign.say(said(1, int(objects.ids[row])))
    total, rows = campaign.page("acquisition", None, "unlabelled", 0, 3)
    assert (total, rank[rows].tolist()) == (n - 1, [2, 3, 4])
    assert campaign.counts()["anomaly"] == 1


def test_scores_are_of_one_id_each(tmp_path):
    embedding, scores = scored(tmp_path)
    table = pq.read_table(scores)
    pq.write_table(pa.concat_tables([table, table]), scores)
    with pytest.raises(ProductError):
        load_objects(embedding, scores)
