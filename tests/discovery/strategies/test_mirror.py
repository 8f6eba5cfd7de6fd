"""Mirror descent: an isolation forest before, one with other edges after."""

import numpy as np
from sklearn.ensemble import IsolationForest

from tests.discovery.planted import clusters
from wwdc.discovery.pool import make_pool
from wwdc.discovery.strategies import make_strategy
from wwdc.discovery.strategies.base import random_state


def test_undecided_labels_leave_the_isolation_forest():
    pool = make_pool(clusters(0, 400)[0])
    table = pool.table(slice(None))
    forest = IsolationForest(n_estimators=100, max_samples=256, random_state=random_state(0))
    expected = -forest.fit(table).score_samples(table)
    found = make_strategy("omd").rank(pool, [3], [0.0])
    order = np.argsort(expected)
    assert (np.diff(found[order]) > -1e-9).all()


def test_a_label_moves_its_row_the_way_it_says():
    pool = make_pool(clusters(0, 400)[0])
    before = make_strategy("omd").rank(pool, [3], [0.0])
    up = make_strategy("omd").rank(pool, [3], [1.0])
    down = make_strategy("omd").rank(pool, [3], [-1.0])
    assert up[3] > before[3] > down[3]
    assert (up - before).argmax() == 3
    assert (up >= before - 1e-9).all() and (down <= before + 1e-9).all()


def test_no_edge_gets_shorter_than_nothing():
    pool = make_pool(clusters(0, 400)[0])
    found = make_strategy("omd").rank(pool, np.arange(60), np.ones(60))
    assert found.max() <= 0
