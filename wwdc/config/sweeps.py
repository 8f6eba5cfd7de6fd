"""What sweeps.yaml and ``hydra.sweeper.params`` declare."""

__all__ = ["read_seeds", "read_sweeper", "read_sweeps"]

import copy
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from wwdc.config.composed import find_key
from wwdc.config.overrides import ParsedAxis, hydra_text, parse_axis
from wwdc.config.schema import Origin, SweepEntry, parse_val, validate
from wwdc.config.tree import ABSENT, get
from wwdc.errors import ConfigError, closest


def read_sweeps(
    config: Mapping[str, Any], raw: dict[str, Any], origin: Origin
) -> dict[str, SweepEntry]:
    """The entries of ``sweeps``, each with its value read and its parameter found."""
    listed = config.get("sweeps") or {}
    if not isinstance(listed, Mapping):
        raise ConfigError(f"sweeps.yaml: sweeps: expected names and entries, got {listed!r}")
    entries = {}
    for name, content in listed.items():
        key = f"sweeps.{name}"
        file = origin(key)
        entry = validate(SweepEntry, content, origin=origin, key=key)
        _check_entry(entry, file, key, raw)
        value = parse_val(entry.val, where=f"{file}: {key}.val")
        current = get(raw, find_key(raw, entry.param))
        if isinstance(current, list) and isinstance(value, str):
            raise ConfigError(
                f"{file}: {key}.val: {entry.param} is a list, got the text {value!r}. "
                'Write a list as JSON, such as \'["b", "angle"]\', or as plain YAML.'
            )
        entries[str(name)] = entry.model_copy(update={"val": value})
    return entries


def read_seeds(config: Mapping[str, Any], origin: Origin) -> list[int] | None:
    """The top-level ``seeds``, the replicates of every point."""
    seeds = config.get("seeds")
    if seeds is None:
        return None
    is_list = isinstance(seeds, list) and bool(seeds)
    if not is_list or any(
        not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32
        for seed in seeds
    ):
        raise ConfigError(
            f"{origin('seeds')}: seeds: expected a list of whole numbers from 0, got {seeds!r}"
        )
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"{origin('seeds')}: seeds: a seed is listed twice: {seeds!r}")
    return list(seeds)


def read_sweeper(
    raw: dict[str, Any],
    hydra: Mapping[str, Any],
    entries: Mapping[str, SweepEntry],
    *,
    file: str,
) -> list[ParsedAxis] | None:
    """The axes of ``hydra.sweeper.params``, their references to sweeps resolved."""
    params = get(hydra, "sweeper.params")
    if params is ABSENT or not params:
        return None
    tree = copy.deepcopy({**raw, "hydra": {"sweeper": {"params": params}}})
    for name, entry in entries.items():
        if entry.space is None:
            tree["sweeps"][name]["val"] = hydra_text(entry.val)
        else:
            tree["sweeps"][name]["val"] = entry.space
    lines = OmegaConf.create(tree).hydra.sweeper.params
    axes = []
    for key in params:
        where = f"{file}: hydra.sweeper.params.{key}"
        try:
            text = lines[key]
        except OmegaConfBaseException as error:
            raise ConfigError(f"{where}: {_reason(error, entries)}") from None
        axis = parse_axis(key, text, where=where)
        if not key.startswith("+") or get(raw, axis.key) is ABSENT:
            new = key.startswith("+") and get(raw, f"data.{axis.key}") is ABSENT
            found = axis.key if new else find_key(raw, axis.key, where=where)
            axis = ParsedAxis(found, axis.values, axis.space, where)
        axes.append(axis)
    return axes


def _check_entry(entry: SweepEntry, file: str, key: str, raw: dict[str, Any]) -> None:
    has_val = "val" in entry.model_fields_set
    if has_val and entry.space is not None:
        raise ConfigError(f"{file}: {key}: give either val (one point) or space (a search)")
    if not has_val and entry.space is None:
        raise ConfigError(f"{file}: {key}.val: this key is required and missing.")
    find_key(raw, entry.param, where=f"{file}: {key}.param")


def _reason(error: OmegaConfBaseException, entries: Mapping[str, SweepEntry]) -> str:
    message = (error.msg or str(error)).splitlines()[0]
    if not isinstance(error, InterpolationKeyError) or "'" not in message:
        return message
    wanted = message.split("'")[1]
    if not wanted.startswith("sweeps."):
        return f"there is no key {wanted!r}"
    name = wanted.split(".")[1]
    if name in entries:
        return f"there is no key {wanted!r}"
    return (
        f"there is no sweep {name!r} in sweeps.yaml.{closest(name, entries)} "
        f"Sweeps: {', '.join(entries) or 'none'}."
    )
