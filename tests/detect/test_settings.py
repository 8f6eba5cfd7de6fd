"""The ``detectors`` group: what is taken, what is refused, and how."""

import pytest

from wwdc.config import load_stage
from wwdc.detect.settings import COMBINATIONS, read_detection
from wwdc.discovery import combine
from wwdc.errors import ConfigError


def read(folder, *overrides):
    return read_detection(load_stage(folder, overrides).composed)


def test_the_defaults(planted):
    found = read(planted)
    assert [d.name for d in found.detectors] == [
        *("iforest", "ecod", "hbos", "pca", "knn", "lof", "norm", "density", "given_known")
    ]
    assert found.columns == ("u_mean",) and found.splits is None
    assert (found.fit_rows, found.calibration_rows, found.seed) == (20_000, 20_000, 0)
    assert found.score == "iforest" and not found.combined
    assert (found.shortlist.size, found.shortlist.fdr) == (50, 0.1)
    knn = found.detectors[4]
    assert knn.fit_rows == 5000 and "fit_rows" not in knn.node


def test_quick_has_no_neighbours(planted):
    names = [d.name for d in read(planted, "detectors=quick").detectors]
    assert names == ["iforest", "ecod", "hbos", "pca", "norm", "density", "given_known"]


def test_a_detector_is_added_with_its_own_columns(planted):
    node = "{_target_: wwdc.discovery.detectors.Norm, columns: [u], fit_rows: 100}"
    found = read(planted, f"detectors.detectors.norm={node}", "detectors.score=zmean")
    [norm] = [detector for detector in found.detectors if detector.name == "norm"]
    assert norm.columns == ("u",) and norm.fit_rows == 100
    assert norm.node == {"_target_": "wwdc.discovery.detectors.Norm"}
    assert found.combined


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("detectors.score=iforst", "Did you mean 'iforest'"),
        ("detectors.fit_rows=0", "detectors.fit_rows"),
        ("detectors.splits=[tset]", "detectors.splits"),
        ("+detectors.contamination=0.1", "detectors.contamination"),
        ("detectors.shortlist.fdr=1.5", "detectors.shortlist.fdr"),
        ("+detectors.detectors.x={_target_: os.system}", "not on the list"),
        ("+detectors.detectors.x={n: 3}", "no _target_"),
        ("detectors.detectors.knn.fit_rows=-1", "detectors.detectors.knn.fit_rows"),
        ("+detectors.detectors.score={_target_: pyod.models.hbos.HBOS}", "that of its column"),
        ("detectors.detectors.iforest=null", "neither a detector nor a combination"),
    ],
)
def test_what_is_refused_is_named(planted, override, message):
    with pytest.raises(ConfigError, match=message):
        read(planted, override)


@pytest.mark.parametrize("name", ["ecod.ECOD", "copod.COPOD"])
def test_detectors_that_depend_on_the_batch_name_ours(planted, name):
    ours = f"wwdc.discovery.detectors.{name.partition('.')[2]}"
    override = f"+detectors.detectors.x={{_target_: pyod.models.{name}}}"
    with pytest.raises(ConfigError, match=ours):
        read(planted, override)


def test_combinations_are_those_of_the_library():
    assert COMBINATIONS == combine.COMBINATIONS
