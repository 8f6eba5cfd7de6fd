"""The experiment pair as commented YAML, written whole and never over anything."""

__all__ = ["Pair", "render", "write_pair"]

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

from wwdc.errors import ConfigError
from wwdc.init.kinds import Guess
from wwdc.init.sizes import Plan
from wwdc.products.atomic import sync_directory, write_into

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_DROPS = 8
"""Variables that the first sweep drops one at a time."""


@dataclass(frozen=True)
class Pair:
    """Where the two experiments go."""

    vae: Path
    flow: Path

    @classmethod
    def of(cls, name: str, out: Path) -> "Pair":
        """``NAME_vae`` and ``NAME_flow`` in the folder *out*.

        Raises:
            ConfigError: one of them exists.
        """
        pair = cls(out / f"{name}_vae", out / f"{name}_flow")
        for folder in (pair.vae, pair.flow):
            if folder.exists():
                raise ConfigError(f"{folder} exists and is not overwritten. Give another NAME.")
        return pair


def render(
    name: str, data: Mapping[str, Any], plan: Plan, guesses: list[Guess]
) -> dict[str, dict[str, str]]:
    """The files of both experiments: ``vae`` and ``flow`` → file name → text.

    Args:
        name: of the data, and in the folders' names.
        data: paths of images and table, and the section's target.
    """
    kept = [guess for guess in guesses if guess.keys]
    words = {
        "name": name,
        "x_ds": _x_ds(data, plan, guesses),
        "sweeps": _sweeps([guess.name for guess in kept]),
        "hidden_dim": plan.hidden_dim,
        "channels": plan.channels,
        "vae_batch": plan.vae_batch,
        "flow_batch": plan.flow_batch,
        "vae_epochs": plan.vae_epochs,
        "flow_epochs": plan.flow_epochs,
    }
    return {
        kind: {
            path.name: _Template(path.read_text(encoding="utf-8")).substitute(words)
            for path in sorted((_TEMPLATES / kind).glob("*.yaml"))
        }
        for kind in ("vae", "flow")
    }


def write_pair(pair: Pair, texts: Mapping[str, Mapping[str, str]]) -> None:
    """Write both folders, or neither.

    Raises:
        ConfigError: one appeared meanwhile, or cannot be written.
    """
    done: list[Path] = []
    try:
        for kind, folder in (("vae", pair.vae), ("flow", pair.flow)):
            temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
            done.append(temporary)
            temporary.mkdir(parents=True)
            for name, text in texts[kind].items():
                write_into(temporary / name, text)
            temporary.rename(folder)
            done[-1] = folder
        sync_directory(pair.flow.parent)
    except OSError as error:
        for folder in done:
            shutil.rmtree(folder, ignore_errors=True)
        raise ConfigError(
            f"{error.filename}: cannot be written ({error.strerror}). Nothing was left behind."
        ) from error


class _Template(Template):
    """``%name``, as ``$`` is OmegaConf's."""

    delimiter = "%"


def _x_ds(data: Mapping[str, Any], plan: Plan, guesses: list[Guess]) -> str:
    """The section ``x_ds``, indented, with comments."""
    lines = [f"{key}: {_flow(value)}" for key, value in data.items()]
    for key, value in plan.x_ds.items():
        note = plan.notes.get(key)
        lines.append(f"{key}: {_flow(value)}" + (f"  # {note}" if note else ""))
    lines.append("variables:  # kinds: continuous, circular, categorical, flag")
    for guess in guesses:
        if guess.keys:
            note = f"  # {guess.missing} missing" if guess.missing else ""
            lines.append(f"  {guess.name}: {_flow(guess.keys)}{note}")
        else:
            lines.append(f"  # {guess.name}: left out, {_one_line(guess.why)}")
    lines.append("drop_variables: []  # variables the flow is not told; the sweep sets them")
    return "\n".join(f"    {line}" for line in lines)


def _sweeps(names: list[str]) -> str:
    """A point for each of the first variables, and one for all of them."""
    drops = {f"drop_{name}": ([name], f"Drop {name}") for name in names[:_MOST_DROPS]}
    if len(names) > 1:
        drops["drop_all"] = (names, "Drop every variable")
    lines = []
    for key, (dropped, words) in drops.items():
        lines += [f"  {key}:", "    param: x_ds.drop_variables", f"    val: {_flow(dropped)}"]
        lines.append(f"    description: {_flow(words)}")
    return "\n".join(lines)


def _flow(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, str) and value.startswith("${"):
        return value
    text = yaml.safe_dump(
        value, default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _one_line(text: str) -> str:
    return " ".join(text.split())
