"""YAML that every reader understands the same: ids stay strings, short lists stay on a line."""

__all__ = ["dump_yaml", "load_yaml"]

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from wwdc.errors import ProductError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML 1.1 and 1.2 disagree on what a plain scalar is: quote whatever one of them takes for a
# number, a date, a truth value or null (52407352, 5240735_2, 12e456789012, 2026-11-24, no, ~).
_AMBIGUOUS = re.compile(r"[-+.]?\d.*|[-+]?\.?(inf|nan)|y|n|yes|no|on|off|true|false|null|~|", re.I)

_UNUSUAL = re.compile(r"[^\S \t\n]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # they need an escape


class _Quoted(str):
    """A string that is written in double quotes."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def dump_yaml(data: Mapping[str, Any], *, quoted: Collection[str] = ()) -> str:
    """Plain data as YAML in the mapping's own order; strings under *quoted* keys get quotes.

    >>> dump_yaml({"job_id": "5240735_2", "sweep": "sweep_1", "val": '["b"]'}, quoted=["job_id"])
    'job_id: "5240735_2"\\nsweep: sweep_1\\nval: \\'["b"]\\'\\n'
    """
    return yaml.dump(
        _quote(data, quoted),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=4096,
    )


def load_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        ProductError: it cannot be read or is not YAML; the message names file and line.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise ProductError(f"cannot read {path}: {error}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or error
        raise ProductError(f"{where}: broken YAML: {problem}.") from error


def _quote(value: object, keys: Collection[str]) -> object:
    if isinstance(value, Mapping):
        return {
            key: _Quoted(item) if key in keys and isinstance(item, str) else _quote(item, keys)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_quote(item, keys) for item in value]
    return value


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = None
    if isinstance(value, _Quoted) or _AMBIGUOUS.fullmatch(value) or _UNUSUAL.search(value):
        style = '"'
    elif "\n" in value:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=style)


def _sequence(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    flat = not any(isinstance(item, list | dict) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flat)


_Dumper.add_multi_representer(str, _string)
_Dumper.add_representer(str, _string)
_Dumper.add_representer(list, _sequence)
_Dumper.add_multi_representer(float, lambda dumper, value: dumper.represent_float(float(value)))
_Dumper.add_multi_representer(Path, lambda dumper, value: _string(dumper, str(value)))
