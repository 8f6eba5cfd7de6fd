"""All mistakes that can be seen on the login node, before a job waits for hours to tell them."""

__all__ = ["CLUSTER_STAGES", "Checked", "check_experiment", "read_stages"]

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wwdc.cli import STAGES
from wwdc.config import Composed, load, load_stage
from wwdc.config.overrides import parse_override
from wwdc.config.stages import STAGE_KEYS
from wwdc.errors import ConfigError, ProductError, closest
from wwdc.products import Tree
from wwdc.stats.settings import read_suite
from wwdc.tune.plan import Plan, make_plan

CLUSTER_STAGES = tuple(
    stage for stage in ("tune", "embed", "stats", "detect", "report", "run") if stage in STAGES
)
"""Stages that a batch job can run, in the order of the workflow."""

_ON_CLUSTER = "tune.address=auto"
"""The job sets the address; with one, a login node's lack of a GPU changes nothing."""


@dataclass(frozen=True)
class Checked:
    """An experiment without visible mistakes, and what of it is to be submitted.

    Attributes:
        folder: of the experiment, absolute.
        tree: where its products will lie.
        stages: to submit: what was asked for, less a training with nothing left to do.
        overrides: of each of them.
        finished: number of points that are done.
        notices: to be told.
    """

    folder: Path
    tree: Tree
    stages: tuple[str, ...]
    overrides: Mapping[str, tuple[str, ...]]
    finished: int
    notices: tuple[str, ...]


def read_stages(text: str) -> tuple[str, ...]:
    """The stages of a list such as ``tune,embed``, in the order of the workflow.

    >>> read_stages("embed, tune")
    ('tune', 'embed')

    Raises:
        ConfigError: one of them does not exist, or does not run on a cluster.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in CLUSTER_STAGES:
            raise ConfigError(
                f"--stages {text}: {name!r} is no stage that runs on a cluster."
                f"{closest(name, CLUSTER_STAGES)} There are {', '.join(CLUSTER_STAGES)}."
            )
    return tuple(stage for stage in CLUSTER_STAGES if stage in names)


def check_experiment(
    folder: Path,
    overrides: Sequence[str],
    stages: Sequence[str],
    *,
    after: str | None = None,
    trust: bool = False,
) -> Checked:
    """Compose and plan *stages* of the experiment in *folder*, as the stages themselves will.

    Args:
        folder: the experiment's.
        overrides: for all stages; those of later stages' own settings do not go to training.
        stages: of `CLUSTER_STAGES`.
        after: a job that runs before: it may make what is missing now.
        trust: whether Python in the folder may be imported.

    Raises:
        ConfigError: the experiment or an override is wrong, or DATA_ROOT is not set.
        ProductError: what the first stage needs is not there, and no job makes it.
    """
    later = [stage for stage in stages if stage != "tune"]
    own = {stage: tuple(overrides) for stage in stages}
    notices: list[str] = []
    if later:
        staged = load_stage(folder, [*overrides, _ON_CLUSTER], trust=trust)
        if "stats" in later:
            read_suite(staged.composed)
        notices += staged.composed.notices
        composed = staged.training
    if "tune" in stages:
        if later:
            own["tune"] = tuple(text for text in overrides if not _of_later_stages(text))
        composed = load(folder, [*own["tune"], _ON_CLUSTER], trust=trust)
    _require_data_root(composed)
    tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
    plan = make_plan(composed, tree)
    notices += plan.notices
    if "tune" in stages:
        notices += _waiting(plan, after)
    elif after is None and "run" not in stages:
        _require_products(plan, tree, folder, stages[0])
    left = tuple(stage for stage in stages if stage != "tune" or not plan.finished)
    finished = plan.counts["done"] + plan.counts["stopped"]
    return Checked(composed.folder, tree, left, own, finished, tuple(dict.fromkeys(notices)))


def _of_later_stages(text: str) -> bool:
    return parse_override(text).key.strip("/").partition(".")[0] in STAGE_KEYS


def _require_data_root(composed: Composed) -> None:
    """The default of a terminal, ./data, is no place that a job should find by itself."""
    if not os.environ.get("DATA_ROOT") and composed.data_root == Path("data").absolute():
        raise ConfigError(
            "DATA_ROOT is not set, so a job would write to ./data. Set it to a folder on a disk "
            "that all nodes share: export DATA_ROOT=/path/on/the/shared/disk"
        )


def _waiting(plan: Plan, after: str | None) -> list[str]:
    """What is to be said of points that cannot start yet."""
    blocked = [point for point in (*plan.points, *plan.probes) if point.status == "blocked"]
    if not blocked:
        return []
    count, need = len(blocked), f"Point {blocked[0].job_num} {blocked[0].detail}"
    if after is None:
        raise ProductError(
            f"{count} of the points cannot start yet. Train what they need first or, where a job "
            f"does it, name the job with --after JOBID. {need}"
        )
    return [f"{count} of the points cannot start before job {after} makes what they need. {need}"]


def _require_products(plan: Plan, tree: Tree, folder: Path, stage: str) -> None:
    """Of a chain without training, the first stage needs products that are there already."""
    if not plan.counts["done"] + plan.counts["stopped"]:
        missing, maker = "trained", "tune"
    elif stage == "stats" and not tree.embedded():
        missing, maker = "embedded", "embed"
    else:
        return
    raise ProductError(
        f"{tree.name}: nothing is {missing} yet that {stage} could use. "
        f"Add {maker} to --stages, or name the job that does it: --after JOBID"
    )
