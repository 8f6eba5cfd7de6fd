"""A product tree to work on, and products to put into it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wwdc.products import Info, Product, Tree, publish_point

MakeInfo = Callable[..., Info]
MakeProduct = Callable[..., Product]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "data", "COLOUR_MNIST", "FLOW")


@pytest.fixture
def make_info() -> MakeInfo:
    def make(**changes: Any) -> Info:
        known = {
            "param": "x_ds.drop_variables",
            "val": '["b", "angle", "scale"]',
            "description": "Drop b, scale and angle",
            "job_id": "5240735",
            "job_num": 2,
            "point_id": "0a1b2c3d4e5f",
            "config_id": "5f4e3d2c1b0a",
            "seed": 42,
            "overrides": {"data.x_ds.drop_variables": ["b", "angle", "scale"], "seed": 42},
            "metrics": {"val_loss": 1.5},
            "status": "done",
            "config": {"model_checkpoint": {"monitor": "val_loss", "mode": "min"}},
        }
        return Info(**{**known, **changes})

    return make


@pytest.fixture
def make_product(tree: Tree, make_info: MakeInfo, tmp_path: Path) -> MakeProduct:
    """Publish a real (tiny) checkpoint; the point's id is also its weight."""

    def make(point_id: str = "0a1b2c3d4e5f", into: Tree = tree, **changes: Any) -> Product:
        import torch

        src = tmp_path / "scratch.ckpt"
        torch.save({"state_dict": {"w": torch.tensor([int(point_id, 16)])}}, src)
        return publish_point(into, src, make_info(point_id=point_id, **changes))

    return make
