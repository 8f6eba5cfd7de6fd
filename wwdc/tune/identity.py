"""What makes a point the same point: the hash of its scientific configuration."""

__all__ = ["NOT_SCIENCE", "canonical", "digest", "scientific"]

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

NOT_SCIENCE = (
    "meta",
    "sweeps",
    "seeds",
    "splits",
    "embed",
    "tests",
    "detectors",
    "label",
    "figures",
    "paths",
    "logger",
    "tune",
    "hydra",
    "trainer_ckpt_path",  # its content's hash takes part instead
    "data.x_ds.root",
    "data.x_ds.images",  # the dataset's fingerprint names their content
    "data.x_ds.table",
    "data.x_ds.cache",
    "data.x_ds.origin",
    "data.x_ds.drop_variables",  # as a set, in `kept`
    "data.loader.num_workers",
    "data.loader.pin_memory",
    "data.loader.prefetch_factor",
    "data.loader.persistent_workers",
    "lightning_loader.vae_ckpt_path",  # the VAE's own identity takes part instead
    "model_checkpoint.dirpath",
    "model_checkpoint.filename",
    "trainer.callbacks.dirpath",
    "trainer.callbacks.filename",
    "trainer.logger",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.default_root_dir",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.enable_checkpointing",
    "trainer.log_every_n_steps",
    "trainer.profiler",
)
"""Keys that change where or how fast a point runs, not what comes out. Lists are walked through."""


def scientific(config: Mapping[str, Any], builds_on: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved *config* that decides its result, with what it *builds_on*."""
    plain: dict[str, Any] = _without(config, [key.split(".") for key in NOT_SCIENCE])
    return plain | {"builds_on": dict(builds_on)}


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; 1 and 1.0 are the same number.

    >>> canonical({"b": 1.0, "a": [True, None]})
    '{"a":[true,null],"b":1}'
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any, length: int = 12) -> str:
    """The first *length* hex digits of SHA-256 over the canonical JSON of *value*."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _without(node: Any, keys: list[list[str]]) -> Any:
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [_without(item, keys) for item in node]
    if not isinstance(node, Mapping):
        return node
    gone = {key[0] for key in keys if len(key) == 1}
    return {
        name: _without(item, [key[1:] for key in keys if len(key) > 1 and key[0] == name])
        for name, item in node.items()
        if name not in gone
    }
