"""Reading an embedding block by block."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wwdc.embed.published import read_blocks, read_rows
from wwdc.errors import ProductError

GROUPS, ROWS, D = 160, 2_000, 16


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("blocks") / "test.parquet"
    u = np.arange(GROUPS * ROWS * D, dtype=np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(u), D)
    table = pa.table({"id": np.arange(GROUPS * ROWS), "u": vectors})
    pq.write_table(table, path, row_group_size=ROWS)
    return path


def test_blocks_are_the_rows_in_order(path):
    blocks = list(read_blocks(path, ["u", "id"]))
    assert [len(block["id"]) for block in blocks] == [ROWS] * GROUPS
    whole = read_rows(path, ["u", "id"])
    for name in ("u", "id"):
        np.testing.assert_array_equal(np.concatenate([b[name] for b in blocks]), whole[name])
    assert whole["u"].shape == (GROUPS * ROWS, D)


def test_what_was_read_is_not_held(path):
    before, held = pa.total_allocated_bytes(), []
    for block in read_blocks(path, ["u"]):
        held.append(pa.total_allocated_bytes() - before)
        del block
    assert max(held) < GROUPS * ROWS * D * 4 / 4


def test_some_rows(path):
    rows = np.array([1, 2, 5_000, 79_999])
    assert read_rows(path, ["id"], rows)["id"].tolist() == rows.tolist()
    assert len(read_rows(path, ["u"], np.empty(0, np.int64))["u"]) == 0


def test_a_file_that_is_none(path, tmp_path):
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ProductError, match=r"broken\.parquet: cannot be read as Parquet"):
        next(read_blocks(broken, ["u"]))
    with pytest.raises(ProductError, match="it has no column v"):
        next(read_blocks(path, ["v"]))
