"""Asking a point that trains somewhere to end: flags in Ray's own key-value store."""

__all__ = ["ask_to_stop", "asked_to_stop"]

from ray.experimental.internal_kv import _internal_kv_exists, _internal_kv_put

_NAMESPACE = b"wwdc"


def ask_to_stop(job_id: str, point_id: str) -> None:
    """Set the flag of a point; its trial sees it at the end of the epoch."""
    _internal_kv_put(_key(job_id, point_id), b"1", namespace=_NAMESPACE)


def asked_to_stop(job_id: str, point_id: str) -> bool:
    """Whether the flag of a point is set. Costs a round trip to Ray's head."""
    return bool(_internal_kv_exists(_key(job_id, point_id), namespace=_NAMESPACE))


def _key(job_id: str, point_id: str) -> bytes:
    return f"stop/{job_id}/{point_id}".encode()
