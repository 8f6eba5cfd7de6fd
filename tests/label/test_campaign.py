"""What is looked at next, by whom, and what it comes to."""

import threading

import numpy as np
import pytest

from tests.label.scored import campaign_in, open_log, said
from wwdc.errors import DataError
from wwdc.label.campaign import Campaign, Ranking, Unknown


def test_labels_are_counted_and_filtered(campaign):
    for number, (id, kind) in enumerate(
        [(1, "anomaly"), (2, "normal"), (3, "skip"), (4, "flag"), (5, "anomaly")]
    ):
        campaign.say(said(number, id, kind))
    campaign.say(said(9, 6, "grade", value=5))
    expected = {"anomaly": 2, "normal": 1, "graded": 1, "labelled": 4, "skipped": 1, "flagged": 1}
    assert campaign.counts() == expected
    ids = campaign.objects.ids
    for which, wanted in {
        "anomaly": [1, 5],
        "normal": [2],
        "labelled": [1, 2, 5, 6],
        "skipped": [3],
        "flagged": [4],
    }.items():
        assert ids[campaign.page("id", None, which, 0, 60)[1]].tolist() == wanted
    assert campaign.page("id", None, "unlabelled", 0, 5)[0] == 76
    assert campaign.page("label", None, "all", 0, 2)[1].tolist() == [1, 5]
    assert campaign.curve() == [(1, 1), (2, 1), (3, 2), (4, 2)]


def test_what_is_known_of_the_object_is_written_with_the_label(campaign):
    campaign.rank(Ranking(7, 1, campaign.objects.prior))
    event = campaign.say(said(1, 12)).event
    row = campaign.objects.row(12)
    assert (event.model, event.rank) == (7, campaign.objects.rank[row])
    assert event.score == campaign.objects.score[row]


def test_an_unknown_object_cannot_be_labelled(campaign):
    with pytest.raises(Unknown, match="10000"):
        campaign.say(said(1, 10_000))
    assert campaign.log.since(0)[0] == []


def test_next_is_the_first_of_the_order_that_is_free(campaign):
    objects = campaign.objects
    by_rank = objects.ids[np.argsort(objects.rank)].tolist()

    def next_id(labeller, **more):
        return int(objects.ids[campaign.next(labeller, "acquisition", **more)[0]])

    assert next_id("ada") == by_rank[0]
    assert next_id("bob") == by_rank[1]  # the first is in other hands
    assert next_id("ada") == by_rank[0]
    assert next_id("ada", exclude=by_rank[:1]) == by_rank[2]
    campaign.say(said(1, by_rank[0]))
    campaign.say(said(2, by_rank[2], "skip"))
    assert next_id("ada") == by_rank[3]  # labelled, with bob, put off
    assert next_id("cid") == by_rank[2]  # whom ada's skip does not concern


def test_nothing_is_handed_out_when_all_is_labelled(campaign):
    for number, id in enumerate(campaign.objects.ids.tolist()):
        campaign.say(said(number, id, "normal"))
    assert campaign.next("bob", "score") is None


def test_labellers_at_once_never_get_the_same_object(campaign, tmp_path):
    others = [campaign_in(tmp_path, campaign.objects) for _ in range(3)]
    got: dict[str, list[int]] = {}

    def take(name: str, mine: Campaign) -> None:
        taken: list[int] = []
        for _ in range(10):
            taken.append(int(mine.objects.ids[mine.next(name, "acquisition", taken)[0]]))
        got[name] = taken

    threads = [
        threading.Thread(target=take, args=(f"w{i}", mine))
        for i, mine in enumerate([campaign, *others, campaign])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    every = [id for taken in got.values() for id in taken]
    assert len(every) == len(set(every)) == 50


def test_a_ranking_decides_and_its_batch_comes_first(campaign):
    n = len(campaign.objects)
    campaign.rank(Ranking(1, 1, np.arange(n, dtype=np.float32), queue=(3, 60)))
    assert campaign.page("acquisition", None, "all", 0, 4)[1].tolist() == [3, 60, n - 1, n - 2]
    campaign.rank(Ranking(2, 2, np.arange(n, dtype=np.float32)[::-1].copy()))
    assert campaign.page("acquisition", "desc", "all", 0, 2)[1].tolist() == [0, 1]
    with pytest.raises(DataError):
        campaign.rank(Ranking(2, 3, np.zeros(3, np.float32)))


def test_a_ranking_is_sorted_before_it_is_in_force(campaign, monkeypatch):
    n = len(campaign.objects)
    campaign.rank(Ranking(1, 1, np.arange(n, dtype=np.float32)))
    monkeypatch.setattr("wwdc.label.ordering._order", None)  # a request that sorts would fail
    assert campaign.page("acquisition", None, "all", 0, 1)[1].tolist() == [n - 1]
    assert campaign.next("ada", "acquisition")[0] == n - 1


def test_targets_are_in_the_order_of_first_answers(campaign):
    for number, (id, kind) in enumerate(
        [(9, "anomaly"), (2, "normal"), (5, "flag"), (1, "normal")]
    ):
        campaign.say(said(number, id, kind))
    campaign.say(said(8, 9, "normal"))
    before = campaign.revision
    targets = campaign.targets()
    assert targets.rows.tolist() == [9, 2, 1]
    assert targets.values.tolist() == [-1, -1, -1]
    campaign.say(said(7, None, "undo"))
    assert campaign.revision > before
    assert campaign.targets().values.tolist() == [1, -1, -1]


def test_what_another_process_writes_is_seen(campaign):
    other = open_log(campaign.log.path)
    other.add(said(1, 4, labeller="bob"))
    assert campaign.targets().rows.tolist() == [4]
    assert campaign.labellers() == ["bob"]
    other.close()


def test_labels_of_a_split_that_is_not_looked_at_stay_in_the_log(campaign):
    campaign.log.add(said(1, 10_000))
    campaign.log.add(said(2, 3))
    assert campaign.targets().rows.tolist() == [3]
    assert campaign.counts()["labelled"] == 1
    assert len(campaign.log.since(0)[0]) == 2


@pytest.mark.parametrize(
    "wrong", [("nonsense", None, "all"), ("score", "up", "all"), ("id", None, "x")]
)
def test_unknown_keys_are_told(campaign, wrong):
    with pytest.raises(DataError):
        campaign.page(*wrong, 0, 1)
