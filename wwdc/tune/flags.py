"""Asking a point that trains somewhere to end: flags in Ray's own key-value store."""

__all__ = [
    "ask_to_pause",
    "ask_to_stop",
    "asked_to_pause",
    "asked_to_stop",
    "end_run",
    "ended_run",
    "epoch_seconds",
    "start_run",
    "tell_epoch_seconds",
]

from ray.experimental.internal_kv import (
    _internal_kv_del,
    _internal_kv_exists,
    _internal_kv_get,
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
    for key in (_ended(job_id), _paused(job_id)):
        _internal_kv_del(key, namespace=_NAMESPACE)


def ask_to_pause(job_id: str) -> None:
    """Say that every point of a job should save what it has at the end of its epoch, and leave."""
    _internal_kv_put(_paused(job_id), b"1", namespace=_NAMESPACE)


def asked_to_pause(job_id: str) -> bool:
    """Whether `ask_to_pause` was called since `start_run`."""
    return bool(_internal_kv_exists(_paused(job_id), namespace=_NAMESPACE))


def tell_epoch_seconds(job_id: str, seconds: float) -> None:
    """Say how long an epoch of a job's points takes."""
    _internal_kv_put(_epoch(job_id), repr(seconds).encode(), namespace=_NAMESPACE)


def epoch_seconds(job_id: str) -> float | None:
    """How long an epoch of a job's points takes; None before one was seen."""
    told = _internal_kv_get(_epoch(job_id), namespace=_NAMESPACE)
    return float(told) if told else None


def end_run(job_id: str) -> None:
    """Say that no trial of a job is wanted any more: what kills one now is no failure of its."""
    _internal_kv_put(_ended(job_id), b"1", namespace=_NAMESPACE)


def ended_run(job_id: str) -> bool:
    """Whether `end_run` was called since `start_run`."""
    return bool(_internal_kv_exists(_ended(job_id), namespace=_NAMESPACE))


def _ended(job_id: str) -> bytes:
    return f"ended/{job_id}".encode()


def _paused(job_id: str) -> bytes:
    return f"paused/{job_id}".encode()


def _epoch(job_id: str) -> bytes:
    return f"epoch/{job_id}".encode()


def _key(job_id: str, point_id: str) -> bytes:
    return f"stop/{job_id}/{point_id}".encode()
