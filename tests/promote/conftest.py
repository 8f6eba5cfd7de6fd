"""What tests of promotion share: an embedded experiment, and labels by an oracle."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from wwdc.data.colour_mnist import SPLITS
from wwdc.embed.__main__ import main as embed
from wwdc.embed.columns import read_about
from wwdc.label.events import Posted
from wwdc.label.log import LabelLog
from wwdc.products import Tree

EVERY = "splits=[train,val,test]"


@pytest.fixture(scope="session")
def embedded_flow(
    trained_flow: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A DATA_ROOT with the tiny flow's embeddings of every split, and its folder: copy them."""
    root, experiment = trained_flow
    place = tmp_path_factory.mktemp("promote")
    shutil.copytree(root, place / "root")
    shutil.copytree(experiment, place / experiment.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(place / "root"))
        assert embed([str(place / experiment.name), EVERY, "embed.engine=inline"]) == 0
    return place / "root", place / experiment.name


@pytest.fixture
def embedded(embedded_flow: tuple[Path, Path], data_root: Path, tmp_path: Path) -> Path:
    """The embedded tiny flow's folder, with a DATA_ROOT of the test's own."""
    root, experiment = embedded_flow
    shutil.copytree(root, data_root)
    return Path(shutil.copytree(experiment, tmp_path / experiment.name))


def label(
    tree: Tree,
    oracle: Callable[[dict[str, np.ndarray]], np.ndarray],
    *,
    name: str = "odd",
    count: int = 60,
    kind: str = "verdict",
    seed: int = 0,
) -> Path:
    """Labels of *count* objects: half of those that the *oracle* says are odd, half of others.

    The oracle takes an embedding's columns, vectors as (N, D), and gives booleans (N,).
    """
    product = min(tree.embedded(), key=lambda p: (p.path.parent.name, SPLITS.index(p.path.stem)))
    folder = product.path.parent
    table = pq.read_table(product.path)
    columns = {
        name: np.stack(table[name].to_numpy())
        if "_mean" in name and "log" not in name
        else table[name].to_numpy()
        for name in table.column_names
    }
    odd = oracle(columns)
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(columns["id"][odd == side])[: count // 2] for side in (True, False)]
    log = LabelLog(
        tree.labels / f"{name}.sqlite",
        fingerprint=read_about(table.schema).fingerprint,
        embedding=folder.name,
    )
    for side, ids in zip((True, False), chosen, strict=True):
        for id in ids:
            word = "anomaly" if side else "normal"
            said = {"kind": word} if kind == "verdict" else {"kind": "grade", "value": 4 * side + 1}
            log.add(Posted(uuid=f"oracle-{int(id):08d}", id=int(id), labeller="oracle", **said))
    log.close()
    return log.path
