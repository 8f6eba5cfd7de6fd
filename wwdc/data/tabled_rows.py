"""What every dataset has in common whose objects are the rows of a user's table."""

__all__ = ["Refusable", "TabledRows", "check_numbers", "check_policies", "digest"]

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wwdc.data.catalogue import Catalogue, Variable
from wwdc.data.colour_mnist import SPLITS, Split
from wwdc.data.columns import Column, declared
from wwdc.data.joined import Joined, join
from wwdc.data.splits import SplitRule
from wwdc.data.tables import read_table
from wwdc.errors import DataError, closest

# Shapes: N objects, R rows (objects × views).

Refusable = Literal["refuse", "drop"]


class TabledRows(ABC):
    """Objects with a row in a table: their ids, splits and variables.

    Args:
        data: what the objects are, on the disk.
        table: CSV, Parquet, FITS or HDF5 table with a row an object.
        variables: what is known: name → kind, or name → `Declared`'s arguments.
        id: the table's column of ids; None: the data are in the order of the rows.
        split: arguments of `SplitRule`.
        views: of an object; an example is (object, view).
        unmatched: what becomes of data without a row and rows without data.
        unseen: what becomes of objects whose class no training object has.
        seed: of splits and views.
        drop_variables: variables that a flow is not told.
        origin: where data and table come from, told where they are missing.

    Raises:
        DataError: a setting is wrong.
    """

    _thing = "image"
    """What an object is called in messages."""

    def __init__(
        self,
        data: Path,
        table: Path,
        variables: Mapping[str, Any],
        *,
        id: str | None,
        split: Mapping[str, Any] | None,
        views: int,
        unmatched: Refusable,
        unseen: Refusable,
        seed: int,
        drop_variables: Iterable[str] | None,
        origin: str = "",
    ) -> None:
        self._data, self._table, self._id = data, table, id
        self._origin = origin
        self._declared = declared(variables)
        check_numbers(seed=(seed, 0), views=(views, 1))
        check_policies(unmatched=unmatched, unseen=unseen)
        self._rule = _rule(split or {})
        self._unmatched, self._unseen = unmatched, unseen
        self.seed, self.views = seed, views
        names = Catalogue(tuple(Variable(v.name, "continuous") for v in self._declared))
        try:
            self._kept = names.keep(drop_variables or ()).names
        except DataError as error:
            raise DataError(f"x_ds.drop_variables: {error}") from None

    @property
    def name(self) -> str:
        return self._table.name.partition(".")[0]

    @cached_property
    def catalogue(self) -> Catalogue:
        """The variables, as they were declared and found."""
        return Catalogue(tuple(column.variable for column in self._joined.columns))

    @property
    def kept(self) -> Catalogue:
        """What a flow is told."""
        return Catalogue(tuple(v for v in self.catalogue if v.name in self._kept))

    @property
    def drop_variables(self) -> tuple[str, ...]:
        """What a flow is not told, in catalogue order."""
        return tuple(v.name for v in self._declared if v.name not in self._kept)

    @property
    def split_rule(self) -> str:
        return self._rule.words

    @property
    @abstractmethod
    def images_fingerprint(self) -> str:
        """Of what is modelled, rows and ids, whatever is known of them: latents belong to these."""

    @abstractmethod
    def _names(self) -> NDArray[np.str_] | None:
        """Ids of the data, where they have any."""

    @abstractmethod
    def _count(self) -> int:
        """How many there are."""

    @abstractmethod
    def _left_out(self) -> tuple[NDArray[np.bool_], list[str]]:
        """Which objects cannot be used, and why, in words."""

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the data: objects, splits, images and variables.

        Where they lie and which variables are dropped do not matter.
        """
        known = [variable.as_dict() for variable in self.catalogue]
        return digest([self.images_fingerprint, known, self._values])

    def rows(self, split: Split) -> int:
        """Examples in a split: objects × views."""
        return len(self._objects(split)) * self.views

    def table(self, split: Split) -> dict[str, NDArray[Any]]:
        """The catalogue of a split: every object's first view, then every second one, and so on.

        Columns: ``id`` (unique over splits and views), ``object``, ``view``, ``name`` (the user's
        id) and the variables of the catalogue, NaN where they are missing.
        """
        joined, objects = self._joined, self._objects(split)
        views = np.repeat(np.arange(self.views), len(objects))
        tiled = np.tile(objects, self.views)
        ids = joined.ids[tiled]
        rows: dict[str, NDArray[Any]] = {
            "id": views * (int(joined.ids.max()) + 1) + ids,
            "object": ids,
            "view": views,
        }
        rows["name"] = joined.names[tiled]
        return rows | {c.variable.name: _typed(c, tiled) for c in joined.columns}

    def context(self, split: Split) -> NDArray[np.float32]:
        """The kept variables of every row, encoded but not standardised: (rows, width)."""
        return self.kept.encode(self.table(split))

    @cached_property
    def _joined(self) -> Joined:
        text = [name for name in (self._id, self._rule.column) if name]
        for path in (self._data, self._table):
            if not path.exists():
                raise DataError(f"x_ds: {path}: no such file or folder. {self._origin}".rstrip())
        return join(
            read_table(self._table, tuple(text)),
            self._names(),
            self._count,
            self._declared,
            id=self._id,
            rule=self._rule,
            seed=self.seed,
            drop_unmatched=self._unmatched == "drop",
            drop_unseen=self._unseen == "drop",
            thing=self._thing,
        )

    @cached_property
    def _values(self) -> str:
        """SHA-256 over the values of all variables."""
        digest = hashlib.sha256()
        for column in self._joined.columns:
            digest.update(column.values.tobytes())
        return digest.hexdigest()

    def _objects(self, split: Split) -> NDArray[np.int64]:
        """Places in the joined table."""
        if split not in SPLITS:
            raise DataError(f"there is no split {split!r}; splits are {', '.join(SPLITS)}.")
        return self._split_objects[split]

    @cached_property
    def _split_objects(self) -> dict[Split, NDArray[np.int64]]:
        keep = ~self._left_out()[0]
        split = self._joined.split
        found = {name: np.flatnonzero(keep & (split == i)) for i, name in enumerate(SPLITS)}
        empty = [name for name, rows in found.items() if not len(rows)]
        if empty:
            raise DataError(f"x_ds: no object of {', '.join(empty)} has a usable {self._thing}.")
        return found


def _typed(column: Column, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Values of rows; classes and flags are whole numbers unless some are missing."""
    values = column.values[rows]
    if column.variable.kind in ("categorical", "flag") and column.variable.fill is None:
        return values.astype(np.int64)
    return values


def digest(parts: Any) -> str:
    """16 hexadecimal digits that stand for plain data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _rule(given: Mapping[str, Any]) -> SplitRule:
    known = ("fractions", "stratify", "group", "column")
    for name in given:
        if name not in known:
            raise DataError(
                f"x_ds.split.{name}: unknown key.{closest(str(name), known)} Keys: "
                f"{', '.join(known)}."
            )
    parts = given.get("fractions")
    fractions = {"fractions": tuple(parts) if isinstance(parts, list) else parts} if parts else {}
    return SplitRule(**{**given, **fractions})


def check_numbers(**given: tuple[Any, int]) -> None:
    """Refuse settings that are no integers from a least one on: name → (value, least)."""
    for name, (value, least) in given.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise DataError(f"x_ds.{name} is {value!r}: it must be an integer ≥ {least}.")


def check_policies(**given: Any) -> None:
    """Refuse settings that are neither ``refuse`` nor ``drop``."""
    for name, value in given.items():
        if value not in get_args(Refusable):
            raise DataError(f"x_ds.{name}: {value!r}: refuse or drop.")
