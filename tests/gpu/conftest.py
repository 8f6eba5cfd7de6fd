"""Tests of this folder run where torch sees a GPU, and are skipped elsewhere."""

from pathlib import Path

import pytest
import torch

from tests.conftest import vae_experiment
from wwdc.tune.__main__ import main

HERE = Path(__file__).parent
GPU = ("trainer=gpu", "tune.resources.cpu=1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a GPU: torch.cuda.is_available() is false")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="module")
def gpu_root(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Path:
    """A DATA_ROOT with a tiny VAE trained on the GPU inside its trial."""
    folder = tmp_path_factory.mktemp("gpu")
    root = folder / "root"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        experiment = str(vae_experiment(folder))
        assert main([experiment, *GPU, "tune.engine=inline", "tune.resources.gpu=1"]) == 0
    return root
