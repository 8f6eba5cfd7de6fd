"""What holds of every strategy."""

import numpy as np
import pytest

from tests.discovery.planted import clusters
from wwdc.discovery.pool import CHUNK, Pool, make_pool, ranks
from wwdc.discovery.simulate import ask, simulate
from wwdc.discovery.strategies import STRATEGIES, make_strategy
from wwdc.discovery.strategies.base import SCHEDULE, settled
from wwdc.errors import ConfigError, DataError

OWN_START = ["random", "uncertainty"]

every = pytest.mark.parametrize("name", sorted(STRATEGIES))


@pytest.fixture(scope="module")
def planted():
    return clusters(0, 400)


@pytest.fixture(scope="module")
def pool(planted) -> Pool:
    return make_pool(planted[0])


@pytest.fixture(scope="module")
def labels(planted):
    rows = np.random.default_rng(3).permutation(400)[:23]
    return rows, np.where(planted[1][rows] == 1, 1.0, -1.0)


@every
def test_it_asks_the_budget_in_different_rows_and_again_the_same(name, planted):
    x, y = planted
    rows = simulate(x, y, name, 24, seed=5)
    assert rows.shape == (24,) and len(set(rows.tolist())) == 24
    assert rows.min() >= 0 and rows.max() < len(x)
    assert (rows == simulate(x, y, name, 24, seed=5)).all()


@every
def test_a_whole_pool_can_be_asked(name):
    x, y = clusters(1, 130)
    rows = simulate(x[:15], y[:15], name, 15)
    assert sorted(rows.tolist()) == list(range(15))


@every
@pytest.mark.parametrize("n", [1, 2, 3])
def test_pools_of_a_few_rows(name, n):
    x, y = clusters(2, 130)
    assert sorted(simulate(x[:n], y[:n], name, n).tolist()) == list(range(n))


@every
def test_before_the_first_label_the_prior_decides(name, pool):
    strategy = make_strategy(name, 1)
    acquisition = strategy.rank(pool, [], [])
    assert acquisition.shape == (len(pool),)
    by_prior = (
        np.argsort(-acquisition, kind="stable").tolist() == pool.prior.argsort()[::-1].tolist()
    )
    assert by_prior == (name not in OWN_START)


@every
@pytest.mark.parametrize("kind", ["mixed", "normal", "anomalous", "graded", "undecided"])
def test_acquisition_is_finite_whatever_the_labels(name, kind, pool, labels):
    rows, mixed = labels
    graded = np.linspace(-1, 1, len(rows))
    flat = {"normal": -1.0, "anomalous": 1.0, "undecided": 0.0}
    targets = {"mixed": mixed, "graded": graded}.get(kind, np.full(len(rows), flat.get(kind)))
    acquisition = make_strategy(name, 0).rank(pool, rows, targets)
    assert acquisition.shape == (len(pool),) and np.isfinite(acquisition).all()


@every
def test_nothing_that_is_given_is_written_to(name, planted, labels):
    x, y = planted
    frozen = [np.asarray(x, np.float32), y.copy(), labels[0].copy(), labels[1].copy()]
    copies = [array.copy() for array in frozen]
    for array in frozen:
        array.flags.writeable = False
    simulate(frozen[0], frozen[1], name, 7)
    pool = make_pool(frozen[0])
    for array in (pool.x, pool.scores, pool.prior):
        array.flags.writeable = False
    strategy = make_strategy(name, 0)
    acquisition = strategy.rank(pool, frozen[2], frozen[3])
    acquisition.flags.writeable = False
    strategy.batch(pool, acquisition, frozen[2], 5)
    for array, copy in zip(frozen, copies, strict=True):
        assert (array == copy).all()


@every
def test_labelled_rows_are_not_asked_again(name, pool, labels):
    rows, targets = labels
    strategy = make_strategy(name, 0)
    acquisition = strategy.rank(pool, rows, targets)
    batch = strategy.batch(pool, acquisition, rows, len(pool))
    assert sorted([*batch.tolist(), *rows.tolist()]) == list(range(len(pool)))
    assert len(strategy.batch(pool, acquisition, rows, 3)) == 3
    assert len(strategy.batch(pool, acquisition, rows, 0)) == 0


@every
def test_rows_that_are_all_alike(name):
    x = np.ones((60, 4))
    assert len(set(simulate(x, np.arange(60) % 2, name, 30).tolist())) == 30


@every
def test_a_constant_column_and_duplicated_rows(name, planted):
    x, y = planted
    x = np.hstack([np.repeat(x[:60], 2, axis=0), np.full((120, 1), 0.1)])
    assert len(set(simulate(x, np.repeat(y[:60], 2), name, 40).tolist())) == 40


@every
def test_labels_one_by_one_leave_what_a_log_of_them_does(name, pool, labels):
    rows, targets = labels
    followed = make_strategy(name, 2)
    for count in range(1, len(rows) + 1):
        one_by_one = followed.rank(pool, rows[:count], targets[:count])
    assert (one_by_one == make_strategy(name, 2).rank(pool, rows, targets)).all()


@every
def test_a_label_that_is_taken_back_leaves_nothing(name, pool, labels):
    rows, targets = labels
    strategy = make_strategy(name, 2)
    strategy.rank(pool, rows, targets)
    without = np.delete(np.arange(len(rows)), 4)
    after = strategy.rank(pool, rows[without], targets[without])
    assert (after == make_strategy(name, 2).rank(pool, rows[without], targets[without])).all()
    changed = strategy.rank(pool, rows, -targets)
    assert (changed == make_strategy(name, 2).rank(pool, rows, -targets)).all()


@every
def test_another_pool_leaves_nothing_of_the_first(name, pool, labels):
    rows, targets = labels
    other = make_pool(clusters(8, 400)[0])
    strategy = make_strategy(name, 2)
    strategy.rank(pool, rows, targets)
    found = strategy.rank(other, rows, targets)
    assert (found == make_strategy(name, 2).rank(other, rows, targets)).all()


@every
def test_blocks_score_as_the_whole_does(name, labels):
    rows, targets = labels
    pool = make_pool(clusters(4, 2 * CHUNK + 700)[0])
    whole, blocks = make_strategy(name, 2), make_strategy(name, 2)
    for count in (8, 23):
        whole.fit(pool, rows[:count], targets[:count])
        blocks.fit(pool, rows[:count], targets[:count])
        starts = range(0, len(pool), CHUNK)
        parts = [blocks.columns(pool, slice(start, start + CHUNK)) for start in reversed(starts)]
        assert (np.vstack(parts[::-1]) == whole.columns(pool, slice(None))).all()


@every
def test_seeds_of_32_bits_and_more(name, planted):
    assert len(simulate(*planted, name, 6, seed=2**40)) == 6


LIFTED = {"aad": 0.25, "aadgp": 0.25, "gp": 0.25, "neighbour": 0.0, "omd": 0.05, "pine": 0.15}


@pytest.mark.parametrize(("name", "least"), LIFTED.items())
def test_labels_lift_rows_that_are_like_the_anomalies(name, least):
    for seed in range(4):
        x, y = clusters(seed)
        pool = make_pool(x, seed=seed)
        order = np.random.default_rng(seed).permutation(len(y))
        rows = np.r_[order[y[order] == 1][:5], order[y[order] == 0][:15]]
        found = ranks(make_strategy(name, seed).rank(pool, rows, 2.0 * y[rows] - 1))
        unseen = np.setdiff1d(np.flatnonzero(y == 1), rows)
        assert found[unseen].mean() > pool.prior[unseen].mean() + least


@pytest.mark.parametrize("name", ["aad", "aadgp"])
def test_normal_rows_alone_lead_away_from_what_the_prior_takes_for_odd(name):
    """The prior's first 100 rows hold none of 40: what learns only nearby finds nothing."""
    found = {"top": 0, name: 0}
    for seed in range(4):
        x, y = clusters(seed)
        for strategy in found:
            found[strategy] += y[simulate(x, y, strategy, 100, seed)].sum()
    assert found["top"] == 0 and found[name] >= 60, found


@pytest.mark.parametrize("name", ["aad_diverse", "aadgp_diverse", "gp_diverse"])
def test_diverse_batches_lie_further_apart_and_begin_at_the_top(name, pool, labels):
    plain, diverse = make_strategy(name.removesuffix("_diverse")), make_strategy(name)
    acquisition = diverse.rank(pool, *labels)
    assert (acquisition == plain.rank(pool, *labels)).all()
    near = plain.batch(pool, acquisition, labels[0], 10)
    far = diverse.batch(pool, acquisition, labels[0], 10)
    assert far[0] == near[0] and len(set(far.tolist())) == 10
    spread = [
        np.linalg.norm(pool.x[rows][:, None] - pool.x[rows], axis=2).mean() for rows in (near, far)
    ]
    assert spread[1] > 1.2 * spread[0]
    assert diverse.batches == SCHEDULE


@pytest.mark.parametrize(
    ("rows", "targets", "said"),
    [
        ([1, 1], [1, -1], "several targets"),
        ([400], [1], "0 to 399"),
        ([-1], [1], "0 to 399"),
        ([1], [2], "between -1 and 1"),
        ([1], [np.nan], "between -1 and 1"),
        ([1, 2], [1], "2,"),
        ([1.5], [1], "whole numbers"),
    ],
)
def test_labels_that_cannot_be(rows, targets, said, pool):
    with pytest.raises(DataError, match=said):
        make_strategy("gp").fit(pool, rows, targets)


def test_an_unknown_name_tells_the_closest():
    with pytest.raises(ConfigError, match=r"'aadpg'.*Did you mean 'aadgp'"):
        make_strategy("aadpg")


def test_slow_models_learn_at_5_10_15_20_30():
    assert sorted({settled(n) for n in range(60)}) == [0, 5, 10, 15, 20, 30, 40, 50]


def test_a_batch_is_asked_before_it_is_answered(pool):
    sizes = []

    def oracle(rows):
        sizes.append(len(rows))
        return np.ones(len(rows))

    ask(pool, make_strategy("gp"), oracle, 18, (5, 5, 3))
    assert sizes == [5, 5, 3, 3, 2]
    sizes.clear()
    ask(pool, make_strategy("gp_diverse"), oracle, 27)
    assert sizes == [5, 5, 5, 5, 7]
