"""How well each catalogue variable is read from latents or residuals, with a null and a CI."""

__all__ = [
    "Prediction",
    "Probe",
    "Rows",
    "Score",
    "Strongest",
    "cross_validated",
    "known_rows",
    "predict",
    "run_probe",
    "strongest",
    "why_not_tested",
]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.multioutput import MultiOutputRegressor
from sklearn.utils import get_tags

from wwdc.data.catalogue import Catalogue, Variable
from wwdc.errors import ConfigError, DataError
from wwdc.stats.scores import (
    CLASSES,
    Prediction,
    Score,
    Strongest,
    not_tested,
    score_prediction,
    strongest,
)

# Shapes: N rows, D inputs, M rows to score, W encoded columns.

_MIN_OBJECTS = 20


class Probe(NamedTuple):
    """Two unfitted estimators with the interface of scikit-learn; every fit is of a clone.

    A regressor that cannot predict several numbers at once is fitted once for each. A number of
    neighbours is cut down to the rows there are.
    """

    regressor: Any
    classifier: Any


@dataclass(frozen=True)
class Rows:
    """What a probe sees of some rows.

    Args:
        x: latents or residuals, (N, D).
        table: raw values of the catalogue's variables, each (N,); NaN where unknown.
        groups: object of each row, (N,).

    Raises:
        DataError: the lengths do not agree.
    """

    x: NDArray[np.float32]
    table: Mapping[str, NDArray[Any]]
    groups: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.x.ndim != 2:
            raise DataError(f"x has shape {self.x.shape}: it must be (rows, dimensions).")
        lengths = {"groups": len(self.groups)} | {n: len(c) for n, c in self.table.items()}
        for name, length in lengths.items():
            if length != len(self.x):
                raise DataError(f"{name} has {length} rows, x has {len(self.x)}.")

    def take(self, rows: NDArray[Any]) -> "Rows":
        """Some of the rows, by number or mask."""
        table = {name: np.asarray(column)[rows] for name, column in self.table.items()}
        return Rows(self.x[rows], table, self.groups[rows])


def run_probe(
    probe: Probe,
    fit: Rows,
    score: Rows,
    variables: Catalogue,
    *,
    permutations: int = 999,
    bootstraps: int = 999,
    seed: int = 0,
    level: float = 0.95,
) -> list[Score]:
    """Fit a probe on some objects and score what it reads in others, variable by variable.

    Rows where a variable is NaN, outside its limits or no class are left out for it alone.

    Args:
        probe: what to fit.
        fit: rows to fit on.
        score: rows of other objects.
        variables: what to read.
        permutations: of objects, for the null.
        bootstraps: samples of objects, for the interval.
        seed: of both; the draws are the same for every probe.
        level: of the interval.

    Returns:
        A score of each variable, in order; not tested, with the reason, where it cannot be.

    Raises:
        DataError: a column is missing, or an object is in both *fit* and *score*.
    """
    shared = np.intersect1d(fit.groups, score.groups)
    if len(shared):
        raise DataError(
            f"{len(shared)} objects, such as {shared[0]}, are among the rows to fit and to score: "
            f"split by object."
        )
    reasons = {v.name: why_not_tested(v, fit, score) for v in variables}
    found = predict(probe, fit, score, variables.keep([n for n, why in reasons.items() if why]))
    return [
        not_tested(v, reasons[v.name])
        if reasons[v.name]
        else score_prediction(
            found[v.name],
            permutations=permutations,
            bootstraps=bootstraps,
            seed=seed,
            level=level,
        )
        for v in variables
    ]


def cross_validated(
    probe: Probe,
    rows: Rows,
    variables: Catalogue,
    *,
    folds: int = 5,
    permutations: int = 999,
    bootstraps: int = 999,
    seed: int = 0,
    level: float = 0.95,
) -> list[Score]:
    """As `run_probe`, with every object scored once by a probe fitted on the other folds.

    The scores are those of all predictions together; every fold must hold enough for a test.
    Folds share labels, so the interval is somewhat narrow (Bates, Hastie & Tibshirani 2023,
    https://doi.org/10.1080/01621459.2023.2197686).

    Args:
        probe: what to fit.
        rows: rows to fit on and to score.
        variables: what to read.
        folds: parts of the objects, drawn by *seed*.
        permutations: of objects within each fold, for the null.
        bootstraps: samples of objects, for the interval.
        seed: of all draws.
        level: of the interval.

    Raises:
        ConfigError: fewer than two folds.
        DataError: a column is missing, or there are fewer objects than folds.
    """
    if folds < 2:
        raise ConfigError(f"cross-validation with {folds} folds: it needs 2 or more.")
    objects = len(np.unique(rows.groups))
    if objects < folds:
        raise DataError(f"{objects} objects cannot be split into {folds} folds.")
    splits = GroupKFold(folds, shuffle=True, random_state=seed).split(rows.x, groups=rows.groups)
    parts = [(rows.take(fit), rows.take(score)) for fit, score in splits]
    reasons = {
        v.name: next(filter(None, (why_not_tested(v, fit, score) for fit, score in parts)), "")
        for v in variables
    }
    tested = variables.keep([name for name, why in reasons.items() if why])
    found = [predict(probe, fit, score, tested) for fit, score in parts]
    scores = {
        v.name: score_prediction(
            _pooled([of_fold[v.name] for of_fold in found]),
            permutations=permutations,
            bootstraps=bootstraps,
            seed=seed,
            level=level,
        )
        for v in tested
    }
    return [scores.get(v.name) or not_tested(v, reasons[v.name]) for v in variables]


def why_not_tested(variable: Variable, fit: Rows, score: Rows) -> str:
    """Why a variable cannot be tested on these rows, in words; empty where it can.

    Raises:
        DataError: the table has no such column.
    """
    for rows, role in ((fit, "fitted on"), (score, "scored")):
        if not np.isfinite(rows.x).all():
            return f"the rows to be {role} hold values that are not finite"
        column = _column(variable, rows)
        if column.dtype.kind not in "biuf":
            return f"its column holds {column.dtype}, not numbers"
        known = known_rows(variable, rows)
        if not known.any():
            return f"it has no valid value in the rows to be {role}"
        objects = len(np.unique(rows.groups[known]))
        if objects < _MIN_OBJECTS:
            return f"it is known of {objects} objects to be {role}: {_MIN_OBJECTS} are needed"
        if _constant(variable, column[known]):
            return f"it is constant ({float(column[known][0]):g}) in the rows to be {role}"
    return _rare_class(variable, fit, score) if variable.kind in CLASSES else ""


def predict(probe: Probe, fit: Rows, score: Rows, variables: Catalogue) -> dict[str, Prediction]:
    """Predictions of variables that can be tested, by name, in the rows where they are known.

    Inputs are standardised on the rows fitted on; numbers known in the same rows are predicted
    together, each standardised, by an estimator that can.
    """
    mean, std = fit.x.mean(0, dtype=np.float64), fit.x.std(0, dtype=np.float64)
    std[std == 0] = 1.0
    x, x_test = (((rows.x - mean) / std).astype(np.float32) for rows in (fit, score))
    found: dict[str, Prediction] = {}
    for together in _batches(variables, fit, score):
        first = together[0]
        a, b = known_rows(first, fit), known_rows(first, score)
        guesses: list[NDArray[Any]]
        chance: NDArray[Any]
        y, truth = ([_encode(v, rows, k) for v in together] for rows, k in ((fit, a), (score, b)))
        if first.kind in CLASSES:
            classes, counts = np.unique(y[0], return_counts=True)
            guesses = [_classify(probe, x[a], y[0], x_test[b])]
            chance = np.full(len(truth[0]), classes[counts.argmax()])
        else:
            guess = _regress(probe, x[a], np.hstack(y), x_test[b])
            guesses = np.split(guess, np.cumsum([v.width for v in together])[:-1], axis=1)
            chance = np.zeros(len(guess), np.int64)
        groups, n_fit = score.groups[b], len(np.unique(fit.groups[a]))
        fold = np.zeros(len(groups), np.int64)
        for v, guess, true in zip(together, guesses, truth, strict=True):
            found[v.name] = Prediction(v, guess, true, chance, groups, fold, n_fit)
    return found


def known_rows(variable: Variable, rows: Rows) -> NDArray[np.bool_]:
    """Which rows hold a value of the variable that is finite, within its limits and a class."""
    values = _column(variable, rows).astype(np.float64)
    low, high = variable.limits
    known: NDArray[np.bool_] = np.isfinite(values) & (values >= low) & (values <= high)
    if variable.kind in CLASSES:
        known &= values == np.floor(values)
    return known


# Which rows, and how encoded


def _column(variable: Variable, rows: Rows) -> NDArray[Any]:
    if variable.name not in rows.table:
        raise DataError(
            f"the table has no column {variable.name!r}; it has {', '.join(rows.table) or 'none'}."
        )
    return np.asarray(rows.table[variable.name])


def _encode(variable: Variable, rows: Rows, known: NDArray[np.bool_]) -> NDArray[Any]:
    """Valid values as classes (N,) or numbers (N, W)."""
    values = _column(variable, rows)[known]
    if variable.kind in CLASSES:
        return values.astype(np.int64)
    if variable.kind == "circular" or variable.scaling != "linear":
        return variable.encode(values).astype(np.float64)
    return values.astype(np.float64)[:, None]


def _constant(variable: Variable, values: NDArray[Any]) -> bool:
    if variable.kind == "circular":  # both ends of the range are one phase
        return bool(np.ptp(variable.encode(values), axis=0).max() < 1e-6)
    return bool((values == values[0]).all())


def _rare_class(variable: Variable, fit: Rows, score: Rows) -> str:
    known = known_rows(variable, fit)
    classes, groups = _column(variable, fit)[known], fit.groups[known]
    seen = _column(variable, score)[known_rows(variable, score)]
    for one in np.union1d(classes, seen):
        objects = len(np.unique(groups[classes == one]))
        if objects < 2:
            return f"class {one:g} is seen in {objects} objects to be fitted on: 2 are needed"
    return ""


def _batches(variables: Catalogue, fit: Rows, score: Rows) -> list[list[Variable]]:
    """Classes one by one, numbers with those that are known in the same rows."""
    batches: dict[Any, list[Variable]] = {}
    for v in variables:
        key = (
            v.name if v.kind in CLASSES else tuple(known_rows(v, r).tobytes() for r in (fit, score))
        )
        batches.setdefault(key, []).append(v)
    return list(batches.values())


# Fitting


def _regress(
    probe: Probe, x: NDArray[Any], y: NDArray[Any], x_test: NDArray[Any]
) -> NDArray[np.float64]:
    mean, std = y.mean(0), y.std(0)
    std[std == 0] = 1.0
    model = _fresh(probe.regressor, len(x))
    if y.shape[1] > 1 and not get_tags(model).target_tags.multi_output:
        model = MultiOutputRegressor(model)
    target = (y - mean) / std
    guess = model.fit(x, target if y.shape[1] > 1 else target[:, 0]).predict(x_test)
    numbers: NDArray[np.float64] = guess.reshape(len(x_test), -1).astype(np.float64) * std + mean
    return numbers


def _classify(
    probe: Probe, x: NDArray[Any], y: NDArray[Any], x_test: NDArray[Any]
) -> NDArray[np.int64]:
    if (y == y[0]).all():  # few labels can be of one class, which classifiers refuse
        return np.full(len(x_test), y[0])
    guess: NDArray[np.int64] = _fresh(probe.classifier, len(x)).fit(x, y).predict(x_test)
    return guess


def _fresh(estimator: Any, rows: int) -> Any:
    fresh = clone(estimator)
    too_many = {
        name: rows
        for name, value in fresh.get_params().items()
        if name.rpartition("__")[2] == "n_neighbors" and isinstance(value, int) and value > rows
    }
    return fresh.set_params(**too_many)


def _pooled(parts: Sequence[Prediction]) -> Prediction:
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("guess", "truth", "chance", "groups")
    }
    sizes = [len(part.groups) for part in parts]
    return Prediction(
        variable=parts[0].variable,
        fold=np.repeat(np.arange(len(parts)), sizes),
        n_fit=min(part.n_fit for part in parts),
        **joined,
    )
