"""Where pieces are done: in this process, or by actors where these pay."""

__all__ = ["Engine", "Following", "device_of"]

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from wwdc.cluster.room import Room, own_cpus, room_of
from wwdc.config import EmbedConfig, Resources, Staged, TuneConfig
from wwdc.embed.embedder import Done, Embedder, Piece, make_embedder
from wwdc.embed.shards import Pass
from wwdc.errors import FAULTS, ClusterError, last_line

PAYS_S = 60.0
"""Actors take about ten seconds to start."""


class Following(Protocol):
    """What is told how pieces end, and says which are still wanted."""

    def wanted(self, piece: Piece) -> Piece | None: ...

    def written(self, rows: int) -> None: ...

    def done(self, piece: Piece, done: Done) -> None: ...

    def failed(self, piece: Piece, reason: str) -> None: ...


class Engine:
    """Does pieces in this process or on Ray.

    ``auto`` begins in this process, which suits small jobs, and goes on with actors once what is
    left would take this process more than a minute and there is room for several, or a cluster.

    Args:
        staged: for the settings of ``embed`` and ``tune``.
        name: of the experiment, for Ray's dashboard.
        check: raises when the run should end.
        should_stop: whether it would raise.
    """

    def __init__(
        self,
        staged: Staged,
        name: str,
        check: Callable[[], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.settings: EmbedConfig = staged.embed
        self.name = name
        self.code = staged.training.folder if staged.training.trust else None
        self.check, self.should_stop = check, should_stop
        self.tune = _as_tune(staged)

    def run(
        self, pieces: Sequence[Piece], passes: Sequence[Pass], parts: dict[str, Path], to: Following
    ) -> None:
        """Do *pieces*; *to* hears of each as it ends.

        Raises:
            Stopped: *check* did.
            ClusterError: a worker can never fit, or the address does not answer.
        """
        left = deque(pieces)
        if self.settings.engine != "ray":
            with _all_threads(self.tune.cpus or own_cpus()):
                self._here(left, Embedder(passes, parts, self.check, to.written), to)
        if left:
            self._on_actors(left, functools.partial(make_embedder, passes, parts, self.code), to)

    def _here(self, left: deque[Piece], embedder: Embedder, to: Following) -> None:
        seconds = rows = 0.0
        while left:
            self.check()
            piece = to.wanted(left.popleft())
            if piece is None:
                continue
            try:
                done = embedder(piece)
            except FAULTS as error:
                to.failed(piece, last_line(error))
                continue
            to.done(piece, done)
            seconds += done.seconds
            rows += _size(piece)
            rest = sum(map(_size, left))
            if self.settings.engine == "auto" and seconds / rows * rest > PAYS_S and self._room():
                return

    def _room(self) -> bool:
        """Whether actors would get further than this process."""
        room = room_of(self.tune)
        return self.tune.address != "local" or (room is not None and room.holds(self.tune) > 1)

    def _on_actors(
        self, left: deque[Piece], factory: Callable[[], Embedder], to: Following
    ) -> None:
        from wwdc.cluster import cluster

        def told(piece: Piece, done: Done) -> None:
            to.written(
                (piece.shard.stop - piece.shard.start) * (len(piece.keys) - len(done.errors))
            )
            to.done(piece, done)

        _refuse_unfit(room_of(self.tune), self.tune)
        with cluster(self.tune, "inline", self.tune.cpus or own_cpus(), self.name):
            from wwdc.cluster.pool import map_on_actors, slots

            map_on_actors(
                factory,
                _wanted(left, to),
                workers=min(slots(self.tune), len(left)),
                resources=self.tune.resources,
                on_result=told,
                on_failure=lambda piece, error: to.failed(piece, last_line(error)),
                max_failures=self.settings.max_failures,
                should_stop=self.should_stop,
            )
        self.check()


def device_of(staged: Staged) -> str:
    """``cuda`` where a worker has a GPU, or part of one; else ``cpu``."""
    return "cuda" if _as_tune(staged).resources.gpu else "cpu"


def _as_tune(staged: Staged) -> TuneConfig:
    """``tune`` as far as it concerns a cluster, with the resources of one worker."""
    asked = staged.embed.resources
    trainer = staged.composed.resolve()["trainer"]
    gpu = float(trainer.get("accelerator") == "gpu") if asked.gpu is None else asked.gpu
    resources = Resources(cpu=asked.cpu, gpu=gpu)
    changes = {"resources": resources, "num_workers": 1, "engine": "inline"}
    return staged.composed.tune.model_copy(update=changes)


def _wanted(left: deque[Piece], to: Following) -> Iterator[Piece]:
    while left:
        piece = to.wanted(left.popleft())
        if piece is not None:
            yield piece


def _size(piece: Piece) -> int:
    """A measure of its work: rows, once for each flow and once for the encoder."""
    return (piece.shard.stop - piece.shard.start) * (len(piece.keys) + 1)


def _refuse_unfit(room: Room | None, settings: TuneConfig) -> None:
    misfit = room.misfit(settings) if room else None
    if misfit:
        reason = misfit.reason.replace("a trial", "a worker")
        raise ClusterError(f"{reason}. Lower embed.resources, or set embed.engine=inline.")


@contextmanager
def _all_threads(threads: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
