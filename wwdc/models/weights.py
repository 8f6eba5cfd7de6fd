"""Weights out of checkpoints: strictly, or with an error that says what differs."""

__all__ = ["load_vae", "load_weights", "read_checkpoint"]

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wwdc.errors import ProductError

_SHOWN = 3


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A Lightning checkpoint on the CPU, read without running code from it.

    Raises:
        ProductError: when the file is missing, truncated or no checkpoint.
    """
    if not path.is_file():
        raise ProductError(f"{path}: no such checkpoint.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise ProductError(
            f"{path}: truncated or not a checkpoint ({type(error).__name__}). Train it again."
        ) from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), Mapping):
        raise ProductError(f"{path}: not a Lightning checkpoint: it holds no `state_dict`.")
    return checkpoint


def load_weights(path: Path, state: Mapping[str, Tensor], module: nn.Module) -> None:
    """Copy *state*, read from *path*, into *module*; keys and shapes must be the same.

    Raises:
        ProductError: naming the first keys that differ.
    """
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = [f"{name} is missing" for name in own if name not in found]
    wrong += [f"{name} is unknown" for name in found if name not in own]
    wrong += [
        f"{name} is {found[name]} where the configuration makes {own[name]}"
        for name in own
        if name in found and found[name] != own[name]
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise ProductError(
            f"{path}: does not fit the network that model.yaml describes: "
            f"{'; '.join(wrong[:_SHOWN])}{more}. Give the checkpoint's settings, or train it again."
        )
    module.load_state_dict(state, strict=True)


def load_vae(path: Path, vae: nn.Module) -> None:
    """Load a VAE's weights from a checkpoint of ``LightningVAE``, averaged ones preferred.

    Raises:
        ProductError: when the file cannot be read, holds no VAE, or holds one of another shape.
    """
    state = read_checkpoint(path)["state_dict"]
    for prefix in ("ema.", "vae."):
        weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        if weights:
            return load_weights(path, weights, vae)
    raise ProductError(f"{path}: holds no VAE; its keys begin {', '.join(list(state)[:_SHOWN])}.")
