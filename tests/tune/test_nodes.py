"""A sweep on several hosts: one of them dies in mid-sweep."""

import json
import time
from pathlib import Path

import pytest

from tests.conftest import flow_experiment
from tests.nodes import Nodes, requires_namespaces
from tests.tune.test_survival import (
    EPOCHS,
    Run,
    broken,
    files_of,
    metrics_of,
    undisturbed,  # noqa: F401  a fixture
)
from wwdc.products import Tree

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    requires_namespaces,
]


def holders(root: Path) -> dict[str, str]:
    """Host by point, of the points that have both a claim and a checkpoint."""
    found = {}
    for folder in Tree(root, "DIGITS", "FLOW").points.glob("*/"):
        claim = folder / "claim.json"
        if claim.is_file() and (folder / "last.ckpt").is_file():
            found[folder.name] = json.loads(claim.read_text())["host"]
    return found


def test_a_host_dies_and_its_points_go_on_elsewhere(vae_root, tmp_path, undisturbed):  # noqa: F811
    experiment = flow_experiment(tmp_path)
    with Nodes(2, tmp_path / "nodes") as nodes:
        run = Run(
            vae_root,
            experiment,
            EPOCHS,
            f"tune.address={nodes.address}",
            environment=nodes.environment,
        )
        end = time.monotonic() + 120
        while nodes.host(1) not in (where := holders(vae_root)).values():
            assert time.monotonic() < end, run.log.read_text()
            assert run.process.poll() is None, run.log.read_text()
            time.sleep(0.05)
        nodes.kill_node(1)
        orphans = [point for point, host in where.items() if host == nodes.host(1)]
        finished = files_of(vae_root)
        assert not {p.info.point_id for p in Tree(vae_root, "DIGITS", "FLOW").products()} & {
            *orphans
        }
        assert run.finish() == 0, run.log.read_text()
    assert finished.items() <= files_of(vae_root).items()
    assert not broken(vae_root)
    assert metrics_of(vae_root) == undisturbed
    for product in Tree(vae_root, "DIGITS", "FLOW").products():
        info = product.info
        log = vae_root / f"DIGITS/FLOW/multiruns/{info.job_id}/logs/{info.job_num}.log"
        assert log.read_text().count(" epoch 0:") == 1, "trained from the start again"


def test_two_hosts_train_one_point(vae_root, tmp_path):
    with Nodes(2, tmp_path / "nodes") as nodes:
        run = Run(
            vae_root,
            flow_experiment(tmp_path),
            "data.x_ds.drop_variables=[b]",
            "seed=1",
            "tune.num_workers=2",
            f"tune.address={nodes.address}",
            environment=nodes.environment,
        )
        assert run.finish(120) == 0, run.log.read_text()
    (product,) = Tree(vae_root, "DIGITS", "FLOW").products()
    assert product.info.metrics["epochs"] == 2
    assert not broken(vae_root)
