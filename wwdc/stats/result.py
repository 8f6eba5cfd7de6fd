"""What a test reports, and the rows it may use."""

__all__ = ["TestResult", "draw", "known", "not_tested", "result_of", "why_not"]

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wwdc.data.catalogue import Variable
from wwdc.errors import ConfigError
from wwdc.stats.resampling import detectable, p_value
from wwdc.stats.scores import CLASSES

# Shapes: N rows, D columns of u, B draws from the null.

_LEAST = 20
"""Rows below which nothing is tested."""

_ROWS = 4
"""Stream of a seed: the choice of rows. Resampling has the first three."""


@dataclass(frozen=True)
class TestResult:
    """What one test found. All figures are NaN where it was not tested.

    Args:
        statistic: the test's own statistic.
        effect: it, normalised: 0 is nothing. Estimates may fall below.
        p_value: (1 + #{null ≥ effect}) / (1 + B), of the hypothesis that there is nothing.
        n: rows the statistic was computed from.
        null_mean: mean of the null's effects.
        null_sd: standard deviation of the null's effects.
        detectable: the smallest effect that would have had p ≤ 0.05 with probability 0.8: the
            null's 95 % quantile plus 0.84 of its standard deviations.
        status: ``tested`` or ``not tested``.
        reason: why not, in words.
    """

    __test__ = False  # pytest collects classes of this name

    statistic: float
    effect: float
    p_value: float
    n: int
    null_mean: float
    null_sd: float
    detectable: float
    status: Literal["tested", "not tested"] = "tested"
    reason: str = ""


def result_of(statistic: float, effect: float, null: NDArray[Any], n: int) -> TestResult:
    """The result of a test whose effect is *effect*, and would be *null* (B,) if nothing were."""
    return TestResult(
        statistic=float(statistic),
        effect=float(effect),
        p_value=p_value(effect, null),
        n=n,
        null_mean=float(null.mean()),
        null_sd=float(null.std(ddof=1)),
        detectable=detectable(null),
    )


def not_tested(reason: str, n: int = 0) -> TestResult:
    """The result of a test that *n* rows do not allow."""
    nan = math.nan
    return TestResult(nan, nan, nan, n, nan, nan, nan, "not tested", reason)


def known(variable: Variable, y: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows (N,) hold a value that is finite, within the variable's limits and a class."""
    if y.dtype.kind not in "biuf":
        return np.zeros(len(y), bool)
    values = y.astype(np.float64)
    low, high = variable.limits
    valid: NDArray[np.bool_] = np.isfinite(values) & (values >= low) & (values <= high)
    if variable.kind in CLASSES:
        valid &= values == np.floor(values)
    return valid


def draw(
    usable: NDArray[np.bool_], n_max: int, seed: int, *, least: int = _LEAST
) -> NDArray[np.int64]:
    """At most *n_max* of the usable rows, ascending; which ones follows from the seed.

    Raises:
        ConfigError: *n_max* is smaller than any test allows.
    """
    if n_max < least:
        raise ConfigError(f"n_max is {n_max}: the test needs {least} rows at least.")
    rows = np.flatnonzero(usable)
    if len(rows) <= n_max:
        return rows
    rng = np.random.default_rng(np.random.SeedSequence((seed, _ROWS)))
    return np.sort(rng.choice(rows, n_max, replace=False))


def why_not(u: NDArray[Any], repeats: int, *, least: int = _LEAST) -> str:
    """Why nothing can be tested on the rows *u* (N, D), in words; empty where it can.

    Raises:
        ConfigError: fewer than 19 *repeats* (of the null): no p-value could reach 0.05.
    """
    if repeats < 19:
        raise ConfigError(f"{repeats} draws from the null give no p-value of 0.05: 19 are needed.")
    if len(u) < least:
        return f"there are {len(u)} rows with a valid value: {least} are needed"
    if not np.isfinite(u).all():
        return "the rows hold values that are not finite"
    if not np.ptp(u, axis=0).any():
        return "the rows are all the same"
    return ""
