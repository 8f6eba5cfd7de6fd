"""Conditions of axes."""

import pytest

from wwdc.errors import ConfigError
from wwdc.tune.when import in_order, parse_condition

VALUES = {"a.b": 3, "c": "x", "d": [1, 2], "e": None, "f": True}


def find(name: str) -> str:
    if name not in VALUES:
        raise ConfigError(f"there is no key {name!r} in this experiment.")
    return name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b > 2", True),
        ("a.b > 3", False),
        ("2 < a.b <= 3", True),
        ("c == 'x' and a.b != 3", False),
        ("c == 'y' or not a.b < 3", True),
        ("a.b in [1, 3]", True),
        ("c not in ('x', 'y')", False),
        ("d == [1, 2]", True),
        ("e == null", True),
        ("f == true", True),
        ("a.b > -1", True),
    ],
)
def test_conditions_hold_or_not(text, expected):
    condition = parse_condition(text, find, where="here")
    assert condition.holds(VALUES.get) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.b >", "cannot read"),
        ("a.b", "compares nothing"),
        ("a.z > 2", "no key 'a.z'"),
        ("c == x", "put it in quotes"),
        ("__import__('os').system('true') == 0", "cannot stand in a condition"),
        ("a.b + 1 > 2", "cannot stand in a condition"),
        ("(lambda: 1)() > 0", "cannot stand in a condition"),
    ],
)
def test_what_is_no_condition_is_refused(text, message):
    with pytest.raises(ConfigError, match="here") as caught:
        parse_condition(text, find, where="here")
    assert message in str(caught.value)


def test_values_that_cannot_be_compared_are_a_mistake():
    condition = parse_condition("c > 2", find, where="sweeps.yaml: sweeps.x.when")
    with pytest.raises(ConfigError, match=r"sweeps\.x\.when"):
        condition.holds(VALUES.get)


def test_axes_come_after_what_they_depend_on():
    needs = {"a": {"b"}, "b": {"c", "elsewhere"}, "c": set()}
    assert in_order(list(needs), str, needs.__getitem__) == ["c", "b", "a"]
    with pytest.raises(ConfigError, match="circle"):
        in_order(["a", "b"], str, {"a": {"b"}, "b": {"a"}}.__getitem__)
