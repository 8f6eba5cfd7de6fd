"""A campaign: objects, what was said of them, what to look at next. Knows no web and no Ray."""

__all__ = ["Campaign", "Ranking", "Targets"]

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.errors import DataError, closest
from wwdc.label.events import Event, Label, Posted, State
from wwdc.label.log import LabelLog, Written
from wwdc.label.objects import Objects
from wwdc.label.ordering import FILTERS, Orders

# Shapes: N objects, L labels.

SORTS = ("acquisition", "score", "rank", "random", "id", "label")
_UPWARD = ("id", "rank")
"""Keys whose lowest value comes first unless one asks otherwise."""


class Unknown(DataError):
    """There is no such object."""


@dataclass(frozen=True, eq=False)
class Targets:
    """What there is to learn, in the order of first answers.

    Attributes:
        revision: counted up with every change.
        rows, values: (L,); values in [−1, 1].
    """

    revision: int
    rows: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """What a strategy would ask about.

    Attributes:
        labels: how many it has learnt from.
        revision: of the targets it has seen; −1: none, this is the prior.
        acquisition: (N,) float32, the highest is asked first.
        queue: rows chosen together, which are asked before all others.
    """

    labels: int
    revision: int
    acquisition: NDArray[np.float32]
    queue: tuple[int, ...] = ()


class Campaign:
    """One log over one set of objects. Its methods may be called by several threads.

    Events that other processes write to the log are seen at the next call.

    Args:
        seed: of the random order.
        lease_s: how long an object is kept for the one it was handed to.
    """

    def __init__(self, objects: Objects, log: LabelLog, *, seed: int, lease_s: float) -> None:
        self.objects, self.log = objects, log
        self.changed = threading.Event()
        self._seed, self._lease_s = seed, lease_s
        self._lock = threading.RLock()
        self._state, self._seq, self._revision = State(), 0, 0
        n = len(objects)
        self._verdict = np.zeros(n, np.int8)
        self._grade = np.full(n, -1, np.int8)
        self._flags = {name: np.zeros(n, bool) for name in ("labelled", "skipped", "flagged")}
        self._ranking = Ranking(0, -1, objects.prior)
        self.sorts = self._sorts()
        self._orders = Orders(objects.by_id, self._values, self.sorts)
        self.rank(self._ranking)
        self.refresh()

    def refresh(self) -> None:
        """Take in what was written to the log since."""
        with self._lock:
            events, self._seq = self.log.since(self._seq)
            for event in events:
                if self.objects.row(event.id) is None:
                    continue  # of a split that is not looked at now
                touched = self._state.apply(event)
                if touched is not None:
                    self._mark(touched)
            if events:
                self._revision += 1
                self.changed.set()

    @property
    def revision(self) -> int:
        """Counted up whenever something new is in the log, which is looked at for it."""
        with self._lock:
            self.refresh()
            return self._revision

    @property
    def ranking(self) -> Ranking:
        """The one that is in force."""
        with self._lock:
            return self._ranking

    def rank(self, ranking: Ranking) -> None:
        """Put a ranking in force."""
        if ranking.acquisition.shape != (len(self.objects),):
            raise DataError(f"a ranking of {ranking.acquisition.shape} objects")
        # sorted before it is in force: a million objects take a second, which no request waits for
        self._orders.put("acquisition", _with_queue(ranking), ranking.revision)
        with self._lock:
            self._ranking = ranking

    def targets(self) -> Targets:
        """What a strategy is to learn from now."""
        with self._lock:
            self.refresh()
            answered = [(label.first, id) for id, label in self._state.labels.items()]
            ids = [id for first, id in sorted((f, i) for f, i in answered if f is not None)]
            found = [(self._row(id), self._state.target(id)) for id in ids]
            known = [(row, target) for row, target in found if target is not None]
            rows = np.asarray([row for row, _ in known], np.int64)
            return Targets(self._revision, rows, np.asarray([t for _, t in known], np.float64))

    def say(self, posted: Posted) -> Written:
        """Write what a labeller said; it is on the disk when this returns.

        Raises:
            Unknown: there is no such object.
            Refused: it contradicts the log.
        """
        known: dict[str, Any] = {}
        if posted.kind != "undo":
            row = self._row(int(posted.id or 0))
            score = float(self.objects.score[row])
            known = {
                "score": score if np.isfinite(score) else None,
                "rank": int(self.objects.rank[row]),
            }
        written = self.log.add(posted, model=self.ranking.labels, **known)
        self.refresh()
        return written

    def merge(self, events: Sequence[Event]) -> tuple[int, int]:
        """Add events of another log; how many were new, and how many were known.

        Raises:
            Unknown: one is of an object that is not here. Nothing is added.
            Refused: a uuid names another event here.
        """
        for event in events:
            self._row(event.id)
        found = self.log.merge(events)
        self.refresh()
        return found

    def counts(self) -> dict[str, int]:
        """How many objects are what; the latest word of anybody counts."""
        with self._lock:
            return {
                "anomaly": int((self._verdict > 0).sum()),
                "normal": int((self._verdict < 0).sum()),
                "graded": int((self._grade >= 0).sum()),
                **{name: int(flag.sum()) for name, flag in self._flags.items()},
            }

    def curve(self) -> list[tuple[int, int]]:
        """(objects labelled, anomalies among them), after each."""
        with self._lock:
            return self._state.curve()

    def labellers(self) -> list[str]:
        """Everybody who said something."""
        with self._lock:
            return self._state.labellers

    def label(self, row: int, labeller: str | None = None) -> Label:
        """What *labeller*, or anybody, said of an object."""
        id = int(self.objects.ids[row])
        with self._lock:
            if labeller is None:
                return self._state.labels.get(id, Label())
            return self._state.own(id, labeller)

    def history(self, row: int) -> list[Event]:
        """Every event of an object."""
        with self._lock:
            return self._state.history(int(self.objects.ids[row]))

    def state(self) -> State:
        """The fold of the log as of now, of the objects that are looked at. To be read only."""
        with self._lock:
            self.refresh()
            return self._state

    def page(
        self, sort: str, order: str | None, which: str, offset: int, limit: int
    ) -> tuple[int, NDArray[np.int64]]:
        """How many rows pass a filter, and some of them in an order.

        Args:
            order: ``asc`` or ``desc``; by default what is of most interest comes first.
            which: one of `FILTERS`.

        Raises:
            DataError: there is no such key or filter.
        """
        if which not in FILTERS:
            raise DataError(f"filter: there is no {which!r}. There are {', '.join(FILTERS)}.")
        rows = self._orders.get(sort, descending=_descending(sort, order))
        if which != "all":
            with self._lock:
                passes = self._passing(which)
                rows = rows[passes[rows]]
        return len(rows), rows[offset : offset + limit]

    def next(
        self, labeller: str, sort: str, exclude: Iterable[int] = ()
    ) -> tuple[int, float] | None:
        """Hand out the first object that is neither labelled nor in other hands.

        What *labeller* put off is not handed to him again.

        Returns:
            Its row, and the Unix time until which it is his.
        """
        rows = self._orders.get(sort, descending=_descending(sort, None))
        barred = set(exclude)

        def choose(taken: set[int]) -> int | None:
            self.refresh()
            free = ~self._flags["labelled"]
            for id in barred | taken | self._state.skipped_by(labeller):
                row = self.objects.row(id)
                if row is not None:
                    free[row] = False
            place = int(np.argmax(free[rows]))
            return int(self.objects.ids[rows[place]]) if free[rows[place]] else None

        with self._lock:  # before the log's own, as everywhere
            leased = self.log.lease(choose, labeller, self._lease_s)
        return None if leased is None else (self._row(leased[0]), leased[1])

    def column(self, name: str) -> NDArray[np.generic]:
        """Values (N,) of a key of `sorts`, or of ``label``: 1 anomaly, −1 normal, 0 neither."""
        if name not in self.sorts:
            guess = closest(name, self.sorts)
            raise DataError(f"name: there is no column {name!r}.{guess}")
        if name == "label":
            with self._lock:
                return self._verdict.copy()
        return self._values(name)[0]

    def _sorts(self) -> tuple[str, ...]:
        of_objects = (*self.objects.detectors, *self.objects.table)
        return tuple(dict.fromkeys((*SORTS, *of_objects)))

    def _values(self, key: str) -> tuple[NDArray[np.generic], int]:
        """The values of a key and the version they are of."""
        objects = self.objects
        if key == "acquisition":
            ranking = self.ranking
            return _with_queue(ranking), ranking.revision
        if key == "label":
            with self._lock:
                return self._verdict * np.int16(10) + self._grade, self._seq
        plain: dict[str, Callable[[], NDArray[np.generic]]] = {
            "score": lambda: objects.score,
            "rank": lambda: objects.rank,
            "random": lambda: np.random.default_rng(self._seed).permutation(len(objects)),
            "id": lambda: _places(objects.by_id),
        }
        if key in plain:
            return plain[key](), 0
        return (objects.detectors if key in objects.detectors else objects.table)[key], 0

    def _passing(self, which: str) -> NDArray[np.bool_]:
        if which == "unlabelled":
            return ~self._flags["labelled"]
        if which in self._flags:
            return self._flags[which]
        return self._verdict > 0 if which == "anomaly" else self._verdict < 0

    def _row(self, id: int) -> int:
        row = self.objects.row(id)
        if row is None:
            raise Unknown(f"there is no object {id}")
        return row

    def _mark(self, id: int) -> None:
        """Bring the arrays up to date for one object."""
        row, label = self._row(id), self._state.labels.get(id, Label())
        self._verdict[row] = {"anomaly": 1, "normal": -1, None: 0}[label.verdict]
        self._grade[row] = -1 if label.grade is None else label.grade
        for name, flag in self._flags.items():
            flag[row] = getattr(label, name)


def _descending(sort: str, order: str | None) -> bool:
    if order not in (None, "asc", "desc"):
        raise DataError(f"order: asc or desc, got {order!r}")
    return sort not in _UPWARD if order is None else order == "desc"


def _places(by_id: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each row, its place in the order of ids."""
    places = np.empty_like(by_id)
    places[by_id] = np.arange(len(by_id))
    return places


def _with_queue(ranking: Ranking) -> NDArray[np.float32]:
    """The acquisition, with what was chosen together before all others."""
    if len(ranking.queue) < 2:
        return ranking.acquisition
    values = ranking.acquisition.copy()
    highest = float(np.nanmax(values))
    ahead = highest + 1.0 + np.arange(len(ranking.queue), 0, -1)
    values[list(ranking.queue)] = ahead
    return values
