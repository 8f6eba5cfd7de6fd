"""Images and the rows of a table, brought together by id."""

__all__ = ["Joined", "join"]

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwdc.data.columns import Column, Declared, read_column
from wwdc.data.examples import examples
from wwdc.data.splits import SplitRule
from wwdc.data.tables import Table
from wwdc.errors import DataError, closest

if TYPE_CHECKING:
    import pandas as pd

_LEAST = 30
"""Objects that can be split at all."""


@dataclass(frozen=True, eq=False)
class Joined:
    """The objects of a dataset, N of them in the order of their ids.

    Attributes:
        names: the ids as the user has them, (N,).
        ids: as numbers, each once: the ids themselves where all are whole numbers, else places in
            the order of names.
        place: of each object's image in its source, (N,).
        split: 0 train, 1 val, 2 test, (N,).
        columns: the variables.
        notes: what was left out, in words.
    """

    names: NDArray[np.str_] = field(repr=False)
    ids: NDArray[np.int64] = field(repr=False)
    place: NDArray[np.int64] = field(repr=False)
    split: NDArray[np.int8] = field(repr=False)
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()


def join(
    table: Table,
    names: NDArray[np.str_] | None,
    images: Callable[[], int],
    variables: tuple[Declared, ...],
    *,
    id: str | None,
    rule: SplitRule,
    seed: int,
    drop_unmatched: bool = False,
    drop_unseen: bool = False,
    thing: str = "image",
) -> Joined:
    """Bring images and rows together, read the variables and split the objects.

    Args:
        table: with a row for each object.
        names: ids of the images; None where they are in the order of the rows, or, with *id*, this
            column counts them from 0.
        images: how many images there are.
        variables: what to read from the table.
        id: the table's column of ids.
        rule: how to split.
        seed: of the split.
        drop_unmatched: leave out images without a row and rows without an image.
        drop_unseen: leave out objects of val and test whose class is not in train.
        thing: what an object is called in messages: image or vector.

    Raises:
        DataError: what is wrong, how often, and the first five times.
    """
    frame, notes = table.frame, []
    for key, column in _needed(variables, id, rule):
        if column not in frame.columns:
            raise DataError(
                f"{key}: {table.path} has no column {column!r}.{closest(column, frame.columns)} "
                f"It has {examples(frame.columns)}."
            )
    keys = _keys(table, id)
    if names is None:
        names = np.array([str(i) for i in range(images())], dtype=np.str_)
        if id is None and len(names) != len(keys):
            raise DataError(
                f"x_ds: {len(names)} {thing}s and {len(keys)} rows of {table.path}, and no x_ds.id "
                "to tell which belong together."
            )
    elif id is None:
        raise DataError(f"x_ds.id: name the column of {table.path} that holds the {thing}s' ids.")
    common, row, place = np.intersect1d(keys, names, return_indices=True)
    notes += _unmatched(table, keys, names, common, drop_unmatched, thing)
    frame = frame.iloc[row].reset_index(drop=True)
    columns = [
        read_column(v, frame[v.source], common, table.units.get(v.source)) for v in variables
    ]
    keep = np.ones(len(common), bool)
    for wanted, read in zip(variables, columns, strict=True):
        gone = np.isnan(read.values)
        if wanted.missing == "drop" and gone.any():
            keep &= ~gone
            told = examples(common[gone])
            notes.append(f"{int(gone.sum())} objects without {wanted.name} are left out: {told}.")
        if wanted.kind == "continuous" and _too_close(read.values):
            notes.append(
                f"{wanted.name}: its values lie so far from 0 and so close together that networks, "
                f"whose numbers have seven digits, cannot tell all apart. Subtract "
                f"{np.nanmin(read.values):.10g} in the table."
            )
    if keep.sum() < _LEAST:
        raise DataError(
            f"x_ds: {int(keep.sum())} objects are too few to split: {_LEAST} are needed."
        )
    split = rule.assign(_take(frame, rule.needs, keep), common[keep], seed)
    found = Joined(
        common[keep],
        _numbers(common[keep]),
        place[keep].astype(np.int64),
        split,
        tuple(Column(c.variable, c.values[keep]) for c in columns),
        tuple(notes),
    )
    return _seen(found, drop_unseen)


def _too_close(values: NDArray[np.float64]) -> bool:
    """Whether float32, in which a flow is told them, rounds by a hundredth of the spread."""
    rounding = np.spacing(np.float32(np.nanmax(np.abs(values))))
    return bool(rounding > 0.01 * np.nanstd(values))


def _needed(
    variables: tuple[Declared, ...], id: str | None, rule: SplitRule
) -> list[tuple[str, str]]:
    needed = [(f"x_ds.variables.{v.name}", v.source) for v in variables]
    needed += [("x_ds.split", rule.needs)] if rule.needs else []
    return needed + ([("x_ds.id", id)] if id else [])


def _keys(table: Table, id: str | None) -> NDArray[np.str_]:
    """The id of each row, as text."""
    if id is None:
        return np.array([str(i) for i in range(len(table.frame))], dtype=np.str_)
    column = table.frame[id]
    missing = column.isna().to_numpy()
    if missing.any():
        lines = examples(np.flatnonzero(missing) + 1)
        raise DataError(
            f"x_ds.id: column {id!r} of {table.path} is empty in {int(missing.sum())} rows: "
            f"{lines}."
        )
    if column.dtype.kind == "f" and (column == column.round()).all():
        column = column.astype("int64")
    keys = np.array([str(value).strip() for value in column], dtype=np.str_)
    values, counts = np.unique(keys, return_counts=True)
    doubles = values[counts > 1]
    if len(doubles):
        raise DataError(
            f"x_ds.id: {len(doubles)} ids stand in several rows of {table.path} (column {id!r}): "
            f"{examples(doubles)}. Keep one row of each."
        )
    return keys


def _unmatched(
    table: Table,
    keys: NDArray[np.str_],
    names: NDArray[np.str_],
    common: NDArray[np.str_],
    drop: bool,
    thing: str,
) -> list[str]:
    """What has no partner, in words."""
    told = []
    one = f"an {thing}" if thing[0] in "aeiou" else f"a {thing}"
    for kind, ids in ((f"{thing}s without a row", names), (f"rows without {one}", keys)):
        alone = np.setdiff1d(ids, common)
        if len(alone):
            told.append(f"{len(alone)} {kind}: {examples(alone)}")
    if not len(common):
        raise DataError(
            f"x_ds.id: no {thing} has the id of a row of {table.path}: {'; '.join(told)}."
        )
    if told and not drop:
        raise DataError(
            f"{table.path}: {'; '.join(told)}. Correct the table, or write unmatched: drop to "
            "leave them out."
        )
    return [f"{text}; left out." for text in told]


def _take(frame: "pd.DataFrame", name: str | None, keep: NDArray[np.bool_]) -> Any:
    return None if name is None else frame[name][keep].reset_index(drop=True)


def _numbers(names: NDArray[np.str_]) -> NDArray[np.int64]:
    """Ids that are whole numbers as they are (written one way only), else 0 … N − 1."""
    if all(name.isascii() and name.isdigit() and len(name) <= 15 for name in names.tolist()):
        numbers = names.astype(np.int64)
        if len(np.unique(numbers)) == len(numbers):
            return numbers
    return np.arange(len(names))


def _seen(found: Joined, drop: bool) -> Joined:
    """Without the objects of val and test whose class no object of train has."""
    keep = np.ones(len(found.names), bool)
    notes = list(found.notes)
    for column in found.columns:
        variable, values = column.variable, column.values
        if variable.kind not in ("categorical", "flag"):
            continue
        known = ~np.isnan(values)
        unseen = np.setdiff1d(values[known], values[known & (found.split == 0)])
        rows = np.isin(values, unseen)
        if not rows.any():
            continue
        classes = [variable.classes[int(c)] if variable.classes else f"{c:g}" for c in unseen]
        told = (
            f"{variable.name}: {int(rows.sum())} objects of val and test are of classes that no "
            f"object of train has ({examples(classes)}): {examples(found.names[rows])}"
        )
        if not drop:
            raise DataError(
                f"x_ds.variables.{told}. Write split: {{stratify: …}}, or unseen: drop to leave "
                "them out."
            )
        keep &= ~rows
        notes.append(f"{told}; left out.")
    columns = tuple(Column(c.variable, c.values[keep]) for c in found.columns)
    rest = (found.names[keep], found.ids[keep], found.place[keep], found.split[keep])
    return Joined(*rest, columns, tuple(notes))
