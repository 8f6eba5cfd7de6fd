"""What a run wants of its points, looked up where they train."""

__all__ = ["Wishes", "has_time"]

import time
from typing import TYPE_CHECKING

from wwdc.tune.flags import asked_to_pause, asked_to_stop, epoch_seconds

if TYPE_CHECKING:
    from wwdc.training.callbacks import Wish
    from wwdc.tune.trial import TrialSpec

ASK_EVERY_S = 1.0

LEAVING_S = 3.0
"""Kept of the time for saving a point and telling Tune of it, before the driver ends the run."""


class Wishes:
    """Called after each epoch of a point: how it is to end now, or None to go on.

    A point is put aside when the run is asked to leave, or when another epoch like the last one
    would not fit into the time that is left.

    Args:
        watched: whether a scheduler may ask the point to stop; asked every epoch then, else about
            once a second, for each question costs a round trip to Ray's head.
    """

    def __init__(self, spec: "TrialSpec", watched: bool) -> None:
        self.spec = spec
        self.watched = watched
        self._asked = 0.0
        self._epoch_began: float | None = None  # the first one has what comes before it in it

    def __call__(self) -> "Wish | None":
        now, spec = time.time(), self.spec
        began, self._epoch_began = self._epoch_began, now
        if not _fits(now - began if began is not None else 0.0, spec):
            return "pause"
        if not self.watched and now - self._asked < ASK_EVERY_S:
            return None
        self._asked = now
        if asked_to_pause(spec.job_id):
            return "pause"
        if self.watched and asked_to_stop(spec.job_id, spec.point_id):
            return "stop"
        return None


def has_time(spec: "TrialSpec") -> bool:
    """Whether a point should be begun: an epoch of it, as far as known, fits into what is left."""
    if asked_to_pause(spec.job_id):
        return False
    seconds = spec.epoch_s if spec.epoch_s is not None else epoch_seconds(spec.job_id)
    return _fits(seconds or 0.0, spec)


def _fits(seconds: float, spec: "TrialSpec") -> bool:
    return time.time() + seconds < spec.end - LEAVING_S
