"""Shards and their tables, without products."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from wwdc.data.catalogue import Catalogue, Variable
from wwdc.embed.columns import About, arrow_schema, read_about, read_catalogue, vectors
from wwdc.embed.parts import Parts, write_part
from wwdc.embed.shards import _rows_of, shards_of
from wwdc.errors import ProductError

ABOUT = About(
    kind="flow",
    point_id="0a1b2c3d4e5f",
    split="test",
    fingerprint="f",
    checkpoint="c",
    seed=0,
    kept=["phase"],
    dropped=["class"],
)
KNOWN = Catalogue(
    (
        Variable("phase", "circular", 2, "deg", (0.0, 360.0), "where it is"),
        Variable("class", "categorical", 3),
        Variable("x", "continuous"),
    )
)


def table_of(start, stop):
    ids = np.arange(start, stop)
    columns = {"id": ids, "phase": ids.astype(np.float32), "class": ids % 3, "x": ids / 7}
    schema = arrow_schema(columns, KNOWN, ABOUT, latent_dim=2, masked=True)
    vector = vectors(np.stack([ids, -ids], axis=1))
    arrays = [
        pa.array(columns[f.name])
        if f.name in columns
        else (vector if pa.types.is_fixed_size_list(f.type) else pa.array(ids.astype(np.float32)))
        for f in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def test_shards_cover_every_row_once():
    for rows, size in ((1, 1), (10, 3), (9, 3), (5, 100), (0, 4)):
        shards = shards_of(rows, size)
        covered = [row for shard in shards for row in range(shard.start, shard.stop)]
        assert covered == list(range(rows))
        assert [shard.number for shard in shards] == list(range(len(shards)))


def test_the_catalogue_comes_back_from_a_file(tmp_path):
    import pyarrow.parquet as pq

    parts = Parts(tmp_path / "work", "a", 2)
    write_part(parts.path, 1, table_of(3, 5))
    assert parts.missing() == [0]
    write_part(parts.path, 0, table_of(0, 3))
    assert parts.missing() == []
    assert parts.join(tmp_path / "whole.parquet") == 5
    found = pq.read_table(tmp_path / "whole.parquet")
    assert found.equals(pa.concat_tables([table_of(0, 3), table_of(3, 5)]))
    assert read_catalogue(found.schema) == KNOWN
    assert read_about(found.schema) == ABOUT
    assert found.schema.names[-4:] == [
        *("log_prob", "log_prob_mean", "log_prob_unconditional", "log_prob_unconditional_mean"),
    ]


def test_a_part_that_does_not_read_is_made_anew(tmp_path):
    parts = Parts(tmp_path / "work", "a", 1)
    write_part(parts.path, 0, table_of(0, 3))
    (part,) = parts.path.iterdir()
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(ProductError, match="does not read back"):
        parts.join(tmp_path / "whole.parquet")
    assert parts.missing() == [0]
    assert not (tmp_path / "whole.parquet").exists()


def test_parts_of_other_contents_go(tmp_path):
    old = Parts(tmp_path / "work", "old", 1)
    write_part(old.path, 0, table_of(0, 3))
    new = Parts(tmp_path / "work", "new", 1)
    new.drop_others()
    assert new.missing() == [0]
    assert not old.path.exists()


def test_another_schema_is_refused():
    schema = table_of(0, 1).schema
    later = schema.with_metadata({b"wwdc": b'{"schema": 2}'})
    with pytest.raises(ProductError, match="schema 2"):
        read_about(later)
    with pytest.raises(ProductError, match="not an embedding"):
        read_about(schema.remove_metadata())


def test_rows_of_a_mapped_array(tmp_path):
    array = torch.randn(20, 3).numpy()
    np.save(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    for start, stop in ((0, 20), (0, 1), (7, 13), (19, 20)):
        np.testing.assert_array_equal(_rows_of(mapped, start, stop), array[start:stop])
        np.testing.assert_array_equal(_rows_of(array, start, stop), array[start:stop])
