"""Connecting to Ray."""

from wwdc.cluster.connection import Engine, cluster, engine_for, needed, start_local

__all__ = ["Engine", "cluster", "engine_for", "needed", "start_local"]
