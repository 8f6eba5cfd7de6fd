"""A model that is known to leak, trained on posterior means, is told from one that does not."""

from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import REPOSITORY
from wwdc.embed.__main__ import main as embed
from wwdc.stats.__main__ import main as stats
from wwdc.tune.__main__ import main as tune

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]

FLOW = str(REPOSITORY / "experiments" / "digits_flow")
POINT = ("x_ds.drop_variables=[b,angle,scale]", "+seed=42")
MEANS = (
    "lightning_loader.beta_init=0",
    "lightning_loader.beta_floor=0",
    "meta.experiment_name=MEANS",
)
PROBES = ("tests=quick", "tests.independence=null", "tests.two_sample=null", "tests.base=null")


def verdicts(root: Path, name: str) -> pd.Series:
    """Verdicts by space and variable."""
    table = pd.read_parquet(root / "DIGITS" / name / "stat_tests" / "verdicts.parquet")
    return table.set_index(["space", "variable"])["verdict"]


def test_a_flow_trained_on_means_leaks_and_one_trained_on_samples_does_not(data_root, ray_session):
    assert tune([str(REPOSITORY / "experiments" / "digits_vae"), "+seed=42"]) == 0
    for overrides in ((), MEANS):
        chosen = (*POINT, *overrides)
        assert tune([FLOW, *chosen]) == 0
        assert embed([FLOW, *chosen]) == 0
        assert stats([FLOW, *chosen, *PROBES]) == 0
    honest, leaking = verdicts(data_root, "FLOW"), verdicts(data_root, "MEANS")
    for found in (honest, leaking):
        assert found["u"][["b", "angle", "scale"]].eq("present").all()
        assert found["z"].eq("present").all()
    assert honest["u"][["r", "g"]].eq("removed").all()
    assert leaking["u"][["r", "g", "digit"]].eq("leaks").any()
    assert leaking["u_mean"]["digit"] == "leaks"
