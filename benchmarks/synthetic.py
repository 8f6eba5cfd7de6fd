"""A dataset of any size that is nowhere stored, and random networks to embed it with."""

__all__ = ["ALLOW", "Synthetic", "make_pass"]

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wwdc.config import instantiate
from wwdc.data.colour_mnist import COLOUR_MNIST
from wwdc.embed.shards import Pass, Target
from wwdc.products import sha256

ALLOW = ("synthetic.Synthetic",)
_GOLDEN = 0.6180339887498949


class Synthetic:
    """Images of coloured stripes; a row is a function of its number.

    Args:
        n: rows of every split.
    """

    catalogue = COLOUR_MNIST

    def __init__(self, n: int) -> None:
        self.n = n
        self.fingerprint = f"synthetic{n}"

    def rows(self, split: str) -> int:
        """Rows of a split."""
        return self.n

    def table_rows(self, split: str, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Rows [start, stop) of the table."""
        ids = np.arange(start, stop)
        unit = {name: (ids * _GOLDEN * k) % 1.0 for k, name in enumerate("rgb", start=1)}
        columns = {name: (0.05 + 0.9 * values).astype(np.float32) for name, values in unit.items()}
        columns["angle"] = (20 * unit["r"] - 10).astype(np.float32)
        columns["scale"] = (0.9 + 0.2 * unit["g"]).astype(np.float32)
        return {"id": ids, "object": ids, "view": 0 * ids, **columns, "digit": ids % 10}

    def table(self, split: str) -> dict[str, NDArray[Any]]:
        """All rows of the table."""
        return self.table_rows(split, 0, self.n)

    def images(self, split: str, index: Tensor) -> Tensor:
        """Images (B, 3, 28, 28) of rows *index* (B,)."""
        phase = (index.double() * _GOLDEN % 1.0).float()[:, None]
        grid = torch.linspace(0, 12, 28, device=index.device)
        stripes = 0.5 + 0.5 * torch.sin(grid + 6.28 * phase)
        image = stripes[:, None, :, None] * stripes.flip(1)[:, None, None, :]
        return image * torch.stack([phase, 1 - phase, phase**2], dim=1)[:, :, :, None]


def make_pass(
    folder: Path,
    rows: int,
    *,
    dim: int = 32,
    channels: int = 16,
    hidden: int = 64,
    transforms: int = 6,
    flows: int = 1,
    batch_size: int = 1024,
) -> Pass:
    """Random networks as checkpoints in *folder*, and a pass of *rows* rows with them."""
    torch.manual_seed(0)
    loader = {
        "_target_": "wwdc.training.lightning_loaders.LightningFlow",
        "lr": 1e-3,
        "vae": {
            "_target_": "wwdc.models.digits.VAE",
            "hidden_dim": dim,
            "channels": channels,
            "width": 4 * channels,
        },
        "flow": {
            "_target_": "wwdc.models.digits.CouplingFlow",
            "features": dim,
            "hidden_features": [hidden, hidden],
            "transforms": transforms,
        },
    }
    vae_loader = {
        "_target_": "wwdc.training.lightning_loaders.LightningVAE",
        "lr": 1e-3,
        "vae": loader["vae"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    vae_path = folder / "vae.ckpt"
    torch.save({"state_dict": instantiate(vae_loader, allow=()).state_dict()}, vae_path)
    width = COLOUR_MNIST.keep(["b"]).width
    targets = []
    for number in range(flows):
        module = instantiate(loader, allow=())
        module.set_context(width, np.zeros(width), np.ones(width))
        for parameter in (*module.flow.parameters(), *module.ema.parameters()):
            torch.nn.init.normal_(parameter, std=0.05)
        path = folder / f"flow{number}.ckpt"
        torch.save({"state_dict": module.state_dict()}, path)
        target = Target(f"flow{number}", path, sha256(path), loader, ("b",), ("b",), f"{number}")
        targets.append(target)
    return Pass(
        x_ds={"_target_": ALLOW[0], "n": rows},
        fingerprint=f"synthetic{rows}",
        split="test",
        rows=rows,
        vae=vae_path,
        vae_id="random",
        latents=folder / "latents",
        targets=tuple(targets),
        batch_size=batch_size,
        allow=ALLOW,
    )
