"""What the page is told: plain data of objects, columns as bytes."""

__all__ = ["Answers"]

import functools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wwdc.label.campaign import Campaign, Unknown
from wwdc.label.events import Event, Posted
from wwdc.label.features import Features, project
from wwdc.label.neighbours import Neighbours
from wwdc.label.objects import STABILITIES

FOUND = 20
"""Most objects that a search by id lists."""


class Learner(Protocol):
    """What is asked of a `wwdc.label.ranker.Ranker`."""

    @property
    def status(self) -> Any: ...

    @property
    def umap(self) -> NDArray[np.float32] | None: ...


@dataclass
class Answers:
    """Answers to the page's questions, without a word of HTTP.

    Attributes:
        about: what ``state`` says of the campaign and does not change.
        features: what the PCA map is made of.
    """

    campaign: Campaign
    neighbours: Neighbours
    learner: Learner
    features: Features
    about: Mapping[str, Any]
    labeller: str
    _projecting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def state(self, labeller: str | None) -> dict[str, Any]:
        """Where the campaign stands."""
        campaign, status = self.campaign, self.learner.status
        campaign.refresh()
        objects = campaign.objects
        return {
            **self.about,
            "split_names": list(objects.split_names),
            "total": len(objects),
            "labeller": labeller or self.labeller,
            "labellers": campaign.labellers(),
            "counts": campaign.counts(),
            "model": {
                "version": campaign.ranking.labels,
                "labels": campaign.counts()["labelled"],
                "busy": status.busy,
                "error": status.error,
            },
            "columns": [
                {**v.as_dict(), "kept": v.name in objects.kept.names}
                for v in objects.catalogue
                if v.name in objects.table
            ],
            "detectors": list(objects.detectors),
            "sorts": list(campaign.sorts),
            "curve": campaign.curve(),
            "projections": {"pca": True, "umap": status.umap},
        }

    def item(self, row: int, labeller: str) -> dict[str, Any]:
        """An object in a list."""
        objects = self.campaign.objects
        label = self.campaign.label(row, labeller)
        return {
            "id": int(objects.ids[row]),
            "row": row,
            "split": objects.split_names[objects.split[row]],
            "rank": int(objects.rank[row]),
            "score": plain(objects.score[row]),
            "percentile": objects.percentile("score", row),
            "acquisition": plain(self.campaign.ranking.acquisition[row]),
            "verdict": label.verdict,
            "grade": label.grade,
            "flagged": label.flagged,
            "skipped": label.skipped,
        }

    def page(
        self, sort: str, order: str | None, which: str, offset: int, limit: int, labeller: str
    ) -> dict[str, Any]:
        """Some objects of an order."""
        self.campaign.refresh()
        total, rows = self.campaign.page(sort, order, which, offset, limit)
        items = [self.item(int(row), labeller) for row in rows]
        return {"total": total, "offset": offset, "items": items}

    def next(self, labeller: str, sort: str, exclude: Sequence[int]) -> dict[str, Any]:
        """One object, handed out to *labeller*."""
        found = self.campaign.next(labeller, sort, exclude)
        if found is None:
            return {"item": None, "lease": None}
        row, until = found
        return {"item": self.item(row, labeller), "lease": {"until": until}}

    def row(self, id: int) -> int:
        """The row of an object.

        Raises:
            Unknown: there is none.
        """
        row = self.campaign.objects.row(id)
        if row is None:
            raise Unknown(f"there is no object {id}")
        return row

    def details(self, id: int, labeller: str) -> dict[str, Any]:
        """All that is known of an object."""
        self.campaign.refresh()
        row, objects = self.row(id), self.campaign.objects
        stabilities = {name: objects.measures.get(f"stability_{name}") for name in STABILITIES}
        near = self.neighbours.of(row)
        return {
            **self.item(row, labeller),
            "catalogue": {name: plain(column[row]) for name, column in objects.table.items()},
            "scores": {
                name: {"value": plain(column[row]), "percentile": objects.percentile(name, row)}
                for name, column in objects.detectors.items()
            },
            "stability": {n: None if c is None else plain(c[row]) for n, c in stabilities.items()},
            **{
                name: plain(objects.measures[name][row]) if name in objects.measures else None
                for name in ("p_value", "q_value")
            },
            "neighbours": [
                {
                    "id": int(objects.ids[other]),
                    "distance": distance,
                    "verdict": self.campaign.label(other).verdict,
                }
                for other, distance in near
            ],
            "history": [told(event) for event in self.campaign.history(row)],
        }

    def find(self, text: str, labeller: str) -> dict[str, Any]:
        """Objects whose id begins with *text*."""
        rows = self.campaign.objects.find(text, FOUND)
        return {"items": [self.item(row, labeller) for row in rows]}

    def say(self, posted: Posted) -> dict[str, Any]:
        """Write an event."""
        written = self.campaign.say(posted)
        curve = self.campaign.curve()
        answer: dict[str, Any] = {
            "ok": True,
            "event": written.event.as_dict(),
            "counts": self.campaign.counts(),
            "curve_point": curve[-1] if curve else [0, 0],
        }
        if written.undone is not None:
            undone = written.undone
            answer["undone"] = {"id": undone.id, "kind": undone.kind, "value": undone.value}
        return answer

    def merge(self, events: Sequence[Event]) -> dict[str, int]:
        """Take in events of another log."""
        added, known = self.campaign.merge(events)
        return {"added": added, "known": known}

    def scatter(self, projection: str) -> tuple[bytes | None, str]:
        """Places of all objects as float32 x, y, x, y …, or none yet and why."""
        if projection == "pca":
            with self._projecting:
                return self._pca, "ready"
        places = self.learner.umap
        if places is None:
            return None, self.learner.status.umap
        return np.ascontiguousarray(places, "<f4").tobytes(), "ready"

    @functools.cached_property
    def _pca(self) -> bytes:
        return np.ascontiguousarray(project(self.features), "<f4").tobytes()

    def column(self, name: str) -> tuple[bytes, float, float]:
        """A column as float32, its lowest and its highest value."""
        self.campaign.refresh()
        values = self.campaign.column(name).astype("<f4")
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
        return values.tobytes(), low, high

    @functools.cached_property
    def ids(self) -> bytes:
        """All ids as float64, which is what JavaScript has."""
        return self.campaign.objects.ids.astype("<f8").tobytes()


def plain(value: Any) -> Any:
    """A value that JSON has: what is not finite is null."""
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, float) and not np.isfinite(number):
        return None
    return number


def told(event: Event) -> dict[str, Any]:
    """An event as an object's history has it."""
    return event.model_dump(include={"uuid", "time", "labeller", "kind", "value"})
