"""Vectors of somebody else's network: joined, standardised, and what is wrong with them told."""

import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.data.own import catalogue, names
from wwdc.data.colour_mnist import SPLITS
from wwdc.data.tabled_vectors import TabledVectors
from wwdc.errors import DataError
from wwdc.models.identity import Identity

COUNT, D = 80, 12
VARIABLES = {"m_r": "continuous", "barred": "flag"}


def vectors():
    return np.random.default_rng(5).normal(3, 2, (COUNT, D)).astype(np.float32)


def lists(path, values):
    table = pa.Table.from_pandas(catalogue(COUNT).iloc[::-1], preserve_index=False)
    pq.write_table(table.append_column("vector", pa.array(list(values)[::-1])), path)
    return {"vectors": path, "column": "vector", "id": "name"}


def wide(path, values):
    columns = {f"e{i}": values[:, i] for i in range(D)}
    pd.concat([catalogue(COUNT), pd.DataFrame(columns)], axis=1).to_parquet(path)
    return {"vectors": path, "column": "e*", "id": "name"}


def array(path, values):
    catalogue(COUNT).to_csv(path.with_suffix(".csv"), index=False)
    np.save(path.with_suffix(".npy"), values)
    return {"vectors": path.with_suffix(".npy"), "table": path.with_suffix(".csv")}


def named(path, values):
    catalogue(COUNT).to_csv(path.with_suffix(".csv"), index=False)
    np.savez(path.with_suffix(".npz"), v=values[::-1], ids=np.array(names(COUNT)[::-1]))
    return {"vectors": path.with_suffix(".npz"), "table": path.with_suffix(".csv"), "id": "name"}


def made(tmp_path, write, values=None, **changes):
    given = write(tmp_path / "v.parquet", vectors() if values is None else values)
    given |= {"variables": VARIABLES, "cache": tmp_path / "cache"} | changes
    dataset = TabledVectors(**given)
    dataset.prepare(lambda text: None)
    return dataset


@pytest.mark.parametrize("write", [lists, wide, array, named])
def test_vectors_belong_to_the_right_rows(tmp_path, write):
    dataset = made(tmp_path, write)
    known = catalogue(COUNT)
    train = []
    for split in SPLITS:
        table = dataset.table(split)
        z, logvar = Identity(D).encode(dataset.images(split, torch.arange(dataset.rows(split))))
        rows = [int(name.removeprefix("J")) for name in table["name"]]
        np.testing.assert_array_equal(table["m_r"], known["m_r"].to_numpy()[rows])
        if split == "train":
            train = vectors()[rows]
        wanted = (vectors()[rows] - train.mean(0)) / train.std(0)
        np.testing.assert_allclose(z.numpy(), wanted, atol=1e-4)
        assert torch.isfinite(logvar).all()
    assert dataset.size == (1, 3, 4)
    again = pickle.loads(pickle.dumps(dataset))
    assert again.fingerprint == dataset.fingerprint


def test_other_vectors_are_other_data(tmp_path):
    base = made(tmp_path, lists).images_fingerprint
    assert made(tmp_path, lists).images_fingerprint == base
    assert made(tmp_path, lists, vectors() + 1).images_fingerprint != base


@pytest.mark.parametrize(
    ("length", "size"), [(D, (3, 4)), (7, (3, 3)), (128, (11, 12)), (2, (1, 2))]
)
def test_an_image_and_back(length, size):
    x = torch.randn(3, length)
    identity = Identity(length)
    images = identity.decode(x)
    assert images.shape == (3, 1, *size)
    torch.testing.assert_close(identity.encode(images)[0], x)
    assert (images.flatten(1)[:, length:] == 0.5).all()


def test_vectors_of_any_length_are_nearly_square_images(tmp_path):
    dataset = made(tmp_path, lists, vectors()[:, :7])
    images = dataset.images("train", torch.arange(40))
    assert images.shape == (40, *dataset.size) == (40, 1, 3, 3)
    z, _ = Identity(7).encode(images)
    torch.testing.assert_close(Identity(7).decode(z), images)
    assert z.std(0, correction=0).mean() == pytest.approx(1, abs=0.2)


def test_what_is_wrong_is_told(tmp_path):
    values = vectors()
    values[[2, 7], 3] = np.nan
    with pytest.raises(
        DataError, match=r"2 of 80 vectors hold NaN .*: J0002, J0007.*bad_values: dr"
    ):
        made(tmp_path, lists, values)
    dataset = made(tmp_path, lists, values, bad_values="drop")
    assert sum(dataset.rows(split) for split in SPLITS) == COUNT - 2
    ragged = [*values[:-3], *(row[:5] for row in values[-3:])]
    with pytest.raises(DataError, match="0 vectors are missing, and 3 have another length than 12"):
        made(tmp_path, lists, ragged)
    with pytest.raises(DataError, match=r"x_ds.column: .* has no 'vectro'"):
        made(tmp_path, lists, values, column="vectro")
    with pytest.raises(DataError, match=r"x_ds.column: .*give the column"):
        made(tmp_path, lists, values, column=None)
    with pytest.raises(DataError, match=r"x_ds.column: .*no numbers are in name"):
        made(tmp_path, lists, values, column="name")
    with pytest.raises(DataError, match=r"79 vectors and 80 rows"):
        made(tmp_path, array, values[:-1])
