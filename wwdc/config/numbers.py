"""Well-known numbers of a configuration, checked before anything starts."""

__all__ = ["check_numbers"]

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from wwdc.errors import ConfigError

_Rule = tuple[str, Callable[[Any], bool]]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


_COUNT: _Rule = ("a whole number of at least 1", lambda v: _is_int(v) and v >= 1)
_INDEX: _Rule = ("a whole number of at least 0", lambda v: _is_int(v) and v >= 0)
_SEED: _Rule = ("a whole number from 0 to 2**32 - 1", lambda v: _is_int(v) and 0 <= v < 2**32)
_POSITIVE: _Rule = ("a finite number above 0", lambda v: _is_finite(v) and v > 0)
_NOT_NEGATIVE: _Rule = ("a finite number of at least 0", lambda v: _is_finite(v) and v >= 0)
_FRACTION: _Rule = ("a number in [0, 1)", lambda v: _is_finite(v) and 0 <= v < 1)
_NOT_NAN: _Rule = ("a number", lambda v: not (isinstance(v, float) and math.isnan(v)))

_STEPS: _Rule = ("-1 or a whole number of at least 1", lambda v: _is_int(v) and (v >= 1 or v == -1))

_RULES: Mapping[str, _Rule] = {
    "accumulate_grad_batches": _COUNT,
    "batch_size": _COUNT,
    "beta_floor": _NOT_NEGATIVE,
    "beta_init": _NOT_NEGATIVE,
    "channels": _COUNT,
    "check_val_every_n_epoch": _COUNT,
    "condition_dropout": _FRACTION,
    "context": _INDEX,
    "ema_decay": _FRACTION,
    "features": _COUNT,
    "gradient_clip_val": _NOT_NEGATIVE,
    "hidden_dim": _COUNT,
    "hidden_features": _COUNT,
    "latent_dim": _COUNT,
    "limit_test_batches": _POSITIVE,
    "limit_train_batches": _POSITIVE,
    "limit_val_batches": _POSITIVE,
    "lr": _POSITIVE,
    "max_epochs": _COUNT,
    "max_steps": _STEPS,
    "min_epochs": _INDEX,
    "num_nodes": _COUNT,
    "num_workers": _INDEX,
    "patience": _INDEX,
    "seed": _SEED,
    "size": _COUNT,
    "transforms": _COUNT,
    "views": _COUNT,
    "weight_decay": _NOT_NEGATIVE,
    "width": _COUNT,
}
_NEEDED = (
    "seed",
    "data.loader.batch_size",
    "data.x_ds.seed",
    "data.x_ds.views",
    "lightning_loader.lr",
)
"""Null is no number for these."""

_SECTIONS = ("data", "lightning_loader", "trainer", "early_stopping", "model_checkpoint")


def check_numbers(
    config: Mapping[str, Any], origin: Callable[[str], str] = lambda key: "config"
) -> None:
    """Refuse numbers that cannot be, such as ``lr: -1`` or NaN.

    *origin(key)* names the place that a dotted key was written, for the message.
    """
    leaves = [("seed", "seed", config.get("seed"))]
    for section in _SECTIONS:
        leaves.extend(_leaves(config.get(section), section, section))
    for key, name, value in leaves:
        expected, holds = _RULES.get(name, _NOT_NAN)
        if value is None and key in _NEEDED:
            raise ConfigError(f"{origin(key)}: {key}: expected {expected}, got null")
        if value is None:
            continue
        if not holds(value):
            raise ConfigError(f"{origin(key)}: {key}: expected {expected}, got {value!r}")


def _leaves(node: Any, key: str, name: str) -> Iterator[tuple[str, str, Any]]:
    """Every value with its dotted key and the name of the rule that holds for it."""
    if isinstance(node, Mapping):
        for part, value in node.items():
            yield from _leaves(value, f"{key}.{part}", str(part))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _leaves(value, f"{key}.{index}", name)
    else:
        yield key, name, node
