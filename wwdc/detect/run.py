"""Scoring what is left: on Ray actors, or here where that is quicker."""

__all__ = ["Failure", "score_all"]

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from wwdc.cluster.job import batch_job
from wwdc.config.schema import Resources, TuneConfig
from wwdc.detect.assemble import Draft, write_draft
from wwdc.detect.features import Features
from wwdc.detect.plan import Scoring, prepare, rows_of
from wwdc.detect.progress import Told
from wwdc.detect.work import Ready, Task, make_scorer, tasks_of
from wwdc.errors import FAULTS, DataError, ProductError, last_line
from wwdc.tune.stopping import StopRequest

LITTLE = 500_000
"""Rows times detectors below which starting Ray takes longer than the work."""

MAX_FAILURES = 2


@dataclass(frozen=True)
class Failure:
    """An embedding without scores, and why."""

    name: str
    reason: str


@dataclass
class _Job:
    """An embedding in work. Its table is written once all its blocks were issued and ended."""

    scoring: Scoring
    features: Features
    ready: Sequence[Ready]
    left_out: dict[str, str]
    waiting: int = 0
    issued: bool = False


def score_all(
    scorings: Sequence[Scoring],
    *,
    settings: TuneConfig,
    told: Told,
    stop: StopRequest,
) -> list[Failure]:
    """Score every embedding that has no draft yet. What is done is kept, block by block.

    A detector that fails is left out, and named in the draft. A worker that dies is replaced, and
    costs the blocks it had.

    Args:
        settings: the ``tune`` group: where Ray is, CPUs, the time budget.
        told: what is shown.
        stop: asked between blocks.

    Returns:
        Embeddings that cannot be read, or whose score is that of a detector that failed.

    Raises:
        ConfigError: a detector refuses its arguments.
        Stopped: by a signal, or at the end of the time budget.
    """
    due = [scoring for scoring in scorings if Draft.load(scoring.draft) is None]
    if not due:
        return []
    run = _Run(due, told)
    deadline = batch_job().deadline(settings.time_budget_s)

    def stopping() -> bool:
        if time.time() >= deadline:
            stop.end()
        return stop.code is not None

    with told:
        _spread(run, settings, stopping)
    stop.check()
    return run.failures


@dataclass
class _Run:
    """Issues blocks embedding by embedding and detector by detector, and takes them back."""

    scorings: Sequence[Scoring]
    told: Told
    failures: list[Failure] = field(default_factory=list)
    jobs: dict[str, _Job] = field(default_factory=dict)

    def work(self) -> int:
        """Rows times detectors, by what the embeddings' files say."""
        return sum(rows_of(s.embedding) * len(s.detection.detectors) for s in self.scorings)

    def tasks(self) -> Iterator[Task]:
        """What is to be done, prepared as it is asked for."""
        for scoring in self.scorings:
            try:
                features, ready, left_out = prepare(scoring)
            except (DataError, ProductError) as error:
                self._fail(scoring, error)
                continue
            job = _Job(scoring, features, ready, left_out)
            self.jobs[str(scoring.work)] = job
            for name, reason in left_out.items():
                self.told.left_out(scoring.name, name, reason)
            for detector in ready:
                for task in tasks_of(features, detector):
                    if detector.name in job.left_out:
                        break
                    if not task.path.exists():
                        job.waiting += 1
                        yield task
            job.issued = True
            self._close(job)

    def done(self, task: Task, _nothing: None) -> None:
        """A block is written."""
        job = self.jobs[str(task.folder)]
        job.waiting -= 1
        self.told.next(f"{job.scoring.name}: {task.label}")
        self._close(job)

    def failed(self, task: Task, error: BaseException) -> None:
        """A block cannot be written, nor can the detector's others."""
        job = self.jobs[str(task.folder)]
        job.waiting -= 1
        if task.detector.name not in job.left_out:
            job.left_out[task.detector.name] = last_line(error)
            self.told.left_out(job.scoring.name, task.detector.name, last_line(error))
        self._close(job)

    def _close(self, job: _Job) -> None:
        if not job.issued or job.waiting:
            return
        try:
            write_draft(job.scoring, job.features, job.ready, job.left_out)
        except DataError as error:
            self._fail(job.scoring, error)

    def _fail(self, scoring: Scoring, error: BaseException) -> None:
        self.failures.append(Failure(scoring.name, last_line(error)))
        self.told.failed(scoring.name, last_line(error))


def _spread(run: _Run, settings: TuneConfig, stopping: Callable[[], bool]) -> None:
    from wwdc.cluster import own_cpus

    cpus = settings.cpus or own_cpus()
    if settings.address == "local" and (cpus == 1 or run.work() < LITTLE):
        work = make_scorer()
        for task in run.tasks():
            if stopping():
                return
            try:
                work(task)
            except FAULTS as error:
                run.failed(task, error)
            else:
                run.done(task, None)
        return
    from wwdc.cluster import cluster
    from wwdc.cluster.pool import map_on_actors, slots

    one = Resources(cpu=1, gpu=0)
    plain = settings.model_copy(update={"resources": one, "num_workers": 1})
    with cluster(plain, "inline", cpus, run.scorings[0].tree.name):
        map_on_actors(
            make_scorer,
            run.tasks(),
            workers=slots(plain),
            resources=one,
            on_result=run.done,
            on_failure=run.failed,
            max_failures=MAX_FAILURES,
            should_stop=stopping,
        )
