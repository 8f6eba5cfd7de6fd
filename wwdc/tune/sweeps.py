"""From ``sweeps.yaml``, ``hydra.sweeper.params`` and overrides to the axes of a sweep."""

__all__ = ["Axis", "Choice", "place_of", "read_axes"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wwdc.config import Composed, ParsedAxis
from wwdc.config.schema import SweepEntry
from wwdc.errors import ConfigError

SEED = "seed"
_NOT_SWEPT = ("hydra", "logger", "meta", "paths", "seeds", "splits", "sweeps", "tune")


@dataclass(frozen=True)
class Choice:
    """One value of an axis, with the name and description of the sweep that declares it."""

    value: Any
    sweep: str | None = None
    description: str = ""


@dataclass(frozen=True)
class Axis:
    """The values one configuration key takes; different axes multiply."""

    key: str
    choices: tuple[Choice, ...]


def read_axes(composed: Composed) -> tuple[list[Axis], list[str]]:
    """Axes of a sweep, slowest first, and what the user should be told about them.

    ``hydra.sweeper.params`` decides which entries of ``sweeps.yaml`` are used where it is given;
    otherwise every entry is. ``seeds:`` is the fastest axis. An override of a swept key replaces
    its axis, one with several values adds an axis.

    Raises:
        ConfigError: nothing is swept, seeds are declared twice, or a search space is asked for.
    """
    _refuse_search(composed)
    if composed.sweeper is not None:
        axes, notices = _from_sweeper(composed, composed.sweeper)
    else:
        axes, notices = _from_entries(composed), []
    if composed.seeds is not None:
        if any(axis.key == SEED for axis in axes):
            raise ConfigError(
                "train.yaml: hydra.sweeper.params sweeps `seed` and `seeds:` is given too. "
                "Keep one of them."
            )
        axes.append(Axis(SEED, tuple(Choice(seed) for seed in composed.seeds)))
    axes = _override(axes, composed.swept_overrides, composed.fixed_overrides)
    _refuse_fixed_keys(axes, composed)
    if not axes and not composed.sweeps and not composed.fixed_overrides:
        raise ConfigError(
            f"{composed.folder.name}/sweeps.yaml: no sweeps. Declare at least one entry under "
            "`sweeps:` (param, val, description) or `seeds: [42]`."
        )
    return axes, notices


def place_of(axis: Axis, choice: Choice, composed: Composed) -> str:
    """Where a value of a sweep was written, for messages."""
    if choice.sweep:
        return f"{composed.origin(f'sweeps.{choice.sweep}.val')}: sweeps.{choice.sweep}.val"
    if axis.key in composed.fixed_overrides:
        return "command line"
    written = {a.key: a.where for a in (*(composed.sweeper or ()), *composed.swept_overrides)}
    return written.get(axis.key) or composed.origin("seeds" if axis.key == SEED else axis.key)


def _refuse_fixed_keys(axes: list[Axis], composed: Composed) -> None:
    for axis in axes:
        root = axis.key.partition(".")[0]
        if root in _NOT_SWEPT and axis.key != "paths.vae_ckpt_path":
            raise ConfigError(
                f"{place_of(axis, axis.choices[0], composed)}: {axis.key} cannot be swept: it is "
                "the same for all points. Set it in its file or on the command line."
            )


def _refuse_search(composed: Composed) -> None:
    for name, entry in composed.sweeps.items():
        if entry.when is not None:
            raise ConfigError(
                f"sweeps.yaml: sweeps.{name}.when: conditions need searched axes, and this version "
                "sweeps listed values only. Leave it out."
            )
    if composed.tune.num_samples > 1:
        raise ConfigError(
            f"{composed.origin('tune.num_samples')}: tune.num_samples: "
            f"{composed.tune.num_samples}, but this version sweeps listed values only. Leave it "
            "at 1; `seeds:` repeats points."
        )
    spaces = {f"sweeps.yaml: sweeps.{n}.space": e.space for n, e in composed.sweeps.items()}
    spaces |= {axis.where: axis.space for axis in composed.swept_overrides}
    spaces |= {axis.where: axis.space for axis in composed.sweeper or []}
    for where, space in spaces.items():
        if space is not None:
            raise ConfigError(
                f"{where}: {space!r} is a search space; this version sweeps listed values only. "
                "Use `val:` or choice(…) / range(…)."
            )


def _from_entries(composed: Composed) -> list[Axis]:
    grouped: dict[str, list[Choice]] = {}
    for name, entry in composed.sweeps.items():
        key = composed.find_key(entry.param)
        grouped.setdefault(key, []).append(Choice(entry.val, name, entry.description))
    return [Axis(key, tuple(choices)) for key, choices in grouped.items()]


def _from_sweeper(composed: Composed, sweeper: list[ParsedAxis]) -> tuple[list[Axis], list[str]]:
    entries = {
        (composed.find_key(entry.param), _frozen(entry.val)): (name, entry)
        for name, entry in composed.sweeps.items()
    }
    axes, used = [], set()
    for parsed in sweeper:
        choices = []
        for value in parsed.values or []:
            name, entry = entries.get((parsed.key, _frozen(value)), (None, None))
            used.add(name)
            choices.append(_choice(value, name, entry))
        axes.append(Axis(parsed.key, tuple(choices)))
    left_out = [name for name in composed.sweeps if name not in used]
    notices = [
        f"Sweep {name!r} is not among hydra.sweeper.params and is left out." for name in left_out
    ]
    return axes, notices


def _choice(value: Any, name: str | None, entry: SweepEntry | None) -> Choice:
    return Choice(value, name, entry.description if entry else "")


def _override(
    axes: list[Axis], swept: list[ParsedAxis], fixed: Mapping[str, Any]
) -> list[Axis]:
    named = {(a.key, _frozen(c.value)): c for a in axes for c in a.choices}
    values = {axis.key: list(axis.values or []) for axis in swept}
    values |= {key: [value] for key, value in fixed.items() if key in {a.key for a in axes}}

    def replaced(key: str) -> Axis:
        choices = (named.get((key, _frozen(value)), Choice(value)) for value in values[key])
        return Axis(key, tuple(choices))

    kept = [replaced(axis.key) if axis.key in values else axis for axis in axes]
    added = [replaced(key) for key in values if key not in {axis.key for axis in axes}]
    return _seeds_last(kept + added)


def _seeds_last(axes: list[Axis]) -> list[Axis]:
    return sorted(axes, key=lambda axis: axis.key == SEED)


def _frozen(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, Mapping):
        return tuple(sorted((key, _frozen(item)) for key, item in value.items()))
    return (type(value).__name__, value)
