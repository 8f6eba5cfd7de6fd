import pytest

from wwdc.config.schema import Meta, SweepEntry, TuneConfig, check_keys, parse_val, validate
from wwdc.errors import ConfigError


def _origin(key):
    return "meta.yaml"


META = {"data_name": "COLOUR_MNIST", "experiment_name": "VAE"}


def test_ids_and_versions_may_be_numbers():
    meta = validate(Meta, {**META, "version": 0.1, "data_id": "x"}, origin=_origin, key="meta")
    assert (meta.version, meta.data_id) == ("0.1", "x")


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "", " a", "-x", "a\\b", "@a", "a\nb"])
def test_names_that_are_no_folders(name):
    with pytest.raises(ConfigError, match=r"meta.yaml: meta.experiment_name: .*cannot name"):
        validate(Meta, {**META, "experiment_name": name}, origin=_origin, key="meta")


def test_every_key_is_ours():
    with pytest.raises(ConfigError, match=r"meta.yaml: meta.autors: .*'authors'"):
        check_keys(Meta, {**META, "autors": []}, origin=_origin, key="meta")
    with pytest.raises(ConfigError, match=r"meta.autors: .*'authors'"):
        validate(Meta, {**META, "autors": []}, origin=_origin, key="meta")
    with pytest.raises(ConfigError, match=r"sweeps.a.parm: .*'param'"):
        validate(SweepEntry, {"parm": "x"}, origin=_origin, key="sweeps.a")
    with pytest.raises(ConfigError, match=r"tune: expected keys and values, got 3"):
        validate(TuneConfig, 3, origin=_origin, key="tune")


def test_tune_defaults_are_those_of_the_shipped_group(outline):
    from wwdc.config import load

    assert load(outline).tune == TuneConfig()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('["b", "angle"]', ["b", "angle"]),
        ("[b, angle]", ["b", "angle"]),
        (["b"], ["b"]),
        ("1e-3", 1e-3),
        ("0.5", 0.5),
        ("true", True),
        ("null", None),
        ("relu", "relu"),
        ('"5_2"', "5_2"),
        ('{"a": 1}', {"a": 1}),
        (3, 3),
        (None, None),
    ],
)
def test_parse_val(written, value):
    assert parse_val(written, where="") == value


@pytest.mark.parametrize("written", ['["b", "angle"', '{"a": 1', '"open', "[a, b]]"])
def test_parse_val_refuses(written):
    with pytest.raises(ConfigError, match=r"sweeps.yaml: sweeps.x.val: cannot read"):
        parse_val(written, where="sweeps.yaml: sweeps.x.val")
