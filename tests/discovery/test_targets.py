"""Verdicts and grades as targets."""

import pytest

from wwdc.discovery.targets import target
from wwdc.errors import DataError


@pytest.mark.parametrize(("grade", "expected"), [(0, -1), (1, -0.6), (2.5, 0), (4, 0.6), (5, 1)])
def test_grades_are_spread_evenly(grade, expected):
    assert target(grade=grade) == pytest.approx(expected)
    assert target("anomaly", grade) == 1 and target("normal", grade) == -1


def test_nothing_said_is_no_target():
    assert target() is None


@pytest.mark.parametrize("wrong", [{"grade": 6}, {"grade": -1}, {"verdict": "odd"}])
def test_what_cannot_be(wrong):
    with pytest.raises(DataError):
        target(**wrong)
