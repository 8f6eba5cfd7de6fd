"""The keys of meta.yaml, sweeps.yaml and the tune group, and what they may hold."""

__all__ = [
    "EmbedConfig",
    "Meta",
    "Resources",
    "SweepEntry",
    "TuneConfig",
    "check_keys",
    "parse_val",
    "validate",
]

import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from wwdc.errors import ConfigError, closest

_FOLDER_NAME = re.compile(r"[^/\\\x00-\x1f@${}]+")


def _as_text(value: Any) -> Any:
    """Ids and versions are text, also where YAML reads a number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def _folder_name(value: Any) -> Any:
    value = _as_text(value)
    if isinstance(value, str) and (
        not _FOLDER_NAME.fullmatch(value) or value != value.strip() or value.startswith((".", "-"))
    ):
        raise ValueError(f"{value!r} cannot name a folder")
    return value


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


T = TypeVar("T")
Text = Annotated[str, BeforeValidator(_as_text)]
Mode = Literal["min", "max"]
OneOrSeveral = Annotated[list[T], BeforeValidator(_listed), Field(min_length=1)]
FolderName = Annotated[str, BeforeValidator(_folder_name)]
Model = TypeVar("Model", bound=BaseModel)
Origin = Callable[[str], str]  # which file, or the command line, a dotted key was written in


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Meta(_Schema):
    """Who, what and where: the ``meta`` section of meta.yaml."""

    data_name: FolderName
    experiment_name: FolderName
    authors: list[Text] = []
    catalog_id: int | str | None = None
    catalog_name: Text | None = None
    data_id: int | str | None = None
    description: str = ""
    experiment_id: Text | None = None
    experiment_path: str | None = None
    version: Text | None = None
    allow_targets: list[str] = []


class SweepEntry(_Schema):
    """One entry of ``sweeps``: a named point (``val``) or a searched axis (``space``)."""

    param: str = Field(min_length=1)
    val: Any = None
    space: str | None = None
    when: str | None = None
    description: Text = ""


class Resources(_Schema):
    """What one worker of a point takes; a fraction of a GPU packs several on one card.

    Without a number for ``gpu``, a point whose trainer asks for a GPU takes one.
    """

    cpu: PositiveFloat = 1
    gpu: NonNegativeFloat | None = None


class EmbedConfig(_Schema):
    """How embeddings are made: the ``embed`` group."""

    seed: NonNegativeInt = 0
    times: list[Annotated[float, Field(ge=0, le=1)]] = []
    log_prob: bool = True
    engine: Literal["auto", "inline", "ray"] = "auto"
    shard_rows: PositiveInt = 8192
    batch_size: PositiveInt = 1024
    resources: Resources = Resources()
    max_failures: NonNegativeInt = 3


class TuneConfig(_Schema):
    """How points are run: the ``tune`` group."""

    engine: Literal["auto", "inline", "torch"] = "auto"
    resources: Resources = Resources()
    num_workers: PositiveInt = 1
    max_concurrent: PositiveInt | None = None
    searcher: Literal["auto", "grid", "random", "optuna"] = "auto"
    sampler: Literal["tpe", "gp", "qmc", "nsga2", "cmaes"] = "tpe"
    scheduler: Literal["fifo", "asha", "hyperband", "median", "pbt"] = "fifo"
    metric: OneOrSeveral[Annotated[str, Field(min_length=1)]] = ["val_loss"]
    mode: OneOrSeveral[Mode] = ["min"]
    num_samples: PositiveInt = 1
    replicate: NonNegativeInt = 1
    seed: NonNegativeInt = 0
    grace_period: PositiveInt = 1
    reduction_factor: Annotated[float, Field(gt=1)] = 3
    perturbation_interval: PositiveInt = 1
    probe_every: PositiveInt = 1
    time_budget_s: PositiveFloat | None = None
    max_failures: NonNegativeInt = 1
    address: str = Field(default="local", min_length=1)
    cpus: PositiveInt | None = None
    dashboard: bool | None = None

    @model_validator(mode="after")
    def _a_mode_each(self) -> "TuneConfig":
        if len(self.mode) not in (1, len(self.metric)):
            raise ValueError(
                f"tune.mode lists {len(self.mode)} and tune.metric {len(self.metric)}: give one "
                "mode for all metrics, or as many as there are metrics"
            )
        if len(set(self.metric)) < len(self.metric):
            raise ValueError(f"tune.metric names one twice: {self.metric}")
        return self

    @property
    def metrics(self) -> list[str]:
        """The objectives, one or several."""
        return self.metric

    @property
    def modes(self) -> list[Mode]:
        """``min`` or ``max`` for each objective."""
        return self.mode if len(self.mode) == len(self.metric) else self.mode * len(self.metric)


def check_keys(
    model: type[BaseModel], value: Mapping[str, Any], *, origin: Origin, key: str
) -> None:
    """Refuse unknown and missing keys, before interpolations that read them are resolved."""
    for name in value:
        if name not in model.model_fields:
            path = f"{key}.{name}"
            raise ConfigError(f"{origin(path)}: {path}: {_unknown(model, str(name))}")
    for name, field in model.model_fields.items():
        if field.is_required() and name not in value:
            raise ConfigError(f"{origin(key)}: {key}.{name}: {_MISSING}")


def validate(model: type[Model], value: Any, *, origin: Origin, key: str) -> Model:
    """Check *value* against *model*; the error names the file, the key and what would do."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{origin(key)}: {key}: expected keys and values, got {value!r}")
    try:
        return model.model_validate(dict(value))
    except ValidationError as error:
        found = error.errors()
        first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
        listed = bool(first["loc"]) and isinstance(value.get(first["loc"][0]), list)
        parts = [str(part) for part in first["loc"] if listed or not isinstance(part, int)]
        path = ".".join([key, *parts])
        raise ConfigError(f"{origin(path)}: {path}: {_reason(model, first)}") from None


def parse_val(value: Any, *, where: str) -> Any:
    """Read a sweep's ``val``: natural YAML as it is, text as JSON or else as YAML.

    >>> parse_val('["b", "angle"]', where="sweeps.yaml: sweeps.sweep_1.val")
    ['b', 'angle']
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        if not value.lstrip().startswith(("[", "{", '"')):
            return value
        try:
            return yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(
                f"{where}: cannot read {value!r}: {error.msg} at character {error.pos + 1}. "
                'Write a list as JSON, such as \'["b", "angle"]\', or as plain YAML.'
            ) from None


_MISSING = "this key is required and missing."


def _unknown(model: type[BaseModel], name: str) -> str:
    known = sorted(model.model_fields)
    return f"unknown key.{closest(name, known)} Known keys: {', '.join(known)}."


def _reason(model: type[BaseModel], error: Any) -> str:
    """Turn one of pydantic's findings into a sentence with the choices."""
    *path, name = error["loc"] or ("",)
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None and isinstance(field.annotation, type):
            if not issubclass(field.annotation, BaseModel):
                break
            model = field.annotation
    match error["type"]:
        case "extra_forbidden":
            return _unknown(model, str(name))
        case "missing":
            return _MISSING
        case "literal_error":
            guess = closest(str(error["input"]), re.findall(r"'([^']+)'", error["msg"]))
            return f"{error['input']!r} is not one of {error['ctx']['expected']}.{guess}"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
    return f"{str(error['msg']).removeprefix('Input ')}, got {error['input']!r}"
