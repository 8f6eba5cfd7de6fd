import shutil
from pathlib import Path

import pytest

OUTLINE = Path(__file__).parents[1] / "fixtures" / "outline" / "RGBMNIST_FLOW"


@pytest.fixture
def outline(tmp_path, monkeypatch):
    """A copy of the outline's experiment folder, to be changed."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    folder = tmp_path / "experiments" / "RGBMNIST_FLOW"
    shutil.copytree(OUTLINE, folder)
    return folder


@pytest.fixture
def edit(outline):
    """Replace text in one of the folder's files."""

    def change(name, old, new):
        path = outline / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return outline

    return change
