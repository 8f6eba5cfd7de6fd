"""How an experiment stands: what each stage has to do, found without doing any of it."""

__all__ = ["Survey", "look"]

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wwdc.config import Composed, Staged, load, load_stage, missing_products
from wwdc.detect.settings import read_detection
from wwdc.embed.jobs import Job, find_jobs
from wwdc.errors import ProductError
from wwdc.products import Tree
from wwdc.report.settings import read_figures
from wwdc.run.receipts import Receipt, difference, read_receipt, take_receipt
from wwdc.run.stages import CHAIN, Fact, Stage, overrides_of
from wwdc.stats.settings import read_suite
from wwdc.tune.plan import Plan, make_plan

_TRAIN = CHAIN[1]


@dataclass(frozen=True)
class Survey:
    """An experiment whose settings hold no visible mistake, for every stage.

    Attributes:
        folder: of the experiment.
        overrides: as they were given, for all stages.
        composed: train.yaml composed, as training sees it.
        staged: embed.yaml composed, as the stages after training see it.
    """

    folder: Path
    overrides: tuple[str, ...]
    composed: Composed
    staged: Staged
    tree: Tree
    _later: dict[frozenset[str], Plan] = field(default_factory=dict, repr=False, compare=False)

    def plan(self) -> Plan:
        """What training would do now."""
        return make_plan(self.composed, self.tree)

    @property
    def notices(self) -> list[str]:
        """What the user should be told once."""
        return list(dict.fromkeys((*self.composed.notices, *self.staged.composed.notices)))

    def needs(self) -> list[str]:
        """Products that are named by ``${product:…}`` and that nobody has made yet."""
        plan = self.plan()
        blocked = [p for p in (*plan.points, *plan.probes) if p.status == "blocked"]
        names = dict.fromkeys(n for p in blocked for n in missing_products(p.config))
        if blocked and not names:
            raise ProductError(f"Point {blocked[0].job_num} {blocked[0].detail}")
        return list(names)

    def fact(self, stage: Stage) -> Fact:
        """How *stage* stands by itself.

        Raises:
            ProductError: an info file is broken.
        """
        if stage.name == "prepare":
            return self._prepare()
        if stage.name == "tune":
            return self._tune()
        if stage.name == "embed":
            return self._embed()
        return self._by_receipt(stage)

    def receipt(self, stage: Stage, before: Receipt | None = None) -> Receipt:
        """What *stage* would be made from now; see `take_receipt`."""
        return take_receipt(stage, self.tree, self._settings(stage), before)

    def _prepare(self) -> Fact:
        plan = self._points()
        points = (*plan.points, *plan.probes)
        prints = {point.lineage["data"]["fingerprint"] for point in points}
        folder = self.composed.data_root / self.composed.meta.data_name / "catalogue"
        names = (f"{name}{end}" for name in prints for end in (".parquet", "_info.yaml"))
        if prints and all((folder / name).is_file() for name in names):
            return Fact(False, "the catalogue is there")
        return Fact(True, "the catalogue is not written yet")

    def _tune(self) -> Fact:
        plan = self.plan()
        counts, total = plan.counts, len(plan.points)
        if plan.finished:
            return Fact(False, f"all {total} points are done")
        words = {
            "new": "to train",
            "partial": "to go on with",
            "failed": "to try again",
            "running": "trained by another run",
            "blocked": "waiting for what they build on",
        }
        told = [f"{counts[status]} {text}" for status, text in words.items() if counts[status]]
        told += [f"{plan.to_ask} to be chosen by the searcher"] if plan.to_ask else []
        told += [f"then {plan.to_replicate} with other seeds"] if plan.to_replicate else []
        return Fact(True, ", ".join(told) + (f"; points in all: {total}" if total else ""))

    def _embed(self) -> Fact:
        jobs = self._jobs()
        if not jobs:
            return Fact(True, "no point is trained", missing=True)
        counts = Counter(job.status for job in jobs)
        if counts["done"] == len(jobs):
            return Fact(False, f"all {len(jobs)} embeddings are done")
        return Fact(True, f"{len(jobs) - counts['done']} of {len(jobs)} embeddings to make")

    def _jobs(self) -> list[Job]:
        return find_jobs(self.staged, self.tree, make_plan(self.staged.training, self.tree))[0]

    def _by_receipt(self, stage: Stage) -> Fact:
        if stage.name == "report":
            missing = "" if self.tree.finished() else "no point is trained"
        else:
            missing = "" if self.tree.embedded() else "nothing is embedded"
        if missing:
            return Fact(True, missing, missing=True)
        reason = difference(stage, read_receipt(stage, self.tree), self.receipt(stage))
        return Fact(bool(reason), reason or "nothing it reads changed")

    def _points(self) -> Plan:
        """The points of later stages. Which these are may change as a search goes on; their status
        here may be an old one."""
        finished = frozenset(self.tree.finished())
        if finished not in self._later:
            self._later[finished] = make_plan(self.staged.training, self.tree)
        return self._later[finished]

    def _settings(self, stage: Stage) -> Any:
        config = self.staged.composed.resolve()
        points = sorted(p.point_id for p in self._points().points)
        code = sorted(self.folder.rglob("*.py")) if self.composed.trust else []
        about = config["meta"] if stage.name == "report" else None
        sources = [path.read_text(encoding="utf-8", errors="replace") for path in code]
        return [config.get(str(stage.group)), points, about, sources]


def look(folder: Path, overrides: Sequence[str] = (), *, trust: bool = False) -> Survey:
    """Compose and check an experiment for all stages. Nothing is written or started.

    Raises:
        ConfigError: the folder, an override or a stage's settings are wrong.
    """
    composed = load(folder, overrides_of(_TRAIN, overrides), trust=trust)
    staged = load_stage(folder, overrides, trust=trust)
    read_suite(staged.composed)
    read_detection(staged.composed)
    read_figures(staged.composed)
    tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
    return Survey(folder, tuple(overrides), composed, staged, tree)
