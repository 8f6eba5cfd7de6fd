"""A composed experiment: one tree of values, resolved anew for every point."""

__all__ = ["Composed", "resolved"]

import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from wwdc.config.numbers import check_numbers
from wwdc.config.overrides import ParsedAxis
from wwdc.config.placeholders import ROOT, blank, fill_products
from wwdc.config.schema import Meta, Origin, SweepEntry, TuneConfig
from wwdc.config.tree import ABSENT, dotted_keys, get, put, texts
from wwdc.errors import ConfigError, closest

_INNERMOST = re.compile(r"\$\{([^{}]*)\}")
_DYNAMIC = "\0"
_LEADING_KEY = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*): ")
_SECTIONS = ("meta", "paths", "tune", "data.x_ds", "data.loader", "lightning_loader", "trainer")

OmegaConf.register_new_resolver("product", lambda name: f"@PRODUCT:{name}@", replace=True)


@dataclass
class Composed:
    """An experiment folder with its overrides, composed once.

    Attributes:
        folder: the experiment folder.
        data_root: ``$DATA_ROOT`` (or ``./data``), absolute.
        notices: what the user should be told once.
        sweeps: the entries of sweeps.yaml by name.
        seeds: the replicates of every point, or None.
        sweeper: the axes of ``hydra.sweeper.params``, or None when there are none.
        swept_overrides: command-line overrides with several values.
        fixed_overrides: command-line overrides with one value; they replace an axis on their key.
        allow: names that ``instantiate`` accepts beyond its own list.
        trust: whether Python in the folder may be imported.
        job: ``{job_id}_{job_num}`` when ``hydra.job.id=…`` was given.
        raw: the tree, interpolations not yet resolved.
    """

    folder: Path
    data_root: Path
    stage: Literal["train", "embed"]
    meta: Meta
    tune: TuneConfig
    raw: dict[str, Any]
    origin: Origin
    notices: list[str] = field(default_factory=list)
    sweeps: dict[str, SweepEntry] = field(default_factory=dict)
    seeds: list[int] | None = None
    sweeper: list[ParsedAxis] | None = None
    swept_overrides: list[ParsedAxis] = field(default_factory=list)
    fixed_overrides: dict[str, Any] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    trust: bool = False
    job: str | None = None
    _products: dict[str, str | None] = field(default_factory=dict, repr=False)
    _resolved: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    _read_keys: set[str] | None = field(default=None, repr=False)

    def find_key(self, param: str, *, where: str | None = None) -> str:
        """The dotted key that *param* means: as written, else under ``data.``."""
        return find_key(self.raw, param, where=where)

    def resolve(
        self,
        overrides: Mapping[str, Any] | None = None,
        places: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The configuration of one point, as plain data.

        The dotted keys of *overrides* are set and interpolations resolved. The placeholders for
        the job and the data root stay in: `fill` replaces them. *places* says, for messages, where
        an override was written.
        """
        changed = {canonical(key): value for key, value in (overrides or {}).items()}
        spreading = {key: value for key, value in changed.items() if self._spreads(key, value)}
        config = copy.deepcopy(self._resolved_with(spreading))
        for key, value in changed.items():
            if key not in spreading:
                set_key(config, key, value, where="sweep")
        _check_sections(config, self._origin_with(changed, places))
        check_numbers(config, self._origin_with(changed, places))
        return config

    @contextmanager
    def naming_files(self) -> Iterator[None]:
        """Put the file before a ConfigError whose message begins with a dotted key."""
        try:
            yield
        except ConfigError as error:
            key = _LEADING_KEY.match(str(error))
            if key is None or key[1].partition(".")[0] not in self.raw or ".yaml" in key[1]:
                raise
            raise ConfigError(f"{self.origin(key[1])}: {error}") from error

    def _resolved_with(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """The resolved tree, kept: thousands of points differ in a few keys only."""
        name = repr(sorted(overrides.items()))
        if name not in self._resolved:
            tree = copy.deepcopy(self.raw)
            for key, value in overrides.items():
                set_key(tree, key, value, where="sweep")
            config = resolved(tree, self._origin_with(overrides))
            self._resolved[name] = fill_products(config, self._product)
        return self._resolved[name]

    def _spreads(self, key: str, value: Any) -> bool:
        """Whether setting *key* may change other keys, by an interpolation that reads it."""
        if get(self.raw, key) is ABSENT or any("${" in text for _, text in texts(value)):
            return True
        if self._read_keys is None:
            self._read_keys = read_keys(self.raw)
        return any(
            f"{key}.".startswith(f"{read}.") or f"{read}.".startswith(f"{key}.") or not read
            for read in self._read_keys
        )

    def _origin_with(
        self, overrides: Mapping[str, Any], places: Mapping[str, str] | None = None
    ) -> Origin:
        def origin(key: str) -> str:
            for name in overrides:
                if key == name or key.startswith(f"{name}."):
                    return (places or {}).get(name, "sweep")
            return self.origin(key)

        return origin

    def _product(self, name: str) -> str | None:
        if name not in self._products:
            self._products[name] = _best_checkpoint(self.data_root, name)
        return self._products[name]


def _check_sections(config: Mapping[str, Any], origin: Origin) -> None:
    """A sweep can put anything anywhere: what has keys must keep having them."""
    for key in _SECTIONS:
        value = get(config, key)
        if not isinstance(value, Mapping):
            shown = "nothing" if value is ABSENT else repr(value)
            raise ConfigError(f"{origin(key)}: {key}: expected keys and values, got {shown}")


def canonical(key: str) -> str:
    """``paths.vae_ckpt_dir`` is another name of ``paths.vae_ckpt_path``."""
    return "paths.vae_ckpt_path" if key == "paths.vae_ckpt_dir" else key


def read_keys(tree: dict[str, Any]) -> set[str]:
    """The dotted keys that interpolations of *tree* read; "" when one cannot be told.

    >>> sorted(read_keys({"a": {"b": "${..c}/${d.e}"}}))
    ['c', 'd.e']
    """
    keys = set()
    for place, text in texts(tree):
        while "${" in text:
            inner = _INNERMOST.search(text)
            if inner is None:
                return {""}
            reference = inner[1].strip()
            if ":" not in reference:
                keys.add(_absolute(reference, place))
            text = text[: inner.start()] + _DYNAMIC + text[inner.end() :]
    return keys


def _absolute(reference: str, place: str) -> str:
    if _DYNAMIC in reference or not re.fullmatch(r"[\w.\[\]-]+", reference):
        return ""
    path = reference.lstrip(".")
    dots = len(reference) - len(path)
    path = path.replace("[", ".").replace("]", "")
    return ".".join([*place.split(".")[:-dots], path]) if dots else path


def find_key(tree: dict[str, Any], param: str, *, where: str | None = None) -> str:
    """The dotted key of *tree* that *param* means: as written, else under ``data.``."""
    for key in (param, f"data.{param}"):
        if get(tree, key) is not ABSENT:
            return canonical(key)
    place = f"{where}: " if where else ""
    keys = list(dotted_keys(tree))
    short = [key.removeprefix("data.") for key in keys if key.startswith("data.")]
    guess = closest(param, [*keys, *short])
    raise ConfigError(f"{place}there is no key {param!r} in this experiment.{guess}")


def set_key(tree: dict[str, Any], key: str, value: Any, *, where: str) -> None:
    """Set dotted *key*; what stands in the way is named."""
    value = blank(value) if isinstance(value, str) else copy.deepcopy(value)
    try:
        put(tree, key, value)
    except KeyError:
        parent = key.rpartition(".")[0]
        while get(tree, parent) is ABSENT:
            parent = parent.rpartition(".")[0]
        raise ConfigError(
            f"{where}: {key} cannot be set: {parent} is {get(tree, parent)!r}, which has no keys"
        ) from None


def resolved(tree: dict[str, Any], origin: Origin) -> dict[str, Any]:
    """Resolve every interpolation of *tree*."""
    try:
        config = OmegaConf.to_container(OmegaConf.create(tree), resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(_interpolation_message(error, tree, origin)) from None
    except RecursionError:
        raise ConfigError("train.yaml: some values refer to each other in a circle") from None
    plain: dict[str, Any] = config  # type: ignore[assignment]
    return plain


def _interpolation_message(error: OmegaConfBaseException, tree: Any, origin: Origin) -> str:
    key = error.full_key or ""
    name = key.replace("[", ".").replace("]", "")
    place = f"{origin(name)}: {key}" if key else "train.yaml"
    reason = (error.msg or str(error)).splitlines()[0]
    written = get(tree, name)
    shown = f" in {written!r}" if isinstance(written, str) else ""
    if isinstance(error, MissingMandatoryValue):
        return f"{place}: this key needs a value"
    if isinstance(error, InterpolationKeyError):
        wanted = reason.split("'")[1] if "'" in reason else ""
        guess = closest(wanted, dotted_keys(tree))
        return f"{place}: there is no key {wanted!r}, which is asked for{shown}.{guess}"
    if isinstance(error, InterpolationResolutionError):
        reason = reason.partition("raised while resolving interpolation: ")[2] or reason
    return f"{place}: {reason}{shown}"


def _best_checkpoint(data_root: Path, name: str) -> str | None:
    from wwdc.products import best  # reads the product tree only when a product is asked for

    product = best(data_root, name)
    if product is None:
        return None
    path = Path(product.path)
    inside = path.is_relative_to(data_root)
    return f"{ROOT}/{path.relative_to(data_root).as_posix()}" if inside else str(path)
