"""Which of an experiment's points pictures are made of: one choice, the same on the whole page."""

__all__ = ["Shown", "choose_shown"]

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from wwdc.embed.jobs import Job


@dataclass(frozen=True)
class Shown:
    """The point that stands for a sweep.

    Attributes:
        sweep: the named sweep, ``all`` where there is none.
        job: its checkpoint, and how and where it is embedded.
        why: how it was chosen, for captions.
    """

    sweep: str
    job: Job = field(repr=False)
    why: str

    @property
    def name(self) -> str:
        """The folder of its embedding."""
        return self.job.name

    @property
    def dropped(self) -> tuple[str, ...]:
        """Variables that the flow is not told."""
        return tuple(self.job.dropped)


def choose_shown(points: pd.DataFrame, jobs: Sequence[Job], metric: str, mode: str) -> list[Shown]:
    """For each sweep the configuration that is best by the mean of *metric*, and of its seeds the
    one with the median: neither the luckiest nor the unluckiest run.

    Args:
        points: one row a point, as `wwdc.results` gives.
        jobs: the embeddings of finished points, in the order of the plan.
        metric: what products are compared by.
        mode: ``min`` or ``max``.
    """
    scores = points.set_index("point_id")[metric] if metric in points else pd.Series(dtype=float)
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.sweep or "all", []).append(job)
    return [Shown(name, *_choose(group, scores, metric, mode)) for name, group in groups.items()]


def _choose(
    jobs: Sequence[Job], scores: "pd.Series[float]", metric: str, mode: str
) -> tuple[Job, str]:
    sign = -1.0 if mode == "max" else 1.0

    def score(job: Job) -> float:
        value = sign * float(scores.get(job.product.info.point_id, math.nan))
        return math.inf if math.isnan(value) else value

    configurations: dict[str, list[Job]] = {}
    for job in jobs:
        configurations.setdefault(job.product.info.config_id, []).append(job)
    best = min(configurations.values(), key=lambda group: sum(map(score, group)) / len(group))
    ordered = sorted(best, key=lambda job: (score(job), job.product.info.seed or 0))
    chosen = ordered[(len(ordered) - 1) // 2]
    words = []
    if len(configurations) > 1:
        words.append(f"the best configuration by {metric}")
    if len(best) > 1:
        words.append(f"the seed with the median {metric}")
    return chosen, ", of it ".join(words) or "the only point"
