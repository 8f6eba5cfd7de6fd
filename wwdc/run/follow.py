"""Embeds what is trained while the rest still trains, as far as CPUs are idle.

It only makes things ready sooner: what it has not done, or was stopped at, is left to the stage
itself, which goes on from its parts.
"""

__all__ = ["Follower", "follower_of", "idle_cpus"]

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import IO

from wwdc.cluster.room import own_cpus, room_of
from wwdc.config.schema import TuneConfig
from wwdc.errors import ProductError
from wwdc.products import Tree
from wwdc.run.survey import Survey
from wwdc.tune.plan import Plan
from wwdc.tune.sweep import with_gpus

POLL_S = 2.0
PATIENCE_S = 30.0
NICENESS = 10
"""Training goes first where both want a CPU."""

_ALONE = ("embed.engine=inline", "tune.cpus=1")


def idle_cpus(unfinished: int, slots: int, cpus: int, each: float) -> int:
    """CPUs that training leaves: *slots* points at a time, or as few as are *unfinished*.

    >>> idle_cpus(unfinished=12, slots=2, cpus=2, each=1), idle_cpus(1, 2, 2, 1)
    (0, 1)
    """
    return int(cpus - min(unfinished, slots) * each)


def follower_of(survey: Survey, arguments: Sequence[str]) -> "Follower | None":
    """What embeds while *survey* trains, where that can be told to be of use.

    It cannot with another's Ray, whose CPUs are not ours to count; with GPUs, which training
    fills; and for a search, whose best points are not known yet.

    Args:
        arguments: of ``python -m wwdc.embed``.
    """
    from wwdc.embed.engine import device_of  # imports torch

    plan = survey.plan()
    settings = with_gpus(survey.composed.tune, plan)
    gpus = bool(settings.resources.gpu) or device_of(survey.staged) != "cpu"
    if settings.address != "local" or gpus or plan.open or not plan.left:
        return None
    command = [sys.executable, "-m", "wwdc.embed", *arguments, *_ALONE]
    return Follower(survey.tree, plan, settings, command)


class Follower:
    """Watches a tree from a thread, and runs *command* in a process of its own when it pays.

    Args:
        tree: where points are published.
        plan: whose points they are.
        settings: the ``tune`` group that they are trained with.
        command: embeds every finished point that is not embedded, and ends.
    """

    def __init__(
        self, tree: Tree, plan: Plan, settings: TuneConfig, command: Sequence[str]
    ) -> None:
        self.tree = Tree(tree.data_root, tree.data_name, tree.experiment_name)  # a thread's own
        self.points = {point.point_id for point in plan.points}
        self.command = list(command)
        self.cpus = settings.cpus or own_cpus()
        self.each = settings.resources.cpu * settings.num_workers
        room = room_of(settings)
        fits = room.holds(settings) if room else 1
        self.slots = min(fits, settings.max_concurrent or fits)
        self.log = tree.multiruns / "run" / "embed.log"
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="follower", daemon=True)

    def __enter__(self) -> "Follower":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._process is None:
            return
        self._process.terminate()  # it keeps its parts
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _watch(self) -> None:
        seen: set[str] = set()
        # What is broken in the tree is told by the stage itself.
        with contextlib.suppress(ProductError, OSError):
            while not self._over.wait(POLL_S):
                if self._process is not None and self._process.poll() is None:
                    continue
                finished = self.points & self.tree.finished().keys()
                unfinished = len(self.points) - len(finished)
                idle = idle_cpus(unfinished, self.slots, self.cpus, self.each)
                if idle >= 1 and finished - seen:
                    seen = finished
                    self._start()

    def _start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = _quietly(self.command, log)


def _quietly(command: Sequence[str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start *command* behind all else, out of reach of the terminal's Ctrl-C."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    with contextlib.suppress(OSError):  # it has ended already
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    return process
