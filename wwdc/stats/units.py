"""The pieces of work of a suite: which test runs on which space of which embedding."""

__all__ = ["CONTROLS", "Unit", "plan_units"]

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from wwdc.embed.published import Embedding, spaces
from wwdc.stats.settings import Suite
from wwdc.tune.identity import digest

Control = Literal["latents", "normal", "shuffled"]

CONTROLS: Mapping[str, Control] = {"z": "latents", "normal": "normal", "shuffled": "shuffled"}
"""Spaces that say what a test can see (raw latents z) and what it must not see: random numbers in
place of residuals, and latents whose labels are shuffled."""

SCHEMA = 1
"""Counted up when the same unit gives other figures."""

_COST = {"curves": 3, "probes": 2, "conditional": 1}


@dataclass(frozen=True)
class Unit:
    """One test on one space of one embedding, for all its variables: plain data, picklable.

    Attributes:
        kind: group of the test, such as ``probes``.
        name: of the test in its group.
        spec: the test's own settings.
        space: column of the embedding, or a control.
        control: what is done instead of reading *space*, for a control.
        embedding: whose rows are used; a control uses those of the first of its family.
        rows: which rows, and how they are resampled; see the ``tests`` group.
        level: of confidence intervals.
        code: folder of Python that the user trusts.
    """

    kind: str
    name: str
    spec: Mapping[str, Any] = field(repr=False)
    space: str
    control: Control | None
    embedding: Embedding = field(repr=False)
    rows: Mapping[str, Any] = field(repr=False)
    level: float = field(repr=False)
    allow: tuple[str, ...] = field(default=(), repr=False)
    code: Path | None = field(default=None, repr=False)

    @property
    def column(self) -> str:
        """The column that is read."""
        return "z" if self.control else self.space

    @property
    def id(self) -> str:
        """The same for the same figures, wherever the files lie."""
        spec = {key: value for key, value in self.spec.items() if key != "spaces"}
        science = {
            "schema": SCHEMA,
            "kind": self.kind,
            "spec": spec,
            "space": self.space,
            "files": dict(self.embedding.sha256),
            "rows": dict(self.rows),
            "level": self.level,
        }
        return digest(science, 24)

    @property
    def label(self) -> str:
        """What it is, for people."""
        where = self.space if self.control else f"{self.space} of {self.embedding.name}"
        return f"{self.kind}.{self.name} on {where}"


def plan_units(
    suite: Suite,
    embeddings: Sequence[Embedding],
    *,
    allow: tuple[str, ...] = (),
    code: Path | None = None,
) -> list[Unit]:
    """Every test on every embedding, and each test's controls once a family of latents.

    Costly ones come first, so that the last worker does not end long after the others.
    """
    units = list(_units(suite, embeddings, allow, code))
    return sorted(units, key=lambda unit: -_COST.get(unit.kind, 0))


def _units(
    suite: Suite, embeddings: Iterable[Embedding], allow: tuple[str, ...], code: Path | None
) -> Iterator[Unit]:
    families: dict[str, Embedding] = {}
    for embedding in embeddings:
        first = families.setdefault(embedding.family, embedding) is embedding
        for kind, group in suite.tests.items():
            for name, test in group.items():
                spec = test.model_dump(by_alias=True)
                wanted: list[tuple[str, Control | None]] = [
                    (space, None) for space in _own_spaces(test.spaces, embedding)
                ]
                if first:
                    controls = _controls(kind, embedding)
                    wanted += [(s, c) for s, c in CONTROLS.items() if c in controls]
                for space, control in wanted:
                    yield Unit(
                        kind=kind,
                        name=name,
                        spec=spec,
                        space=space,
                        control=control,
                        embedding=embedding,
                        rows=suite.rows,
                        level=suite.level,
                        allow=allow,
                        code=code,
                    )


def _own_spaces(patterns: Sequence[str], embedding: Embedding) -> list[str]:
    """The spaces to test; of a VAE, which has no residual, z stands for u."""
    if "u" not in embedding.columns:
        return ["z"] if "u" in patterns else []
    return [space for space in spaces(patterns, embedding) if space != "z"]


def _controls(kind: str, embedding: Embedding) -> set[Control]:
    """Shuffled labels are no control for a test that reads none, nor for a curve."""
    found: set[Control] = {"normal"}
    if kind not in ("base", "curves"):
        found.add("shuffled")
    return found | {"latents"} if "u" in embedding.columns else found
