"""A whole run: an experiment's stages, after those of the experiments that it builds on."""

__all__ = ["Whole", "find_whole"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wwdc.cluster.job import BatchJob
from wwdc.config.overrides import parse_override
from wwdc.errors import ProductError
from wwdc.run.drive import Driver
from wwdc.run.needs import forget, make_note, noted, who_makes
from wwdc.run.stages import Fact, Outlook, Stage, choose, outlooks
from wwdc.run.survey import Survey, look

_PASSED_ON = ("tune.address", "tune.cpus", "tune.dashboard")
"""Overrides that say where to run. All others are the experiment's own."""

_FIRST = choose(last="tune")


@dataclass(frozen=True)
class Whole:
    """What a command does, found before anything starts.

    Attributes:
        survey: of the experiment.
        chosen: its stages.
        first: product → the experiment that is trained first to make it, in order.
        sources: the folders as they were before a batch job kept copies of them.
    """

    survey: Survey
    chosen: tuple[Stage, ...]
    first: Mapping[str, Survey]
    sources: tuple[Path, ...]

    @property
    def surveys(self) -> list[Survey]:
        """All experiments, in the order in which they run."""
        return [*self.first.values(), self.survey]

    @property
    def notices(self) -> list[str]:
        """What the user should be told once."""
        texts = (text for survey in self.surveys for text in survey.notices)
        return list(dict.fromkeys(texts))

    def facts(self) -> list[dict[str, Fact]]:
        """How the stages stand, for each of `surveys`."""
        stages = [*(_FIRST for _ in self.first), self.chosen]
        pairs = zip(self.surveys, stages, strict=True)
        return [{stage.name: survey.fact(stage) for stage in each} for survey, each in pairs]

    def outlooks(self, facts: Sequence[Mapping[str, Fact]]) -> list[list[Outlook]]:
        """What each stage would do, for each of `surveys`.

        Raises:
            ProductError: what the first stage reads is not there, and no stage before makes it.
        """
        *before, own = facts
        for outlook in (found := outlooks(self.chosen, own)):
            if outlook.status == "due" and own[outlook.stage].missing:
                raise ProductError(
                    f"{self.survey.tree.name}: {own[outlook.stage].reason} that "
                    f"{outlook.stage} could use. Run: python -m wwdc.run {self.survey.folder}"
                )
        return [*(outlooks(_FIRST, each) for each in before), found]

    def freeze(self, job: BatchJob) -> None:
        """Keep the folders as they are for a batch job's next start."""
        for folder in self.sources:
            job.freeze(folder)

    def run(self, driver: Driver, facts: Sequence[Mapping[str, Fact]]) -> None:
        """Do it.

        Raises:
            Stopped: before the end.
            WWDCError: a mistake.
        """
        survey = self.survey
        if self.first:
            make_note(survey.tree, {name: each.folder for name, each in self.first.items()})
            for each, known in zip(self.first.values(), facts, strict=False):
                driver.run(each, _FIRST, known)
            survey = look(survey.folder, survey.overrides, trust=survey.composed.trust)
            if missing := survey.needs():
                driver.give_up(survey, self.chosen, f"there is no checkpoint of {missing[0]}")
                return
            forget(survey.tree)
        driver.run(survey, self.chosen, None if self.first else facts[-1])


def find_whole(
    experiment: Path,
    overrides: Sequence[str],
    chosen: tuple[Stage, ...],
    job: BatchJob,
    *,
    trust: bool = False,
) -> Whole:
    """Look at an experiment and at those it builds on.

    Raises:
        ConfigError: one of the experiments is wrong.
        ProductError: nobody makes a product that is missing.
    """
    survey = look(job.frozen(experiment), overrides, trust=trust)
    whole = Whole(survey, chosen, {}, (experiment,))
    if any(stage.name == "tune" for stage in chosen):
        passed = [text for text in overrides if parse_override(text).key in _PASSED_ON]
        whole = _with_needs(whole, survey, experiment, passed, job, (survey.tree.name,))
    return whole


def _with_needs(
    whole: Whole,
    survey: Survey,
    source: Path,
    overrides: Sequence[str],
    job: BatchJob,
    above: tuple[str, ...],
) -> Whole:
    """Add what *survey* needs, the deepest first."""
    begun = {name: Path(folder) for name, folder in noted(survey.tree).items()}
    needs = {name: who_makes(name, source) for name in survey.needs()}
    for product, folder in (begun | needs).items():
        if product in above:
            raise ProductError(
                f"{' → '.join([*above, product])}: each needs the next's checkpoint."
            )
        if product in whole.first:
            continue
        each = look(job.frozen(folder), overrides, trust=survey.composed.trust)
        if product not in needs and each.plan().finished:
            continue
        whole = _with_needs(whole, each, folder, overrides, job, (*above, product))
        first = {**whole.first, product: each}
        whole = replace(whole, first=first, sources=(*whole.sources, folder))
    return whole
