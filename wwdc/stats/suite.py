"""Running what is left of a suite: on Ray actors, or here where that is quicker."""

__all__ = ["Failure", "run_units"]

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from wwdc.cluster.job import batch_job
from wwdc.config.schema import Resources, TuneConfig
from wwdc.errors import FAULTS, last_line
from wwdc.stats.store import Outcome, Store
from wwdc.stats.units import Unit
from wwdc.stats.work import make_worker
from wwdc.tune.stopping import StopRequest

LINE_EVERY_S = 30.0
MAX_FAILURES = 2


@dataclass(frozen=True)
class Failure:
    """A test without a result, and why."""

    unit: Unit
    reason: str


def run_units(
    units: Sequence[Unit],
    store: Store,
    *,
    settings: TuneConfig,
    name: str,
    screen: Console,
    stop: StopRequest,
) -> list[Failure]:
    """Run *units* and keep what each found as soon as it is known.

    A worker that dies is replaced and its test tried again. Several processes are used where the
    machine, or the cluster at ``tune.address``, has more than one CPU.

    Args:
        units: those that have no outcome in *store* yet.
        settings: the ``tune`` group: where Ray is, CPUs, the time budget.
        name: of the experiment, for Ray's dashboard.
        stop: asked between tests; what ended until then is kept.

    Returns:
        Tests that failed: an embedding that cannot be read, a worker that died again and again.

    Raises:
        Stopped: by a signal, or at the end of the time budget.
    """
    if not units:
        return []
    failures: list[Failure] = []
    deadline = batch_job().deadline(settings.time_budget_s)

    def stopping() -> bool:
        if time.time() >= deadline:
            stop.end()
        return stop.code is not None

    with _Told(len(units), screen) as told:

        def keep(unit: Unit, outcome: Outcome) -> None:
            store.save(unit.id, outcome)
            told.next(unit.label)

        def fail(unit: Unit, error: BaseException) -> None:
            failures.append(Failure(unit, f"{unit.label}: {last_line(error)}"))
            told.next(unit.label, "failed")

        _run(units, settings, name, keep, fail, stopping)
    stop.check()
    return failures


def _run(
    units: Sequence[Unit],
    settings: TuneConfig,
    name: str,
    keep: Callable[[Unit, Outcome], None],
    fail: Callable[[Unit, BaseException], None],
    stopping: Callable[[], bool],
) -> None:
    from wwdc.cluster import own_cpus

    cpus = settings.cpus or own_cpus()
    if settings.address == "local" and (cpus == 1 or len(units) == 1):
        work = make_worker()
        for unit in units:
            if stopping():
                return
            try:
                keep(unit, work(unit))
            except FAULTS as error:
                fail(unit, error)
        return
    from wwdc.cluster import cluster
    from wwdc.cluster.pool import map_on_actors, slots

    one = Resources(cpu=1, gpu=0)
    plain = settings.model_copy(update={"resources": one, "num_workers": 1})
    with cluster(plain, "inline", cpus, name):
        map_on_actors(
            make_worker,
            units,
            workers=min(slots(plain), len(units)),
            resources=one,
            on_result=keep,
            on_failure=fail,
            max_failures=MAX_FAILURES,
            should_stop=stopping,
        )


class _Told:
    """How far it is: a bar on a terminal, else a line now and then."""

    def __init__(self, total: int, screen: Console) -> None:
        self.total, self.done, self.screen = total, 0, screen
        self.began = self.last = time.monotonic()
        columns: tuple[Any, ...] = (
            TextColumn("testing"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", style="dim"),
        )
        self.bar = Progress(*columns, console=screen, transient=True)
        self.task = self.bar.add_task("", total=total)

    def __enter__(self) -> "_Told":
        if self.screen.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.screen.is_terminal:
            self.bar.stop()

    def next(self, label: str, how: str = "") -> None:
        """Another one has ended."""
        self.done += 1
        self.bar.update(self.task, advance=1, description=label)
        now = time.monotonic()
        due = now - self.last > LINE_EVERY_S or self.done == self.total
        if how or (due and not self.screen.is_terminal):
            self.last = now
            text = f"[{now - self.began:6.0f} s] {self.done} of {self.total} tests {how} {label}"
            self.screen.print(text, markup=False, soft_wrap=True)
