"""Events are checked, and fold to what was said last."""

import itertools

import pytest
from pydantic import ValidationError

from wwdc.label.events import Event, Posted, fold


def event(number: int, kind: str, id: int = 1, labeller: str = "ada", value=None) -> Event:
    time = f"2026-01-01T00:00:{number:02d}+00:00"
    uuid = f"event-{number:04d}"
    return Event(uuid=uuid, id=id, kind=kind, labeller=labeller, value=value, time=time)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "odd"},
        {"kind": "grade", "value": 6},
        {"kind": "grade", "value": None},
        {"kind": "grade", "value": "5"},
        {"kind": "grade", "value": True},
        {"kind": "anomaly", "value": 1},
        {"kind": "undo", "value": 3},
        {"kind": "undo", "value": "\ud800 no uuid"},
        {"kind": "anomaly", "id": None},
        {"id": 1.5},
        {"id": "1"},
        {"id": 2**63},
        {"labeller": ""},
        {"labeller": "=cmd()"},
        {"labeller": "a\n"},
        {"labeller": "x" * 65},
        {"uuid": "short"},
        {"uuid": "a b c d e f"},
        {"seconds": -1.0},
        {"seconds": float("nan")},
        {"more": 1},
    ],
)
def test_what_is_no_event_is_refused(wrong):
    right = {"uuid": "event-0001", "id": 1, "labeller": "ada", "kind": "anomaly"}
    Posted.model_validate(right)
    with pytest.raises(ValidationError):
        Posted.model_validate(right | wrong)


def test_a_time_is_kept_in_utc():
    fields = event(1, "skip").as_dict() | {"time": "2026-01-01T02:00:00+02:00"}
    assert Event(**fields).time == "2026-01-01T00:00:00.000000+00:00"
    with pytest.raises(ValidationError, match="offset"):
        Event(**fields | {"time": "2026-01-01T02:00:00"})


def test_the_last_answer_to_each_question_counts():
    said = [event(1, "anomaly"), event(2, "grade", value=4), event(3, "normal")]
    label = fold(said).labels[1]
    assert (label.verdict, label.grade) == ("normal", 4)
    assert label.target == -1.0
    assert label.first == said[0].time


@pytest.mark.parametrize(("grade", "target"), [(0, -1.0), (5, 1.0), (3, 0.2)])
def test_a_grade_alone_is_a_target(grade, target):
    assert fold([event(1, "grade", value=grade)]).target(1) == pytest.approx(target)


def test_what_labellers_say_is_averaged_for_the_strategy():
    said = [event(1, "anomaly"), event(2, "normal", labeller="bob"), event(3, "skip", labeller="c")]
    state = fold(said)
    assert state.target(1) == 0.0
    assert state.labels[1].verdict == "normal"
    assert state.own(1, "ada").verdict == "anomaly"
    assert state.own(1, "dan").verdict == "normal"
    assert state.own(1, "c").verdict == "normal"  # who skipped sees what the others said
    assert state.own(1, "c").skipped


def test_undo_takes_back_what_it_names_and_nothing_else():
    said = [event(1, "anomaly"), event(2, "grade", value=1), event(3, "normal")]
    undo = event(4, "undo", value=said[2].uuid)
    label = fold([*said, undo]).labels[1]
    assert (label.verdict, label.grade) == ("anomaly", 1)
    assert 1 not in fold([said[0], event(5, "undo", value=said[0].uuid)]).labels


def test_the_order_in_which_events_arrive_does_not_matter():
    said = [
        event(1, "anomaly"),
        event(2, "normal"),
        event(3, "undo", value="event-0002"),
        event(4, "flag"),
        event(5, "grade", value=2),
    ]
    labels = [fold(order).labels for order in itertools.permutations(said)]
    assert all(found == labels[0] for found in labels)
    assert labels[0][1].verdict == "anomaly"


def test_an_event_counts_once():
    state = fold([event(1, "flag")])
    assert state.apply(event(1, "flag")) is None
    assert len(state.history(1)) == 1


def test_an_answer_ends_a_skip_and_a_flag_is_taken_back():
    state = fold([event(1, "skip"), event(2, "flag")])
    assert state.labels[1].skipped
    assert state.skipped_by("ada") == {1}
    state.apply(event(3, "normal"))
    state.apply(event(4, "unflag"))
    assert not state.labels[1].skipped
    assert not state.labels[1].flagged
    assert state.skipped_by("ada") == set()


def test_the_curve_counts_objects_in_the_order_of_first_answers():
    said = [
        event(1, "anomaly", id=1),
        event(2, "normal", id=2),
        event(3, "anomaly", id=3),
        event(4, "anomaly", id=2),  # a second thought about the second object
        event(5, "skip", id=4),
    ]
    assert fold(said[:3]).curve() == [(1, 1), (2, 1), (3, 2)]
    assert fold(said).curve() == [(1, 1), (2, 2), (3, 3)]
