"""A user's own data keep a dataset's promises, whatever file they come in."""

import pickle

import numpy as np
import pytest
import torch

from tests.data.own import KINDS, SIZE, VARIABLES, catalogue, names, pixels, prepared, write
from wwdc.data.colour_mnist import SPLITS
from wwdc.data.dataset import images_fingerprint
from wwdc.data.tabled import TabledImages


@pytest.fixture(params=KINDS)
def settings(request, tmp_path):
    return write(tmp_path, request.param)


@pytest.fixture
def plain(tmp_path):
    return write(tmp_path, "npz")


def test_every_kind_gives_its_images_to_the_right_rows(settings):
    dataset = TabledImages(**settings)
    assert not dataset.available
    dataset.prepare(lambda text: None)
    assert dataset.available
    known, truth, seen = catalogue(60), pixels(60), []
    for split in SPLITS:
        table = dataset.table(split)
        assert dataset.rows(split) == len(table["id"])
        x = dataset.images(split, torch.arange(dataset.rows(split)))
        assert x.shape == (dataset.rows(split), *SIZE) and x.dtype == torch.float32
        rows = [names(60).index(n) if n in names(60) else int(n) for n in table["name"]]
        wanted = torch.from_numpy(truth[rows]).permute(0, 3, 1, 2) / 255
        if any(settings["images"].glob("*.jpg")):  # noise is what JPEG is worst at
            x, wanted = x.mean(dim=(2, 3)), wanted.mean(dim=(2, 3))
        torch.testing.assert_close(x, wanted, atol=0.05 if x.ndim == 2 else 1e-6, rtol=0)
        np.testing.assert_array_equal(table["mag"], known["m_r"].to_numpy()[rows])
        seen += rows
    assert sorted(seen) == list(range(60))


def test_kinds_with_the_same_pixels_have_the_same_catalogue(settings):
    dataset = prepared(settings)
    assert dataset.catalogue.names == tuple(VARIABLES)
    assert dataset.catalogue.width == 1 + 2 + (2 + 1) + 1
    assert dataset.catalogue[2].classes == ("round", "spiral")
    assert dataset.context("train").shape == (dataset.rows("train"), 7)
    ids = np.concatenate([dataset.table(split)["id"] for split in SPLITS])
    assert len(np.unique(ids)) == 60 and ids.dtype == np.int64


def test_a_used_dataset_can_be_pickled(settings):
    dataset = prepared(settings)
    x = dataset.images("train", torch.arange(4))
    again = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(again.images("train", torch.arange(4)), x)
    assert again.fingerprint == dataset.fingerprint


def test_another_place_is_the_same_data(settings, tmp_path):
    base = prepared(settings).fingerprint
    moved = tmp_path / "moved" / settings["images"].name
    moved.parent.mkdir()
    settings["images"].rename(moved)
    assert prepared(settings, images=moved, cache=tmp_path / "other").fingerprint == base


def test_the_fingerprint_names_the_data_not_their_use(plain):
    dataset = prepared(plain)
    assert len(dataset.fingerprint) == 16
    assert prepared(plain, drop_variables=["mag"]).fingerprint == dataset.fingerprint
    others = [
        prepared(plain, seed=1),
        prepared(plain, split={"fractions": [0.5, 0.2, 0.3]}),
        prepared(plain, stretch={"high": 128.0}),
        prepared(plain, views=2, augment=["flip"]),
    ]
    assert len({d.images_fingerprint for d in [dataset, *others]}) == 5


def test_latents_outlive_a_change_of_variables(plain):
    base = prepared(plain)
    fewer = prepared(plain, variables={"m_r": "continuous"})
    assert fewer.fingerprint != base.fingerprint
    assert images_fingerprint(fewer) == images_fingerprint(base)


def test_changed_pixels_are_other_data(tmp_path):
    settings = write(tmp_path, "files.npy")
    base = prepared(settings)
    file = settings["images"] / "J0003.npy"
    np.save(file, 255 - np.load(file))
    again = prepared(settings)
    assert again.fingerprint != base.fingerprint
    [split] = [name for name in SPLITS if "J0003" in again.table(name)["name"]]
    index = torch.tensor([again.table(split)["name"].tolist().index("J0003")])
    x, before = again.images(split, index)[0], torch.from_numpy(pixels(60)[3]).permute(2, 0, 1)
    torch.testing.assert_close(x, 1 - before / 255, atol=1e-6, rtol=0)


def test_images_are_decoded_once(tmp_path, monkeypatch):
    settings = write(tmp_path, "png")
    prepared(settings)
    from wwdc.data import image_files

    monkeypatch.setattr(image_files, "decode", None)  # calling it would raise
    assert prepared(settings).images("val", torch.arange(2)).shape == (2, *SIZE)


def test_an_array_of_numpy_is_used_where_it_lies(tmp_path):
    settings = write(tmp_path, "npy")
    prepared(settings)
    assert not list(settings["cache"].rglob("pixels.npy"))


def test_masks_are_black_and_white(tmp_path):
    masks = np.random.default_rng(0).random((60, 1, 16, 16)) > 0.5
    np.save(tmp_path / "masks.npy", masks)
    table = tmp_path / "table.csv"
    table.write_text("v\n" + "\n".join(str(i / 7) for i in range(60)))
    place = tmp_path / "masks.npy", table, {"v": "continuous"}, (1, 16, 16), tmp_path / "cache"
    dataset = TabledImages(*place)
    dataset.prepare(lambda text: None)
    rows = torch.arange(dataset.rows("train"))
    known = masks[dataset.table("train")["id"]]
    np.testing.assert_array_equal(dataset.images("train", rows).numpy(), known)


def test_views_are_symmetries_of_the_first(plain):
    dataset = prepared(plain, views=3, augment=["flip", "rotate"])
    rows = dataset.rows("train") // 3
    x = dataset.images("train", torch.arange(3 * rows))
    first = dataset.images("train", torch.arange(rows))
    assert torch.equal(x[:rows], first)
    assert not torch.equal(x[rows : 2 * rows], first)
    torch.testing.assert_close(x[rows : 2 * rows].sum((1, 2, 3)), first.sum((1, 2, 3)))
    table = dataset.table("train")
    assert len(np.unique(table["id"])) == 3 * rows
    np.testing.assert_array_equal(table["object"][:rows], table["object"][rows : 2 * rows])
    two = prepared(plain, views=2, augment=["flip", "rotate"])
    assert torch.equal(two.images("train", torch.arange(2 * rows)), x[: 2 * rows])


def test_missing_classes_are_told_by_a_column(plain):
    dataset = prepared(plain)
    table, context = dataset.table("train"), dataset.context("train")
    gone = np.isnan(table["shape"])
    assert gone.any()
    np.testing.assert_array_equal(context[:, 5], gone)
    assert (context[gone, 3:5] == 0).all() and (context[~gone, 3:5].sum(1) == 1).all()


def test_dropped_objects_are_told(plain):
    variables = plain["variables"] | {"shape": {"kind": "categorical", "missing": "drop"}}
    said = []
    dataset = TabledImages(**(plain | {"variables": variables}))
    dataset.prepare(said.append)
    gone = int(catalogue(60)["shape"].isna().sum())
    assert sum(dataset.rows(split) for split in SPLITS) == 60 - gone
    assert any(f"{gone} objects without shape are left out: J0" in text for text in said)


def test_numbers_too_close_together_for_a_network_are_told(plain, tmp_path):
    table = catalogue(60)
    table["jd"] = 2_459_000 + np.linspace(0, 9, 60)  # float32 has steps of a quarter of a day there
    table["mjd"] = table["jd"] - 2_400_000.5
    table.to_csv(tmp_path / "days.csv", index=False)
    said = []
    variables = {"jd": "continuous", "mjd": "continuous"}
    TabledImages(**(plain | {"table": tmp_path / "days.csv", "variables": variables})).prepare(
        said.append
    )
    (told,) = (text for text in said if "Subtract" in text)
    assert told.startswith("jd: ") and told.endswith("Subtract 2459000 in the table.")


def test_fits_tables_bring_their_units(plain, tmp_path):
    from astropy.table import Table

    table = Table.from_pandas(catalogue(60).drop(columns="shape"))
    table["m_r"].unit = "Mpc"
    table.write(tmp_path / "table.fits")
    variables = {"m_r": "continuous", "barred": "flag"}
    dataset = prepared(plain, table=tmp_path / "table.fits", variables=variables)
    assert dataset.catalogue[0].units == "Mpc"


def test_parquet_tables(plain, tmp_path):
    catalogue(60).to_parquet(tmp_path / "table.parquet")
    base = prepared(plain)
    assert prepared(plain, table=tmp_path / "table.parquet").fingerprint == base.fingerprint
