"""The matrix that detectors look at, and where rows of each role lie in it."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.detect.planted import DIM, KNOWN, write
from wwdc.detect.features import Features, columns_of, write_features
from wwdc.detect.roles import splits_of
from wwdc.detect.settings import Detection, Shortlist
from wwdc.embed.published import Embedding, read_rows
from wwdc.errors import DataError

DETECTION = Detection(("u_mean",), None, "auto", 20_000, 20_000, 0, "x", Shortlist(), ())


@pytest.fixture
def embedding(tmp_path):
    files = {}
    for split, objects in {"train": 80, "val": 40, "test": 30}.items():
        files[split] = tmp_path / f"{split}.parquet"
        write(files[split], split, objects, seed=1, spoil=(4,) if split == "test" else ())
    names = tuple(pq.read_schema(files["test"]).names)
    return Embedding("1_0", "p", "c", None, 1, files, {}, "", KNOWN, (), names)


def features(tmp_path, embedding, names=("u_mean",), **changes):
    detection = replace(DETECTION, **changes)
    roles = splits_of(detection, embedding.files)
    return write_features(tmp_path / "work", embedding, detection, roles, names)


def test_rows_are_those_of_the_splits_in_order(tmp_path, embedding):
    found = features(tmp_path, embedding)
    assert (found.rows, found.total) == (300, 300)
    assert dict(found.splits) == {"train": 160, "val": 80, "test": 60}
    for name, column in (("u_mean", found.matrix()), ("id", found.array("id"))):
        parts = [read_rows(path, [name])[name] for path in embedding.files.values()]
        np.testing.assert_array_equal(column, np.concatenate(parts))
    assert not found.matrix().flags.writeable


def test_rows_of_other_splits_come_after_those_that_are_scored(tmp_path, embedding):
    found = features(tmp_path, embedding, splits=("test",), fit_rows=50, calibration_rows=20)
    assert (found.rows, found.total) == (60, 130)
    train = read_rows(embedding.files["train"], ["u_mean", "object"])
    fitted = found.matrix()[found.array("fit")]
    rows = [np.flatnonzero((train["u_mean"] == row).all(axis=1))[0] for row in fitted]
    np.testing.assert_array_equal(train["object"][rows], found.array("fit_object"))
    val = read_rows(embedding.files["val"], ["u_mean"])["u_mean"]
    calibration = found.matrix()[found.array("calibration")]
    assert all((val == row).all(axis=1).any() for row in calibration)
    assert len(fitted) == 50 and len(calibration) == 20


def test_variables_are_encoded_and_nan_stays(tmp_path, embedding):
    found = features(tmp_path, embedding, ("u", "angle", "kind", "log_prob_mean"))
    assert [(c.name, c.start, c.width) for c in found.columns] == [
        ("u", 0, DIM),
        ("angle", DIM, 2),
        ("kind", DIM + 2, 3),
        ("log_prob_mean", DIM + 5, 1),
    ]
    matrix = found.matrix()
    np.testing.assert_allclose(np.square(matrix[:, DIM : DIM + 2]).sum(axis=1), 1, atol=1e-6)
    assert set(np.unique(matrix[:, DIM + 2 : DIM + 5])) == {0.0, 1.0}
    assert np.flatnonzero(np.isnan(matrix).any(axis=1)).tolist() == [240 + 4]


def test_what_is_complete_is_read_and_the_rest_written_again(tmp_path, embedding):
    first = features(tmp_path, embedding)
    assert features(tmp_path, embedding) == first
    (tmp_path / "work" / "features.json").unlink()
    assert Features.load(tmp_path / "work") is None
    np.testing.assert_array_equal(features(tmp_path, embedding).matrix(), first.matrix())


def test_columns_by_name_and_pattern(embedding):
    assert columns_of(["u*"], embedding) == ["u", "u_mean"]
    assert columns_of(["size", "u", "size"], embedding) == ["size", "u"]
    with pytest.raises(DataError, match="Did you mean 'u_mean'"):
        columns_of(["u_maen"], embedding)
    with pytest.raises(DataError, match="no column 'object'"):
        columns_of(["object"], embedding)


def test_z_stands_for_u_where_there_is_no_flow(embedding):
    vae = replace(embedding, columns=("id", "object", "z", "z_mean"))
    assert columns_of(["u_mean"], vae) == ["z_mean"]
    with pytest.raises(DataError, match="log_prob_mean"):
        columns_of(["log_prob_mean"], vae)
