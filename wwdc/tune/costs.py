"""What training a point takes, judged by earlier points of the same or of a similar model."""

__all__ = ["Cost", "Costs"]

import datetime
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from wwdc.products import Info

_NO_MATTER = ("root", "drop_variables", "context", "seed")
_SPEED = (
    "accelerator",
    "accumulate_grad_batches",
    "check_val_every_n_epoch",
    "devices",
    "limit_train_batches",
    "limit_val_batches",
    "num_nodes",
    "precision",
    "strategy",
)
_FINISHED = ("done", "stopped")


@dataclass(frozen=True)
class Cost:
    """What one point takes.

    Attributes:
        bytes: of its checkpoint.
        epoch_s: of one epoch [s], with a share of what a point takes besides.
        sources: the products that this was learned from.
        same: whether these were of the same model, not only of a similar one.
        at_most: whether the point may end before.
    """

    seconds: float
    bytes: int
    epoch_s: float
    sources: frozenset[str]
    same: bool
    at_most: bool


class Costs:
    """Times and sizes of earlier points, grouped by what makes a difference to them.

    The *same model* has the same networks, data and device; numbers with a fraction (learning
    rates, weights of a loss) and which variables are dropped do not matter. A *similar* one has
    networks of the same classes on such a device.

    The time is the median of points that were trained to the end for as many epochs; else the
    median time of an epoch × ``trainer.max_epochs``. A point that was resumed counts with the
    time since.
    """

    def __init__(self, infos: Iterable[Info]) -> None:
        self._same: defaultdict[str, list[_Past]] = defaultdict(list)
        self._similar: defaultdict[str, list[_Past]] = defaultdict(list)
        for info in infos:
            past = _past(info)
            if past is not None:
                self._same[_model(info.config)].append(past)
                self._similar[_classes(info.config)].append(past)

    def of(self, config: Mapping[str, Any]) -> Cost | None:
        """The cost of a resolved configuration; None where nothing like it was trained."""
        same = self._same.get(_model(config), [])
        group = same or self._similar.get(_classes(config), [])
        if not group:
            return None
        epochs = config["trainer"].get("max_epochs")
        whole = [past for past in group if past.status == "done" and past.planned == epochs]
        if whole or not isinstance(epochs, int) or epochs < 1:
            seconds = median(past.seconds for past in whole or group)
            at_most = False
        else:
            seconds = median(past.seconds / past.epochs for past in group) * epochs
            longer = epochs > median(past.epochs for past in group)
            at_most = longer or _may_end_early(config)  # longer: starting counts once, not often
        return Cost(
            seconds=seconds,
            bytes=round(median(past.bytes for past in whole or group)),
            epoch_s=median(past.seconds / past.epochs for past in group),
            sources=frozenset(past.job for past in whole or group),
            same=bool(same),
            at_most=at_most,
        )


@dataclass(frozen=True)
class _Past:
    job: str
    status: str
    seconds: float
    epochs: float
    planned: Any
    bytes: int


def _past(info: Info) -> _Past | None:
    moments = (info.created, info.finished)
    created, finished = (datetime.datetime.fromisoformat(moment) for moment in moments)
    seconds = (finished - created).total_seconds()
    epochs, loader = info.metrics.get("epochs", 0), info.config.get("lightning_loader")
    if info.status not in _FINISHED or seconds <= 0 or epochs < 1 or not loader:
        return None
    planned = info.config.get("trainer", {}).get("max_epochs")
    return _Past(info.job, info.status, seconds, epochs, planned, info.bytes or 0)


def _model(config: Mapping[str, Any]) -> str:
    trainer, tune = config.get("trainer") or {}, config.get("tune") or {}
    speed = {
        "loader": _shape(config.get("lightning_loader")),
        "data": _shape(config.get("data")),
        "trainer": {key: trainer.get(key) for key in _SPEED},
        "workers": [tune.get("num_workers"), (tune.get("resources") or {}).get("cpu")],
    }
    return json.dumps(speed, sort_keys=True, default=str)


def _classes(config: Mapping[str, Any]) -> str:
    found = sorted(set(_targets(config.get("lightning_loader"))))
    return json.dumps([(config.get("trainer") or {}).get("accelerator"), *found])


def _shape(node: Any) -> Any:
    """The part of a configuration that has a say in how long an epoch takes."""
    if isinstance(node, Mapping):
        return {
            key: _shape(value)
            for key, value in node.items()
            if key not in _NO_MATTER and not key.endswith("_path")
            if not isinstance(value, float)
        }
    if isinstance(node, list):
        return [_shape(item) for item in node]
    return node


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        target = node.get("_target_")
        if isinstance(target, str) and not target.startswith("torch.optim"):
            yield target
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for item in node:
            yield from _targets(item)


def _may_end_early(config: Mapping[str, Any]) -> bool:
    callbacks = config["trainer"].get("callbacks") or []
    listed = callbacks if isinstance(callbacks, list) else [callbacks]
    return any("EarlyStopping" in str(item) for item in listed)
