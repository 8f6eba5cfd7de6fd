"""Tables are read whatever their separator, mark or decimal comma; what is broken is named."""

import h5py
import numpy as np
import pytest

from wwdc.data.tables import read_table
from wwdc.errors import DataError


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("id,x,y\n007,1.5,a\n008,2.5,\n", "utf-8"),
        ("id,x,y\n007,1.5,a\n008,2.5,\n", "utf-8-sig"),
        ("id;x;y\n007;1.5;a\n008;2.5;\n", "utf-8"),
        ("id;x;y\n007;1,5;a\n008;2,5;\n", "utf-8-sig"),
        ("id\tx\ty\r\n007\t1.5\ta\r\n008\t2.5\t\r\n", "utf-8"),
        ("id | x | y\n007| 1.5| a\n008| 2.5|\n", "utf-8"),
    ],
)
def test_separators_and_marks(tmp_path, content, encoding):
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode(encoding))
    frame = read_table(path, ("id",)).frame
    assert list(frame.columns) == ["id", "x", "y"]
    assert frame["id"].tolist() == ["007", "008"]
    np.testing.assert_array_equal(frame["x"], [1.5, 2.5])
    assert frame["y"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "first line of a table holds the names"),
        ("t.csv", b"a,b\n", "the table has no rows"),
        ("t.csv", b"a,a\n1,2\n", "several columns are called a"),
        ("t.csv", b"a,b\n1,2\n1,2,3,4\n", "not a CSV table: .*line 3"),
        ("t.csv", b"a,b\n1,2,3\n1,2,3\n", "more fields than its first line has names"),
        ("t.csv", "a,b\n1,é\n".encode("latin-1"), "not UTF-8"),
        ("t.parquet", b"PAR1 no", "not Parquet"),
        ("t.fits", b"SIMPLE  = no", "not a FITS table"),
        ("t.h5", b"\x89HDF no", "not an HDF5 table"),
        ("t.xlsx", b"", r"a table is one of \.csv, .*\.h5, \.hdf5, by its name"),
    ],
)
def test_broken_tables(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_table(path)


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        (",name,x\n0,a,7\n1,b,8\n", {"name": ["a", "b"], "x": [7, 8]}),  # pandas' own index
        ("name,x,\na,7,\nb,8,\n", {"name": ["a", "b"], "x": [7, 8]}),
        ("name,x,\na,7\nb,8\n", {"name": ["a", "b"], "x": [7, 8]}),
        (",x\n007,7\n008,8\n", {"column_1": ["007", "008"], "x": [7, 8]}),
        ("x,,y\n7,0,a\n8,1,b\n", {"x": [7, 8], "column_2": [0, 1], "y": ["a", "b"]}),
        ("NA,null,nan\n7,a,1\n8,b,2\n", {"NA": [7, 8], "null": ["a", "b"], "nan": [1, 2]}),
        ('"x", "NA"\n7, "a"\n8, "b"\n', {"x": [7, 8], "NA": ["a", "b"]}),
    ],
)
def test_names_that_are_missing_or_look_so(tmp_path, content, columns):
    path = tmp_path / "t.csv"
    path.write_text(content)
    assert read_table(path, ("column_1",)).frame.to_dict("list") == columns


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    assert read_table(path).frame["a"].tolist() == [1]
    path.write_text("a\n1\n2\n")
    assert read_table(path).frame["a"].tolist() == [1, 2]


def test_columns_of_hdf5(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["x"] = np.array([1.5, np.nan, 2.5], ">f8")
        file["group/name"] = np.array([b"a", "é".encode(), b""])
        file["image"] = np.zeros((3, 4, 4))
        file["wavelength"] = np.zeros(7)
    frame = read_table(tmp_path / "t.h5").frame
    assert list(frame.columns) == ["group/name", "x"]
    np.testing.assert_array_equal(frame["x"], [1.5, np.nan, 2.5])
    assert frame["x"].to_numpy().dtype.isnative
    assert frame["group/name"].tolist() == ["a", "é", ""]


def test_hdf5_of_two_tables_or_none(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["x"], file["y"] = np.zeros(3), np.zeros(4)
    with pytest.raises(DataError, match="as many columns of 3 and 4 rows"):
        read_table(tmp_path / "t.h5")
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["image"] = np.zeros((3, 4, 4))
    with pytest.raises(DataError, match="no rows"):
        read_table(tmp_path / "t.h5")
