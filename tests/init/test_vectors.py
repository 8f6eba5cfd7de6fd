"""`python -m wwdc.init` for vectors that another network made."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.data.own import catalogue, names
from wwdc.config import instantiate, load
from wwdc.data.colour_mnist import SPLITS
from wwdc.init.__main__ import main
from wwdc.training.loop import build_dataset

COUNT, D = 90, 6
VALUES = np.random.default_rng(2).normal(1, 2, (COUNT, D)).astype(np.float32)
VALUES[[4, 8], 1] = np.nan
KNOWN = catalogue(COUNT).drop(columns="survey")


@pytest.fixture
def own(tmp_path, data_root, monkeypatch):
    """The current folder is the user's."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_lists(path, **columns):
    table = pa.Table.from_pandas(KNOWN, preserve_index=False)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(list(values)))
    pq.write_table(table, path)


def lists(own):
    with_lists(own / "v.parquet", vector=VALUES)
    return ["--catalogue", "v.parquet"]


def wide(own):
    columns = {f"e{i}": VALUES[:, i] for i in range(D)}
    pd.concat([KNOWN, pd.DataFrame(columns)], axis=1).to_parquet(own / "v.parquet")
    return ["--catalogue", "v.parquet", "--vectors", "e*"]


def array(own):
    np.save(own / "v.npy", VALUES)
    KNOWN.to_csv(own / "t.csv", index=False)
    return ["--images", "v.npy", "--catalogue", "t.csv"]


def named(own):
    """In another order, the first row without one; and another array beside them."""
    ids = np.array(names(COUNT)[:0:-1])
    np.savez(own / "v.npz", a=VALUES[:, :2], v=VALUES[:0:-1], ids=ids)
    KNOWN.to_csv(own / "t.csv", index=False)
    return ["--images", "v.npz", "--catalogue", "t.csv", "--vectors", "v"]


def test_a_flow_without_a_vae_is_written(own, capsys):
    assert main(["gal", *lists(own)]) == 0
    told = capsys.readouterr().out
    for words in (
        f"Vectors: {COUNT} of {D} numbers in v.parquet, column vector",
        "2 hold NaN or infinite numbers: 4, 8",
        f"Table: {COUNT} rows in v.parquet, id: name",
        "Wrote gal_flow.",
        "python -m wwdc.run gal_flow",
    ):
        assert words in told
    low, high = np.nanmin(VALUES), np.nanmax(VALUES)
    assert f"values: {low:.4g} … {high:.4g}" in told
    assert [path.name for path in own.glob("gal*")] == ["gal_flow"]


@pytest.mark.parametrize("kind", [lists, wide, array, named])
def test_it_composes_and_its_data_can_be_read(own, kind):
    assert main(["gal", *kind(own)]) == 0
    config = load(own / "gal_flow").resolve()
    loader = config["lightning_loader"]
    assert loader["vae"] is None and "vae_ckpt_path" not in loader
    flow = instantiate(loader["flow"])
    flow.bind(3)
    assert flow.features == D
    dataset = build_dataset(config)
    dataset.prepare(lambda text: None)
    assert dataset.catalogue.names == ("m_r", "angle", "shape", "barred")
    assert sum(dataset.rows(split) for split in SPLITS) == COUNT - (2 if kind != named else 3)
    sweeps = yaml.safe_load((own / "gal_flow" / "sweeps.yaml").read_text())["sweeps"]
    assert sweeps["drop_all"]["val"] == list(dataset.catalogue.names)


def refused(capsys, *arguments):
    assert main(["gal", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_vectors_that_cannot_be_found(own, capsys):
    with_lists(own / "two.parquet", a=VALUES, b=VALUES[:, :2])
    said = refused(capsys, "--catalogue", "two.parquet")
    assert "2 columns hold lists of numbers: a (6 numbers), b (2 numbers)" in said
    assert "--vectors" in said
    said = refused(capsys, "--catalogue", "two.parquet", "--vectors", "c")
    assert "--vectors: two.parquet has no column 'c'" in said
    columns = {f"pc_{i}": np.arange(COUNT) for i in range(8)}
    pd.concat([KNOWN, pd.DataFrame(columns)], axis=1).to_parquet(own / "wide.parquet")
    said = refused(capsys, "--catalogue", "wide.parquet")
    assert "no column holds lists of numbers" in said and "--vectors 'pc_*'" in said
    assert "no numbers are in name" in refused(
        capsys, "--catalogue", "wide.parquet", "--vectors", "name"
    )
    np.savez(own / "two.npz", a=VALUES, b=VALUES[:, :2])
    KNOWN.to_csv(own / "t.csv", index=False)
    said = refused(capsys, "--images", "two.npz", "--catalogue", "t.csv")
    assert "2 arrays may hold the vectors: a 90 × 6, b 90 × 2" in said
    assert "without --images" in refused(capsys, "--images", "two.parquet", "--catalogue", "t.csv")
    assert "--catalogue: no.parquet: no such file" in refused(capsys, "--catalogue", "no.parquet")
    assert "a Parquet file with a column of vectors" in refused(capsys, "--catalogue", "t.csv")
    assert not list(own.glob("gal_*"))


def test_arrays_that_do_not_fit_the_table(own, capsys):
    np.save(own / "v.npy", VALUES[:-1])
    KNOWN.to_csv(own / "t.csv", index=False)
    said = refused(capsys, "--images", "v.npy", "--catalogue", "t.csv")
    assert re.search("89 vectors and 90 rows of t.csv.* does not name its vectors", said)
    np.save(own / "v.npy", VALUES[:, :1])
    assert "2 components at least" in refused(capsys, "--images", "v.npy", "--catalogue", "t.csv")
    np.save(own / "v.npy", VALUES.astype("U"))
    assert "vectors are numbers" in refused(capsys, "--images", "v.npy", "--catalogue", "t.csv")
