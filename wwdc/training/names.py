"""Names of the metrics that say what a residual holds; the planner reads them without torch."""

__all__ = ["LEAKAGE", "RETENTION", "SCIENCE", "is_science", "metrics_of"]

from collections.abc import Mapping
from typing import Any

LEAKAGE = "leakage."
"""Begins the name of a metric of a kept variable; ``leakage.max`` is the largest of them."""

RETENTION = "retention."
"""Begins the name of a metric of a dropped variable; ``retention.min`` is the smallest of them."""

SCIENCE = (LEAKAGE, RETENTION)


def is_science(name: str) -> bool:
    """Whether a metric measures leakage or retention.

    >>> [name for name in ("val_loss", "leakage.max", "retention.b") if is_science(name)]
    ['leakage.max', 'retention.b']
    """
    return name.startswith(SCIENCE)


def metrics_of(settings: Mapping[str, Any]) -> list[str]:
    """The objectives that ``tune.metric`` names, one or several."""
    named = settings["metric"]
    return list(named) if isinstance(named, list) else [named]
