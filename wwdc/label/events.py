"""What people said of objects, event by event, and what it comes to."""

__all__ = ["KINDS", "Event", "Kind", "Label", "Posted", "State", "fold", "moment"]

import bisect
import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from wwdc.discovery.targets import GRADES, target

Kind = Literal["anomaly", "normal", "grade", "skip", "flag", "unflag", "undo"]
Verdict = Literal["anomaly", "normal"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_UUID = r"[0-9A-Za-z_-]{8,64}"
_LABELLER = re.compile(r"\w[\w .@+-]{0,63}")


def moment(value: str) -> str:
    """A time as the log has it: UTC, microseconds, so that texts sort as times do.

    >>> moment("2026-01-02T04:04:05+01:00")
    '2026-01-02T03:04:05.000000+00:00'
    """
    time = datetime.datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError("a time needs its offset from UTC")
    return time.astimezone(datetime.UTC).isoformat(timespec="microseconds")


def _labeller(value: str) -> str:
    if not _LABELLER.fullmatch(value):
        raise ValueError(
            "a labeller's name is 1 to 64 letters, digits, spaces and . _ @ + - "
            "and begins with a letter or digit"
        )
    return value


Uuid = Annotated[str, Field(pattern=f"^{_UUID}$")]
Id = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Labeller = Annotated[str, AfterValidator(_labeller)]


class Posted(BaseModel):
    """What a client says: an event without what the server knows better.

    Args:
        uuid: the client's name of the event; said twice, it counts once.
        id: of the object; an undo goes without.
        value: the grade, 0 … 5; the uuid that an undo takes back, null for the labeller's last.
        seconds: spent on the object.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    uuid: Uuid
    id: Id | None = None
    labeller: Labeller
    kind: Kind
    value: int | str | None = None
    seconds: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _value_fits(self) -> "Posted":
        if self.id is None and self.kind != "undo":
            raise ValueError(f"{self.kind} needs the id of an object")
        if self.kind == "grade":
            if not isinstance(self.value, int) or not 0 <= self.value <= GRADES:
                raise ValueError(f"value: a grade is 0 to {GRADES}, got {self.value!r}")
        elif self.kind == "undo":
            named = isinstance(self.value, str) and re.fullmatch(_UUID, self.value)
            if not (self.value is None or named):
                raise ValueError(f"value: undo takes the uuid of an event, got {self.value!r}")
        elif self.value is not None:
            raise ValueError(f"value: {self.kind} takes none, got {self.value!r}")
        return self


class Event(Posted):
    """One line of the log.

    Args:
        time: when the server wrote it, UTC.
        model: number of labels that the ranking of the time had seen.
        score, rank: of the object among the detectors' scores; rank 1 is the oddest.
    """

    id: Id
    time: Annotated[str, AfterValidator(moment)]
    model: Annotated[int, Field(ge=0)] | None = None
    score: float | None = None
    rank: int | None = None

    @model_validator(mode="after")
    def _undoes_something(self) -> "Event":
        if self.kind == "undo" and self.value is None:
            raise ValueError("value: the log names the event that an undo takes back")
        return self

    def as_dict(self) -> dict[str, Any]:
        """Its fields as plain data."""
        return self.model_dump()


@dataclass(frozen=True)
class Label:
    """What was said of an object.

    "Is it an anomaly?" (verdict) and "is it interesting?" (grade) are two questions: an answer to
    one leaves the other as it is. The latest answer counts.

    Attributes:
        skipped: put off, and neither question answered.
        first: time of the first answer that still stands.
    """

    verdict: Verdict | None = None
    grade: int | None = None
    skipped: bool = False
    flagged: bool = False
    first: str | None = None

    @property
    def labelled(self) -> bool:
        """Whether one of the questions is answered."""
        return self.verdict is not None or self.grade is not None

    @property
    def target(self) -> float | None:
        """What a strategy learns: +1 anomaly, −1 normal; (grade − 2.5)/2.5 without a verdict."""
        return target(self.verdict, self.grade)


class State:
    """The fold of a log: events may come in any order, and one that is known changes nothing.

    Attributes:
        labels: object → what everybody's events come to.
        known: uuid → event.
    """

    def __init__(self) -> None:
        self.labels: dict[int, Label] = {}
        self.known: dict[str, Event] = {}
        self._undone: set[str] = set()
        self._of: dict[int, list[Event]] = {}
        self._own: dict[str, dict[int, Label]] = {}

    @property
    def labellers(self) -> list[str]:
        """Everybody who said something, by name."""
        return sorted(self._own)

    def apply(self, event: Event) -> int | None:
        """Take an event in; the object whose label may have changed by it."""
        if event.uuid in self.known:
            return None
        self.known[event.uuid] = event
        touched = event.id
        if event.kind == "undo":
            self._undone.add(str(event.value))
            undone = self.known.get(str(event.value))
            touched = undone.id if undone else event.id
        bisect.insort(self._of.setdefault(event.id, []), event, key=lambda e: e.time)
        self._own.setdefault(event.labeller, {})
        self._refold(touched)
        return touched

    def history(self, id: int) -> list[Event]:
        """All events of an object, oldest first, undone ones and undos among them."""
        return list(self._of.get(id, ()))

    def own(self, id: int, labeller: str) -> Label:
        """What *labeller* said of an object; where he said nothing, what the others did."""
        own = self._own.get(labeller, {}).get(id)
        everybody = self.labels.get(id, Label())
        if own is None:
            return everybody
        return (
            own
            if own.labelled
            else Label(
                everybody.verdict, everybody.grade, own.skipped, own.flagged, everybody.first
            )
        )

    def skipped_by(self, labeller: str) -> set[int]:
        """Objects that *labeller* put off."""
        return {id for id, label in self._own.get(labeller, {}).items() if label.skipped}

    def by_labeller(self) -> dict[str, dict[int, Label]]:
        """Labeller → object → what this one said of it."""
        return {name: dict(labels) for name, labels in sorted(self._own.items())}

    def target(self, id: int) -> float | None:
        """The mean over labellers of what a strategy is to learn; None where nobody answered."""
        found = [own[id].target for own in self._own.values() if id in own]
        known = [target for target in found if target is not None]
        return sum(known) / len(known) if known else None

    def curve(self) -> list[tuple[int, int]]:
        """(objects labelled, anomalies among them) after each, in the order of first answers."""
        labels = (label for label in self.labels.values() if label.labelled)
        answered = sorted(labels, key=lambda label: str(label.first))
        points, found = [], 0
        for number, label in enumerate(answered, start=1):
            found += label.verdict == "anomaly"
            points.append((number, found))
        return points

    def _refold(self, id: int) -> None:
        standing = [
            e for e in self._of.get(id, ()) if e.kind != "undo" and e.uuid not in self._undone
        ]
        self._put(self.labels, id, standing)
        for labeller, own in self._own.items():
            self._put(own, id, [e for e in standing if e.labeller == labeller])

    @staticmethod
    def _put(labels: dict[int, Label], id: int, events: list[Event]) -> None:
        if events:
            labels[id] = _label(events)
        else:
            labels.pop(id, None)


def fold(events: Iterable[Event]) -> State:
    """The state that *events* come to."""
    state = State()
    for event in events:
        state.apply(event)
    return state


def _label(events: Iterable[Event]) -> Label:
    """What events of one object, oldest first and none undone, come to."""
    label = Label()
    for event in events:
        verdict, grade, first = label.verdict, label.grade, label.first
        skipped, flagged = label.skipped, label.flagged
        if event.kind in ("anomaly", "normal"):
            verdict, skipped = event.kind, False
        elif event.kind == "grade":
            grade, skipped = int(event.value or 0), False
        elif event.kind == "skip":
            skipped = not label.labelled
        else:
            flagged = event.kind == "flag"
        if event.kind in ("anomaly", "normal", "grade"):
            first = first or event.time
        label = Label(verdict, grade, skipped, flagged, first)
    return label
