"""The embedding that is looked at is the one that was named."""

import pytest

from wwdc.errors import ConfigError
from wwdc.label.opening import _named


def test_a_name_that_yaml_reads_as_a_number_is_found():
    names = ["5240735_2", "5240735_12", "x-only_b"]
    assert _named("5240735_2", names) == "5240735_2"
    assert _named(5240735_12, names) == "5240735_12"
    assert _named("x-only_b", names) == "x-only_b"


def test_a_name_that_may_be_two_is_refused():
    with pytest.raises(ConfigError, match="quotes"):
        _named(110, ["1_10", "11_0"])
    with pytest.raises(ConfigError, match="Did you mean '1_10'"):
        _named("1_11", ["1_10"])
