"""Ray's side of the ranking: the actor that learns, the task that makes the map."""

__all__ = ["work"]

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError, WorkerCrashedError

from wwdc.errors import last_line
from wwdc.label.campaign import Ranking, Targets
from wwdc.label.features import Features, read_pool
from wwdc.label.projection import place_all

if TYPE_CHECKING:
    from wwdc.label.ranker import Ranker

POLL_S = 0.2

PAUSES_S = (0.0, 1.0, 5.0, 30.0)
"""Before an actor that died is replaced, the first time, the second …"""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def work(ranker: "Ranker") -> None:
    """Keep a ranking up to date on the connected Ray until its ranker is told to stop."""
    actor = _Actor(ranker)
    umap = _Umap(ranker) if ranker.umap_rows else None
    try:
        while not ranker.stopping.is_set():
            actor.turn()
            if umap is not None and actor.idle:  # the ranking comes first
                umap.turn()
            if actor.idle:
                ranker.campaign.changed.wait(POLL_S)
    finally:
        actor.end()
        if umap is not None:
            umap.end()


class _Actor:
    """The remote strategy, seen from here."""

    asked: Targets

    def __init__(self, ranker: "Ranker") -> None:
        self.ranker, self.campaign = ranker, ranker.campaign
        self.handle: Any = None
        self.pending: Any = None
        self.deaths = 0
        self.not_before = 0.0
        self.failed_at = -2  # revision that the strategy could not learn from

    @property
    def idle(self) -> bool:
        """Whether nothing is to be waited for."""
        return self.pending is None

    def turn(self) -> None:
        """Take what is done, ask for what is due."""
        if self.pending is not None:
            ready, _ = ray.wait([self.pending], timeout=POLL_S)
            if ready:
                self._take()
            return
        self.campaign.changed.clear()
        known = max(self.campaign.ranking.revision, self.failed_at)
        due = self.campaign.revision > known
        self.ranker.status.busy = due
        if not due or time.monotonic() < self.not_before:
            return
        if self.handle is None:
            self.handle = self._start()
        self.asked = targets = self.campaign.targets()
        self.pending = self.handle.rank.remote(targets.rows, targets.values)

    def end(self) -> None:
        """Kill it."""
        if self.handle is not None:
            ray.kill(self.handle, no_restart=True)
            self.handle = None

    def _start(self) -> Any:
        ranker = self.ranker
        options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0}
        remote: Any = _Strategy
        return remote.options(**options).remote(
            ranker.features, ranker.strategy, ranker.batch, ranker.seed
        )

    def _take(self) -> None:
        reference, self.pending = self.pending, None
        try:
            acquisition, queue, self.ranker.pid = ray.get(reference)
        except (RayActorError, ObjectLostError):
            self.end()
            pause = PAUSES_S[min(self.deaths, len(PAUSES_S) - 1)]
            self.deaths += 1
            self.not_before = time.monotonic() + pause
            self.ranker.status.error = "the process that ranks was lost; another one is started"
            return
        except RayTaskError as error:
            self.failed_at = self.asked.revision
            self.ranker.status.error = f"{self.ranker.strategy}: {last_line(error.cause)}"
            return
        self.deaths = 0
        self.ranker.status.error = None
        targets = self.asked
        self.campaign.rank(Ranking(len(targets.rows), targets.revision, acquisition, queue))


class _Umap:
    """The map of all objects, made once in a task of its own."""

    def __init__(self, ranker: "Ranker") -> None:
        self.ranker = ranker
        self.pending: Any = None
        self.done = False

    def turn(self) -> None:
        """Start it, or take it when it is done."""
        if self.done:
            return
        ranker = self.ranker
        if self.pending is None:
            remote: Any = _place_all
            self.pending = remote.remote(ranker.features, ranker.umap_rows, ranker.seed)
            ranker.status.umap = "computing"
            return
        ready, _ = ray.wait([self.pending], timeout=0)
        if not ready:
            return
        self.done = True
        try:
            ranker.umap = ray.get(self.pending)
            ranker.status.umap = "ready"
        except (RayTaskError, RayActorError, ObjectLostError, WorkerCrashedError):
            ranker.status.umap = "failed"

    def end(self) -> None:
        """Give it up."""
        if self.pending is not None and not self.done:
            ray.cancel(self.pending, force=True)


@ray.remote
class _Strategy:
    def __init__(self, features: Features, strategy: str, batch: int, seed: int) -> None:
        _one_thread()
        self.features, self.name, self.batch, self.seed = features, strategy, batch, seed
        self.pool: Any = None

    def rank(
        self, rows: NDArray[np.int64], targets: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], tuple[int, ...], int]:
        if self.pool is None:
            from wwdc.discovery.strategies import make_strategy

            self.pool = read_pool(self.features, self.seed)
            self.strategy = make_strategy(self.name, self.seed)
        self.strategy.fit(self.pool, rows, targets)
        acquisition = self.strategy.score(self.pool)
        queue: tuple[int, ...] = ()
        if self.batch > 1:
            chosen = self.strategy.batch(self.pool, acquisition, rows, self.batch)
            queue = tuple(int(row) for row in chosen)
        return acquisition.astype(np.float32), queue, os.getpid()


@ray.remote(num_cpus=1, max_retries=1)  # type: ignore[untyped-decorator]
def _place_all(features: Features, rows: int, seed: int) -> NDArray[np.float32]:
    _one_thread()
    return place_all(features, rows, seed)


def _one_thread() -> None:
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
