"""Asking a point that trains somewhere to end: flags in Ray's own key-value store."""

__all__ = ["ask_to_stop", "asked_to_stop", "end_run", "ended_run", "start_run"]

from ray.experimental.internal_kv import (
    _internal_kv_del,
    _internal_kv_exists,
    _internal_kv_put,
)

_NAMESPACE = b"wwdc"


def ask_to_stop(job_id: str, point_id: str) -> None:
    """Set the flag of a point; its trial sees it at the end of the epoch."""
    _internal_kv_put(_key(job_id, point_id), b"1", namespace=_NAMESPACE)


def asked_to_stop(job_id: str, point_id: str) -> bool:
    """Whether the flag of a point is set. Costs a round trip to Ray's head."""
    return bool(_internal_kv_exists(_key(job_id, point_id), namespace=_NAMESPACE))


def start_run(job_id: str) -> None:
    """Say that trials of a job are wanted."""
    _internal_kv_del(_ended(job_id), namespace=_NAMESPACE)


def end_run(job_id: str) -> None:
    """Say that no trial of a job is wanted any more: what kills one now is no failure of its."""
    _internal_kv_put(_ended(job_id), b"1", namespace=_NAMESPACE)


def ended_run(job_id: str) -> bool:
    """Whether `end_run` was called since `start_run`."""
    return bool(_internal_kv_exists(_ended(job_id), namespace=_NAMESPACE))


def _ended(job_id: str) -> bytes:
    return f"ended/{job_id}".encode()


def _key(job_id: str, point_id: str) -> bytes:
    return f"stop/{job_id}/{point_id}".encode()
