"""A classifier of what was labelled, how good it is, and its value for every row. Knows no tree."""

__all__ = [
    "LIMIT",
    "Candidate",
    "Labelled",
    "Quality",
    "Task",
    "candidates",
    "choose",
    "fit",
    "measure",
    "values",
]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from wwdc.stats.resampling import (
    exchangeable_rows,
    group_bootstrap,
    group_permutations,
    p_value,
)

# Shapes: N labelled rows, M rows of a split, D latents.

Kind = Literal["verdict", "grade"]

LIMIT = 6.0
"""Log-odds are drawn into ±LIMIT by LIMIT · tanh(x / LIMIT): in order, and without a pile at it."""

_TREES = 100
_EPSILON = 1e-6
_LEVEL = 0.95
_BEST_GRADE = 5.0
_CHOICE, _QUALITY = 3, 5
"""Folds to choose a candidate with, and to measure one; also streams of a seed."""


@dataclass(frozen=True)
class Labelled:
    """Rows that were labelled.

    Attributes:
        spaces: name of a space → its vectors (N, D).
        target: 1 for an anomaly and 0 for a normal object, or a grade in [0, 5]; (N,).
        objects: the object of each row, (N,): views of one object are never on two sides.
        kind: whether *target* holds verdicts or grades.
    """

    spaces: Mapping[str, NDArray[np.float32]] = field(repr=False)
    target: NDArray[np.float64] = field(repr=False)
    objects: NDArray[np.int64] = field(repr=False)
    kind: Kind = "verdict"

    def of(self, rows: NDArray[Any]) -> "Labelled":
        """Some of the rows."""
        spaces = {name: x[rows] for name, x in self.spaces.items()}
        return Labelled(spaces, self.target[rows], self.objects[rows], self.kind)


@dataclass(frozen=True)
class Candidate:
    """A model on the standardised vectors of one space, or of several side by side.

    ``linear`` is logistic regression (L2, C = 0.1, balanced classes) for verdicts and ridge
    regression (α = 10) for grades; ``forest`` is a random forest of 100 trees.
    """

    model: Literal["linear", "forest"]
    spaces: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.model} on {' + '.join(self.spaces)}"


@dataclass(frozen=True)
class Score:
    """A figure of merit with its bootstrap interval, over objects."""

    name: str
    value: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class Quality:
    """How well labels are told on objects that a classifier was not fitted on.

    It speaks of the labelled objects. They were chosen because a model found them odd, not at
    random: among all objects the quality may be another.

    Attributes:
        scores: the one that decides, then another.
        chance: value of the first without any relation.
        p_value: share of permutations of the labels that do as well.
        rows, objects, positives: how many; positive are anomalies, or grades above the middle.
    """

    scores: tuple[Score, ...]
    chance: float
    p_value: float
    rows: int
    objects: int
    positives: int

    @property
    def better_than_chance(self) -> bool:
        """Whether the interval is above chance and the permutation test agrees at 5 %."""
        return self.scores[0].ci_low > self.chance and self.p_value < 1 - _LEVEL

    def as_dict(self) -> dict[str, Any]:
        """Plain data for an info file."""
        scores = {
            s.name: {"value": s.value, "low": s.ci_low, "high": s.ci_high} for s in self.scores
        }
        return {**asdict(self), "scores": scores}


@dataclass(frozen=True)
class Task:
    """What differs between verdicts and grades."""

    metrics: Mapping[str, Callable[[NDArray[Any], NDArray[Any]], float]]
    chance: float
    middle: float
    range: tuple[float, float]
    meaning: str


def candidates(spaces: Sequence[str]) -> list[Candidate]:
    """What is tried on the spaces that there are."""
    both = tuple(spaces)
    single = [Candidate("linear", (space,)) for space in spaces]
    joint = [Candidate("linear", both)] if len(both) > 1 else []
    return [*single, *joint, Candidate("forest", both)]


def choose(labelled: Labelled, seed: int) -> Candidate:
    """The candidate that tells the labels of held-out objects best; of equals, the first."""
    options = candidates(list(labelled.spaces))
    metric = next(iter(TASKS[labelled.kind].metrics.values()))
    folds = _folds(labelled, seed, _CHOICE)
    found = [metric(labelled.target, _held_out(labelled, folds, o, seed)) for o in options]
    return options[int(np.nanargmax(found))] if not np.isnan(found).all() else options[0]


def measure(labelled: Labelled, seed: int, *, draws: int = 999) -> Quality:
    """Nested cross-validation, by object and stratified: candidates are chosen inside each fold.

    The permutation test holds the out-of-fold values fixed. A classifier that learns nothing
    tends to values on the wrong side, so the test errs towards chance.

    Args:
        labelled: at least three objects of each class.
        seed: of folds, forests and draws.
        draws: bootstrap samples, and permutations.
    """
    task = TASKS[labelled.kind]
    folds = _folds(labelled, seed, _QUALITY)
    guess = _held_out(labelled, folds, None, seed)
    target, objects = labelled.target, labelled.objects
    drawn = _resampled(objects, draws, seed)
    scores = []
    for name, metric in task.metrics.items():
        sample = np.array([metric(target[rows], guess[rows]) for rows in drawn])
        tail = (1 - _LEVEL) / 2
        low, high = np.nanquantile(sample, [tail, 1 - tail])
        scores.append(Score(name, metric(target, guess), float(low), float(high)))
    metric = next(iter(task.metrics.values()))
    moved = exchangeable_rows(objects)
    null = np.array(
        [
            metric(target[rows], guess[moved])
            for block in group_permutations(objects, draws, seed)
            for rows in block
        ]
    )
    return Quality(
        scores=tuple(scores),
        chance=task.chance,
        p_value=p_value(metric(target[moved], guess[moved]), null),
        rows=len(target),
        objects=len(np.unique(objects)),
        positives=int((target > task.middle).sum()),
    )


def fit(candidate: Candidate, labelled: Labelled, seed: int) -> Any:
    """The candidate's model on all labelled rows."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model: Any
    if labelled.kind == "grade":
        forest = RandomForestRegressor(_TREES, min_samples_leaf=2, random_state=seed)
        model = Ridge(alpha=10.0) if candidate.model == "linear" else forest
    elif candidate.model == "linear":
        model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000)
    else:
        model = RandomForestClassifier(
            _TREES, min_samples_leaf=2, class_weight="balanced", random_state=seed
        )
    x = _matrix(candidate, labelled.spaces)
    return make_pipeline(StandardScaler(), model).fit(x, labelled.target)


def values(
    model: Any, candidate: Candidate, kind: Kind, spaces: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The promoted value of each row, (M,): log-odds of an anomaly, or the grade.

    Log-odds are as if both classes were equally common, drawn softly into ±`LIMIT`.
    """
    x = _matrix(candidate, spaces)
    if kind == "grade":
        grade: NDArray[np.float32] = np.clip(model.predict(x), 0, _BEST_GRADE).astype(np.float32)
        return grade
    chance = np.clip(model.predict_proba(x)[:, 1], _EPSILON, 1 - _EPSILON)
    odds = np.log(chance / (1 - chance))
    drawn: NDArray[np.float32] = (LIMIT * np.tanh(odds / LIMIT)).astype(np.float32)
    return drawn


def _matrix(candidate: Candidate, spaces: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    return np.concatenate([spaces[name] for name in candidate.spaces], axis=1, dtype=np.float64)


def _held_out(
    labelled: Labelled, folds: NDArray[np.int64], candidate: Candidate | None, seed: int
) -> NDArray[np.float64]:
    """Each row's value from a model of the other folds, of a candidate or of the best there."""
    guess = np.empty(len(folds))
    for fold in np.unique(folds):
        inside = labelled.of(folds != fold)
        chosen = candidate or choose(inside, seed)
        rows = {name: x[folds == fold] for name, x in labelled.spaces.items()}
        model = fit(chosen, inside, seed)
        guess[folds == fold] = values(model, chosen, labelled.kind, rows)
    return guess


def _folds(labelled: Labelled, seed: int, most: int) -> NDArray[np.int64]:
    """A fold for each row, at most *most*: objects whole, those of each class dealt out evenly.

    An object is of the class of its first row.
    """
    _, first, index = np.unique(labelled.objects, return_index=True, return_inverse=True)
    positive = labelled.target[first] > TASKS[labelled.kind].middle
    count = max(2, min(most, int(positive.sum()), int((~positive).sum())))
    rng = np.random.default_rng(np.random.SeedSequence((seed, most)))
    folds = np.empty(len(first), np.int64)
    for members in (np.flatnonzero(positive), np.flatnonzero(~positive)):
        folds[rng.permutation(members)] = np.arange(len(members)) % count
    return folds[index]


def _resampled(objects: NDArray[np.int64], n: int, seed: int) -> list[NDArray[np.int64]]:
    """Rows of *n* bootstrap samples of objects."""
    _, index = np.unique(objects, return_inverse=True)
    rows = np.arange(len(objects))
    return [np.repeat(rows, counts[index]) for counts in group_bootstrap(objects, n, seed)]


def _auc(target: NDArray[Any], guess: NDArray[Any]) -> float:
    """Area under the ROC curve: the chance that an anomaly gets the higher value."""
    ranks = rankdata(guess)
    positives = int(target.sum())
    pairs = positives * (len(target) - positives)
    if not pairs:
        return float("nan")
    return float((ranks[target > 0].sum() - positives * (positives + 1) / 2) / pairs)


def _average_precision(target: NDArray[Any], guess: NDArray[Any]) -> float:
    """Σ (Rₖ − Rₖ₋₁) Pₖ over the different values, the highest first (as scikit-learn's)."""
    if not target.any():
        return float("nan")
    order = np.argsort(-guess, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(guess[order]) != 0, True])
    hits = np.cumsum(target[order])[last]
    return float((np.diff(np.r_[0.0, hits]) * hits / (last + 1)).sum() / hits[-1])


def _spearman(target: NDArray[Any], guess: NDArray[Any]) -> float:
    ranks = rankdata(target), rankdata(guess)
    if any(np.ptp(side) == 0 for side in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def _r2(target: NDArray[Any], guess: NDArray[Any]) -> float:
    spread = float(((target - target.mean()) ** 2).sum())
    return 1 - float(((target - guess) ** 2).sum()) / spread if spread > 0 else float("nan")


TASKS: Mapping[Kind, Task] = {
    "verdict": Task(
        {"roc_auc": _auc, "average_precision": _average_precision},
        chance=0.5,
        middle=0.5,
        range=(-LIMIT, LIMIT),
        meaning="log-odds of anomaly",
    ),
    "grade": Task(
        {"spearman": _spearman, "r2": _r2},
        chance=0.0,
        middle=2.5,
        range=(0.0, _BEST_GRADE),
        meaning="grade",
    ),
}
