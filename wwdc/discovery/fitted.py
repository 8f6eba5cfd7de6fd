"""Fitting any detector under the same rules, and looking at what came out before it is used."""

__all__ = ["CHUNK", "MIN_ROWS", "Fitted", "fit", "seeded"]

import inspect
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.errors import FAULTS, DataError, last_line

# Shapes: N rows, D columns.

CHUNK = 16_384
"""Rows that a detector sees together, always the same ones: matrix products round differently when
rows are grouped differently."""

MIN_ROWS = 20
"""With fewer rows to fit on, detectors fail or say nothing."""

FAR = 1e3
"""How far out the planted rows lie, in standard deviations."""

_SAMPLE = 512
_BULK = 0.95
_SAME = 1e-6


@dataclass(frozen=True)
class Fitted:
    """A detector that was fitted and looked at.

    Attributes:
        rows: those that it was fitted on, ascending; row numbers of the caller.
        left_out: scores of those rows as if each had been left out, where the detector has them.
        kept: which of the columns it takes, (D,).
        dropped: names of constant columns, which it does not take.
        skipped: rows that were to be fitted and hold NaN or infinity.
    """

    score: Callable[[NDArray[np.float32]], NDArray[np.float64]]
    rows: NDArray[np.int64]
    left_out: NDArray[np.float64] | None
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    kept: NDArray[np.bool_]
    dropped: tuple[str, ...]
    skipped: int

    def __call__(self, x: NDArray[np.float32], start: int) -> NDArray[np.float64]:
        """Scores (N,) of the rows *start* … of the caller's matrix, higher is odder.

        A row that was fitted gets its left-out score: a neighbour's distance would be that to
        itself. Rows with NaN or infinity get NaN.

        Args:
            x: (N, D), all columns; *start* is a multiple of `CHUNK`.
        """
        scores = np.full(len(x), np.nan)
        for low in range(0, len(x), CHUNK):
            part = x[low : low + CHUNK]
            whole = np.isfinite(part).all(axis=1)
            if whole.any():
                scores[low : low + CHUNK][whole] = self.score(self._scaled(part[whole]))
        if self.left_out is not None:
            first, last = np.searchsorted(self.rows, (start, start + len(x)))
            scores[self.rows[first:last] - start] = self.left_out[first:last]
        return scores

    def _scaled(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return _scaled(x, self.kept, self.centre, self.scale)


def fit(
    detector: Any,
    x: NDArray[np.float32],
    rows: NDArray[np.int64],
    names: Sequence[str],
    seed: int = 0,
) -> Fitted:
    """Fit a detector and check it.

    Columns that are constant on the rows are dropped, the others standardised by the rows' mean
    and standard deviation, unless the detector is ``raw``. Rows with NaN or infinity are skipped;
    rows that repeat count as often as they are there. It is then asked for scores of some of its
    rows, and of rows planted far out. Detectors of scikit-learn and coniferest, whose scores are
    low for what is odd, are turned round.

    Args:
        detector: has ``fit`` and ``decision_function`` (or ``score_samples``).
        x: rows to fit on, (N, D).
        rows: the caller's number of each, (N,), ascending.
        names: of the columns.
        seed: of NumPy's global state, which some detectors draw from.

    Raises:
        DataError: fewer than 20 rows are whole, every column is constant, it cannot be fitted, or
            its scores are not finite, all the same, no higher far out, or depend on which rows are
            scored together.
    """
    whole = np.isfinite(x).all(axis=1)
    if whole.sum() < MIN_ROWS:
        raise DataError(
            f"{int(whole.sum())} rows to fit on without NaN and infinity, {MIN_ROWS} are needed"
        )
    known, rows = x[whole], rows[whole]
    raw = bool(getattr(detector, "raw", False))
    kept, centre, scale = _scales(known, raw)
    if not kept.any():
        raise DataError(f"all {len(names)} columns are constant")
    scaled = _scaled(known, kept, centre, scale)
    scaled.setflags(write=False)
    score = _oriented(detector)
    with _global_state(seed):
        try:
            detector.fit(scaled)
            _check(score, scaled, raw)
        except FAULTS as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"it cannot be fitted: {last_line(error)}") from error
    return Fitted(
        score=score,
        rows=rows,
        left_out=_left_out(detector, len(rows)),
        centre=centre,
        scale=scale,
        kept=kept,
        dropped=tuple(name for name, keep in zip(names, kept, strict=True) if not keep),
        skipped=int((~whole).sum()),
    )


def seeded(target: Callable[..., Any], node: Mapping[str, Any], name: str, seed: int) -> int | None:
    """The ``random_state`` for a detector that takes one and whose *node* names none.

    >>> class Forest:
    ...     def __init__(self, random_state=None): ...
    >>> seeded(Forest, {}, "a", 0) == seeded(Forest, {}, "b", 0)
    False
    """
    try:
        arguments = inspect.signature(target).parameters
    except ValueError:  # a builtin may have none
        return None
    if "random_state" not in arguments or "random_state" in node:
        return None
    return derived(seed, name)


def derived(seed: int, name: str) -> int:
    """A seed of a detector's own, below 2³¹."""
    stream = np.random.SeedSequence((seed, zlib.crc32(name.encode())))
    return int(stream.generate_state(1)[0] >> 1)


def _scales(
    x: NDArray[np.float32], raw: bool
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    width = x.shape[1]
    if raw:
        return np.ones(width, bool), np.zeros(width, np.float32), np.ones(width, np.float32)
    centre, scale = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    kept = (x != x[0]).any(axis=0) & (scale > 0)
    return kept, centre[kept].astype(np.float32), scale[kept].astype(np.float32)


def _scaled(
    x: NDArray[np.float32],
    kept: NDArray[np.bool_],
    centre: NDArray[np.float32],
    scale: NDArray[np.float32],
) -> NDArray[np.float32]:
    chosen = x if kept.all() else x[:, kept]
    return np.ascontiguousarray((chosen - centre) / scale, np.float32)


def _oriented(detector: Any) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """Its scores, higher for what is odd."""
    from sklearn.base import OutlierMixin

    if isinstance(detector, OutlierMixin) or type(detector).__module__.startswith("coniferest."):
        return lambda x: -np.asarray(detector.score_samples(x), np.float64)
    return lambda x: np.asarray(detector.decision_function(x), np.float64)


def _left_out(detector: Any, count: int) -> NDArray[np.float64] | None:
    scores = getattr(detector, "decision_scores_", None)
    if scores is None and hasattr(detector, "negative_outlier_factor_"):
        scores = -detector.negative_outlier_factor_
    if scores is None or len(scores) != count or not np.isfinite(scores).all():
        return None
    return np.asarray(scores, np.float64)


def _check(
    score: Callable[[NDArray[np.float32]], NDArray[np.float64]], x: NDArray[np.float32], raw: bool
) -> None:
    """Refuse a detector whose scores of its own rows, and of rows far out, make no sense."""
    sample = x[np.linspace(0, len(x) - 1, min(len(x), _SAMPLE)).astype(np.int64)]
    found = score(sample)
    if found.shape != (len(sample),):
        raise DataError(f"{len(sample)} rows got scores of shape {found.shape}")
    if not np.isfinite(found).all():
        raise DataError(f"{int((~np.isfinite(found)).sum())} of {len(found)} scores are not finite")
    if np.ptp(found) == 0:
        raise DataError(f"all of {len(found)} rows have the score {found[0]:g}")
    half = len(sample) // 2
    apart = np.concatenate([score(sample[:half]), score(sample[half:])])
    if not np.allclose(apart, found, rtol=_SAME, atol=_SAME * found.std()):
        raise DataError("a row's score depends on the rows that it is scored with")
    far = score(_planted(x, raw))
    bulk = np.quantile(found, _BULK)
    if not far.max() > bulk:
        raise DataError(
            f"rows planted far out score {far.max():g} at most, {1 - _BULK:.0%} of its own rows "
            f"more than {bulk:g}"
        )


def _planted(x: NDArray[np.float32], raw: bool) -> NDArray[np.float32]:
    """Rows far out in all columns; of a raw detector, also in one alone: others may be the way
    round that is not odd."""
    centre, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    ways = [np.ones(x.shape[1]), -np.ones(x.shape[1])]
    if raw:
        ways += [sign * way for way in np.eye(x.shape[1]) for sign in (1, -1)]
    return np.ascontiguousarray(centre + FAR * spread * np.stack(ways), np.float32)


@contextmanager
def _global_state(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator for a while."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
