"""Several detectors' scores as one, and what of a ranking stays when something else changes."""

__all__ = ["COMBINATIONS", "Combination", "in_top", "ranks"]

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wwdc.errors import ConfigError, DataError, closest

# Shapes: N rows, K detectors.

How = Literal["zmean", "minmax", "moa"]

COMBINATIONS: tuple[str, ...] = get_args(How)

_BUCKETS = 3
"""Of MOA: each holds at least one detector, and with six of them two."""


@dataclass(frozen=True)
class Combination:
    """One score out of K, with scales that reference rows fix: no row depends on its neighbours.

    ``zmean`` is the mean of z-scores; ``minmax`` the mean after lowest and highest reference score
    were put to 0 and 1; ``moa`` the maximum over seeded groups of detectors of the mean of
    their z-scores (Aggarwal & Sathe 2015, doi:10.1145/2830544.2830549). The mean of ranks is not
    offered: it throws away how far out a row is.

    Args:
        how: ``zmean``, ``minmax`` or ``moa``.
        centre: what is subtracted, (K,).
        scale: what is divided by, (K,).
        seed: of the groups of ``moa``.

    >>> reference = np.array([[0.0, 10.0], [2.0, 30.0]])
    >>> Combination.of("zmean", reference)(np.array([[1.0, 40.0]])).tolist()
    [1.0]
    """

    how: str
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    seed: int = 0

    @classmethod
    def of(cls, how: str, reference: NDArray[np.floating], seed: int = 0) -> "Combination":
        """The combination whose scales are those of *reference*, (N, K); NaN rows do not count.

        Raises:
            ConfigError: there is no such combination.
            DataError: a detector gives all reference rows the same score.
        """
        if how not in COMBINATIONS:
            raise ConfigError(
                f"there is no combination {how!r}.{closest(how, COMBINATIONS)} "
                f"Combinations are {', '.join(COMBINATIONS)}."
            )
        known = reference[~np.isnan(reference).any(axis=1)].astype(np.float64)
        if not len(known):
            raise DataError("no reference row was scored by all detectors.")
        if how == "minmax":
            centre, scale = known.min(axis=0), np.ptp(known, axis=0)
        else:
            centre, scale = known.mean(axis=0), known.std(axis=0)
        if not (scale > 0).all():
            raise DataError("a detector gives all reference rows the same score.")
        return cls(how, centre, scale, seed)

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Combined scores (N,) of *scores* (N, K); NaN where one is."""
        scaled = (scores - self.centre) / self.scale
        if self.how != "moa":
            return np.asarray(scaled.mean(axis=1))
        means = [scaled[:, group].mean(axis=1) for group in self._groups()]
        return np.asarray(np.max(means, axis=0))

    def _groups(self) -> list[NDArray[np.int64]]:
        count = len(self.centre)
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, count)))
        return np.array_split(rng.permutation(count), min(_BUCKETS, count))


def ranks(scores: NDArray[np.float64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """1 for the oddest (highest) of the scores (N,); equal ones by id, NaN last.

    >>> ranks(np.array([0.5, np.nan, 0.9, 0.5]), np.array([7, 1, 3, 5])).tolist()
    [3, 4, 1, 2]
    """
    order = np.lexsort((ids, np.where(np.isnan(scores), np.inf, -scores)))
    found = np.empty(len(scores), np.int64)
    found[order] = np.arange(1, len(scores) + 1)
    return found


def in_top(scores: NDArray[np.floating], size: int) -> NDArray[np.bool_]:
    """Whether each of the scores (N,) is among the *size* highest; those equal to the last too.

    >>> in_top(np.array([3.0, 1.0, 2.0, 2.0, np.nan]), 2).tolist()
    [True, False, True, True, False]
    """
    known = scores[~np.isnan(scores)]
    if not len(known):
        return np.zeros(len(scores), bool)
    size = min(size, len(known))
    least = np.partition(known, len(known) - size)[len(known) - size]
    return np.asarray(scores >= least)
