"""Variables as an experiment declares them, and the numbers that a table's columns become."""

__all__ = ["TAKEN", "Column", "Declared", "Missing", "as_word", "declared", "read_column"]

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wwdc.data.catalogue import Kind, Scaling, Variable
from wwdc.data.examples import examples
from wwdc.errors import DataError, closest

if TYPE_CHECKING:
    import pandas as pd

Missing = Literal["refuse", "drop", "indicator"]

TAKEN = ("id", "object", "view", "name", "split", "z", "u", "z_mean", "u_mean", "log_prob")
"""Names of other columns of catalogues and embeddings."""
_YES = {"1": 1, "true": 1, "t": 1, "yes": 1, "y": 1}
_NO = {"0": 0, "false": 0, "f": 0, "no": 0, "n": 0}
_MOST_CLASSES = 100


@dataclass(frozen=True)
class Declared:
    """A variable as ``x_ds.variables`` declares it.

    Args:
        name: of the variable.
        kind: see `Variable`; as are units, range, description and scaling.
        column: of the table; by default the one of the same name.
        classes: of a categorical variable, in the order of their codes: what the table has, and
            what it is called; by default all there are, by the names that they have.
        na: values that stand for a missing one, such as -99.
        missing: what becomes of an object without a value: ``refuse`` the data, ``drop`` it, or
            tell the flow by an ``indicator`` that it is not known.
    """

    name: str
    kind: Kind
    column: str = ""
    units: str | None = None
    range: tuple[float, float] | None = None
    description: str = ""
    scaling: Scaling = "linear"
    classes: tuple[tuple[str, str], ...] = ()
    na: tuple[str, ...] = ()
    missing: Missing = "refuse"

    @property
    def source(self) -> str:
        """The table's column."""
        return self.column or self.name


@dataclass(frozen=True, eq=False)
class Column:
    """A variable and its value for each row: (N,) float64 with NaN where it is missing."""

    variable: Variable
    values: NDArray[np.float64] = field(repr=False)


def declared(variables: Any) -> tuple[Declared, ...]:
    """Check the section ``x_ds.variables``: name → kind, or name → keys and values.

    Raises:
        DataError: naming the key.
    """
    if not isinstance(variables, Mapping) or not variables:
        raise DataError("x_ds.variables: expected the variables by name, such as z: continuous.")
    return tuple(_declared(str(name), given) for name, given in variables.items())


def _declared(name: str, given: Any) -> Declared:
    key = f"x_ds.variables.{name}"
    entry = {"kind": given} if isinstance(given, str) else given
    if not isinstance(entry, Mapping) or "kind" not in entry:
        raise DataError(f"{key}: expected a kind, or keys and values with a kind, got {given!r}.")
    known = [f.name for f in dataclasses.fields(Declared) if f.name != "name"]
    for word in entry:
        if word not in known:
            raise DataError(
                f"{key}.{word}: unknown key.{closest(str(word), known)} Keys: {', '.join(known)}."
            )
    if name in TAKEN:
        raise DataError(f"{key}: this name is taken. Give another, with column: {name}.")
    choices = {"kind": Kind, "scaling": Scaling, "missing": Missing}
    for word, choice in choices.items():
        if entry.get(word, get_args(choice)[0]) not in get_args(choice):
            raise DataError(
                f"{key}.{word}: {entry[word]!r} is none of {', '.join(get_args(choice))}."
            )
    entry = dict(entry)
    if entry.get("range") is not None:
        entry["range"] = _span(f"{key}.range", entry["range"])
    elif entry["kind"] == "circular":
        raise DataError(f"{key}.range: a circular variable needs its period, such as [0, 360].")
    entry["classes"] = _named_classes(f"{key}.classes", entry.get("classes") or ())
    entry["na"] = _words(f"{key}.na", entry.get("na") or ())
    return Declared(name, **entry)


def _named_classes(key: str, given: Any) -> tuple[tuple[str, str], ...]:
    """Pairs (in the table, name) of a list of classes, or of value → name."""
    words = _words(key, list(given) if isinstance(given, Mapping) else given)
    names = _words(key, list(given.values())) if isinstance(given, Mapping) else words
    for listed in (words, names):
        twice = sorted({word for word in listed if listed.count(word) > 1})
        if twice:
            raise DataError(f"{key}: {examples(twice)} stands there twice.")
    return tuple(zip(words, names, strict=True))


def _words(key: str, listed: Any) -> tuple[str, ...]:
    if isinstance(listed, str) or not isinstance(listed, Sequence):
        raise DataError(f"{key}: expected a list, got {listed!r}.")
    return tuple(map(as_word, listed))


def _span(key: str, given: Any) -> tuple[float, float]:
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        raise DataError(f"{key}: expected [lowest, highest], got {given!r}.")
    try:
        return float(given[0]), float(given[1])
    except (TypeError, ValueError):
        raise DataError(f"{key}: expected two numbers, got {given!r}.") from None


def read_column(
    wanted: Declared, column: "pd.Series[Any]", names: NDArray[Any], unit: str | None = None
) -> Column:
    """The variable of a table's column, as numbers.

    Args:
        wanted: what it is declared as.
        column: of the table, (N,).
        names: of the rows, for messages.
        unit: as the table has it; what is declared wins.

    Raises:
        DataError: naming the variable, how many values are wrong and the first five of them.
    """
    missing = column.isna().to_numpy()
    if wanted.na or column.dtype.kind not in "biuf":
        words = np.array([as_word(value) for value in column], dtype=np.str_)
        missing = missing | np.isin(words, ("", *wanted.na))
    place = f"x_ds.variables.{wanted.name} (column {wanted.source!r})"
    if missing.all():
        raise DataError(f"{place}: all {len(missing)} values are missing. Leave it out.")
    classes: tuple[str, ...] = ()
    values = np.full(len(column), np.nan)
    if wanted.kind == "categorical":
        classes, values[~missing] = _classes(wanted, column[~missing], names[~missing], place)
    elif wanted.kind == "flag":
        values[~missing] = _flags(column[~missing], names[~missing], place)
    else:
        values[~missing] = _numbers(wanted, column[~missing], names[~missing], place)
    known = values[~missing]
    if (known == known[0]).all():
        raise DataError(
            f"{place}: constant: all of the {len(known)} known values are "
            f"{column[~missing].iloc[0]}. A variable that does not vary says nothing; leave it out."
        )
    if missing.any() and wanted.missing == "refuse":
        raise DataError(
            f"{place}: {int(missing.sum())} of {len(missing)} values are missing: "
            f"{examples(names[missing])}. Write missing: drop (these objects) or "
            "missing: indicator (keep them, and tell the flow what is not known)."
        )
    fill = float(np.median(known)) if wanted.kind == "continuous" else (wanted.range or (0.0,))[0]
    optional = wanted.missing == "indicator"
    width = {"circular": 2, "categorical": len(classes)}.get(wanted.kind, 1) + optional
    variable = Variable(
        wanted.name,
        wanted.kind,
        width,
        wanted.units if wanted.units is not None else unit,
        wanted.range,
        wanted.description,
        wanted.scaling,
        fill if optional else None,
        classes,
    )
    return Column(variable, values)


def _numbers(
    wanted: Declared, column: "pd.Series[Any]", names: NDArray[Any], place: str
) -> NDArray[np.float64]:
    import pandas as pd

    values = pd.to_numeric(column, errors="coerce").to_numpy(float)
    low, high = wanted.range or (-np.inf, np.inf)
    rules = [
        (~np.isfinite(values), "no finite number"),
        ((values < low) | (values > high), f"outside the range [{low:g}, {high:g}]"),
    ]
    if wanted.scaling == "log":
        rules.append((values <= 0, "not above 0, which scaling: log needs"))
    for wrong, rule in rules:
        _refuse(wrong, column, names, f"{place}: {{count}} of {len(values)} values are {rule}")
    return values


def _classes(
    wanted: Declared, column: "pd.Series[Any]", names: NDArray[Any], place: str
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    words = np.array([as_word(value) for value in column], dtype=np.str_)
    found = sorted(set(words.tolist()), key=_natural)
    classes = wanted.classes or tuple((word, word) for word in found)
    if len(classes) > _MOST_CLASSES and not wanted.classes:
        raise DataError(
            f"{place}: {len(classes)} different classes. A variable with so many is no class: "
            "declare it continuous or leave it out, or list its classes."
        )
    code = {word: number for number, (word, _) in enumerate(classes)}
    wrong = np.array([word not in code for word in words.tolist()])
    rule = f"{place}: {{count}} of {len(words)} values are none of the classes {examples(code)}"
    _refuse(wrong, column, names, rule)
    codes = np.array([code[word] for word in words.tolist()], float)
    return tuple(name for _, name in classes), codes


def _flags(column: "pd.Series[Any]", names: NDArray[Any], place: str) -> NDArray[np.float64]:
    words = [as_word(value).lower() for value in column]
    codes = {**_YES, **_NO}
    wrong = np.array([word not in codes for word in words])
    _refuse(wrong, column, names, f"{place}: {{count}} of {len(words)} values are no yes or no")
    return np.array([codes[word] for word in words], float)


def _refuse(
    wrong: NDArray[np.bool_], column: "pd.Series[Any]", names: NDArray[Any], rule: str
) -> None:
    if wrong.any():
        pairs = zip(names[wrong], column[wrong], strict=True)
        told = examples([f"{name} ({value})" for name, value in pairs])
        raise DataError(f"{rule.format(count=int(wrong.sum()))}: {told}.")


def as_word(value: Any) -> str:
    """A class as text: 3, 3.0 and "3" are the same."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _natural(word: str) -> tuple[float, str]:
    """Numbers in their own order, before words."""
    try:
        return float(word), word
    except ValueError:
        return float("inf"), word
