"""Tables of any kind that scientists keep them in: CSV with any separator, Parquet, FITS, HDF5."""

__all__ = ["Table", "read_table"]

import csv
import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwdc.data.hdf5 import arrays_of, open_hdf5
from wwdc.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = ",;\t|"
_HEAD = 1 << 16
_TEXT = (".csv", ".tsv", ".txt", ".dat")
_PARQUET = (".parquet", ".pq")
_FITS = (".fits", ".fit", ".fits.gz")
_HDF5 = (".h5", ".hdf5")


@dataclass(frozen=True, eq=False)
class Table:
    """Columns in memory.

    Attributes:
        path: where they were read.
        frame: the columns; what is missing is NaN or None.
        units: of the columns that say so (FITS does).
    """

    path: Path
    frame: "pd.DataFrame" = field(repr=False)
    units: Mapping[str, str] = field(default_factory=dict)


def read_table(path: Path, text: tuple[str, ...] = ()) -> Table:
    """Read a CSV, Parquet, FITS or HDF5 table; the same file is read once a process.

    Args:
        path: its name says what it is. A CSV may begin with a byte order mark, be separated by
            commas, semicolons, tabs or bars, and have decimal commas where these do not separate.
            Its N-th column is ``column_N`` if it has no name; the unnamed count of rows that pandas
            writes, and an empty column after a trailing comma, are left out.
            The columns of an HDF5 file are its one-dimensional arrays of the length that most of
            them have.
        text: columns of a CSV that are kept as they are written: an id ``007`` is not the number 7.

    Raises:
        DataError: the file is missing, of another kind, broken, or has no rows, or one column name
            twice.
    """
    reader = _reader(path)
    try:
        state = path.stat()
        text = text if reader is _read_text else ()
        return _read_once(path, text, reader, state.st_mtime_ns, state.st_size, state.st_ino)
    except OSError as error:
        raise DataError(f"{path}: the table cannot be read ({error.strerror or error}).") from error


def _reader(path: Path) -> "Callable[[Path, tuple[str, ...]], Table]":
    name = path.name.lower()
    readers = {
        _TEXT: _read_text,
        _PARQUET: _read_parquet,
        _FITS: _read_fits,
        _HDF5: _read_hdf5,
    }
    for endings, reader in readers.items():
        if name.endswith(endings):
            return reader
    known = ", ".join(ending for endings in readers for ending in endings)
    raise DataError(f"{path}: a table is one of {known}, by its name.")


@functools.lru_cache(maxsize=8)
def _read_once(
    path: Path,
    text: tuple[str, ...],
    reader: "Callable[[Path, tuple[str, ...]], Table]",
    _mtime_ns: int,
    _size: int,
    _inode: int,
) -> Table:
    table = reader(path, text)
    names = [str(name) for name in table.frame.columns]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise DataError(f"{path}: several columns are called {', '.join(doubles)}.")
    if table.frame.empty:
        raise DataError(f"{path}: the table has no rows.")
    return table


def _read_text(path: Path, text: tuple[str, ...]) -> Table:
    import pandas as pd

    with path.open("rb") as file:
        raw = file.read(_HEAD)
    separator, decimal = _dialect(path, raw.decode("utf-8-sig", errors="replace"))
    try:
        names = _header(path, separator)
        frame = pd.read_csv(
            path,
            sep=separator,
            decimal=decimal,
            encoding="utf-8-sig",
            header=0,
            names=range(len(names)),  # a name may stand there twice, or be missing
            dtype={
                place: str for place, name in enumerate(names) if (name or _stand_in(place)) in text
            },
            skipinitialspace=True,
            low_memory=False,  # a column has one type, whatever its length
        )
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}. Save it as UTF-8.") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise DataError(f"{path}: not a CSV table: {str(error).strip()}") from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(f"{path}: its lines have more fields than its first line has names.")
    kept = [place for place, name in enumerate(names) if name or _says_more(frame, place)]
    frame.columns = [name or _stand_in(place) for place, name in enumerate(names)]
    return Table(path, frame.iloc[:, kept])


def _header(path: Path, separator: str) -> list[str]:
    """The names of a CSV's columns as they are written, empty where there is none."""
    import pandas as pd

    head = pd.read_csv(
        path,
        sep=separator,
        encoding="utf-8-sig",
        header=None,
        nrows=1,
        dtype=str,
        keep_default_na=False,
        skipinitialspace=True,
    )
    return [name.strip() for name in head.iloc[0]]


def _says_more(frame: "pd.DataFrame", place: int) -> bool:
    """Whether a column without a name is more than a trailing comma or pandas' count of rows."""
    column = frame.iloc[:, place]
    if place == 0 and column.astype(str).tolist() == [str(row) for row in range(len(frame))]:
        return False
    return bool(column.notna().any())


def _stand_in(place: int) -> str:
    """The name of a column that has none; they are counted from 1."""
    return f"column_{place + 1}"


def _dialect(path: Path, head: str) -> tuple[str, str]:
    """The separator and the decimal mark."""
    lines = head.splitlines()[:20]
    if not lines or not lines[0].strip():
        raise DataError(f"{path}: the first line of a table holds the names of its columns.")
    counted = {mark: len(next(csv.reader([lines[0]], delimiter=mark))) for mark in _SEPARATORS}
    separator = max(counted, key=lambda mark: counted[mark])
    body = "\n".join(lines[1:])
    commas = separator != "," and re.search(r"\d,\d", body) and not re.search(r"\d\.\d", body)
    return separator, "," if commas else "."


def _read_parquet(path: Path, _text: tuple[str, ...]) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        plain = [field.name for field in schema if not pa.types.is_nested(field.type)]
        return Table(path, pq.read_table(path, columns=plain).to_pandas())
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{path}: not Parquet: {str(error).splitlines()[0]}") from error


def _read_fits(path: Path, _text: tuple[str, ...]) -> Table:
    try:
        from astropy.table import Table as FitsTable
    except ModuleNotFoundError:
        raise DataError(
            f"{path}: FITS needs astropy: python -m pip install 'wwdc[fits]'."
        ) from None
    try:
        found = FitsTable.read(path, format="fits")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, IndexError, KeyError) as error:
        raise DataError(f"{path}: not a FITS table: {error}") from error
    plain = [name for name in found.colnames if found[name].ndim == 1]
    units = {name: str(found[name].unit) for name in plain if found[name].unit is not None}
    found.convert_bytestring_to_unicode()
    return Table(path, found[plain].to_pandas(), units)


def _read_hdf5(path: Path, _text: tuple[str, ...]) -> Table:
    import pandas as pd

    try:
        with open_hdf5(path) as file:
            columns = {name: array for name, array in arrays_of(file).items() if _is_column(array)}
            lengths = Counter(len(array) for array in columns.values()).most_common(2)
            if len(lengths) == 2 and lengths[0][1] == lengths[1][1]:
                told = " and ".join(str(length) for length, _ in lengths)
                raise DataError(f"{path}: as many columns of {told} rows: one length is the table.")
            rows = lengths[0][0] if lengths else 0
            read = {name: _values(array) for name, array in columns.items() if len(array) == rows}
            return Table(path, pd.DataFrame(read))
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise DataError(f"{path}: not an HDF5 table: {str(error).splitlines()[0]}") from error


def _is_column(array: Any) -> bool:
    return len(array.shape) == 1 and (array.dtype.kind in "biuf" or _is_text(array))


def _is_text(array: Any) -> bool:
    import h5py

    return h5py.check_string_dtype(array.dtype) is not None


def _values(array: Any) -> Any:
    """A column as pandas takes it: text decoded, numbers in this machine's order of bytes."""
    if _is_text(array):
        return array.asstr("utf-8")[()]  # it may say ASCII and hold more
    return array[()].astype(array.dtype.newbyteorder("="))
