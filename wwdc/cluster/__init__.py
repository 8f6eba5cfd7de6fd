"""What there is to run on, and connecting to Ray there."""

import importlib
from typing import TYPE_CHECKING, Any

from wwdc.cluster.room import Engine, Misfit, Room, engine_for, needed, own_cpus, room_of

if TYPE_CHECKING:
    from wwdc.cluster.connection import cluster, start_local

__all__ = [
    "Engine",
    "Misfit",
    "Room",
    "cluster",
    "engine_for",
    "needed",
    "own_cpus",
    "room_of",
    "start_local",
]

_LATER = ("cluster", "start_local")


def __getattr__(name: str) -> Any:
    """Import Ray when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("wwdc.cluster.connection"), name)
