"""From jobs to published embeddings: claims, passes, parts, products."""

__all__ = ["embed"]

import contextlib
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from wwdc.cluster.job import batch_job
from wwdc.config import Staged
from wwdc.embed.embedder import Done, Piece
from wwdc.embed.engine import Engine, device_of
from wwdc.embed.jobs import Job, embedding_info, failed, with_status
from wwdc.embed.parts import Parts
from wwdc.embed.passes import plan_passes
from wwdc.embed.progress import Progress
from wwdc.embed.shards import Pass, shards_of
from wwdc.errors import ProductError
from wwdc.products import Claim, Tree, acquire, atomic_write, info_path, now, publish, read_info
from wwdc.products.gc import EMBEDDING
from wwdc.terminal import EXIT_FAILED, EXIT_OK, EXIT_STOPPED
from wwdc.tune.stopping import Stopped, StopRequest

POLL_S = 2.0
CLAIMS = 256
"""Jobs worked on at a time: a claim has a thread, and each job a line in every piece."""


def embed(
    staged: Staged, tree: Tree, jobs: Sequence[Job], progress: Progress, *, fresh: bool = False
) -> tuple[list[Job], int]:
    """Make every embedding of *jobs* that is not done; the jobs afterwards and the exit code.

    Raises:
        WWDCError: a mistake that is found before anything starts.
    """
    run = _Run(staged, tree, list(jobs), progress, fresh)
    code = EXIT_OK
    with run.stop.listening(), progress:
        try:
            run.until_done()
        except Stopped as stopped:
            code = stopped.code
    after = [with_status(job, tree) for job in run.jobs]
    if not code and any(job.status == "failed" for job in after):
        code = EXIT_FAILED
    if not code and not all(job.status == "done" for job in after):
        code = EXIT_STOPPED
    return after, batch_job().stopped(run.progressed) if code == EXIT_STOPPED else code


class _Run:
    def __init__(
        self, staged: Staged, tree: Tree, jobs: list[Job], progress: Progress, fresh: bool
    ) -> None:
        self.staged, self.tree, self.jobs = staged, tree, jobs
        self.progress = progress
        self.fresh = fresh
        self.stop = StopRequest()
        self.end = batch_job().deadline(staged.composed.tune.time_budget_s)
        self.progressed = False

    def until_done(self) -> None:
        """Work through what is left, wave by wave, until nothing is or others have it."""
        told = False
        made: set[Path] = set()
        while True:
            self.check()
            fresh = self.fresh
            self.jobs = [
                with_status(job, self.tree, fresh=fresh and job.path not in made)
                for job in self.jobs
            ]
            todo = [job for job in self.jobs if job.status in ("new", "partial")]
            if todo:
                wave = self._wave(todo[:CLAIMS])
                made.update(job.path for job in wave if job.status == "done")
                self._put(wave)
                continue
            running = sum(job.status == "running" for job in self.jobs)
            if not running:
                return
            if not told:
                self.progress.say(f"Waiting for another run, which makes {running} of these.")
                told = True
            time.sleep(POLL_S)

    def check(self) -> None:
        """Raise `Stopped` when a signal came or the time is over."""
        self.should_stop()
        self.stop.check()

    def should_stop(self) -> bool:
        """Whether `check` would raise."""
        if time.time() >= self.end:
            self.stop.end()
        return self.stop.code is not None

    def _wave(self, jobs: Sequence[Job]) -> list[Job]:
        """Claim *jobs* and make them; those that another run has got meanwhile stay as they are."""
        with ExitStack() as stack:
            claims: dict[str, Claim] = {}
            mine: list[Job] = []
            for job in jobs:
                claim = acquire(self.tree, job.work)
                if claim is None:
                    continue
                stack.callback(_remove_empty, self.tree.point(job.work))
                stack.callback(claim.release)  # the last is called first
                if with_status(job, self.tree, fresh=self.fresh).status != "done":
                    claims[job.work] = claim
                    mine.append(job)
            planned = plan_passes(
                mine,
                self.tree,
                self.staged.embed,
                device=device_of(self.staged),
                allow=tuple(self.staged.training.allow),
            )
            for job in planned.failed:
                self.progress.say(f"failed: {_label(job)}: {job.detail}")
            wave = _Wave(self, planned.passes, planned.jobs, claims)
            wave.work()
            return [*planned.failed, *wave.jobs.values()]

    def _put(self, changed: Iterable[Job]) -> None:
        known = {job.path: job for job in changed}
        self.jobs = [known.get(job.path, job) for job in self.jobs]


@dataclass
class _Wave:
    """Claimed jobs on their way to products.

    Attributes:
        jobs: by their key.
        parts: of each job.
        left: shards of each job that have no part yet.
    """

    run: _Run
    passes: tuple[Pass, ...]
    jobs: dict[str, Job]
    claims: dict[str, Claim]
    parts: dict[str, Parts] = field(default_factory=dict)
    left: dict[str, set[int]] = field(default_factory=dict)
    device: str = "cpu"
    created: str = field(default_factory=now)

    def work(self) -> None:
        """Do every piece that is missing and publish what becomes complete."""
        pieces = self._pieces()
        rows = {key: job.rows or 0 for key, job in self.jobs.items()}
        self.run.progress.expect(sum(rows.values()))
        self.run.progress.advance(
            sum(rows.values()) - sum(_rows(piece) * len(piece.keys) for piece in pieces)
        )
        for key in [key for key, left in self.left.items() if not left]:
            self._publish(key)
        if not pieces:
            return
        settings = self.run.staged.embed
        where = "" if settings.engine == "auto" else f", engine {settings.engine}"
        self.run.progress.say(
            f"{len(self.left)} embeddings in {len(pieces)} pieces of up to "
            f"{settings.shard_rows} rows{where}"
        )
        engine = Engine(self.run.staged, self.run.tree.name, self.run.check, self.run.should_stop)
        folders = {key: parts.path for key, parts in self.parts.items()}
        engine.run(pieces, self.passes, folders, self)

    def wanted(self, piece: Piece) -> Piece | None:
        """The piece without jobs that failed meanwhile."""
        keys = tuple(key for key in piece.keys if key in self.left)
        return replace(piece, keys=keys) if keys else None

    def written(self, rows: int) -> None:
        """Count what was written."""
        self.run.progress.advance(rows)

    def done(self, piece: Piece, done: Done) -> None:
        """Note a piece's parts; a job whose parts are all there is published."""
        self.device, self.run.progressed = done.device, True
        for key, reason in done.errors.items():
            self._fail(key, reason)
        for key in piece.keys:
            if key in self.left:
                self.left[key].discard(piece.shard.number)
                if not self.left[key]:
                    self._publish(key)

    def failed(self, piece: Piece, reason: str) -> None:
        """Give up the jobs of a piece."""
        for key in piece.keys:
            self._fail(key, reason)

    def _pieces(self) -> list[Piece]:
        shard_rows = self.run.staged.embed.shard_rows
        pieces = []
        for number, work in enumerate(self.passes):
            shards = shards_of(work.rows, shard_rows)
            keys = [target.key for target in work.targets]
            for key in keys:
                job = self.jobs[key]
                folder = self.run.tree.point(key)
                parts = Parts(folder, job.contents(shard_rows), len(shards))
                if self.run.fresh:
                    shutil.rmtree(parts.path, ignore_errors=True)
                parts.drop_others()
                atomic_write(folder / EMBEDDING, f"{job.name}/{job.path.name}\n")
                self.parts[key], self.left[key] = parts, set(parts.missing())
            for shard in shards:
                missing = tuple(key for key in keys if shard.number in self.left[key])
                if missing:
                    pieces.append(Piece(number, shard, missing))
        return pieces

    def _fail(self, key: str, reason: str) -> None:
        left = self.left.pop(key, None)
        if left is None:
            return
        self.jobs[key] = job = failed(self.jobs[key], reason)
        shard_rows = self.run.staged.embed.shard_rows
        self.run.progress.advance(min(len(left) * shard_rows, job.rows or 0))
        self.run.progress.say(f"failed: {_label(job)}: {reason}")

    def _publish(self, key: str) -> None:
        """Join a job's parts and put the file where it belongs."""
        job, folder = self.jobs[key], self.run.tree.point(key)
        if self.claims[key].lost:
            self.left.pop(key)  # another run makes it now
            return
        joined = folder / "embedding.parquet"
        try:
            rows = self.parts[key].join(joined)
            info = embedding_info(job, rows=rows, device=self.device, created=self.created)
            _free(job)
            publish(joined, job.path, info)
        except ProductError as error:
            self._fail(key, str(error))
            return
        shutil.rmtree(folder, ignore_errors=True)
        self.left.pop(key)
        self.jobs[key] = replace(job, status="done", rows=rows)
        self.run.progress.say(f"done: {_label(job)}: {rows} objects")


def _free(job: Job) -> None:
    """Remove what has the embedding's name and is another point's.

    The checkpoint of that name is this point's, so what the other was made of is gone.
    """
    note = info_path(job.path)
    try:
        mine = read_info(note).point_id == job.product.info.point_id
    except FileNotFoundError:
        mine = not job.path.exists()
    except ProductError:
        mine = False
    if not mine:
        note.unlink(missing_ok=True)
        job.path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _rows(piece: Piece) -> int:
    return piece.shard.stop - piece.shard.start


def _label(job: Job) -> str:
    return f"{job.name}/{job.split}"
