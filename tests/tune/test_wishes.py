"""When a point is put aside, and when it is not begun, for want of time."""

import time
from types import SimpleNamespace

import pytest

from wwdc.tune import wishes
from wwdc.tune.wishes import LEAVING_S, Wishes, has_time


@pytest.fixture(autouse=True)
def nobody_asks(monkeypatch):
    for question in ("asked_to_pause", "asked_to_stop"):
        monkeypatch.setattr(wishes, question, lambda *_: False)
    monkeypatch.setattr(wishes, "epoch_seconds", lambda _: None)


def spec(left_s: float, epoch_s: float | None = None) -> SimpleNamespace:
    end = time.time() + LEAVING_S + left_s
    return SimpleNamespace(end=end, epoch_s=epoch_s, job_id="1", point_id="p")


def test_a_point_leaves_before_the_driver_ends_the_run():
    assert Wishes(spec(100.0), watched=False)() is None
    assert Wishes(spec(-1.0), watched=False)() == "pause"  # short of the end, not past it


def test_a_point_leaves_when_an_epoch_like_the_last_does_not_fit():
    asked = Wishes(spec(100.0), watched=False)
    assert asked() is None
    asked._epoch_began -= 200.0
    assert asked() == "pause"


@pytest.mark.parametrize("left_s, epoch_s, fits", [(9, 5, True), (9, 20, False), (-1, 0, False)])
def test_a_point_is_begun_when_an_epoch_fits(left_s, epoch_s, fits):
    assert has_time(spec(left_s, epoch_s)) is fits
