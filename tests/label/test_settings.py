"""The label group is checked, and says where it is wrong."""

import pytest

from tests.conftest import flow_experiment
from wwdc.config import load_stage
from wwdc.errors import ConfigError
from wwdc.label.settings import LabelSettings, read_settings


@pytest.fixture
def experiment(tmp_path, data_root):
    """A folder whose VAE need not exist."""
    return flow_experiment(tmp_path)


def read(experiment, *overrides: str) -> LabelSettings:
    return read_settings(load_stage(experiment, overrides).composed)


def test_the_shipped_group_is_what_the_schema_has_by_default(experiment):
    assert read(experiment) == LabelSettings()


def test_settings_may_be_overridden(experiment):
    assert read(experiment, "label.split=test").splits == ("test",)
    assert read(experiment, "label.split=[val,test]").splits == ("val", "test")
    assert read(experiment).splits is None


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("+label.strategi=gp", "label.strategi.*Did you mean 'strategy'"),
        ("label.port=70000", "label.port"),
        ("label.batch=0", "label.batch"),
        ("label.split=tests", "label.split"),
        ("label.image_size=5", "label.image_size"),
        ("label.lease_s=-1", "label.lease_s"),
        ("label.labeller='=x'", "label.labeller"),
        ("label.viewer._target_=os.system", "os.system"),
    ],
)
def test_what_is_wrong_is_named(experiment, override, text):
    with pytest.raises(ConfigError, match=text):
        read(experiment, override)
