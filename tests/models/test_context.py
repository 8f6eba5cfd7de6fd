"""The context width against the kept variables."""

import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

from wwdc.errors import ConfigError
from wwdc.models.context import check_context, context_moments


class Column(NamedTuple):
    name: str
    width: int


KEPT = [Column("r", 1), Column("g", 1), Column("digit", 10)]


@pytest.mark.parametrize("given", [12, None])
def test_fitting_or_missing_context(given):
    assert check_context(given, KEPT) == 12


def test_wrong_context_shows_the_sum():
    with pytest.raises(ConfigError) as caught:
        check_context(13, KEPT)
    assert str(caught.value) == (
        "model.yaml: lightning_loader.flow.context is 13, but the kept variables take "
        "r 1 + g 1 + digit 10 = 12. Write `context: 12`, or leave it out to have it computed."
    )


def test_rare_classes_are_not_blown_up():
    """One of 1 000 objects lacks a value: its bit would be 32 standard deviations from the rest."""
    rng = np.random.default_rng(0)
    number, common = rng.normal(0, 0.01, 1000), rng.random(1000) < 0.5
    rare, never = np.arange(1000) == 3, np.zeros(1000)
    context = np.stack([number, common, rare, never], axis=1).astype(np.float32)
    mean, scale = context_moments(context)
    np.testing.assert_allclose(scale[[0, 1, 3]], context.std(axis=0)[[0, 1, 3]], rtol=1e-5)
    centred = context - mean
    assert abs(centred[:, 2] / scale[2]).max() <= 4


def test_many_dates_are_standardised():
    rng = np.random.default_rng(0)
    dates = rng.normal([59_000, 2018], [100, 2], (400_000, 2))
    mean, scale = context_moments(dates.astype(np.float32))
    np.testing.assert_allclose(mean, dates.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scale, dates.std(axis=0), rtol=1e-3)


def test_nothing_kept():
    assert check_context(None, []) == 0
    with pytest.raises(ConfigError, match="take nothing = 0"):
        check_context(1, [])


def test_needs_no_torch():
    code = "import sys, wwdc.models.context; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
