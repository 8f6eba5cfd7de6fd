"""Rows of an embedding: which are chosen, and that they are read as they were written."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.stats.planted import DIM, planted
from wwdc.embed.published import choose_rows, read_rows, spaces
from wwdc.errors import ProductError


def test_rows_are_of_as_many_objects_as_there_are():
    objects = np.tile(np.arange(100), 8)  # view after view
    chosen = choose_rows(objects, 150, seed=0)
    assert np.array_equal(chosen, np.unique(chosen)) and len(chosen) == 150
    assert len(np.unique(objects[chosen])) == 100
    assert (np.bincount(objects[chosen]) <= 2).all()


def test_one_row_each_where_there_are_rows_for_that():
    objects = np.repeat([5, 9, 11], [1, 4, 2])
    chosen = choose_rows(objects, 3, seed=3)
    assert objects[chosen].tolist() == [5, 9, 11]
    assert len(choose_rows(objects, 100, seed=0)) == 7
    assert len(choose_rows(objects[:0], 10, seed=0)) == 0


def test_the_choice_follows_from_the_seed():
    objects = np.arange(1000)
    first = choose_rows(objects, 50, seed=0)
    assert np.array_equal(first, choose_rows(objects, 50, seed=0))
    assert not np.array_equal(first, choose_rows(objects, 50, seed=1))


def test_rows_are_read_across_row_groups(tmp_path):
    path = planted(tmp_path).files["test"]
    assert pq.ParquetFile(path).num_row_groups > 2
    whole = read_rows(path, ["id", "u"])
    rows = np.array([0, 199, 200, 203, 899])
    some = read_rows(path, ["id", "u"], rows)
    assert whole["u"].shape == (900, DIM)
    assert np.array_equal(some["u"], whole["u"][rows])
    assert np.array_equal(some["id"], whole["id"][rows])
    late = read_rows(path, ["u"], np.array([850]))
    assert np.array_equal(late["u"], whole["u"][[850]])


def test_a_missing_column_and_a_damaged_file_are_named(tmp_path):
    path = planted(tmp_path).files["test"]
    with pytest.raises(ProductError, match="no column hue"):
        read_rows(path, ["hue"])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ProductError, match=r"test\.parquet: cannot be read as Parquet"):
        read_rows(path, ["u"])


def test_patterns_name_spaces(tmp_path):
    embedding = planted(tmp_path)
    assert spaces(["u"], embedding) == ["u"]
    assert spaces(["u", "u_mean", "u_t*"], embedding) == ["u", "u_mean"]
