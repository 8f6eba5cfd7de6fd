"""Which objects train, validate and test: by chance, by groups, or as a column says."""

__all__ = ["SplitRule"]

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwdc.data.colour_mnist import SPLITS
from wwdc.data.examples import examples
from wwdc.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_STREAM = 1
_BINS = 10
_NAMES = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "testing": 2}


@dataclass(frozen=True)
class SplitRule:
    """How objects are split. Nothing but the objects, the rule and the seed decides.

    Args:
        fractions: of train, val and test; they add up to 1.
        stratify: column whose classes, or tenths of a number, have the same shares in each split.
        group: column whose equal values stay together in one split (a field, a patient).
        column: column that says ``train``, ``val`` or ``test`` of each row; it decides alone.

    Raises:
        DataError: the fractions are wrong, or more than one column is named.
    """

    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    stratify: str | None = None
    group: str | None = None
    column: str | None = None

    def __post_init__(self) -> None:
        parts: Any = self.fractions
        numbers = isinstance(parts, Sequence) and all(isinstance(p, int | float) for p in parts)
        if not numbers or len(parts) != 3 or min(parts) <= 0 or abs(sum(parts) - 1) > 1e-6:
            raise DataError(
                f"x_ds.split.fractions is {parts!r}: three numbers above 0 that add up to 1."
            )
        named = [name for name in ("stratify", "group", "column") if getattr(self, name)]
        if len(named) > 1:
            raise DataError(f"x_ds.split: {' and '.join(named)} are given; only one can decide.")

    @property
    def needs(self) -> str | None:
        """The column of the table that it looks at."""
        return self.column or self.group or self.stratify

    @property
    def words(self) -> str:
        """The rule in words."""
        if self.column:
            return f"as column {self.column} says"
        shares = ":".join(f"{fraction:g}" for fraction in self.fractions)
        kind = f", stratified by {self.stratify}" if self.stratify else ""
        return shares + (f", grouped by {self.group}" if self.group else kind)

    def assign(
        self, column: "pd.Series[Any] | None", names: NDArray[Any], seed: int
    ) -> NDArray[np.int8]:
        """The split of each of N objects: 0 train, 1 val, 2 test.

        Args:
            column: what `needs` names, (N,).
            names: of the objects, for messages.

        Raises:
            DataError: a value is missing or no split, or a split would be empty.
        """
        rng = np.random.default_rng(np.random.SeedSequence((seed, _STREAM)))
        if column is None:
            found = self._shared(np.zeros(len(names), np.int64), rng)
        elif self.column:
            found = _as_said(column, names, self.column)
        elif self.group:
            found = self._grouped(_codes(column, names, self.group), rng)
        else:
            found = self._shared(_strata(column, names, str(self.stratify)), rng)
        empty = [split for i, split in enumerate(SPLITS) if not (found == i).any()]
        if empty:
            raise DataError(
                f"x_ds.split ({self.words}): {', '.join(empty)} would hold none of the "
                f"{len(names)} objects."
            )
        return found

    def _shared(self, strata: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int8]:
        """Each stratum cut at the fractions. What does not divide evenly is spread over strata."""
        shuffled = rng.permutation(len(strata))
        order = shuffled[np.argsort(strata[shuffled], kind="stable")]
        place = (np.arange(len(order)) * _GOLDEN) % 1.0  # even in every run of neighbours
        found = np.empty(len(order), np.int8)
        ranks = np.empty(len(order), np.int64)
        ranks[np.argsort(place, kind="stable")] = np.arange(len(order))
        ends = np.rint(np.cumsum(self.fractions) * len(order)).astype(np.int64)
        found[order] = np.searchsorted(ends, ranks, side="right").clip(0, 2)
        return found

    def _grouped(self, groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int8]:
        """Groups in random order, the next one to the split that lacks most."""
        sizes = np.bincount(groups)
        lacking = np.array(self.fractions) * len(groups)
        of_group = np.empty(len(sizes), np.int8)
        for group in rng.permutation(len(sizes)):
            split = int(np.argmax(lacking / np.array(self.fractions)))
            of_group[group] = split
            lacking[split] -= sizes[group]
        return of_group[groups]


_GOLDEN = (5**0.5 - 1) / 2


def _codes(column: "pd.Series[Any]", names: NDArray[Any], key: str) -> NDArray[np.int64]:
    import pandas as pd

    missing = column.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"x_ds.split: column {key!r} is missing for {int(missing.sum())} objects: "
            f"{examples(names[missing])}."
        )
    codes: NDArray[np.int64] = pd.factorize(column, sort=True)[0].astype(np.int64)
    return codes


def _strata(column: "pd.Series[Any]", names: NDArray[Any], key: str) -> NDArray[np.int64]:
    codes = _codes(column, names, key)
    levels = int(codes.max()) + 1
    if column.dtype.kind != "f" or levels <= 2 * _BINS:
        return codes
    order = np.argsort(np.argsort(codes, kind="stable"), kind="stable")
    return np.asarray(order * _BINS // len(codes), np.int64)


def _as_said(column: "pd.Series[Any]", names: NDArray[Any], key: str) -> NDArray[np.int8]:
    words = column.astype(str).str.strip().str.lower()
    found = words.map(_NAMES)
    wrong = found.isna().to_numpy()
    if wrong.any():
        told = [f"{name} ({word})" for name, word in zip(names[wrong], words[wrong], strict=True)]
        raise DataError(
            f"x_ds.split.column: {key!r} says neither train, val nor test of {int(wrong.sum())} "
            f"objects: {examples(told)}."
        )
    return found.to_numpy().astype(np.int8)
