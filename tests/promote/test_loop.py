"""The loop closes: a discovery is promoted, conditioned on, and gone from the residuals."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.conftest import flow_experiment, vae_experiment
from tests.promote.conftest import EVERY, label
from wwdc.embed.__main__ import main as embed
from wwdc.products import Tree
from wwdc.products.verify import verify
from wwdc.promote.__main__ import main as promote
from wwdc.stats.__main__ import main as stats
from wwdc.tune.__main__ import main as tune

DATA = {"data": {"x_ds": {"views": 8}}, "trainer": {"max_epochs": 8}, "seeds": [1]}
NO_DIGIT = {"param": "x_ds.drop_variables", "val": ["digit"], "description": "Drop digit"}


def good_flow(parent: Path) -> Path:
    """The tiny flow, wide enough and trained for long enough to remove what it is told."""
    train = DATA | {"trainer": {"max_epochs": 20}}
    folder = flow_experiment(parent, **train, sweeps={"no_digit": NO_DIGIT})
    path = folder / "model.yaml"
    model = yaml.safe_load(path.read_text())
    model["lightning_loader"]["lr"] = 0.004
    model["lightning_loader"]["flow"] |= {"hidden_features": [128, 128], "transforms": 4}
    path.write_text(yaml.safe_dump(model))
    return folder


@pytest.mark.slow
def test_a_promoted_variable_is_removed_where_it_is_told(tmp_path, data_root, ray_session):
    assert tune([str(vae_experiment(tmp_path, **DATA))]) == 0
    flow = good_flow(tmp_path)
    assert tune([str(flow)]) == 0
    assert embed([str(flow), EVERY, "embed.engine=inline"]) == 0
    old = Tree(data_root, "DIGITS", "FLOW")
    label(old, lambda columns: columns["digit"] == 7, name="sevens", count=100)
    assert promote([str(flow), "--labels", "sevens", "--variable", "seven"]) == 0

    latents = sorted((data_root / "DIGITS" / "latents").iterdir())
    again = str(flow.with_name("tiny_flow_seven"))
    assert tune([again]) == 0
    assert sorted((data_root / "DIGITS" / "latents").iterdir()) == latents
    assert embed([again, "splits=[train,test]", "embed.engine=inline"]) == 0
    assert stats([again, "tests=quick", "tests.bootstraps=199"]) == 0

    new = Tree(data_root, "DIGITS", "FLOW_SEVEN")
    assert not [problem for problem in verify(new) if problem.broken]
    verdicts = pd.read_csv(new.stat_tests / "verdicts.csv")
    seven = verdicts[(verdicts.variable == "seven") & (verdicts.space == "u")]
    told = seven.set_index("sweep")
    assert told.verdict["drop_seven"] == "present"
    assert "leaks" not in {told.verdict["keep_seven"], told.verdict["no_digit"]}
    assert told.effect["keep_seven"] < told.effect["drop_seven"] / 3
