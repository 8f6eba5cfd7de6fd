"""The log of a campaign: events in SQLite, written once and never changed."""

__all__ = ["LabelLog", "Refused", "Written", "find_log", "read_log"]

import contextlib
import datetime
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wwdc.errors import DataError, ProductError, WWDCError, closest
from wwdc.label.events import Event, Posted
from wwdc.products import Tree

SCHEMA = 1
"""Major version of the tables, in ``user_version``."""

_COLUMNS = (
    "uuid", "time", "labeller", "id", "kind", "value", "model", "score", "rank", "seconds",
)  # fmt: skip
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, time TEXT NOT NULL,
    labeller TEXT NOT NULL, id INTEGER NOT NULL, kind TEXT NOT NULL, value,
    model INTEGER, score REAL, rank INTEGER, seconds REAL
);
CREATE INDEX by_labeller ON events (labeller, time);
CREATE TABLE leases (id INTEGER PRIMARY KEY, labeller TEXT NOT NULL, until REAL NOT NULL);
CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN
    SELECT RAISE(ABORT, 'the log only grows: undo is an event'); END;
CREATE TRIGGER events_fixed BEFORE UPDATE ON events BEGIN
    SELECT RAISE(ABORT, 'the log only grows: undo is an event'); END;
"""
_LAST = """
SELECT * FROM events AS said WHERE labeller = ? AND kind != 'undo' AND NOT EXISTS (
    SELECT 1 FROM events WHERE kind = 'undo' AND value = said.uuid
) ORDER BY time DESC, seq DESC LIMIT 1
"""


class Refused(WWDCError):
    """An event that contradicts the log: what it undoes is not there, its uuid is taken."""


@dataclass(frozen=True)
class Written:
    """An event as the log has it.

    Attributes:
        undone: what it took back, of an undo.
        new: whether it was written now; else it had been said before.
    """

    event: Event
    undone: Event | None
    new: bool


class LabelLog:
    """One campaign's events, for several processes at once.

    What `add` has returned is on the disk (write-ahead log, synchronous=FULL), whatever is killed
    afterwards. SQLite's write-ahead log needs all processes on one machine.

    Args:
        path: the file; made where it is missing.
        fingerprint: of the dataset whose objects are labelled.
        embedding: the embedding that is looked at, for the record.

    Raises:
        ProductError: it is no log, one of another schema, or of other data.
    """

    def __init__(self, path: Path, *, fingerprint: str, embedding: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True)
        with _told(path):
            self._db = sqlite3.connect(
                path, timeout=30.0, isolation_level=None, check_same_thread=False
            )
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            with self._transaction():
                if _is_empty(self._db):
                    self._create(fingerprint, embedding)
            self.meta = _meta(self._db, path)
        if self.meta["fingerprint"] != fingerprint:
            self._db.close()
            raise ProductError(
                f"{path} holds labels of other data: their fingerprint is "
                f"{self.meta['fingerprint']}, those of this experiment have {fingerprint}. Start "
                "another campaign with --name."
            )

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def add(
        self,
        posted: Posted,
        *,
        model: int | None = None,
        score: float | None = None,
        rank: int | None = None,
    ) -> Written:
        """Write an event and wait until it is on the disk.

        Args:
            model, score, rank: what the server knew of the object.

        Raises:
            Refused: its uuid names another event, or it undoes what cannot be undone.
            ProductError: the file cannot be written.
        """
        with _told(self.path), self._transaction():
            known = self._find(posted.uuid)
            if known is not None:
                if not _same(known, posted):
                    raise Refused(f"the uuid {posted.uuid} names another event of the log")
                return Written(known, self._undone(known), new=False)
            fields = posted.model_dump()
            undone = self._to_undo(posted) if posted.kind == "undo" else None
            if undone is not None:
                fields |= {"value": undone.uuid, "id": undone.id}
            fields["time"] = self._now(posted.labeller)
            event = Event(**fields, model=model, score=score, rank=rank)
            self._insert(event)
            self._db.execute("DELETE FROM leases WHERE id = ?", (event.id,))
        return Written(event, undone, new=True)

    def merge(self, events: Iterable[Event]) -> tuple[int, int]:
        """Add events of another log; how many were new, and how many were known by their uuid."""
        added = known = 0
        with _told(self.path), self._transaction():
            for event in events:
                found = self._find(event.uuid)
                if found is None:
                    self._insert(event)
                    added += 1
                elif _same(found, event):
                    known += 1
                else:
                    raise Refused(f"the uuid {event.uuid} names another event of the log")
        return added, known

    def since(self, seq: int) -> tuple[list[Event], int]:
        """Events written after the *seq*-th, and the number of the last."""
        with _told(self.path), self._lock:
            query = "SELECT * FROM events WHERE seq > ? ORDER BY seq"
            rows = self._db.execute(query, (seq,)).fetchall()
        return [_event(row) for row in rows], rows[-1]["seq"] if rows else seq

    def lease(
        self, choose: Callable[[set[int]], int | None], labeller: str, seconds: float
    ) -> tuple[int, float] | None:
        """Hand out an object to *labeller* alone, for some seconds.

        Args:
            choose: takes the objects that others have, returns one to hand out, if any. Nobody
                writes to the log meanwhile.

        Returns:
            The object and the Unix time at which it may go to others.
        """
        with _told(self.path), self._transaction():
            now = time.time()
            self._db.execute("DELETE FROM leases WHERE until <= ?", (now,))
            query = "SELECT id FROM leases WHERE labeller != ?"
            taken = {row["id"] for row in self._db.execute(query, (labeller,))}
            chosen = choose(taken)
            if chosen is None:
                return None
            until = now + seconds
            self._db.execute(
                "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "labeller = excluded.labeller, until = excluded.until",
                (chosen, labeller, until),
            )
        return chosen, until

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Alone among threads and processes; all of it is written, or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _create(self, fingerprint: str, embedding: str) -> None:
        for statement in _statements(_TABLES):
            self._db.execute(statement)
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        about = {"fingerprint": fingerprint, "embedding": embedding, "created": created}
        self._db.executemany("INSERT INTO meta VALUES (?, ?)", about.items())
        self._db.execute(f"PRAGMA user_version = {SCHEMA}")

    def _insert(self, event: Event) -> None:
        fields = event.as_dict()
        marks = ", ".join("?" * len(_COLUMNS))
        self._db.execute(
            f"INSERT INTO events ({', '.join(_COLUMNS)}) VALUES ({marks})",
            [fields[name] for name in _COLUMNS],
        )

    def _find(self, uuid: str) -> Event | None:
        row = self._db.execute("SELECT * FROM events WHERE uuid = ?", (uuid,)).fetchone()
        return _event(row) if row else None

    def _undone(self, event: Event) -> Event | None:
        return self._find(str(event.value)) if event.kind == "undo" else None

    def _to_undo(self, posted: Posted) -> Event:
        """The event that an undo takes back: the one it names, or its labeller's last."""
        if posted.value is None:
            row = self._db.execute(_LAST, (posted.labeller,)).fetchone()
            if row is None:
                raise Refused(f"{posted.labeller} has nothing to undo")
            return _event(row)
        event = self._find(str(posted.value))
        if event is None or event.kind == "undo":
            raise Refused(f"{posted.value} is no event that can be undone")
        if event.labeller != posted.labeller:
            raise Refused(f"{posted.value} is an event of {event.labeller}, not yours")
        query = "SELECT 1 FROM events WHERE kind = 'undo' AND value = ?"
        if self._db.execute(query, (event.uuid,)).fetchone():
            raise Refused(f"{posted.value} is undone already")
        return event

    def _now(self, labeller: str) -> str:
        """The time, later than the labeller's last event even where the clock went back."""
        now = datetime.datetime.now(datetime.UTC)
        query = "SELECT MAX(time) FROM events WHERE labeller = ?"
        (last,) = self._db.execute(query, (labeller,)).fetchone()
        if last is not None:
            later = datetime.datetime.fromisoformat(last) + datetime.timedelta(microseconds=1)
            now = max(now, later)
        return now.isoformat(timespec="microseconds")


def find_log(tree: Tree, name: str, option: str) -> Path:
    """The log of the campaign that *option* of a command names.

    Raises:
        DataError: there is none; those there are are named.
    """
    path = tree.labels / f"{name}.sqlite"
    if not path.is_file():
        there = sorted(log.stem for log in tree.labels.glob("*.sqlite"))
        listed = f" There are {', '.join(there)}." if there else " There are none yet."
        raise DataError(
            f"{option} {name}: {tree.name} has no such labels.{closest(name, there)}{listed} "
            "python -m wwdc.label EXPERIMENT --name NAME makes them."
        )
    return path


def read_log(path: Path) -> tuple[dict[str, str], list[Event]]:
    """A log's ``fingerprint``, ``embedding`` and ``created``, and its events, without writing.

    Raises:
        ProductError: it is missing, empty, no log, or one of another schema.
    """
    if not path.is_file():
        raise ProductError(f"{path}: there is no such log of labels.")
    with _told(path), contextlib.closing(sqlite3.connect(path, timeout=30.0)) as db:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA query_only = ON")
        if _is_empty(db):
            raise ProductError(
                f"{path}: an empty file, no log of labels. Restore it, or remove it: the labelling "
                "page begins it anew."
            )
        about = _meta(db, path)
        return about, [_event(row) for row in db.execute("SELECT * FROM events ORDER BY seq")]


def _same(event: Event, posted: Posted) -> bool:
    """Whether an event of the log is what is said again; an undo may leave out what it undid."""
    if (event.labeller, event.kind) != (posted.labeller, posted.kind):
        return False
    if event.kind == "undo":
        return posted.value in (None, event.value)
    return (event.id, event.value) == (posted.id, posted.value)


def _event(row: Mapping[str, Any]) -> Event:
    return Event(**{name: row[name] for name in _COLUMNS})


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _is_empty(db: sqlite3.Connection) -> bool:
    return not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()


def _meta(db: sqlite3.Connection, path: Path) -> dict[str, str]:
    found = _version(db)
    if found != SCHEMA:
        raise ProductError(
            f"{path}: a log of schema {found}, this wwdc reads schema {SCHEMA}. Use the version of "
            "wwdc that wrote it."
        )
    return dict(db.execute("SELECT key, value FROM meta").fetchall())


def _statements(script: str) -> Iterator[str]:
    """One by one: `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say which file it is that SQLite cannot use."""
    try:
        yield
    except sqlite3.Error as error:
        raise ProductError(f"{path}: cannot be used as a log of labels ({error}).") from error
    except ValidationError as error:
        raise ProductError(f"{path}: an event of the log is broken ({error}).") from error
