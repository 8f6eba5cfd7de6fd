"""Drives stages in this process, one after the other and on one Ray, until one stops it."""

__all__ = ["Driver", "Ended"]

import contextlib
import importlib
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import FrameType
from typing import Any

from rich.console import Console
from rich.text import Text

from wwdc.cluster.room import Engine, engine_for, own_cpus
from wwdc.config.overrides import parse_override
from wwdc.config.schema import Resources, TuneConfig
from wwdc.run.receipts import write_receipt
from wwdc.run.stages import Fact, Stage, overrides_of
from wwdc.run.survey import Survey
from wwdc.terminal import EXIT_FAILED, EXIT_OK, EXIT_STOPPED, notice
from wwdc.tune.stopping import WARNING, Stopped, StopRequest

_BUDGET = "tune.time_budget_s"


@dataclass(frozen=True)
class Ended:
    """A stage that a run is through with.

    Attributes:
        status: ``up to date``, ``done``, ``failed``, ``stopped``, or ``left out`` where what it
            reads could not be made.
        code: the stage's exit code.
    """

    experiment: str
    stage: str
    status: str
    reason: str
    code: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints of it."""
        return dict(vars(self)) | {"seconds": round(self.seconds, 3)}


class Driver:
    """Calls the stages' own commands, which leave alone what is done already.

    One Ray serves all of them; it is started when the first stage that trains or tests has work.

    Args:
        screen: a header for each stage.
        end: when the run has to have ended [s since 1970].

    Attributes:
        ended: the stages so far.
        worst: the exit code that they come to: 1 once one failed in part.
    """

    def __init__(self, screen: Console, end: float) -> None:
        self.screen, self.end = screen, end
        self.ended: list[Ended] = []
        self.worst = EXIT_OK
        self._began = time.monotonic()
        self._stack = ExitStack()
        self._has_ray = False

    def __enter__(self) -> "Driver":
        self._stack.enter_context(_as_first_start())
        self._stack.enter_context(_stopping_on_signals())
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def run(
        self,
        survey: Survey,
        chosen: Sequence[Stage],
        facts: Mapping[str, Fact] | None = None,
    ) -> None:
        """Run those of *chosen* that have something to do.

        Args:
            facts: how the stages stood when the run began; they are looked at again once one of
                them has worked.

        Raises:
            Stopped: by a signal, the time, or a mistake that a stage found (exit code 2).
            WWDCError: a mistake found before a stage began.
        """
        known = facts or {}
        for stage in chosen:
            self._check_time()
            fact = known.get(stage.name) or survey.fact(stage)
            if fact.missing and self.worst:
                self._note(survey, stage, "left out", fact.reason, EXIT_FAILED, 0.0)
            elif fact.due:
                self._work(survey, stage, fact, chosen)
                known = {}
            else:
                self._note(survey, stage, "up to date", fact.reason, EXIT_OK, 0.0)

    def give_up(self, survey: Survey, stages: Sequence[Stage], reason: str) -> None:
        """Leave out stages for want of what they build on."""
        self.worst = EXIT_FAILED
        for stage in stages:
            self._note(survey, stage, "left out", reason, EXIT_FAILED, 0.0)

    def _work(self, survey: Survey, stage: Stage, fact: Fact, chosen: Sequence[Stage]) -> None:
        self._say(survey, stage, fact.reason, header=True)
        began = time.monotonic()
        before = survey.receipt(stage) if stage.group else None
        self._give_ray(survey, stage)
        module = importlib.import_module(f"wwdc.{stage.name}.__main__")
        with self._followed(survey, stage, chosen):
            code: int = module.main(self._arguments(survey, stage))
        if before is not None and code == EXIT_OK:
            write_receipt(stage, survey.tree, survey.receipt(stage, before))
        status = {EXIT_OK: "done", EXIT_FAILED: "failed"}.get(code, "stopped")
        self._note(survey, stage, status, fact.reason, code, time.monotonic() - began)
        if code > EXIT_FAILED:
            raise Stopped(code)
        self.worst = max(self.worst, code)

    def _followed(
        self, survey: Survey, stage: Stage, chosen: Sequence[Stage]
    ) -> contextlib.AbstractContextManager[Any]:
        """While points are trained, those that are done may be embedded, if that comes next."""
        embed = next((each for each in chosen if each.name == "embed"), None)
        if stage.name != "tune" or embed is None:
            return contextlib.nullcontext()
        from wwdc.run.follow import follower_of

        follower = follower_of(survey, self._arguments(survey, embed))
        return follower or contextlib.nullcontext()

    def _arguments(self, survey: Survey, stage: Stage) -> list[str]:
        overrides = overrides_of(stage, survey.overrides)
        if survey.composed.tune.time_budget_s is not None:
            left = max(1.0, self.end - time.time())
            overrides = [text for text in overrides if parse_override(text).key != _BUDGET]
            overrides.append(f"{_BUDGET}={left:.0f}")
        trust = ["--trust"] if survey.composed.trust else []
        return [str(survey.folder), *overrides, *trust]

    def _give_ray(self, survey: Survey, stage: Stage) -> None:
        """Have a Ray for the stages to come, before the first that surely needs one.

        Those that can do without, such as embed, decide for themselves and find it where it is.
        """
        if self._has_ray or stage.name not in ("tune", "stats"):
            return
        settings = survey.staged.training.tune
        engine: Engine = "inline"
        if stage.name == "tune":
            settings, engine = _checked(survey)
        else:
            plain = {"resources": Resources(cpu=1, gpu=0), "num_workers": 1}
            settings = settings.model_copy(update=plain)
            if settings.address == "local" and (settings.cpus or own_cpus()) == 1:
                return
        stop = StopRequest()
        with self.screen.status("starting Ray"), stop.listening():
            from wwdc.cluster import cluster

            cpus = settings.cpus or own_cpus()
            ray = cluster(settings, engine, cpus, survey.tree.name)
            dashboard = self._stack.enter_context(ray)
            self._has_ray = True
        stop.check()
        if dashboard:
            self.screen.print(f"Ray dashboard: {dashboard}", markup=False, soft_wrap=True)

    def _check_time(self) -> None:
        if time.time() >= self.end:
            raise Stopped(EXIT_STOPPED)

    def _note(
        self, survey: Survey, stage: Stage, status: str, reason: str, code: int, seconds: float
    ) -> None:
        self.ended.append(Ended(survey.tree.name, stage.name, status, reason, code, seconds))
        if status in ("up to date", "left out"):
            self._say(survey, stage, f"{status}: {reason}")

    def _say(self, survey: Survey, stage: Stage, text: str, header: bool = False) -> None:
        told = f"{survey.tree.name} {stage.name}: {text}"
        if header and self.screen.is_terminal:
            self.screen.rule(Text(told), align="left")
            return
        stamp = f"[{time.monotonic() - self._began:6.0f} s]"
        self.screen.print(f"{stamp} {told}", markup=False, soft_wrap=True)


def _checked(survey: Survey) -> tuple[TuneConfig, Engine]:
    """What training asks of Ray, once all that can be known to fail has been looked for."""
    from wwdc.tune.preflight import preflight
    from wwdc.tune.sweep import with_gpus

    plan = survey.plan()
    preflight(plan, survey.composed, notice)
    settings = with_gpus(survey.composed.tune, plan)
    return settings, engine_for(settings)


@contextlib.contextmanager
def _as_first_start() -> Iterator[None]:
    """Let each stage believe that its batch job has just begun.

    Whether a job that was started again got any further is for the whole run to say: a stage does
    not know of what the one before it did.
    """
    restarts = os.environ.get("WWDC_RESTARTS")
    if restarts is not None:
        os.environ["WWDC_RESTARTS"] = "0"
    try:
        yield
    finally:
        if restarts is not None:
            os.environ["WWDC_RESTARTS"] = restarts


@contextlib.contextmanager
def _stopping_on_signals() -> Iterator[None]:
    """Between stages and in those that do not listen themselves, SIGTERM and the job's warning end
    the run at once; Ctrl-C does so anyway."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Stopped(EXIT_STOPPED)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, WARNING)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
