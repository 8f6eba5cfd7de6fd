"""Defaults lists, brought into the form in which Hydra can choose and override groups."""

__all__ = ["Defaults", "expand"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wwdc.errors import ConfigError

_SELF = "_self_"


@dataclass
class Defaults:
    """One flat defaults list without repetitions.

    ``/trainer/gpu`` becomes the group ``trainer`` with the choice ``gpu``, so that ``trainer=cpu``
    can choose another; several files of one group become a list of choices. A file chosen first
    stays: what an experiment's own list says wins over a list it includes.
    """

    entries: list[str] = field(default_factory=list)  # files, and groups with a leading slash
    groups: dict[str, list[str] | None] = field(default_factory=dict)
    optional: dict[str, Any] = field(default_factory=dict)
    hydra: dict[str, Any] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)

    def rendered(self) -> list[Any]:
        """The list as Hydra reads it; overrides of Hydra's own groups come last."""
        rendered: list[Any] = [{key: value} for key, value in self.optional.items()]
        for entry in self.entries:
            if not entry.startswith("/"):
                rendered.append(entry)
                continue
            choices = self.groups[entry[1:]]
            if choices is not None:
                rendered.append({entry: choices[0] if len(choices) == 1 else choices})
        return [*rendered, *({key: value} for key, value in self.hydra.items())]


def expand(
    name: str,
    files: Mapping[str, Mapping[str, Any]],
    *,
    body: Callable[[str], str],
) -> Defaults:
    """Flatten the defaults list of ``files[name]``, following those it includes from *files*.

    *body(name)* is the configuration that holds a file's own keys.
    """
    result = Defaults()
    overrides: dict[str, list[str] | None] = {}
    _walk(name, files, body, result, overrides, ())
    for group, choices in overrides.items():
        if group not in result.groups:
            raise ConfigError(
                f"{name}: defaults: 'override /{group}' has nothing to override; "
                f"write '- /{group}: …' instead"
            )
        result.groups[group] = choices
    return result


def _walk(
    name: str,
    files: Mapping[str, Mapping[str, Any]],
    body: Callable[[str], str],
    result: Defaults,
    overrides: dict[str, list[str] | None],
    inside: tuple[str, ...],
) -> None:
    if name in inside:
        raise ConfigError(f"{name}: defaults: it includes itself by way of {' → '.join(inside)}")
    listed = files[name].get("defaults", [])
    if not isinstance(listed, list):
        raise ConfigError(f"{name}: defaults: expected a list, got {listed!r}")
    if _SELF not in listed:
        listed = [*listed, _SELF]
    own_groups = _choices(name, listed, overrides, result)
    outer_groups = set(result.groups) if inside else set()
    for group, choices in own_groups.items():
        result.groups.setdefault(group, choices)
    for entry in listed:
        if entry == _SELF:
            result.entries.append(body(name))
        elif isinstance(entry, str) and f"{entry.strip('/')}.yaml" in files:
            included = f"{entry.strip('/')}.yaml"
            if files[included].get("defaults") is not None:
                _walk(included, files, body, result, overrides, (*inside, name))
            elif entry.strip("/") not in result.entries:
                result.entries.append(entry.strip("/"))
        elif isinstance(entry, str) and "/" not in entry.strip("/"):
            if entry.strip("/") not in result.entries:
                result.entries.append(entry.strip("/"))
        else:
            for group in _groups_of(entry):
                if group not in outer_groups and f"/{group}" not in result.entries:
                    result.entries.append(f"/{group}")


def _choices(
    name: str,
    listed: list[Any],
    overrides: dict[str, list[str] | None],
    result: Defaults,
) -> dict[str, list[str] | None]:
    """The groups that one list chooses, in order; several files of a group add up."""
    groups: dict[str, list[str] | None] = {}
    for entry in listed:
        if isinstance(entry, str):
            group, _, choice = entry.strip("/").removeprefix("../").rpartition("/")
            if group and choice not in (groups.setdefault(group, []) or []):
                groups[group] = [*(groups[group] or []), choice]
        elif isinstance(entry, Mapping) and len(entry) == 1:
            key, value = next(iter(entry.items()))
            words = str(key).split()
            group = words[-1].strip("/")
            if group.startswith("hydra/"):
                if group in ("hydra/launcher", "hydra/sweeper"):
                    result.dropped.append(f"{name}: defaults: {group}: {value}")
                else:
                    result.hydra[str(key)] = value
            elif "optional" in words:
                result.optional.setdefault(str(key), value)
            elif "override" in words:
                overrides.setdefault(group, _as_choices(value))
            else:
                groups[group] = _as_choices(value)
        else:
            raise ConfigError(
                f"{name}: defaults: cannot read {entry!r}; write a file such as 'model', "
                "a group such as '/trainer/gpu', or '_self_'"
            )
    return groups


def _groups_of(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry.strip("/").removeprefix("../").rpartition("/")[0]]
    words = str(next(iter(entry))).split()
    group = words[-1].strip("/")
    return [] if len(words) > 1 or group.startswith("hydra/") else [group]


def _as_choices(value: Any) -> list[str] | None:
    if value is None:
        return None
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
