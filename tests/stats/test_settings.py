"""The tests group: what is shipped is complete, what is wrong names file and key."""

from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, flow_experiment
from wwdc.config import check_targets, instantiate, load_stage
from wwdc.errors import ConfigError
from wwdc.stats.settings import Suite, read_suite

FLOW = REPOSITORY / "experiments" / "digits_flow"


def suite(*overrides: str, folder: Path = FLOW) -> Suite:
    return read_suite(load_stage(folder, overrides).composed)


def test_the_default_suite_has_every_kind_and_builds():
    found = suite()
    assert all(found.tests.values())
    assert list(found.tests["probes"]) == ["linear", "knn", "mlp", "boosting"]
    node = load_stage(FLOW).composed.resolve()["tests"]
    check_targets({"tests": node}, resolve=True)
    for kind, group in found.tests.items():
        for test in group.values():
            spec = test.model_dump()
            for key in ("regressor", "classifier") if "regressor" in spec else ("test",):
                assert callable(getattr(instantiate(spec[key]), "fit", None)) or kind != "probes"


def test_quick_leaves_out_what_is_slow():
    quick, full = suite("tests=quick"), suite()
    assert "boosting" not in quick.tests["probes"]
    assert not quick.tests["curves"]
    assert quick.rows["fit_rows"] < full.rows["fit_rows"]
    assert quick.tests["probes"]["mlp"].regressor["epochs"] == 12


def test_a_test_is_taken_out_or_changed_on_the_command_line():
    assert "boosting" not in suite("~tests.probes.boosting").tests["probes"]
    changed = suite("tests.probes.mlp.regressor.epochs=3").tests["probes"]["mlp"]
    assert changed.regressor["epochs"] == 3
    assert suite("tests.margin.class=0.3").margin.class_ == 0.3


def test_the_experiment_can_add_a_probe(tmp_path):
    folder = flow_experiment(tmp_path)
    text = (folder / "embed.yaml").read_text()
    own = (
        "tests:\n  probes:\n    ridge:\n"
        "      regressor: {_target_: sklearn.linear_model.Ridge}\n"
        "      classifier: {_target_: sklearn.linear_model.RidgeClassifier}\n"
    )
    (folder / "embed.yaml").write_text(text + own)
    assert "ridge" in suite(folder=folder).tests["probes"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("tests.alpha=2", ["command line: tests.alpha", "less than 1"]),
        ("+tests.alpah=0.1", ["tests.alpah", "unknown key", "'alpha'"]),
        ("tests.probes.knn.spaces=[v]", ["tests.probes.knn.spaces", "no space 'v'"]),
        ("+tests.probes.knn.foo=1", ["tests.probes.knn.foo", "regressor"]),
        ("tests.probes.knn.regressor._target_=os.system", ["os.system", "not on the list"]),
        ("tests.probes=null", ["tests.probes", "Keep one"]),
        ("tests.correction=none", ["tests.correction", "'bh'"]),
        ("tests=quik", ["tests=quik", "quick"]),
        ("splits=[tset]", ["splits", "'tset'", "'test'"]),
    ],
)
def test_what_is_wrong_names_the_key(override, words):
    with pytest.raises(ConfigError) as error:
        suite(override)
    for word in words:
        assert word in str(error.value)


def test_settings_of_later_stages_choose_no_points():
    staged = load_stage(FLOW, ["splits=[test]", "tests.alpha=0.1", "embed.seed=3", "+seed=7"])
    assert staged.splits == ("test",)
    assert staged.embed.seed == 3
    assert list(staged.training.fixed_overrides) == ["seed"]
