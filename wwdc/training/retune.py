"""Going on from a checkpoint with another learning rate or other settings of the optimizer."""

__all__ = ["retune"]

from collections.abc import Mapping
from typing import Any

_LR = "lightning_loader.lr"
_OPTIMIZER = "lightning_loader.optimizer."
_RATES = ("lr", "initial_lr", "max_lr", "min_lr")


def retune(state: dict[str, Any], changes: Mapping[str, tuple[Any, Any]]) -> None:
    """Write *changes* into the optimizers and schedules that a Lightning checkpoint holds.

    Loading a checkpoint brings its learning rate back whatever the configuration says. Learning
    rates are multiplied by new / old, so that a schedule goes on from where it is; other settings
    of the optimizer are replaced. All else takes effect through the configuration.

    Args:
        state: a checkpoint, changed in place.
        changes: dotted key → (old value, new value).

    >>> state = {"optimizer_states": [{"param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]}]}
    >>> retune(state, {"lightning_loader.lr": (0.1, 0.05)})
    >>> state["optimizer_states"][0]["param_groups"][0]["lr"]
    0.05
    """
    groups = [g for o in state.get("optimizer_states", ()) for g in o["param_groups"]]
    for key, (old, new) in changes.items():
        if key == _LR:
            _scale(state, groups, new / old)
        elif key.startswith(_OPTIMIZER):
            name = key.removeprefix(_OPTIMIZER)
            for group in groups:
                if name in group:
                    group[name] = new


def _scale(state: dict[str, Any], groups: list[dict[str, Any]], ratio: float) -> None:
    for group in groups:
        for name in _RATES:
            if name in group:
                group[name] *= ratio
    for schedule in state.get("lr_schedulers", ()):
        for name in ("base_lrs", "_last_lr"):
            if name in schedule:
                schedule[name] = [rate * ratio for rate in schedule[name]]
