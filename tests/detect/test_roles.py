"""No object is both fitted, or calibrates, and tested."""

from dataclasses import replace

import numpy as np
import pytest

from wwdc.detect.roles import ROLES, choose, splits_of
from wwdc.detect.settings import Detection, Shortlist
from wwdc.errors import DataError

DETECTION = Detection(("u",), None, "auto", 20_000, 20_000, 0, "x", Shortlist(), ())


def objects(count, start=0, views=2):
    return np.tile(np.arange(start, start + count), views)


@pytest.mark.parametrize(
    ("embedded", "fit", "calibration"),
    [
        (("test", "val", "train"), "train", "val"),
        (("train", "test"), "train", "test"),
        (("train",), "train", "train"),
        (("test",), "test", "test"),
        (("val", "test"), "test", "val"),
        (("val",), "val", "val"),
    ],
)
def test_splits_by_what_is_embedded(embedded, fit, calibration):
    found = splits_of(DETECTION, dict.fromkeys(embedded))
    assert (found.fit, found.calibration) == (fit, calibration)
    assert found.scored == tuple(s for s in ("train", "val", "test") if s in embedded)


def test_a_split_that_is_not_embedded_is_named():
    with pytest.raises(DataError, match=r"wwdc.embed EXPERIMENT splits=\[train\]"):
        splits_of(replace(DETECTION, fit_split="train"), {"test": 0})
    with pytest.raises(DataError, match="the val split"):
        splits_of(replace(DETECTION, splits=("val",)), {"test": 0})


def test_one_split_for_all_is_shared_by_objects():
    known = {"test": objects(120)}
    roles = splits_of(DETECTION, known)
    found = choose(DETECTION, roles, known)
    assert len(found.fitted) == 60 and len(found.calibrating) == 20
    assert not set(found.fitted) & set(found.calibrating)
    codes = found.roles(known["test"])
    assert np.bincount(codes).tolist() == [120, 40, 80]
    for view in (0, 1):
        assert (codes.reshape(2, -1)[view] == codes.reshape(2, -1)[0]).all()
    assert set(known["test"][found.fit]) == set(found.fitted)


def test_train_is_fitted_val_calibrates_and_the_rest_is_tested():
    known = {"train": objects(100), "val": objects(40, 100), "test": objects(50, 200)}
    detection = replace(DETECTION, fit_rows=30, calibration_rows=10)
    found = choose(detection, splits_of(detection, known), known)
    assert len(found.fit) == len(found.fitted) == 30  # one view of each object
    assert len(found.calibration) == len(found.calibrating) == 10
    tested = ROLES.index("tested")
    assert (found.roles(known["test"]) == tested).all()
    assert (found.roles(known["train"]) == tested).sum() == 140
    assert (found.roles(known["val"]) == tested).sum() == 60


def test_without_val_a_third_of_test_calibrates_and_the_rest_is_tested():
    known = {"train": objects(100), "test": objects(60, 200)}
    found = choose(DETECTION, splits_of(DETECTION, known), known)
    assert len(found.fitted) == 100
    assert len(found.calibration) == len(found.calibrating) == 20
    assert np.isin(found.calibrating, known["test"]).all()
    assert np.bincount(found.roles(known["test"])).tolist() == [0, 40, 80]


def test_one_view_of_an_object_calibrates():
    known = {"train": objects(9), "val": objects(40, 100, views=8), "test": objects(5, 200)}
    found = choose(DETECTION, splits_of(DETECTION, known), known)
    assert len(found.calibration) == len(np.unique(known["val"][found.calibration])) == 40


def test_an_object_in_two_splits_is_not_used_twice():
    known = {"train": objects(50), "val": objects(60)}
    found = choose(DETECTION, splits_of(DETECTION, known), known)
    assert found.calibrating.tolist() == list(range(50, 60))


def test_the_seed_decides():
    known = {"test": objects(200)}
    roles = splits_of(DETECTION, known)
    one, same = (choose(DETECTION, roles, known) for _ in range(2))
    other = choose(replace(DETECTION, seed=1), roles, known)
    assert (one.fit == same.fit).all() and (one.calibration == same.calibration).all()
    assert set(one.fitted) != set(other.fitted)
