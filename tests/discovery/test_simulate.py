"""The function of the package, by its name."""

import subprocess
import sys

import numpy as np
import pytest

import wwdc.discovery
from tests.discovery.planted import clusters
from wwdc.discovery.strategies import make_strategy
from wwdc.errors import ConfigError, DataError, WWDCError


def test_the_function_is_there_by_the_modules_name():
    import wwdc.discovery.simulate

    rows = wwdc.discovery.simulate(*clusters(0, 200))
    assert rows.shape == (50,) and rows.dtype.kind == "i"


def test_importing_it_imports_nothing_heavy():
    code = (
        "import sys, wwdc.discovery, wwdc.discovery.replay, wwdc.discovery.agreement;"
        "heavy = {'torch', 'ray', 'pyarrow', 'pandas', 'sklearn', 'coniferest', 'scipy'};"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("budget", [-1, 201])
def test_a_budget_that_cannot_be(budget):
    with pytest.raises(WWDCError, match="budget: expected 0 to 200"):
        wwdc.discovery.simulate(*clusters(0, 200), budget=budget)


def test_no_budget_asks_nothing():
    assert wwdc.discovery.simulate(*clusters(0, 200), budget=0).shape == (0,)


@pytest.mark.parametrize("y", [np.zeros(199), np.full(200, 2), np.zeros((200, 1))])
def test_answers_that_cannot_be(y):
    with pytest.raises(DataError, match="y: expected 200 zeros and ones"):
        wwdc.discovery.simulate(clusters(0, 200)[0], y)


def test_rows_with_nan_are_refused():
    x, y = clusters(0, 200)
    x[3, 2] = np.nan
    with pytest.raises(DataError, match="row 3"):
        wwdc.discovery.simulate(x, y)


@pytest.mark.parametrize("batches", [(), (5, 0)])
def test_batches_that_cannot_be(batches):
    with pytest.raises(DataError, match="batches"):
        wwdc.discovery.simulate(*clusters(0, 200), budget=6, batches=batches)


def test_an_unknown_strategy():
    with pytest.raises(ConfigError, match="'tops'"):
        wwdc.discovery.simulate(*clusters(0, 200), "tops")


def test_a_strategy_may_be_given():
    x, y = clusters(0, 200)
    given = wwdc.discovery.simulate(x, y, make_strategy("gp", 4), 9, seed=4)
    assert (given == wwdc.discovery.simulate(x, y, "gp", 9, seed=4)).all()


def test_answers_within_a_batch_are_not_known_yet():
    x, y = clusters(0, 200)
    first = wwdc.discovery.simulate(x, y, "gp", 10, batches=(10,))
    assert (first == wwdc.discovery.simulate(x, 1 - y, "gp", 10, batches=(10,))).all()
    assert (first != wwdc.discovery.simulate(x, y, "gp", 10)).any()


def test_scale_and_units_change_nothing():
    x, y = clusters(0, 200)
    moved = (1000 * x + 5).astype(np.float32)
    rows = wwdc.discovery.simulate(x.astype(np.float32), y, "gp", 20)
    assert len(set(rows) & set(wwdc.discovery.simulate(moved, y, "gp", 20))) >= 16
