"""How far several people label the same objects alike."""

__all__ = ["Agreement", "agreement", "cohen_kappa", "krippendorff_alpha"]

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wwdc.discovery.targets import TARGETS
from wwdc.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["nominal", "interval"]

_QUESTIONS: dict[str, Level] = {"verdict": "nominal", "grade": "interval"}


@dataclass(frozen=True)
class Agreement:
    """Agreement on verdicts (nominal) and on grades (interval).

    Attributes:
        pairs: one row a question and pair of people who both answered it for some object, with
            ``question`` (verdict or grade), ``first``, ``second``, ``n`` (objects) and ``kappa``.
        alpha: Krippendorff's alpha of all people, by question; NaN where nothing can be compared.
    """

    pairs: "pd.DataFrame"
    alpha: dict[str, float]


def agreement(events: Iterable[Mapping[str, Any]]) -> Agreement:
    """Agreement between the labellers of a log.

    The last verdict, and the last grade, that a person gave an object and did not undo counts.

    Args:
        events: in order, with ``uuid``, ``labeller``, ``id``, ``kind`` and ``value``; kinds other
            than anomaly, normal, grade and undo say nothing here.
    """
    import pandas as pd

    answers = _answers(list(events))
    rows, alpha = [], {}
    for question, level in _QUESTIONS.items():
        table = pd.DataFrame(answers[question])  # objects × people
        alpha[question] = krippendorff_alpha(table.to_numpy(float), level)
        for first, second in itertools.combinations(sorted(table.columns), 2):
            both = table[[first, second]].dropna().to_numpy(float)
            if len(both):
                kappa = cohen_kappa(both[:, 0], both[:, 1], level)
                rows.append((question, first, second, len(both), kappa))
    return Agreement(
        pd.DataFrame(rows, columns=["question", "first", "second", "n", "kappa"]), alpha
    )


def cohen_kappa(first: ArrayLike, second: ArrayLike, level: Level = "nominal") -> float:
    """Cohen's kappa of two people's answers to the same objects (n,).

    1 − Σ w o / Σ w e, with o the share of objects with each pair of answers, e what it would be
    were the answers independent, and w = 1 for different answers (Cohen 1960,
    doi:10.1177/001316446002000104) or, for numbers, w the squared difference (Cohen 1968,
    doi:10.1037/h0026256). NaN where all answers are the same.

    >>> cohen_kappa([1, 1, 0, 0], [1, 0, 0, 0])
    0.5
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise DataError(f"kappa: expected two answers an object, got {a.shape} and {b.shape}")
    observed = _distance(a, b, level).mean()
    expected = _distance(a[:, None], b[None, :], level).mean()
    return float(1 - observed / expected) if expected else np.nan


def krippendorff_alpha(answers: ArrayLike, level: Level = "nominal") -> float:
    """Krippendorff's alpha of any number of people; answers may be missing.

    α = 1 − D_o / D_e, the mean distance of answers to the same object over that of all answers
    (Krippendorff 2011, https://repository.upenn.edu/asc_papers/43). Objects with fewer than two
    answers do not count. NaN where nothing differs or nothing can be compared.

    Args:
        answers: (objects, people), NaN where there is none.
        level: whether answers are kinds or numbers.

    >>> round(krippendorff_alpha([[1, 1], [2, 2], [3, 3], [3, 4]]), 3)
    0.696
    """
    table = np.asarray(answers, np.float64)
    if table.ndim != 2:
        raise DataError(f"alpha: expected objects × people, got shape {table.shape}")
    table = table[np.isfinite(table).sum(axis=1) >= 2]
    values = np.unique(table[np.isfinite(table)])
    counts = (table[:, :, None] == values).sum(axis=1)  # (objects, values)
    per_object = counts.sum(axis=1, keepdims=True)
    pairs = np.einsum("ov,ow->vw", counts / np.maximum(per_object - 1, 1), counts)
    pairs -= np.diag((counts / np.maximum(per_object - 1, 1)).sum(axis=0))
    total = counts.sum(axis=0)
    chance = np.outer(total, total) - np.diag(total)
    distance = _distance(values[:, None], values[None, :], level)
    expected = (chance * distance).sum()
    return (
        float(1 - (total.sum() - 1) * (pairs * distance).sum() / expected) if expected else np.nan
    )


def _distance(a: NDArray[np.float64], b: NDArray[np.float64], level: str) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (a - b) ** 2 if level == "interval" else (a != b).astype(float)
    return found


def _answers(
    events: Sequence[Mapping[str, Any]],
) -> dict[str, dict[str, dict[int, float]]]:
    """The last answer by question, labeller and object."""
    undone = {event["value"] for event in events if event["kind"] == "undo"}
    found: dict[str, dict[str, dict[int, float]]] = {name: {} for name in _QUESTIONS}
    for event in events:
        kind = event["kind"]
        if event["uuid"] in undone or kind not in (*TARGETS, "grade"):
            continue
        question = "grade" if kind == "grade" else "verdict"
        value = float(event["value"]) if kind == "grade" else TARGETS[kind]
        found[question].setdefault(event["labeller"], {})[event["id"]] = value
    return found
