"""One planted experiment a test, copied from one a session."""

import shutil
from pathlib import Path

import pytest

from tests.detect.planted import plant
from wwdc.products import Tree


@pytest.fixture(scope="session")
def planted_tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A DATA_ROOT with embeddings of four points, and the experiment's folder."""
    folder = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(folder / "root"))
        return folder / "root", plant(folder, Tree(folder / "root", "DIGITS", "FLOW"))


@pytest.fixture
def planted(planted_tree: tuple[Path, Path], data_root: Path) -> Path:
    """The experiment's folder, with a DATA_ROOT of the test's own."""
    root, experiment = planted_tree
    shutil.copytree(root, data_root)
    return experiment
