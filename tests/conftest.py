"""Fixtures shared by all tests: small experiments, one Ray a session, MNIST's test images."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.chromium import CHROMIUM

if TYPE_CHECKING:
    from wwdc.products import Tree

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared"

META = {
    "authors": ["T"],
    "data_name": "DIGITS",
    "description": "a test",
    "experiment_path": "${paths.data_dir}/${meta.data_name}/${meta.experiment_name}/",
}
DEFAULTS = [
    "/data/digits",
    "/trainer/cpu",
    "/logger/csv",
    "/paths/default",
    "/hydra/default",
    "model",
    "sweeps",
    "meta",
    "_self_",
]
CHECKPOINT = {
    "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
    "dirpath": "${paths.experiment_path}/ckpts/",
    "save_top_k": 1,
    "filename": "${hydra:job.id}",
    "monitor": "val_loss",
    "mode": "min",
}
VAE = {"_target_": "wwdc.models.digits.VAE", "hidden_dim": 8, "channels": 4, "width": 16}
FLOW = {
    "_target_": "wwdc.models.digits.CouplingFlow",
    "features": 8,
    "hidden_features": [16],
    "transforms": 2,
}
SWEEPS = {
    "only_b": {"param": "x_ds.drop_variables", "val": '["b"]', "description": "Drop b"},
    "only_digit": {"param": "x_ds.drop_variables", "val": ["digit"], "description": "Drop digit"},
}


def write_experiment(folder: Path, name: str, loader: dict, **train: object) -> Path:
    """An experiment folder that trains for two epochs; *train* adds to train.yaml."""
    folder.mkdir(parents=True)
    sections = {
        "meta": {"meta": {**META, "experiment_name": name}},
        "model": {
            "lightning_loader": loader,
            "model_checkpoint": CHECKPOINT,
            "trainer": {"callbacks": ["${...model_checkpoint}"], "max_epochs": 2},
            "trainer_ckpt_path": None,
        },
        "sweeps": {"sweeps": train.pop("sweeps", {})},
        "train": {"defaults": DEFAULTS, "data": {"x_ds": {"views": 1}}, **train},
        "embed": {"defaults": [*DEFAULTS[:-1], "train", "_self_"], "splits": ["test"]},
    }
    for section, content in sections.items():
        header = "# @package _global_\n" if section in ("train", "embed") else ""
        text = yaml.safe_dump(content, sort_keys=False)
        (folder / f"{section}.yaml").write_text(header + text)
    return folder


def vae_experiment(parent: Path, **train: object) -> Path:
    """A tiny VAE on digits, one seed."""
    loader = {
        "_target_": "wwdc.training.lightning_loaders.LightningVAE",
        "vae": VAE,
        "lr": 0.001,
        "batch_size": "${data.loader.batch_size}",
    }
    return write_experiment(parent / "tiny_vae", "VAE", loader, **({"seeds": [1]} | train))


def flow_experiment(parent: Path, **train: object) -> Path:
    """A tiny coupling flow on the tiny VAE: two named sweeps, two seeds."""
    loader = {
        "_target_": "wwdc.training.lightning_loaders.LightningFlow",
        "vae": VAE,
        "flow": FLOW,
        "lr": 0.001,
        "size": 8,
        "batch_size": "${data.loader.batch_size}",
        "vae_ckpt_path": "${product:DIGITS/VAE}",
    }
    settings = {"seeds": [1, 2], "sweeps": SWEEPS} | train
    return write_experiment(parent / "tiny_flow", "FLOW", loader, **settings)


@pytest.fixture
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty DATA_ROOT of the test's own."""
    root = tmp_path / "root"
    monkeypatch.setenv("DATA_ROOT", str(root))
    return root


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, driven by Playwright."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: install it, or name it in CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def ray_session():
    """One Ray with two CPUs for every test of the session, started as a sweep would."""
    from wwdc.cluster import start_local

    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), *sys.path])
    local = start_local(2, dashboard=True)
    yield
    local.end()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def trained_vae(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Path:
    """A DATA_ROOT with the tiny VAE's product in it: copy it, do not write to it."""
    from wwdc.tune.__main__ import main as tune

    folder = tmp_path_factory.mktemp("vae")
    root = folder / "root"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        assert tune([str(vae_experiment(folder))]) == 0
    return root


@pytest.fixture
def vae_root(trained_vae: Path, data_root: Path) -> Path:
    """A DATA_ROOT of the test's own that holds the trained tiny VAE."""
    shutil.copytree(trained_vae, data_root)
    return data_root


@pytest.fixture(scope="session")
def trained_flow(trained_vae: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A DATA_ROOT with the tiny VAE and the tiny flow's four points, and the flow's folder."""
    from wwdc.tune.__main__ import main as tune

    folder = tmp_path_factory.mktemp("embed")
    root = folder / "root"
    shutil.copytree(trained_vae, root)
    experiment = flow_experiment(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        assert tune([str(experiment)]) == 0
    return root, experiment


@pytest.fixture
def flow(trained_flow: tuple[Path, Path], data_root: Path) -> Path:
    """The flow's folder, with a DATA_ROOT of the test's own."""
    root, experiment = trained_flow
    shutil.copytree(root, data_root)
    return experiment


@pytest.fixture
def tree(data_root: Path) -> "Tree":
    """Where the tiny flow's products lie."""
    from wwdc.products import Tree

    return Tree(data_root, "DIGITS", "FLOW")


@pytest.fixture
def mnist_root(data_root: Path) -> Path:
    """A DATA_ROOT with MNIST's 10 000 test images, linked."""
    source = SHARED / "data" / "mnist"
    if not source.is_dir():
        pytest.skip("needs MNIST's t10k files in ../shared/data/mnist")
    raw = data_root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in source.iterdir():
        (raw / path.name).symlink_to(path.resolve())
    return data_root
