"""What the columns of a table are likely to be; every guess is written down to be corrected."""

__all__ = ["Guess", "find_id", "guess_columns", "own_id"]

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwdc.data.columns import TAKEN, as_word
from wwdc.data.examples import examples
from wwdc.errors import ConfigError, closest

if TYPE_CHECKING:
    import pandas as pd

    from wwdc.data.tables import Table

_MOST_CLASSES = 20
_WHOLE_CLASSES = 10
_NUMERIC = 0.8
"""A column is numbers if so many of its values are; the others count as missing."""

_SENTINELS = (99.0, 999.0, 9999.0, 99999.0)
"""Stand for a missing value, or their negatives do, far outside all others."""

_ANGLE = re.compile(r"(^|_)(angle|theta|phi|pa|orientation|azimuth|ra|longitude|lon)(_|$)", re.I)
_FILE = re.compile(r"\.(fits\.gz|\w+)$", re.I)
"""The ending of a file's name."""

_FLAGS = ({"0", "1"}, {"true", "false"}, {"t", "f"}, {"yes", "no"}, {"y", "n"})
_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}


@dataclass(frozen=True)
class Guess:
    """What a column is taken for.

    Attributes:
        column: of the table.
        name: of the variable; another than the column's where that cannot be a name.
        keys: of ``x_ds.variables.NAME``; empty where it is left out.
        missing: values that are missing.
        seen: what it holds, in words.
        why: why it is left out.
    """

    column: str
    name: str
    keys: dict[str, Any] = field(default_factory=dict)
    missing: int = 0
    seen: str = ""
    why: str = ""


def find_id(
    table: "Table",
    names: NDArray[np.str_] | None,
    count: int,
    given: str | None,
    thing: str = "image",
) -> str | None:
    """The column that holds the ids of images, or of another *thing*.

    More than half of these are in it; None where they are in the rows' order. It may hold one
    twice: the dataset that joins the two refuses that.

    Raises:
        ConfigError: no column does, or several do as well; the columns to choose from are listed.
    """
    frame = table.frame
    if given is not None:
        return _given_id(table, given)
    if names is None:
        if len(frame) == count:
            return None
        raise ConfigError(
            f"{count} {thing}s and {len(frame)} rows of {table.path}, and the array does not name "
            f"its {thing}s. Give the column that counts them from 0 with --id."
        )
    known = set(names.tolist())
    hits = {
        str(column): len({as_word(value) for value in frame[column].dropna()} & known)
        for column in frame.columns
    }
    best = max(hits, key=lambda column: hits[column])
    if hits[best] <= len(known) / 2:
        shown = ", ".join(f"{column} ({frame[column].iloc[0]})" for column in list(hits)[:8])
        raise ConfigError(
            f"no column of {table.path} holds the {thing}s' ids, such as {examples(names[:3])}. "
            f"The columns and what their first row has: {shown}. Name one with --id, or correct it."
            f"{_files_named(frame, known)}"
        )
    alike = [column for column in hits if hits[column] == hits[best]]
    if len(alike) > 1:
        raise ConfigError(
            f"{len(alike)} columns of {table.path} name the {thing}s equally well: "
            f"{examples(alike)}. Say which with --id."
        )
    return best


def _files_named(frame: "pd.DataFrame", known: set[str]) -> str:
    """What to do where a column has the names of files, not their stems, which are the ids."""
    for name, column in frame.items():
        words = {as_word(value) for value in column.dropna()}
        stems = {_FILE.sub("", word.rpartition("/")[2]) for word in words}
        if len(stems & known) > len(known) / 2:
            return (
                f" Column {name} has the names of files ({column.iloc[0]}): write them without "
                "their endings and folders."
            )
    return ""


def own_id(table: "Table", given: str | None) -> str | None:
    """The first column of words or whole numbers that has another in each row; None: there is none.

    Raises:
        ConfigError: there is no column *given*.
    """
    if given is not None:
        return _given_id(table, given)
    for name, column in table.frame.items():
        if column.dtype.kind not in "fbMm" and column.is_unique and column.notna().all():
            return str(name)
    return None


def guess_columns(table: "Table", but: str | None) -> tuple[list[Guess], str | None]:
    """A guess for each column, and the column that says the splits, if there is one."""
    guesses, split = [], None
    for name in map(str, table.frame.columns):
        column = table.frame[name]
        if name == but:
            continue
        words = {as_word(value).lower() for value in column.dropna().unique()[:50]}
        if split is None and words and words <= _SPLITS and "train" in words | {"training"} & words:
            split = name
            continue
        guesses.append(_guess(name, column, table.units.get(name)))
    return _named(guesses), split


def _given_id(table: "Table", given: str) -> str:
    """The name of ``--id``.

    Raises:
        ConfigError: the table has no such column.
    """
    columns = table.frame.columns
    if given not in columns:
        raise ConfigError(
            f"--id: {table.path} has no column {given!r}.{closest(given, columns)} "
            f"It has {examples(columns)}."
        )
    return given


def _guess(name: str, column: "pd.Series[Any]", unit: str | None) -> Guess:
    import pandas as pd

    known = column.dropna()
    gone = len(column) - len(known)
    if not len(known):
        return Guess(name, name, missing=gone, why="all values are missing")
    distinct = sorted({as_word(value) for value in known.unique()})
    if len(distinct) == 1:
        return Guess(name, name, missing=gone, why=f"constant: {distinct[0]}")
    words = {word.lower() for word in distinct}
    if words in _FLAGS or words <= {"0", "1"}:
        return Guess(name, name, {"kind": "flag"} | _policy(gone), gone, " / ".join(distinct))
    numbers = pd.to_numeric(known, errors="coerce")
    numeric = numbers.notna().mean()
    if numeric < _NUMERIC:
        return _words(name, distinct, gone, len(known))
    if known.dtype.kind in "iu" and len(distinct) <= _WHOLE_CLASSES:
        return _words(name, distinct, gone, len(known))
    if known.dtype.kind not in "f" and len(distinct) == len(known) and known.dtype.kind in "iu":
        return Guess(name, name, missing=gone, why="another number for each row: an id")
    return _number(name, known, numbers, gone, unit)


def _words(name: str, distinct: list[str], gone: int, rows: int) -> Guess:
    if len(distinct) > _MOST_CLASSES:
        why = f"{len(distinct)} different words in {rows} rows: {examples(distinct)}"
        return Guess(name, name, missing=gone, why=why)
    classes: list[Any] = sorted(distinct, key=lambda word: (not word.isdigit(), word.zfill(9)))
    keys = {"kind": "categorical", "classes": classes} | _policy(gone)
    return Guess(name, name, keys, gone, examples(classes))


def _number(
    name: str, known: "pd.Series[Any]", numbers: "pd.Series[Any]", gone: int, unit: str | None
) -> Guess:
    """A continuous or circular variable; words among its numbers and ±99 are missing values."""
    na = sorted({as_word(value) for value in known[numbers.isna()]})
    values = numbers[np.isfinite(numbers)]
    for sign in (-1, 1):
        sentinel = float((sign * values).max())
        rest = values[sign * values != sentinel]
        if sentinel in _SENTINELS and len(rest) and float((sign * rest).max()) < sentinel / 2:
            na.append(as_word(sign * sentinel))
            values = rest
    infinite = sorted({as_word(v) for v in known[np.isinf(numbers)]})
    missing = gone + len(known) - len(values)
    low, high = float(values.min()), float(values.max())
    keys: dict[str, Any] = {"kind": "continuous"}
    if unit:
        keys["units"] = unit
    period = _period(low, high)
    if _ANGLE.search(name) and period is not None:
        keys |= {"kind": "circular", "range": period, "units": unit or "deg"}
    elif low > 0 and high / low > 1000:
        keys["scaling"] = "log"
    if na or infinite:
        keys["na"] = [*na, *infinite]
    told = f"{low:g} … {high:g}" + (f" (missing: {examples(keys['na'])})" if "na" in keys else "")
    return Guess(name, name, keys | _policy(missing), missing, told)


def _period(low: float, high: float) -> list[int] | None:
    """The usual range of an angle [deg] that these limits fill."""
    for bottom, top in ((0, 90), (0, 180), (-90, 90), (0, 360), (-180, 180)):
        if bottom <= low and high <= top and high - low > 0.8 * (top - bottom):
            return [bottom, top] if top - bottom > 90 else None
    return None


def _policy(missing: int) -> dict[str, Any]:
    return {"missing": "indicator"} if missing else {}


def _named(guesses: list[Guess]) -> list[Guess]:
    """With names that can be written as a key, each once."""
    taken: set[str] = set()
    found = []
    for guess in guesses:
        name = re.sub(r"\W+", "_", guess.name).strip("_") or "column"
        if name in TAKEN or not name[0].isalpha() or name.startswith("u_t"):
            name = f"table_{name}"
        while name in taken:
            name += "_"
        taken.add(name)
        keys = dict(guess.keys)
        if keys and name != guess.column:
            keys = {"kind": keys.pop("kind"), "column": guess.column, **keys}
        found.append(Guess(guess.column, name, keys, guess.missing, guess.seen, guess.why))
    return found
