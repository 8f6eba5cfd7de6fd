"""What a campaign of labels comes to: one verdict or grade an object."""

__all__ = ["Labels", "as_arrays", "read_labels"]

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wwdc.errors import ConfigError
from wwdc.label.events import Event, Label, fold
from wwdc.label.log import find_log, read_log
from wwdc.products import Tree

_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Labels:
    """The answers of a campaign, over its labellers.

    Attributes:
        name: of the campaign.
        embedding: folder of the embedding that was looked at.
        fingerprint: of the dataset whose objects were labelled.
        sha256: of the events, whatever order they were merged in.
        verdicts: id → 1 for an anomaly, 0 for a normal object, by majority.
        grades: id → the mean grade.
        ties: ids whose verdicts are as often one as the other; they are left out.
    """

    name: str
    embedding: str
    fingerprint: str
    sha256: str
    events: int
    labellers: int
    verdicts: Mapping[int, float] = field(repr=False)
    grades: Mapping[int, float] = field(repr=False)
    ties: tuple[int, ...] = field(repr=False)


def read_labels(tree: Tree, name: str) -> Labels:
    """The labels of the campaign *name*.

    Raises:
        ConfigError: the name cannot be one.
        DataError: there is no such campaign.
        ProductError: its log cannot be read.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--labels {name!r}: letters, digits, '_' and '-' name a campaign.")
    about, events = read_log(find_log(tree, name, "--labels"))
    by_labeller = fold(events).by_labeller()
    found: dict[int, list[Label]] = {}
    for labels in by_labeller.values():
        for id, label in labels.items():
            found.setdefault(id, []).append(label)
    verdicts, ties = _votes(found)
    return Labels(
        name=name,
        embedding=about["embedding"],
        fingerprint=about["fingerprint"],
        sha256=_digest(events),
        events=len(events),
        labellers=len(by_labeller),
        verdicts=verdicts,
        grades=_grades(found),
        ties=ties,
    )


def _votes(found: Mapping[int, Sequence[Label]]) -> tuple[dict[int, float], tuple[int, ...]]:
    verdicts: dict[int, float] = {}
    ties: list[int] = []
    for id, labels in sorted(found.items()):
        votes = [label.verdict == "anomaly" for label in labels if label.verdict is not None]
        if votes and 2 * sum(votes) == len(votes):
            ties.append(id)
        elif votes:
            verdicts[id] = float(2 * sum(votes) > len(votes))
    return verdicts, tuple(ties)


def _grades(found: Mapping[int, Sequence[Label]]) -> dict[int, float]:
    given = {
        id: [label.grade for label in labels if label.grade is not None]
        for id, labels in sorted(found.items())
    }
    return {id: float(np.mean(grades)) for id, grades in given.items() if grades}


def _digest(events: Sequence[Event]) -> str:
    plain = sorted((event.as_dict() for event in events), key=lambda event: str(event["uuid"]))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def as_arrays(answers: Mapping[int, float]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ids, ascending, and what was answered of each."""
    ids = np.array(sorted(answers), np.int64)
    return ids, np.array([answers[int(id)] for id in ids], np.float64)
