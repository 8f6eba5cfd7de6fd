"""The ``detectors`` group: which detectors look at which columns, fitted on which rows."""

__all__ = ["Detection", "Detector", "Shortlist", "read_detection"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from wwdc.config import Composed, check_targets
from wwdc.config.schema import validate
from wwdc.errors import ConfigError, closest

Node = dict[str, Any]
SplitName = Literal["train", "val", "test"]

COLUMNS = (
    "id",
    "split",
    "role",
    "score",
    "rank",
    "stability_detectors",
    "stability_seeds",
    "stability_sweeps",
    "p_value",
    "q_value",
)
"""Columns of scores.parquet beside the detectors' own."""

COMBINATIONS = ("zmean", "minmax", "moa")
"""As in wwdc.discovery.combine, which imports NumPy and SciPy."""

_BATCHED = {"pyod.models.ecod.": "ECOD", "pyod.models.copod.": "COPOD"}


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Shortlist(_Schema):
    """How many objects are listed, and how sure those marked are to be odd."""

    size: PositiveInt = 50
    fdr: Annotated[float, Field(gt=0, lt=1)] = 0.1


class _Own(_Schema):
    """What a detector's entry says besides what it is built from."""

    columns: list[str] | None = None
    fit_rows: PositiveInt | None = None
    optional: bool = False


class _Settings(_Schema):
    columns: list[str] = Field(default=["u_mean"], min_length=1)
    splits: list[SplitName] | None = Field(default=None, min_length=1)
    fit_split: Literal["auto", "train", "val", "test"] = "auto"
    fit_rows: PositiveInt = 20_000
    calibration_rows: PositiveInt = 20_000
    seed: Annotated[int, Field(ge=0)] = 0
    score: str = "iforest"
    shortlist: Node = {}
    detectors: dict[str, Node | None]


@dataclass(frozen=True)
class Detector:
    """A detector as the settings name it: plain data.

    Attributes:
        node: ``_target_`` and arguments.
        columns: its own columns; None: those of the group, or of its class.
        fit_rows: most rows to fit it on; None: as many as there are.
        optional: whether it is left out without a word where an embedding lacks its columns.
    """

    name: str
    node: Node = field(repr=False)
    columns: tuple[str, ...] | None = None
    fit_rows: int | None = None
    optional: bool = False


@dataclass(frozen=True)
class Detection:
    """The checked ``detectors`` group. See ``conf/detectors/default.yaml`` for what each means."""

    columns: tuple[str, ...]
    splits: tuple[str, ...] | None
    fit_split: str
    fit_rows: int
    calibration_rows: int
    seed: int
    score: str
    shortlist: Shortlist
    detectors: tuple[Detector, ...]

    @property
    def combined(self) -> bool:
        """Whether the score is a combination of all detectors."""
        return self.score in COMBINATIONS

    def as_dict(self) -> dict[str, Any]:
        """Plain data: what decides the scores, and the shortlist."""
        detectors = {
            d.name: {**d.node, "columns": d.columns and list(d.columns), "fit_rows": d.fit_rows}
            for d in self.detectors
        }
        return {
            "columns": list(self.columns),
            "splits": self.splits and list(self.splits),
            "fit_split": self.fit_split,
            "fit_rows": self.fit_rows,
            "calibration_rows": self.calibration_rows,
            "seed": self.seed,
            "score": self.score,
            "shortlist": self.shortlist.model_dump(),
            "detectors": detectors,
        }


def read_detection(composed: Composed) -> Detection:
    """What ``detectors`` asks for. A detector set to null is left out.

    Raises:
        ConfigError: a key is unknown or out of range, a target is not allowed, a name cannot be
            that of a column, or the score is that of no detector.
    """
    node, origin = composed.resolve()["detectors"], composed.origin
    settings = validate(_Settings, node, origin=origin, key="detectors")
    shortlist = validate(Shortlist, settings.shortlist, origin=origin, key="detectors.shortlist")
    listed = {name: spec for name, spec in settings.detectors.items() if spec is not None}
    with composed.naming_files():
        check_targets({"detectors": {"detectors": listed}}, composed.allow)
        detectors = tuple(_detector(name, spec, origin) for name, spec in listed.items())
    _check_score(settings.score, list(listed), origin("detectors.score"))
    return Detection(
        columns=tuple(settings.columns),
        splits=tuple(settings.splits) if settings.splits else None,
        fit_split=settings.fit_split,
        fit_rows=settings.fit_rows,
        calibration_rows=settings.calibration_rows,
        seed=settings.seed,
        score=settings.score,
        shortlist=shortlist,
        detectors=detectors,
    )


def _detector(name: str, spec: Mapping[str, Any], origin: Any) -> Detector:
    key = f"detectors.detectors.{name}"
    if not name.isidentifier() or name in COLUMNS or name in COMBINATIONS:
        taken = ", ".join((*COLUMNS, *COMBINATIONS))
        raise ConfigError(
            f"{key}: a detector's name is that of its column: letters, digits and underscores, and "
            f"none of {taken}."
        )
    target = spec.get("_target_")
    if not isinstance(target, str):
        raise ConfigError(f"{key}: it has no _target_ that names a class.")
    for module, ours in _BATCHED.items():
        if target.startswith(module):
            raise ConfigError(
                f"{key}._target_: {target} scores a row differently with every set of rows that it "
                f"is scored with. Use wwdc.discovery.detectors.{ours}, whose scores are the row's "
                "own."
            )
    own = {k: v for k, v in spec.items() if k in _Own.model_fields}
    checked = validate(_Own, own, origin=origin, key=key)
    columns = tuple(checked.columns) if checked.columns is not None else None
    rest = {k: v for k, v in spec.items() if k not in own}
    return Detector(name, rest, columns, checked.fit_rows, checked.optional)


def _check_score(score: str, names: list[str], place: str) -> None:
    choices = [*names, *COMBINATIONS]
    if not names:
        raise ConfigError(f"{place}: no detector is left; keep one at least.")
    if score not in choices:
        raise ConfigError(
            f"{place}: detectors.score={score!r} is neither a detector nor a combination."
            f"{closest(score, choices)} Choices: {', '.join(choices)}."
        )
