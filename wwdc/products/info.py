"""The info file beside every product: what it is, how it was made, what it builds on."""

__all__ = [
    "SCHEMA",
    "Info",
    "Parent",
    "Status",
    "dump_info",
    "explain",
    "git_state",
    "now",
    "read_info",
]

import datetime
import functools
import re
import socket
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

import wwdc
from wwdc.errors import ProductError, closest
from wwdc.products.text import dump_yaml, load_yaml

SCHEMA = 1
"""Major version of the info file that this code writes and reads."""

Status = Literal["done", "stopped", "failed"]


def now() -> str:
    """The time in UTC, as the info file writes it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


@functools.cache
def git_state() -> dict[str, Any] | None:
    """Commit of the wwdc that runs and whether it was edited; None when it is not a checkout."""
    source = Path(wwdc.__file__).resolve().parent.parent
    top = _git(source, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != source:
        return None
    commit = _git(source, "rev-parse", "HEAD")
    changes = _git(source, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(changes)} if commit else None


class Parent(BaseModel):
    """What a product builds on: found again by content, wherever the tree was moved."""

    model_config = ConfigDict(extra="forbid")

    point_id: str | None = None
    sha256: str | None = None
    fingerprint: str | None = None


def _parent(value: object) -> object:
    """A bare string is a SHA-256 (64 digits), a point (12) or a dataset's fingerprint."""
    if not isinstance(value, str):
        return value
    kind = {64: "sha256", 12: "point_id"}.get(len(value), "fingerprint")
    return {kind: value}


def _moment(value: str) -> str:
    datetime.datetime.fromisoformat(value)
    return value


Moment = Annotated[str, AfterValidator(_moment)]
Number = Annotated[float, BeforeValidator(float)]


class Info(BaseModel):
    """Everything an info file holds, in the order it is written.

    A point is one resolved configuration (`point_id`); its replicates with other seeds share the
    `config_id`. `vae_fp` and `model_fp` record where files lay when the product was made; what it
    builds on is in `lineage`, by content. `sha256` and `bytes` are the artefact's own and are set
    on publishing.

    >>> info = Info(job_id="5240735", job_num=2, point_id="0a1b2c3d4e5f",
    ...             config_id="5f4e3d2c1b0a", status="done")
    >>> info.job
    '5240735_2'
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    param: str | None = None
    val: str | None = None
    description: str | None = None
    job_id: str
    job_num: int = Field(ge=0)
    vae_fp: str | None = None
    model_fp: str | None = None
    point_id: str
    config_id: str
    seed: int | None = None
    overrides: dict[str, Any] = {}
    metrics: dict[str, Number] = {}
    status: Status
    created: Moment = Field(default_factory=now)
    finished: Moment = Field(default_factory=now)
    config: dict[str, Any] = {}
    sha256: str | None = None
    bytes: int | None = None
    schema_version: int = Field(default=SCHEMA, alias="schema")
    wwdc_version: str = wwdc.__version__
    git: dict[str, Any] | None = Field(default_factory=git_state)
    host: str = Field(default_factory=socket.gethostname)
    device: str = "cpu"

    sweep: str | None = None
    kind: str | None = None
    lineage: Mapping[str, Annotated[Parent | str, BeforeValidator(_parent)]] = {}
    reason: str | None = None
    traceback: str | None = None
    schedule: dict[str, Any] | None = None

    @property
    def job(self) -> str:
        """`{job_id}_{job_num}`, the stem of the checkpoint's name."""
        return f"{self.job_id}_{self.job_num}"

    @property
    def parents(self) -> dict[str, Parent]:
        """What the product builds on, by name (`vae`, `flow`, `data`)."""
        return {name: Parent.model_validate(_parent(p)) for name, p in self.lineage.items()}


_OPTIONAL = {"sweep", "kind", "lineage", "reason", "traceback", "schedule"}
_KEYS = [field.alias or name for name, field in Info.model_fields.items()]
_REQUIRED = [key for key in _KEYS if key not in _OPTIONAL]
_QUOTED = {"job_id", "point_id", "config_id", "sha256", "fingerprint", "commit"}


def dump_info(info: Info) -> str:
    """An info as YAML: the fixed keys in their order, then those optional ones that are set."""
    data = info.model_dump(by_alias=True)
    for key in _OPTIONAL:
        if not data[key]:
            del data[key]
    if "lineage" in data:
        data["lineage"] = {
            name: parent.model_dump(exclude_none=True) for name, parent in info.parents.items()
        }
    try:
        return dump_yaml(data, quoted=_QUOTED)
    except yaml.YAMLError as error:
        raise ProductError(
            f"the info of point {info.point_id} holds something that is not plain data: {error}"
        ) from error


def read_info(path: Path) -> Info:
    """Read and check an info file.

    Raises:
        ProductError: unreadable, broken YAML, unknown or missing key, wrong type, or written by
            a wwdc with another schema.
    """
    data = load_yaml(path)
    if not isinstance(data, dict):
        raise ProductError(f"{path}: an info file is a mapping of keys, this is not one.")
    _check_keys(path, [str(key) for key in data], data.get("schema"))
    try:
        return Info.model_validate(data)
    except ValidationError as error:
        raise ProductError(explain(path, error)) from error


def explain(path: Path, error: ValidationError) -> str:
    """One line for each thing that is wrong with the file, naming its key."""
    lines = []
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        hint = " Put it in quotes." if problem["type"] == "string_type" else ""
        lines.append(f"{path}: {key}: {problem['msg']}, got {problem['input']!r}.{hint}")
    return "\n".join(lines)


def _check_keys(path: Path, keys: Iterable[str], schema: object) -> None:
    keys = list(keys)
    if isinstance(schema, int) and schema != SCHEMA:
        raise ProductError(
            f"{path}: schema: this wwdc reads schema {SCHEMA}, the file has {schema!r}. "
            "Use the version of wwdc that wrote it (key wwdc_version), or a newer one."
        )
    for key in keys:
        if key not in _KEYS:
            raise ProductError(f"{path}: unknown key {key!r}.{closest(key, _KEYS)}")
    missing = [key for key in _REQUIRED if key not in keys]
    if missing:
        raise ProductError(f"{path}: missing {', '.join(missing)}. Was the file edited by hand?")


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return re.sub(r"\n$", "", done.stdout)
