"""Tables are read whatever their separator, mark or decimal comma; what is broken is named."""

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
    ],
)
def test_broken_tables(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_table(path)


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    assert read_table(path).frame["a"].tolist() == [1]
    path.write_text("a\n1\n2\n")
    assert read_table(path).frame["a"].tolist() == [1, 2]
