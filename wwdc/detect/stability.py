"""How many of an experiment's embeddings agree on a row being odd."""

__all__ = ["Votes", "stabilities"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wwdc.discovery.combine import in_top

# Shapes: N rows of an embedding, U ids of all embeddings of a group.


@dataclass
class Votes:
    """Members of a group, and for each id how many have it and how many have it in their top.

    Attributes:
        ids: every id, ascending, (U,).
    """

    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    there: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    top: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    members: int = 0

    def add(self, ids: NDArray[np.int64], scores: NDArray[np.floating], size: int) -> None:
        """Count one member: its ids (N,) and scores, and how many count as its top."""
        self._make_room(ids)
        where = np.searchsorted(self.ids, ids)
        self.there[where] += 1
        self.top[where] += in_top(scores, size)
        self.members += 1

    def share(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Share (N,) of the members that have an id which have it in their top.

        NaN where there is one member only.
        """
        if self.members < 2:
            return np.full(len(ids), np.nan, np.float32)
        where = np.searchsorted(self.ids, ids)
        return (self.top[where] / self.there[where]).astype(np.float32)

    def _make_room(self, ids: NDArray[np.int64]) -> None:
        union = np.union1d(self.ids, ids)
        if len(union) == len(self.ids):
            return
        where = np.searchsorted(union, self.ids)
        for name in ("there", "top"):
            wider = np.zeros(len(union), np.int32)
            wider[where] = getattr(self, name)
            setattr(self, name, wider)
        self.ids = union


def stabilities(
    groups: Mapping[str, Sequence[str]],
    read: Callable[[str], tuple[NDArray[np.int64], NDArray[np.float64]]],
    size: Callable[[int], int],
) -> tuple[dict[str, Votes], Votes]:
    """Votes of the seeds of each configuration, and votes of the configurations.

    A configuration votes with the mean over its seeds of their scores, each brought to mean 0 and
    standard deviation 1, as detectors on different latents have different scales.

    Args:
        groups: configuration → names of its embeddings, one a seed.
        read: the ids and scores of an embedding.
        size: how many of so many rows count as the top.
    """
    seeds: dict[str, Votes] = {}
    sweeps = Votes()
    for config, names in groups.items():
        votes, mean = Votes(), _Mean()
        for name in names:
            ids, scores = read(name)
            votes.add(ids, scores, size(len(ids)))
            mean.add(ids, scores)
        seeds[config] = votes
        sweeps.add(mean.votes.ids, mean.values(), size(len(mean.votes.ids)))
    return seeds, sweeps


class _Mean:
    """Mean of standardised scores by id."""

    def __init__(self) -> None:
        self.votes = Votes()
        self.total = np.empty(0)

    def add(self, ids: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        before = self.votes.ids
        self.votes.add(ids, scores, 1)
        if len(self.votes.ids) != len(before):
            wider = np.zeros(len(self.votes.ids))
            wider[np.searchsorted(self.votes.ids, before)] = self.total
            self.total = wider
        spread = float(np.nanstd(scores)) or 1.0
        where = np.searchsorted(self.votes.ids, ids)
        self.total[where] += (scores - np.nanmean(scores)) / spread

    def values(self) -> NDArray[np.float64]:
        return self.total / np.maximum(self.votes.there, 1)
