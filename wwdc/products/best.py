"""The best checkpoint of an experiment, by the metric its own configuration names."""

__all__ = ["best", "best_of", "objective"]

import functools
import math
from pathlib import Path
from typing import Any

from wwdc.errors import ProductError, closest
from wwdc.products.atomic import sha256
from wwdc.products.info import Info
from wwdc.products.tree import Product, Tree, verified


def best(data_root: Path, experiment: str) -> Product | None:
    """The best finished checkpoint of *experiment*, read once to see that it is intact.

    Args:
        data_root: the folder of all products.
        experiment: `DATA_NAME/EXPERIMENT_NAME`.

    Returns:
        None when nothing is finished there.

    Raises:
        ProductError: no product logged the metric, or the best one's file is not the one that
            was published.
    """
    data_name, slash, experiment_name = experiment.partition("/")
    if not (data_name and slash and experiment_name):
        raise ProductError(
            f"{experiment!r} does not name an experiment's products: "
            "write DATA_NAME/EXPERIMENT_NAME, such as COLOUR_MNIST/VAE."
        )
    return best_of(Tree(data_root, data_name, experiment_name))


def best_of(tree: Tree) -> Product | None:
    """The best finished checkpoint of a tree."""
    finished = list(tree.finished().values())
    if not finished:
        return None
    metric, mode = objective(finished[-1].info)
    sign = -1.0 if mode == "max" else 1.0
    scored = [
        (sign * value, product)
        for product in finished
        if not math.isnan(value := product.info.metrics.get(metric, math.nan))
    ]
    if not scored:
        names = sorted({name for product in finished for name in product.info.metrics})
        raise ProductError(
            f"{tree.name}: no product has the metric {metric!r} that model_checkpoint.monitor "
            f"names; they have {', '.join(names) or 'none'}.{closest(metric, names)}"
        )
    winner = min(scored, key=lambda pair: pair[0])[1]
    status = winner.path.stat()
    known = _digest(winner.path, status.st_mtime_ns, status.st_size)
    return winner if known == winner.info.sha256 else verified(winner)


def objective(info: Info) -> tuple[str, str]:
    """Metric and mode (`min` or `max`) by which an experiment's products are compared."""
    for section, key in (("model_checkpoint", "monitor"), ("tune", "metric")):
        settings: Any = info.config.get(section)
        if isinstance(settings, dict) and isinstance(settings.get(key), str):
            return settings[key], str(settings.get("mode", "min"))
    return "val_loss", "min"


@functools.lru_cache(maxsize=64)
def _digest(path: Path, _mtime_ns: int, _size: int) -> str:
    """SHA-256 of a file, read once for as long as it stays as it is."""
    return sha256(path)
