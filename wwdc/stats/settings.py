"""The ``tests`` group: what is tested, on which rows, and what counts as gone."""

__all__ = ["Curve", "Margin", "Probe", "Suite", "Test", "read_suite"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from wwdc.config import Composed, check_targets
from wwdc.config.schema import validate
from wwdc.errors import ConfigError, closest

Node = dict[str, Any]
Share = Annotated[float, Field(gt=0, lt=1)]
SplitName = Literal["train", "val", "test"]

_SPACES = ("u", "u_mean", "z", "z_mean", "u_t*")


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


class Margin(_Schema):
    """Effects below these are too small to matter."""

    number: Share = 0.05
    class_: Share = Field(default=0.2, alias="class")


class Probe(_Schema):
    """A pair of estimators that predict a variable."""

    regressor: Node
    classifier: Node
    spaces: list[str] = ["u"]


class Curve(Probe):
    """A probe that is fitted on few and on more labelled objects."""

    sizes: list[PositiveInt] | None = None
    repeats: PositiveInt = 3


class Test(_Schema):
    """A function that tests one space."""

    __test__ = False  # pytest collects classes of this name

    test: Node
    spaces: list[str] = ["u"]


class _Settings(_Schema):
    alpha: Share = 0.05
    level: Share = 0.95
    correction: Literal["bh", "by", "holm"] = "bh"
    margin: Node = {}
    seed: Annotated[int, Field(ge=0)] = 0
    fit_split: Literal["auto", "train", "val", "test"] = "auto"
    score_split: SplitName = "test"
    folds: Annotated[int, Field(ge=2)] | None = None
    fit_rows: PositiveInt = 14_000
    score_rows: PositiveInt = 8_000
    permutations: Annotated[int, Field(ge=19)] = 999
    bootstraps: Annotated[int, Field(ge=19)] = 999
    probes: Node | None = None
    independence: Node | None = None
    two_sample: Node | None = None
    conditional: Node | None = None
    base: Node | None = None
    curves: Node | None = None


_KINDS: Mapping[str, type[BaseModel]] = {
    "probes": Probe,
    "independence": Test,
    "two_sample": Test,
    "conditional": Test,
    "base": Test,
    "curves": Curve,
}


@dataclass(frozen=True)
class Suite:
    """The checked ``tests`` group.

    Attributes:
        rows: what decides which rows are used and how they are resampled.
        tests: kind → name → test; kinds are ``probes``, ``independence``, ``two_sample``,
            ``conditional``, ``base`` and ``curves``.
    """

    alpha: float
    level: float
    correction: Literal["bh", "by", "holm"]
    margin: Margin
    rows: Mapping[str, Any]
    tests: Mapping[str, Mapping[str, Any]]


def read_suite(composed: Composed) -> Suite:
    """The suite that ``tests`` describes. A test set to null is left out.

    Raises:
        ConfigError: a key is unknown or out of range, a target is not allowed, or no probe is left.
    """
    node, origin = composed.resolve()["tests"], composed.origin
    settings = validate(_Settings, node, origin=origin, key="tests")
    margin = validate(Margin, settings.margin, origin=origin, key="tests.margin")
    tests: dict[str, dict[str, Any]] = {}
    for kind, model in _KINDS.items():
        listed = getattr(settings, kind) or {}
        tests[kind] = {
            name: validate(model, entry, origin=origin, key=f"tests.{kind}.{name}")
            for name, entry in listed.items()
            if entry is not None
        }
    with composed.naming_files():
        check_targets({"tests": node}, composed.allow)
        for kind, group in tests.items():
            for name, entry in group.items():
                _check_spaces(entry.spaces, f"tests.{kind}.{name}.spaces")
    if not any("u" in probe.spaces for probe in tests["probes"].values()):
        raise ConfigError(
            f"{origin('tests.probes')}: tests.probes has none on the space u, and verdicts rest on "
            "those. Keep one at least."
        )
    rows = set(_Settings.model_fields) - {*_KINDS, "alpha", "level", "correction", "margin"}
    return Suite(
        alpha=settings.alpha,
        level=settings.level,
        correction=settings.correction,
        margin=margin,
        rows={key: getattr(settings, key) for key in sorted(rows)},
        tests=tests,
    )


def _check_spaces(spaces: list[str], key: str) -> None:
    for name in spaces:
        if name not in _SPACES and not name.startswith("u_t"):
            raise ConfigError(
                f"{key}: there is no space {name!r}.{closest(name, _SPACES)} "
                f"Spaces are {', '.join(_SPACES)}."
            )
