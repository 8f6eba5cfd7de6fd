"""The Galaxy10 experiments on a small file in the format of Galaxy10_DECals.h5."""

import json

import h5py
import numpy as np
import pytest
import torch

from tests.conftest import REPOSITORY
from wwdc.config import fill, instantiate, load
from wwdc.data.colour_mnist import SPLITS
from wwdc.prepare.__main__ import main as prepare
from wwdc.training.check import check_point
from wwdc.tune.__main__ import main as tune

VAE, FLOW = (str(REPOSITORY / "experiments" / f"galaxy10_{kind}") for kind in ("vae", "flow"))
COUNT = 60
TWINS, UNKNOWN = (4, 34), 7  # the same galaxy twice; one without redshift


@pytest.fixture(scope="module")
def content():
    rng = np.random.default_rng(0)
    ra = rng.uniform(0, 360, COUNT)
    ra[TWINS[1]] = ra[TWINS[0]]
    redshift = rng.uniform(0, 0.2, COUNT)
    redshift[UNKNOWN] = np.nan
    return {
        "images": rng.integers(0, 256, (COUNT, 256, 256, 3), dtype=np.uint8),
        "ans": (np.arange(COUNT) % 10).astype(np.uint8),
        "ra": ra,
        "dec": rng.uniform(-11, 14, COUNT),
        "redshift": redshift,
        "pxscale": rng.choice([0.262, 0.524], COUNT),
    }


@pytest.fixture(scope="module")
def root(content, tmp_path_factory):
    """A DATA_ROOT with the file, prepared."""
    root = tmp_path_factory.mktemp("galaxies")
    path = root / "GALAXY10" / "raw" / "Galaxy10_DECals.h5"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        for name, values in content.items():
            file[name] = values
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        assert prepare([VAE]) == 0
    return root


@pytest.fixture
def known(root, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(root))
    return root


def config_of(experiment, *overrides):
    composed = load(experiment, list(overrides))
    return fill(composed.resolve(), job="a_0", data_root=composed.data_root)


def test_images_and_catalogue_are_those_of_the_file(known, content):
    dataset = instantiate(config_of(VAE)["data"]["x_ds"], allow=())
    shape, redshift, scale = dataset.catalogue
    assert len(shape.classes) == 10
    assert (shape.classes[0], shape.classes[9]) == ("disturbed", "edge-on with bulge")
    assert (redshift.width, redshift.units, scale.units) == (2, "", "arcsec/pixel")
    split_of = {}
    for split in SPLITS:
        table = dataset.table(split)
        rows = table["name"].astype(int)
        split_of |= dict.fromkeys(rows.tolist(), split)
        np.testing.assert_array_equal(table["shape"], content["ans"][rows])
        np.testing.assert_array_equal(table["redshift"], content["redshift"][rows])
        np.testing.assert_array_equal(table["pixel_scale"], content["pxscale"][rows])
        x = dataset.images(split, torch.arange(len(rows)))
        assert x.shape == (len(rows), 3, 64, 64)
        wanted = content["images"][rows].mean((1, 2)) / 255
        np.testing.assert_allclose(x.mean((2, 3)), wanted, atol=0.01)
    assert len(split_of) == COUNT
    assert split_of[TWINS[0]] == split_of[TWINS[1]]


def test_the_card_names_the_classes(known):
    assert prepare([FLOW]) == 0
    (card,) = (known / "GALAXY10" / "catalogue").glob("*_info.yaml")
    assert "unbarred loose spiral" in card.read_text()


@pytest.mark.parametrize(("experiment", "points"), [(VAE, 3), (FLOW, 12)])
def test_the_plan(known, capsys, experiment, points):
    assert tune([experiment, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert len(plan["points"]) == points
    assert tune([experiment, "--dry-run", "--json", "data.x_ds.origin=elsewhere"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert [p["point_id"] for p in again["points"]] == [p["point_id"] for p in plan["points"]]


def test_the_network_fits_the_images(known):
    check_point(config_of(VAE, "data.loader.batch_size=16", "trainer=cpu"), lambda text: None)


@pytest.mark.parametrize("command", [prepare, lambda words: tune([*words, "--dry-run"])])
def test_a_missing_file_is_told_with_where_to_get_it(data_root, capsys, command):
    assert command([VAE]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert f"{data_root}/GALAXY10/raw/Galaxy10_DECals.h5: no such file" in error
    for told in ("2.54 GB", "https://zenodo.org/records/10845026/files/", "terms of use", "Cite"):
        assert told in error
    assert "Traceback" not in error
    assert not data_root.exists()
