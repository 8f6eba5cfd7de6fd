"""How many embeddings agree, by id."""

import numpy as np
import pytest

from wwdc.detect.stability import Votes, stabilities

IDS = np.arange(10)


def scores(*top):
    found = np.linspace(0, 0.5, 10)
    found[list(top)] = 9.0
    return found


def test_a_single_member_has_nobody_to_agree_with():
    votes = Votes()
    votes.add(IDS, scores(3), 1)
    assert np.isnan(votes.share(IDS)).all()


def test_shares_are_of_those_members_that_have_the_row():
    votes = Votes()
    votes.add(IDS, scores(3), 1)
    votes.add(IDS[::-1], scores(3)[::-1], 1)
    votes.add(np.array([3, 50]), np.array([0.0, 1.0]), 1)
    assert votes.share(np.array([3, 50, 4])).tolist() == pytest.approx([2 / 3, 1.0, 0.0])


def test_rows_without_a_score_are_in_no_top():
    votes = Votes()
    for _ in range(2):
        votes.add(IDS, np.where(IDS == 3, np.nan, scores(5)), 10)
    assert votes.share(IDS).tolist() == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]


def test_seeds_within_a_configuration_and_configurations_by_their_mean():
    found = {
        "a1": (IDS, scores(1)),
        "a2": (IDS, 100 * scores(2)),  # another scale counts no more
        "b1": (IDS, scores(1)),
    }
    seeds, sweeps = stabilities({"a": ["a1", "a2"], "b": ["b1"]}, found.__getitem__, lambda _: 2)
    assert seeds["a"].share(IDS)[[1, 2, 9]].tolist() == [0.5, 0.5, 1.0]
    assert np.isnan(seeds["b"].share(IDS)).all()
    assert sweeps.members == 2
    assert sweeps.share(IDS)[[1, 2, 9]].tolist() == [1.0, 0.5, 0.5]
