"""Where the values of a parameter lie between 0 and 1: linear, logarithmic or as categories."""

__all__ = ["Scale", "absent", "as_text", "limits", "scale_of"]

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

_LOG_RATIO = 50.0
_FEW = 6
_APART = 0.07


@dataclass(frozen=True)
class Scale:
    """An axis for one parameter.

    Attributes:
        kind: ``linear`` or ``log`` for numbers, ``category`` for everything else.
        low: lowest number; 0 for categories.
        high: highest number; 1 for categories.
        categories: texts of the values, lowest first; empty for numbers.
    """

    kind: Literal["linear", "log", "category"]
    low: float = 0.0
    high: float = 1.0
    categories: tuple[str, ...] = ()

    @property
    def constant(self) -> bool:
        """Whether there is only one value, so that nothing can depend on it."""
        return len(self.categories) == 1 or (not self.categories and self.low == self.high)

    def positions(self, values: Iterable[Any]) -> NDArray[np.float64]:
        """Places of *values* in [0, 1], NaN where there is none, (N,)."""
        return np.array([math.nan if absent(value) else self._place(value) for value in values])

    def ticks(self, values: Iterable[Any] = ()) -> list[tuple[float, str]]:
        """Places and texts to mark: the values when they are few, else round numbers between."""
        if self.categories:
            shown = [text.replace('"', "") for text in self.categories]
            every = math.ceil(_APART * len(shown))
            return [((i + 0.5) / len(shown), text) for i, text in enumerate(shown)][::every]
        found = sorted({float(value) for value in values if not absent(value)})
        marks: dict[float, float] = {}
        for value in found if 0 < len(found) <= _FEW else self._round_numbers(found):
            place = self._place(value)
            if all(abs(place - other) >= _APART for other in marks):
                marks[place] = value
        return [(place, f"{value:.4g}") for place, value in sorted(marks.items())]

    def _round_numbers(self, values: Sequence[float]) -> list[float]:
        """Most welcome first: the ends of a logarithmic axis give way to powers of ten."""
        if self.kind == "log":
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            powers = [10.0**power for power in range(first, last + 1)]
            return [*powers, self.low, self.high]
        whole = bool(values) and all(value.is_integer() for value in values)
        steps = MaxNLocator(5, integer=whole).tick_values(self.low, self.high)
        return [float(step) for step in steps if self.low <= step <= self.high]

    def _place(self, value: Any) -> float:
        if self.kind == "category":
            rank = self.categories.index(as_text(value))
            return (rank + 0.5) / len(self.categories)
        if self.low == self.high:
            return 0.5
        if self.kind == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (float(value) - self.low) / (self.high - self.low)


def scale_of(values: Iterable[Any], distribution: BaseDistribution | None = None) -> Scale:
    """The scale of a parameter, from its searched *distribution* or else from its *values*.

    Without a distribution, positive numbers that span a factor of 50 or more are logarithmic.
    Lists, texts and truth values are categories. Values outside the distribution widen it.
    """
    found = [value for value in values if not absent(value)]
    listed = isinstance(distribution, CategoricalDistribution)
    if listed or not all(_is_number(value) for value in found):
        return Scale("category", categories=_categories(found))
    if not found:
        return Scale("linear", 0.0, 0.0)
    bounds = [getattr(distribution, name, found[0]) for name in ("low", "high")]
    low, high = float(min(*bounds, *found)), float(max(*bounds, *found))
    if distribution is None:
        log = low > 0 and high >= _LOG_RATIO * low
    else:
        log = low > 0 and bool(getattr(distribution, "log", False))
    return Scale("log" if log else "linear", low, high)


def limits(values: NDArray[np.float64], mode: str | None = None) -> tuple[float, float]:
    """Lowest and highest of *values* without outliers.

    Those lie more than three times the interquartile range beyond a quartile, with *mode* only on
    its bad side. Where half of the values are the same, nothing is an outlier.
    """
    quarter, three = np.quantile(values, [0.25, 0.75])
    reach = 3.0 * (three - quarter) or np.inf
    low, high = float(values.min()), float(values.max())
    if mode != "min":
        low = max(low, float(quarter - reach))
    if mode != "max":
        high = min(high, float(three + reach))
    return low, high


def absent(value: Any) -> bool:
    """Whether a table's cell is empty: the parameter did not exist there."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def as_text(value: Any) -> str:
    """A category's name: a text as it is, everything else as JSON.

    >>> as_text("silu"), as_text([64, 64]), as_text(True)
    ('silu', '[64, 64]', 'true')
    """
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)


def _categories(values: Sequence[Any]) -> tuple[str, ...]:
    by_text = {as_text(value): value for value in values}
    try:
        return tuple(sorted(by_text, key=lambda text: by_text[text]))
    except TypeError:  # lists and texts do not compare
        return tuple(sorted(by_text))
