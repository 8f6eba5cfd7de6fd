"""The tutorial notebook: its code cells, in order, in one process."""

import json
from pathlib import Path

import matplotlib as mpl
import pytest

from tests.conftest import REPOSITORY

NOTEBOOK = REPOSITORY / "docs" / "tutorial.ipynb"
SMALL = ["trainer.max_epochs=1", "data.x_ds.views=1"]
FASTER = ["tests.permutations=99", "tests.bootstraps=99", "figures=quick", "embed.engine=inline"]


def code_cells():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_it_is_kept_without_outputs():
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert document["nbformat"] == 4
    ids = [cell["id"] for cell in document["cells"]]
    assert len(set(ids)) == len(ids)
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code_cells())
    for cell in code_cells():
        compile("".join(cell["source"]), str(NOTEBOOK), "exec")


@pytest.mark.ray
@pytest.mark.slow
def test_it_runs(data_root, ray_session, monkeypatch):
    """With a network that has learnt next to nothing: that it runs, not what it shows."""
    monkeypatch.chdir(REPOSITORY / "docs")
    mpl.use("Agg")
    first, train, *others = ("".join(cell["source"]) for cell in code_cells())
    names: dict[str, object] = {}
    for text, more in ((first, []), (train, SMALL), *((text, SMALL + FASTER) for text in others)):
        names["MORE"] = more
        exec(compile(text, str(NOTEBOOK), "exec"), names)
    assert Path.cwd() == REPOSITORY
    assert names["scores"].shape == (5, 2) and not names["scores"].isna().any(axis=None)
    assert len(names["verdicts"]) and names["odd"]["rank"].iloc[0] == 1
    assert names["experiment"].report.is_relative_to(data_root)
