"""`python -m wwdc.init`: what it says, what it writes, and that both compose."""

import re

import numpy as np
import pytest
import yaml

from tests.data.own import catalogue, names, pixels, write_array, write_files
from wwdc.config import load
from wwdc.data.colour_mnist import SPLITS
from wwdc.init.__main__ import main
from wwdc.training.loop import build_dataset

COUNT, SIZE = 120, (3, 24, 20)


@pytest.fixture
def own(tmp_path, data_root, monkeypatch):
    """A folder of PNGs and a CSV with mistakes in it; the current folder is the user's."""
    images = write_files(tmp_path / "img", pixels(COUNT, SIZE), "png", names(COUNT))
    (images / "J0003.png").unlink()
    table = catalogue(COUNT).drop(columns="survey").iloc[:-1].astype({"m_r": object})
    table.loc[4, "m_r"], table.loc[9, "angle"] = "faint", -99.0
    table.to_csv(tmp_path / "cat.csv", index=False, sep=";", encoding="utf-8-sig")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arguments(own, *more):
    return ["gal", "--images", str(own / "img"), "--catalogue", str(own / "cat.csv"), *more]


def test_what_was_found_is_told(own, capsys):
    assert main(arguments(own)) == 0
    told = capsys.readouterr().out
    for words in (
        "Images: 119 in",
        "3 × 24 × 20 (119)",
        "type of pixels: uint8",
        "119 rows in",
        "id: name",
        "1 images without a row: J0119",
        "1 rows without an image: J0003",
        "missing: faint",
        "categorical",
        "python -m wwdc.run gal_flow",
    ):
        assert words in told


def test_the_pair_composes_and_its_data_can_be_read(own):
    assert main(arguments(own)) == 0
    for kind in ("vae", "flow"):
        config = load(own / f"gal_{kind}").resolve({"lightning_loader.vae_ckpt_path": "x"})
        assert config["meta"]["data_name"] == "gal"
        assert config["lightning_loader"]["vae"]["size"] == list(SIZE)
        node = config["data"]["x_ds"] | {"cache": str(own / "cache")}
        dataset = build_dataset({**config, "data": {"x_ds": node}})
        dataset.prepare(lambda text: None)
        assert dataset.catalogue.names == ("m_r", "angle", "shape", "barred")
        assert sum(dataset.rows(split) for split in SPLITS) == COUNT - 2
    sweeps = yaml.safe_load((own / "gal_flow" / "sweeps.yaml").read_text())["sweeps"]
    assert [entry["val"] for entry in sweeps.values()] == [
        *([name] for name in dataset.catalogue.names),
        list(dataset.catalogue.names),
    ]


def prepared(own, name):
    """The dataset of the written flow, read."""
    config = load(own / f"{name}_flow").resolve({"lightning_loader.vae_ckpt_path": "x"})
    dataset = build_dataset(config)
    dataset.prepare(lambda text: None)
    return dataset


def test_a_csv_as_pandas_writes_it(own):
    table = catalogue(COUNT).rename(columns={"m_r": "NA"})
    table.to_csv(own / "cat.csv")
    assert main(arguments(own)) == 0
    assert prepared(own, "gal").catalogue.names == ("NA", "angle", "shape", "barred", "survey")


@pytest.mark.parametrize("words", [("no", "on"), ("Null", "TRUE")])
def test_columns_called_like_values_of_yaml(own, words):
    table = catalogue(COUNT).drop(columns=["survey", "angle"])
    table.rename(columns=dict(zip(("shape", "barred"), words, strict=True))).to_csv("cat.csv")
    assert main(arguments(own)) == 0
    assert prepared(own, "gal").catalogue.names == ("m_r", *words)
    sweeps = load(own / "gal_flow").sweeps
    assert [entry.val for entry in sweeps.values()][1:3] == [[word] for word in words]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[[0, *range(len(t))]], "1 ids stand in several rows.*: 000"),
        (lambda t: t.assign(number=[*t["number"][:-1], None]), "'number'.* is empty in 1 rows"),
        (lambda t: t.assign(number=t["number"] + ".png"), "number has the names of files.*000.png"),
        (lambda t: t.assign(number="a/" + t["number"] + ".PNG"), "without their endings"),
        (lambda t: t, None),
    ],
)
def test_ids_with_leading_zeros(own, capsys, change, message):
    numbers = [f"{i:03d}" for i in range(COUNT)]
    write_files(own / "numbered", pixels(COUNT, SIZE), "png", numbers)
    change(catalogue(COUNT).assign(number=numbers)).to_csv("cat.csv", index=False)
    code = main(["gal", "--images", "numbered", "--catalogue", "cat.csv"])
    assert code == (2 if message else 0)
    if message:
        assert re.search(message, capsys.readouterr().err) and not list(own.glob("gal_*"))
    else:
        assert sum(map(prepared(own, "gal").rows, SPLITS)) == COUNT


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda image: image[..., 0], "different numbers of channels: 3 .*; 1 .1: J0001"),
        (lambda image: image.astype(np.uint16), "different types of pixels: uint8 .*; uint16"),
    ],
)
def test_images_of_two_kinds_are_refused(own, capsys, other, message):
    images = pixels(40, SIZE)
    folder = write_files(own / "mixed", images, "npy", names(40))
    np.save(folder / "J0001.npy", other(images[1]))
    catalogue(40).to_csv("cat.csv", index=False)
    assert main(["gal", "--images", str(folder), "--catalogue", "cat.csv"]) == 2
    assert re.search(message, capsys.readouterr().err) and not list(own.glob("gal_*"))


def test_nothing_is_overwritten(own, capsys):
    (own / "gal_flow").mkdir()
    assert main(arguments(own)) == 2
    assert "gal_flow exists and is not overwritten" in capsys.readouterr().err
    assert not (own / "gal_vae").exists() and not any((own / "gal_flow").iterdir())


def test_a_dry_run_writes_nothing(own, capsys):
    before = sorted(own.rglob("*"))
    assert main(arguments(own, "--dry-run")) == 0
    assert sorted(own.rglob("*")) == before
    assert "Nothing was written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(name=t["name"] + "x"), "no column of .* holds the images' ids"),
        (lambda t: t.iloc[[0, *range(len(t))]], "1 ids stand in several rows"),
        (lambda t: t[["name"]], "no column of it can be a variable"),
    ],
)
def test_a_table_that_cannot_be_used(own, capsys, change, message):
    change(catalogue(COUNT)).to_csv(own / "cat.csv", index=False)
    assert main(arguments(own)) == 2
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert not list(own.glob("gal_*")) and not list(own.glob(".gal*"))


def test_names_and_folders_that_are_not_there(own, capsys):
    assert main(["gal", "--images", "no", "--catalogue", str(own / "cat.csv")]) == 2
    assert "--images: no: no such file or folder" in capsys.readouterr().err
    assert main(["a/b", *arguments(own)[1:]]) == 2
    assert "NAME: 'a/b'" in capsys.readouterr().err


def test_flux_gets_a_stretch(own):
    rng = np.random.default_rng(0)
    flux = rng.normal(0, 1, (COUNT, 20, 24, 2)).astype(np.float32)
    flux[:, 8:12, 8:12] += 2000 * rng.random((COUNT, 1, 1, 2))
    cube = write_array(own / "cube.fits", flux, [])
    catalogue(COUNT).drop(columns="name").to_parquet(own / "t.parquet")
    assert main(["flux", "--images", str(cube), "--catalogue", str(own / "t.parquet")]) == 0
    node = load(own / "flux_vae").resolve()["data"]["x_ds"]
    assert node["size"] == [2, 20, 24] and node["id"] is None
    assert node["stretch"]["kind"] == "asinh"
    assert max(node["stretch"]["softening"]) < 5 < 500 < min(node["stretch"]["high"])
