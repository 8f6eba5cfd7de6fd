"""The keys of meta.yaml, sweeps.yaml and the tune group, and what they may hold."""

__all__ = ["Meta", "Resources", "SweepEntry", "TuneConfig", "parse_val", "validate"]

import json
import re
from collections.abc import Mapping
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


Text = Annotated[str, BeforeValidator(_as_text)]
FolderName = Annotated[str, BeforeValidator(_folder_name)]
Model = TypeVar("Model", bound=BaseModel)


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
    """What one worker of a point takes; a fraction of a GPU packs several on one card."""

    cpu: PositiveFloat = 1
    gpu: NonNegativeFloat = 0


class TuneConfig(_Schema):
    """How points are run: the ``tune`` group."""

    engine: Literal["auto", "inline", "torch"] = "auto"
    resources: Resources = Resources()
    num_workers: PositiveInt = 1
    max_concurrent: PositiveInt | None = None
    searcher: Literal["grid", "random"] = "grid"
    scheduler: Literal["fifo"] = "fifo"
    metric: str = Field(default="val_loss", min_length=1)
    mode: Literal["min", "max"] = "min"
    num_samples: PositiveInt = 1
    time_budget_s: PositiveFloat | None = None
    max_failures: NonNegativeInt = 1
    address: str = Field(default="local", min_length=1)
    cpus: PositiveInt | None = None


def validate(model: type[Model], value: Any, *, file: str, key: str) -> Model:
    """Check *value* against *model*; the error names the file, the key and what would do."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{file}: {key}: expected keys and values, got {value!r}")
    try:
        return model.model_validate(dict(value))
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join([key, *(str(part) for part in first["loc"])])
        raise ConfigError(f"{file}: {path}: {_reason(model, first)}") from None


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


def _reason(model: type[BaseModel], error: Any) -> str:
    """Turn one of pydantic's findings into a sentence with the choices."""
    *path, name = error["loc"]
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None and isinstance(field.annotation, type):
            if not issubclass(field.annotation, BaseModel):
                break
            model = field.annotation
    known = sorted(model.model_fields)
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key.{closest(str(name), known)} Known keys: {', '.join(known)}."
        case "missing":
            return "this key is required and missing."
        case "literal_error":
            guess = closest(str(error["input"]), re.findall(r"'([^']+)'", error["msg"]))
            return f"{error['input']!r} is not one of {error['ctx']['expected']}.{guess}"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{message}, got {error['input']!r}"
