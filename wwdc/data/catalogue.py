"""The catalogue: what is known of every object, as typed variables."""

__all__ = ["Catalogue", "Kind", "Scaling", "Variable"]

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from wwdc.errors import DataError, closest

Kind = Literal["continuous", "circular", "categorical", "flag"]
Scaling = Literal["linear", "log"]


@dataclass(frozen=True)
class Variable:
    """One column of a catalogue and how it is encoded for a network.

    Args:
        name: column name.
        kind: ``continuous`` (its value), ``circular`` (cosine and sine of its phase in *range*),
            ``categorical`` (one-hot; values are 0 … levels − 1) or ``flag`` (0 or 1).
        width: encoded columns, the one that says what is missing included.
        units: unit of the values; None for a pure number.
        range: lowest and highest value that can be; the period of a circular variable.
        description: what it is, in words.
        scaling: ``log`` encodes a continuous variable as its decimal logarithm.
        fill: makes NaN a value: it is encoded as this value (an angle as (0, 0), a class as no
            class) with a last column of 1, which is 0 for what is known. None: NaN is an error.
        classes: what the values of a categorical variable stand for, where they have names.

    Raises:
        DataError: kind, width, range, scaling and classes do not go together.

    >>> Variable("angle", "continuous", 1, "deg", (-180.0, 180.0), "rotation").units
    'deg'
    """

    name: str
    kind: Kind
    width: int = 1
    units: str | None = None
    range: tuple[float, float] | None = None
    description: str = ""
    scaling: Scaling = "linear"
    fill: float | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            choices = ", ".join(get_args(Kind))
            raise DataError(f"variable {self.name!r}: kind {self.kind!r} is none of {choices}.")
        widths = {"continuous": 1, "circular": 2, "flag": 1}
        levels = len(self.classes) or max(self.levels, 1)
        width = widths.get(self.kind, levels) + (self.fill is not None)
        if self.width != width:
            raise DataError(
                f"variable {self.name!r}: a {self.kind} variable has width {width}, not "
                f"{self.width}."
            )
        if self.scaling not in get_args(Scaling) or (
            self.scaling == "log" and (self.kind != "continuous" or (self.range or (1,))[0] <= 0)
        ):
            raise DataError(
                f"variable {self.name!r}: scaling {self.scaling!r}: it is linear, or log of a "
                "continuous variable whose range is above 0."
            )
        if self.kind == "circular" and self.range is None:
            raise DataError(f"variable {self.name!r}: a circular variable needs its period: range.")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise DataError(f"variable {self.name!r}: the range {self.range} is empty.")

    @classmethod
    def from_metadata(cls, name: str, metadata: Mapping[bytes, bytes]) -> "Variable":
        """The variable that a column called *name* was written with; see :meth:`metadata`."""
        known = {key.decode(): value.decode() for key, value in metadata.items()}
        limits = json.loads(known["range"]) if "range" in known else None
        return cls(
            name,
            known["kind"],  # type: ignore[arg-type]  # checked as it is made
            int(known.get("width", 1)),
            known.get("units"),
            (limits[0], limits[1]) if limits else None,
            known.get("description", ""),
            known.get("scaling", "linear"),  # type: ignore[arg-type]
            json.loads(known["fill"]) if "fill" in known else None,
            tuple(json.loads(known.get("classes", "[]"))),
        )

    def metadata(self) -> dict[str, str]:
        """What the metadata of its Parquet column say: all but the name, as text."""
        known = {key: value for key, value in self.as_dict().items() if value is not None}
        del known["name"]
        return {key: v if isinstance(v, str) else json.dumps(v) for key, v in known.items()}

    def as_dict(self) -> dict[str, Any]:
        """Its fields as plain data, in order; of the last three those that say something."""
        fields = dataclasses.asdict(self) | {"range": list(self.range) if self.range else None}
        fields["classes"] = list(self.classes)
        usual: dict[str, Any] = {"scaling": "linear", "fill": None, "classes": []}
        return {name: v for name, v in fields.items() if name not in usual or v != usual[name]}

    @property
    def levels(self) -> int:
        """Encoded columns of the value itself; the classes of a categorical variable."""
        return self.width - (self.fill is not None)

    @property
    def certain(self) -> "Variable":
        """The same variable where it is known: without the column that says what is missing."""
        return dataclasses.replace(self, width=self.levels, fill=None)

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest allowed value; infinite where nothing is known."""
        if self.kind == "categorical":
            return 0.0, self.levels - 1.0
        if self.kind == "flag":
            return 0.0, 1.0
        lowest = np.nextafter(0.0, 1.0) if self.scaling == "log" else -np.inf
        return self.range or (lowest, np.inf)

    def encode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Encode raw values (N,) to (N, width).

        Raises:
            DataError: a value is NaN (and there is no *fill*), infinite, outside the limits, or no
                class.
        """
        values = np.asarray(values)
        if self.fill is None:
            self._check(values)
            return self._columns(values)
        gone = np.isnan(values.astype(np.float64))
        known = np.where(gone, self.fill, values)
        self._check(known)
        columns = self._columns(known)
        if self.kind in ("circular", "categorical"):
            columns[gone] = 0.0
        return np.column_stack([columns, gone.astype(np.float32)])

    def _columns(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """The columns of the values themselves, (N, levels)."""
        if self.kind == "categorical":
            return np.eye(self.levels, dtype=np.float32)[values.astype(np.int64)]
        if self.kind == "circular":
            low, high = self.limits
            phase = 2 * np.pi * (values.astype(np.float64) - low) / (high - low)
            return np.stack([np.cos(phase), np.sin(phase)], axis=1).astype(np.float32)
        if self.scaling == "log":
            values = np.log10(values.astype(np.float64))
        return values.astype(np.float32)[:, None]

    def _check(self, values: NDArray[Any]) -> None:
        if values.ndim != 1 or values.dtype.kind not in "biuf":
            raise DataError(
                f"variable {self.name!r}: expected one number a row, got an array of shape "
                f"{values.shape} and type {values.dtype}."
            )
        low, high = self.limits
        with np.errstate(invalid="ignore"):
            bad = ~(np.isfinite(values) & (values >= low) & (values <= high))
        if self.kind in ("categorical", "flag"):
            bad |= values != np.floor(values)
        if bad.any():
            row = int(np.argmax(bad))
            unit = f" {self.units}" if self.units else ""
            raise DataError(
                f"variable {self.name!r}: {values[row]} in row {row} is not a {self.kind} value "
                f"in [{low:g}, {high:g}]{unit} ({int(bad.sum())} of {len(values)} rows are wrong)."
            )


@dataclass(frozen=True)
class Catalogue(Sequence[Variable]):
    """An ordered set of variables; their order is that of the columns of a context.

    Raises:
        DataError: two variables share a name.

    >>> known = Catalogue((Variable("b", "continuous"), Variable("digit", "categorical", 10)))
    >>> known.width, known.keep(["b"]).names
    (11, ('digit',))
    """

    variables: tuple[Variable, ...] = ()

    def __post_init__(self) -> None:
        doubles = {name for name in self.names if self.names.count(name) > 1}
        if doubles:
            raise DataError(f"the catalogue has several variables {', '.join(sorted(doubles))}.")

    def __len__(self) -> int:
        return len(self.variables)

    @overload
    def __getitem__(self, index: int) -> Variable: ...

    @overload
    def __getitem__(self, index: slice) -> "Catalogue": ...

    def __getitem__(self, index: int | slice) -> "Variable | Catalogue":
        found = self.variables[index]
        return Catalogue(found) if isinstance(found, tuple) else found

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(variable.name for variable in self.variables)

    @property
    def width(self) -> int:
        """Columns of the encoded catalogue."""
        return sum(variable.width for variable in self.variables)

    @property
    def columns(self) -> dict[str, slice]:
        """Where each variable lies among the encoded columns."""
        ends = itertools.accumulate(variable.width for variable in self.variables)
        return {v.name: slice(end - v.width, end) for v, end in zip(self, ends, strict=True)}

    def keep(self, drop: Iterable[str]) -> "Catalogue":
        """The catalogue without the variables *drop* names, in catalogue order.

        Raises:
            DataError: a name is not in the catalogue.
        """
        if isinstance(drop, str):
            raise DataError(f"expected a list of variable names, got {drop!r}: write [{drop}].")
        if isinstance(drop, Mapping) or not isinstance(drop, Iterable):
            raise DataError(f"expected a list of variable names such as [b, angle], got {drop!r}.")
        drop = list(drop)
        for name in drop:
            if name not in self.names:
                raise DataError(
                    f"the catalogue has no variable {name!r}.{closest(str(name), self.names)} "
                    f"Its variables are {', '.join(self.names)}."
                )
        return Catalogue(tuple(v for v in self.variables if v.name not in drop))

    def encode(self, table: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Encode the columns of *table* to one matrix (N, width).

        Values are raw, not standardised.

        Raises:
            DataError: a column is missing, of another length, or holds an impossible value.
        """
        missing = [name for name in self.names if name not in table]
        if missing:
            raise DataError(f"the table has no column {', '.join(missing)}.")
        rows = len(next(iter(table.values()))) if table else 0
        for name in self.names:
            if len(table[name]) != rows:
                raise DataError(f"column {name!r} has {len(table[name])} rows, others {rows}.")
        if not self.variables:
            return np.empty((rows, 0), np.float32)
        return np.concatenate([v.encode(table[v.name]) for v in self.variables], axis=1)
