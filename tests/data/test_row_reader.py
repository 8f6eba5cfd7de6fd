"""Rows of a map are read from its file, and are those of the map."""

from pathlib import Path

import numpy as np
import pytest

from wwdc.data.row_reader import RowReader
from wwdc.errors import DataError

STATUS = Path("/proc/self/status")
ROWS = np.array([4, 0, 4, 8])


def mapped(path, array):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def resident():
    """Memory of this process that is pages of files [kiB]."""
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float16"])
@pytest.mark.parametrize("order", ["first", "last", "grey", "fortran"])
def test_the_same_as_through_the_map(tmp_path, dtype, order):
    pixels = np.random.default_rng(0).integers(0, 200, (9, 3, 5, 7)).astype(dtype)
    if order == "last":
        array = mapped(tmp_path / "a.npy", pixels.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    elif order == "grey":
        array = mapped(tmp_path / "a.npy", pixels[:, 0])[:, None]
    else:
        layout = np.asfortranarray(pixels) if order == "fortran" else pixels
        array = mapped(tmp_path / "a.npy", layout)
    found = RowReader(array).take(ROWS)
    assert found.flags.writeable and found.dtype == array.dtype
    np.testing.assert_array_equal(found, array[ROWS])
    assert RowReader(array).take(ROWS[:0]).shape == array[ROWS[:0]].shape


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells it")
def test_no_page_of_the_map_is_held(tmp_path):
    array = mapped(tmp_path / "a.npy", np.zeros((2000, 3, 64, 64), np.uint8))
    before = resident()
    RowReader(array).take(np.arange(0, 2000, 2))
    assert resident() - before < 4 * 1024
    array[::2].sum()
    assert resident() - before > 8 * 1024


def test_a_file_that_was_cut_or_removed(tmp_path):
    array = mapped(tmp_path / "a.npy", np.zeros((9, 1, 32, 32)))
    reader = RowReader(array)
    reader.take(ROWS)
    with (tmp_path / "a.npy").open("r+b") as file:
        file.truncate(9_000)
    with pytest.raises(DataError, match=r"a\.npy: cut at image 4"):
        reader.take(ROWS)
    (tmp_path / "a.npy").unlink()
    with pytest.raises(DataError, match=r"a\.npy: cannot be read"):
        RowReader(array).take(ROWS)
