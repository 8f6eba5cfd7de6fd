"""A published flow, ready to compute residuals."""

__all__ = ["load_flow"]

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wwdc.config import instantiate
from wwdc.errors import ProductError
from wwdc.models.weights import load_vae, load_weights, read_checkpoint
from wwdc.training.lightning_loaders import LightningFlow


def load_flow(
    path: Path, loader: Mapping[str, Any], vae_path: Path | None, allow: Sequence[str] = ()
) -> LightningFlow:
    """The flow of a checkpoint with its frozen VAE and the standardisation of its context.

    ``module.ema`` is the published flow and ``module.condition`` what it expects of a context.

    Args:
        path: checkpoint of a `LightningFlow`.
        loader: the point's ``lightning_loader``, resolved.
        vae_path: checkpoint of the VAE the flow was trained on; None where there was none.
        allow: targets that ``meta.yaml`` allows beyond the usual ones.

    Raises:
        ProductError: a file cannot be read or does not fit the configuration.
    """
    state = read_checkpoint(path)["state_dict"]
    if "context_mean" not in state:
        raise ProductError(
            f"{path}: holds no conditional flow; its keys begin {next(iter(state))}."
        )
    module: LightningFlow = instantiate(loader, allow=allow)
    if module.masked != ("context_groups" in state):
        raise ProductError(
            f"{path}: it was trained {'without' if module.masked else 'with'} condition_dropout, "
            f"and lightning_loader has {module.condition_dropout}. Give the checkpoint's own."
        )
    mean, std = state["context_mean"], state["context_std"]
    module.set_context(len(mean), mean, std, state.get("context_groups"))
    load_weights(path, state, module)
    if vae_path is not None:
        load_vae(vae_path, module.vae)
    return module.eval().requires_grad_(False)
