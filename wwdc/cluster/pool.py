"""Work spread over actors: results as they come, the lost replaced, what they held done again."""

__all__ = ["map_on_actors", "slots"]

import itertools
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

from wwdc.cluster.room import Room
from wwdc.config.schema import Resources, TuneConfig
from wwdc.errors import ClusterError, WWDCError

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Any], Any]

POLL_S = 0.2
IN_FLIGHT = 2
"""Items an actor has at a time: the one it works on, and the next, so that it need not wait."""

PATIENCE_S = 600.0
"""How long a cluster may be without any actor of ours: its nodes may be coming back."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def map_on_actors(
    factory: Callable[[], Callable[[Item], Result]],
    items: Iterable[Item],
    *,
    workers: int,
    resources: Resources,
    on_result: Callable[[Item, Result], None],
    on_failure: Callable[[Item, BaseException], None],
    max_failures: int = 3,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Do every item on a pool of actors of the connected Ray.

    An actor makes its function once, with what the function needs. An actor that dies (killed, out
    of memory, its node lost) is replaced, and what it had is tried again: each item alone, and one
    whose actors died *max_failures* times alone once more. An item whose function raises is not
    tried again. *on_result* and *on_failure* run here, in the order things end.

    Args:
        factory: picklable; called in each actor.
        items: picklable; taken as they are needed, in order.
        workers: most actors at a time; those that find no room wait for it.
        resources: of one actor; its CPUs are also its threads.
        on_result: takes an item and what its function returned.
        on_failure: takes an item and why there is no result: what its function raised, or a
            `ClusterError` where its actors died.
        should_stop: asked several times a second; when true all actors are killed, and items that
            have not ended are dropped.

    Raises:
        ClusterError: no actor could be had for ten minutes.
    """
    pool = _Pool(factory, iter(items), resources, max_failures, on_result, on_failure)
    try:
        while pool.feed(workers) and not should_stop():
            pool.collect()
    finally:
        pool.end()


def slots(settings: TuneConfig) -> int:
    """How many workers of ``tune.resources`` the connected Ray holds at a time, at least one."""
    nodes = tuple(node["Resources"] for node in ray.nodes() if node["Alive"])
    return max(1, Room("the cluster", nodes).holds(settings))


@dataclass(eq=False)
class _Task(Generic[Item]):
    """An item. Once an actor was lost that had it, it is tried alone, and so found out."""

    item: Item
    failures: int = 0
    suspect: bool = False


@dataclass(eq=False)
class _Actor(Generic[Item]):
    """A remote worker; what it was given ends in that order."""

    handle: Any
    ready: Any
    known: bool = False
    tasks: deque[tuple[Any, _Task[Item]]] = field(default_factory=deque)

    def takes(self, task: _Task[Item]) -> bool:
        """Whether *task* may be given to it now."""
        if task.suspect or any(given.suspect for _, given in self.tasks):
            return not self.tasks
        return len(self.tasks) < IN_FLIGHT


class _Pool(Generic[Item, Result]):
    def __init__(
        self,
        factory: Callable[[], Callable[[Item], Result]],
        items: Iterator[Item],
        resources: Resources,
        max_failures: int,
        on_result: Callable[[Item, Result], None],
        on_failure: Callable[[Item, BaseException], None],
    ) -> None:
        self.factory = ray.put(factory)
        self.items = items
        self.resources = resources
        self.max_failures = max_failures
        self.on_result, self.on_failure = on_result, on_failure
        self.actors: list[_Actor[Item]] = []
        self.again: deque[_Task[Item]] = deque()
        self.alone_since = time.monotonic()
        self.started = False

    def feed(self, workers: int) -> bool:
        """Give actors what they can take, start those that are wanted; whether work is left."""
        for actor in sorted((a for a in self.actors if a.known), key=lambda a: len(a.tasks)):
            while self._waiting() and actor.takes(self.again[0]):
                task = self.again.popleft()
                actor.tasks.append((actor.handle.run.remote(task.item), task))
        waiting = self._waiting()
        if waiting and len(self.actors) < workers:
            self._start(1 if self.started else workers)
        return waiting or any(actor.tasks for actor in self.actors)

    def collect(self) -> None:
        """Take what has ended, waiting a moment for it."""
        waited = {}
        for actor in self.actors:
            if not actor.known:
                waited[actor.ready] = actor
            elif actor.tasks:
                waited[actor.tasks[0][0]] = actor
        if not waited:
            return
        ended, _ = ray.wait(list(waited), num_returns=len(waited), timeout=POLL_S)
        if not ended:
            self._check_patience()
        for reference in ended:
            self._settle(waited[reference])

    def end(self) -> None:
        """Kill every actor."""
        for actor in self.actors:
            ray.kill(actor.handle, no_restart=True)
        self.actors.clear()

    def _waiting(self) -> bool:
        """Whether an item waits for an actor."""
        if not self.again:
            self.again.extend(_Task(item) for item in itertools.islice(self.items, 1))
        return bool(self.again)

    def _start(self, number: int) -> None:
        cpu, gpu = self.resources.cpu, self.resources.gpu or 0
        options = {"num_cpus": cpu, "num_gpus": gpu, "max_restarts": 0, "max_task_retries": 0}
        self.started = True
        for _ in range(number):
            handle = _Worker.options(**options).remote(self.factory, int(cpu))  # type: ignore[attr-defined]
            self.actors.append(_Actor(handle, handle.ping.remote()))

    def _settle(self, actor: _Actor[Item]) -> None:
        if not actor.known:
            try:
                ray.get(actor.ready)
            except (RayActorError, ObjectLostError) as error:
                self._lose(actor, error)
            else:
                actor.known = True
            return
        reference, task = actor.tasks[0]
        try:
            result: Result = ray.get(reference)
        except (RayActorError, ObjectLostError) as error:
            self._lose(actor, error)
            return
        except RayTaskError as error:
            actor.tasks.popleft()
            cause = error.cause
            self.on_failure(task.item, cause if isinstance(cause, WWDCError) else error)
            return
        actor.tasks.popleft()
        self.on_result(task.item, result)

    def _lose(self, actor: _Actor[Item], error: Exception) -> None:
        """Any of what it had may be the reason, even one that ended and was not heard of."""
        self.actors.remove(actor)
        ray.kill(actor.handle, no_restart=True)  # it may only be out of reach
        tasks = [task for _, task in actor.tasks]
        for task in tasks:
            task.failures += len(tasks) == 1
            task.suspect = True
            if task.failures <= self.max_failures:
                self.again.append(task)
            else:
                self.on_failure(task.item, _died(task.failures, error))

    def _check_patience(self) -> None:
        if any(actor.known for actor in self.actors):
            self.alone_since = time.monotonic()
        elif time.monotonic() - self.alone_since > PATIENCE_S:
            raise ClusterError(
                f"no worker with {self.resources.cpu:g} CPU and {self.resources.gpu or 0:g} GPU "
                f"could be started within {PATIENCE_S / 60:.0f} minutes. Is the cluster full, or "
                "are its nodes gone? `ray status` tells."
            )


def _died(times: int, error: Exception) -> ClusterError:
    often = "once" if times == 1 else f"{times} times"
    reason = (str(error).strip() or "for an unknown reason").splitlines()[0]
    return ClusterError(
        f"the process that worked on it died {often}: {reason} Does it need more memory than "
        "there is?"
    )


@ray.remote
class _Worker:
    def __init__(self, factory: Callable[[], Work], threads: int) -> None:
        self.factory = factory
        self.threads = max(1, threads)
        self.work: Work | None = None

    def ping(self) -> int:
        return os.getpid()

    def run(self, item: Any) -> Any:
        if self.work is None:
            # Ray sets OMP_NUM_THREADS only where the environment does not have it.
            os.environ.update(dict.fromkeys(_THREADS, str(self.threads)))
            self.work = self.factory()
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(self.threads)
        return self.work(item)
