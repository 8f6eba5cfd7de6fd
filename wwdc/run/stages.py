"""The chain of stages: their order, what each reads and writes, and what is due. Pure."""

__all__ = ["CHAIN", "NAMES", "Fact", "Outlook", "Stage", "choose", "outlooks", "overrides_of"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wwdc.config.overrides import parse_override
from wwdc.config.stages import STAGE_KEYS
from wwdc.errors import ConfigError


@dataclass(frozen=True)
class Stage:
    """A stage of the workflow.

    Attributes:
        needs: stages that make what it reads.
        group: the settings that are its own, for one that keeps a receipt.
        reads: patterns of files under the tree that it is made from.
        writes: patterns of files under the tree that it leaves.
    """

    name: str
    needs: tuple[str, ...] = ()
    group: str | None = None
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    @property
    def later(self) -> bool:
        """Whether it comes after training, and takes the settings of later stages."""
        return self.name not in ("prepare", "tune")


_CHECKPOINTS = "ckpts/*_info.yaml"
_EMBEDDINGS = "embeddings/*/*_info.yaml"

CHAIN = (
    Stage("prepare"),
    Stage("tune"),
    Stage("embed", needs=("tune",)),
    Stage("stats", ("embed",), "tests", (_CHECKPOINTS, _EMBEDDINGS), ("stat_tests/*",)),
    Stage(
        "detect",
        ("embed",),
        "detectors",
        (_CHECKPOINTS, _EMBEDDINGS),
        ("anomalies/*/*",),
    ),
    Stage(
        "report",
        ("tune", "embed", "stats", "detect"),
        "figures",
        (
            _CHECKPOINTS,
            "metrics/*.csv",
            _EMBEDDINGS,
            "stat_tests/*",
            "anomalies/*/*",
            "labels/*.sqlite",
        ),
        ("report/index.html", "report/figures/*"),
    ),
)
"""In the order in which they run."""

NAMES = tuple(stage.name for stage in CHAIN)


@dataclass(frozen=True)
class Fact:
    """How a stage stands by itself, whatever becomes of those before it.

    Attributes:
        due: whether it has something to do.
        reason: what, or why not.
        missing: whether what it reads is not there at all.
    """

    due: bool
    reason: str
    missing: bool = False


@dataclass(frozen=True)
class Outlook:
    """What a run would do of a stage: ``up to date``, ``due``, or ``later`` where that hangs on a
    stage before it."""

    stage: str
    status: str
    reason: str

    def as_json(self) -> dict[str, str]:
        """What ``--json`` prints of it."""
        return {"stage": self.stage, "status": self.status, "reason": self.reason}


def choose(first: str | None = None, last: str | None = None) -> tuple[Stage, ...]:
    """The stages from *first* to *last*.

    >>> [stage.name for stage in choose("embed", "stats")]
    ['embed', 'stats']

    Raises:
        ConfigError: *last* comes before *first*.
    """
    start = NAMES.index(first) if first else 0
    stop = NAMES.index(last) if last else len(NAMES) - 1
    if stop < start:
        raise ConfigError(
            f"--from {first} --until {last}: {last} comes before {first}. "
            f"The order is {', '.join(NAMES)}."
        )
    return CHAIN[start : stop + 1]


def outlooks(chosen: Sequence[Stage], facts: Mapping[str, Fact]) -> list[Outlook]:
    """What a run of *chosen* would do, each stage being done again once what it reads changes."""
    working: set[str] = set()
    found = []
    for stage in chosen:
        fact = facts[stage.name]
        before = [name for name in stage.needs if name in working]
        if fact.due and not (before and fact.missing):
            status, reason = "due", fact.reason
        elif before:
            status, reason = "later", f"after {' and '.join(before)}"
        else:
            status, reason = "up to date", fact.reason
        found.append(Outlook(stage.name, status, reason))
        if status != "up to date":
            working.add(stage.name)
    return found


def overrides_of(stage: Stage, overrides: Sequence[str]) -> list[str]:
    """Those of *overrides* that a stage takes: training knows no settings of later stages.

    >>> overrides_of(CHAIN[1], ["+seed=7", "tests=quick"])
    ['+seed=7']
    """
    if stage.later:
        return list(overrides)
    return [text for text in overrides if not _of_later_stages(text)]


def _of_later_stages(text: str) -> bool:
    return parse_override(text).key.strip("/").partition(".")[0] in STAGE_KEYS
