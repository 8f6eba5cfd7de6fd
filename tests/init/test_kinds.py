"""What columns are taken for."""

import numpy as np
import pandas as pd
import pytest

from wwdc.data.tables import Table
from wwdc.errors import ConfigError
from wwdc.init.kinds import find_id, guess_columns, own_id

ROWS = 200
RNG = np.random.default_rng(0)
COLUMNS = {
    "mag": (RNG.normal(20, 1, ROWS), {"kind": "continuous"}),
    "mass": (10 ** RNG.uniform(6, 12, ROWS), {"kind": "continuous", "scaling": "log"}),
    "pa": (RNG.uniform(0, 180, ROWS), {"kind": "circular", "range": [0, 180], "units": "deg"}),
    "angle": (RNG.normal(0, 3, ROWS), {"kind": "continuous"}),
    "type": (RNG.choice(["E", "S"], ROWS), {"kind": "categorical", "classes": ["E", "S"]}),
    "bars": (RNG.choice([0, 1, 10], ROWS), {"kind": "categorical", "classes": ["0", "1", "10"]}),
    "barred": (RNG.choice(["yes", "no"], ROWS), {"kind": "flag"}),
    "edge on": (RNG.choice([0, 1], ROWS), {"kind": "flag", "column": "edge on"}),
    "q": (
        np.where(np.arange(ROWS) < 5, -99, RNG.random(ROWS)),
        {"kind": "continuous", "na": ["-99"], "missing": "indicator"},
    ),
    "m": (
        np.r_[-99, 99, 99, RNG.normal(20, 1, ROWS - 3)],
        {"kind": "continuous", "na": ["-99", "99"], "missing": "indicator"},
    ),
    "score": (np.arange(ROWS) % 100 + 0.0, {"kind": "continuous"}),
    "v": (
        ["n/k" if i < 3 else str(i / 7) for i in range(ROWS)],
        {"kind": "continuous", "na": ["n/k"], "missing": "indicator"},
    ),
    "t": (
        [None if i < 4 else "ab"[i % 2] for i in range(ROWS)],
        {"kind": "categorical", "classes": ["a", "b"], "missing": "indicator"},
    ),
    "comment": ([f"nice {i}" for i in range(ROWS)], {}),
    "one": (np.ones(ROWS), {}),
    "none": ([None] * ROWS, {}),
    "number": (RNG.permutation(ROWS), {}),
    "z": (RNG.random(ROWS), {"kind": "continuous", "column": "z"}),
}


def table(**columns):
    return Table("t.csv", pd.DataFrame(columns))


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_is_taken_for_what_it_is(name):
    values, keys = COLUMNS[name]
    [guess], split = guess_columns(table(**{name: values}), None)
    assert guess.keys == keys and split is None
    assert bool(guess.why) != bool(keys)


def test_names_can_be_keys_and_are_no_ones_elses():
    columns = {"a b": [0.1, 2], "a-b": [0.1, 2], "z": [0.1, 2], "1st": [0.1, 2], "é": [0.1, 2]}
    guesses, _ = guess_columns(table(**columns), None)
    assert [guess.name for guess in guesses] == ["a_b", "a_b_", "table_z", "table_1st", "é"]


def test_a_column_of_splits():
    guesses, split = guess_columns(table(part=["train", "test", "Val"], id=[1, 2, 3]), "id")
    assert split == "part" and not guesses


def test_the_id_is_the_column_that_names_images():
    names = np.array(["7", "8", "9"])
    known = table(n=[1, 2, 3], number=[7.0, 8.0, 9.0])
    assert find_id(known, names, 3, None) == "number"
    assert find_id(known, None, 3, None) is None
    assert find_id(known, names, 3, "n") == "n"
    for wrong in (
        (known, np.array(["a", "b"]), 2, None),
        (known, None, 4, None),
        (known, names, 3, "numbr"),
    ):
        with pytest.raises(ConfigError, match=r"--id"):
            find_id(*wrong)


def test_two_columns_that_name_images_alike_are_no_id():
    names = np.array(["7", "8", "9"])
    known = table(n=[1, 2, 3], first=[7, 8, 9], second=[9, 8, 7], fewer=[7, 8, 1])
    with pytest.raises(ConfigError, match=r"the images equally well: first, second\. .*--id"):
        find_id(known, names, 3, None)
    assert find_id(known, names, 3, "second") == "second"


def test_the_id_of_rows_that_are_the_data():
    known = table(x=[0.5, 1.0, 2.0], kind=["a", "b", "a"], number=[7, 8, 9], word=["p", "q", "r"])
    assert own_id(known, None) == "number"
    assert own_id(known, "word") == "word"
    assert own_id(table(x=[0.5, 1.0], kind=["a", None]), None) is None
    with pytest.raises(ConfigError, match=r"--id: .*'wrod'.*word"):
        own_id(known, "wrod")
