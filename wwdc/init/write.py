"""Experiments as commented YAML, written whole and never over anything."""

__all__ = ["Found", "folders_of", "render", "write_folders"]

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
class Found:
    """What an experiment is made of.

    Attributes:
        data: the section's target, and paths of images, or vectors, and table.
        plan: settings that suit them.
        guesses: what the table's columns are taken for.
    """

    data: dict[str, Any]
    plan: Plan
    guesses: list[Guess]


def folders_of(name: str, out: Path, *, vectors: bool) -> dict[str, Path]:
    """``NAME_vae`` and ``NAME_flow`` in the folder *out*, by kind; vectors need no VAE.

    Raises:
        ConfigError: one of them exists.
    """
    kinds = {"vectors": "flow"} if vectors else {"vae": "vae", "flow": "flow"}
    folders = {kind: out / f"{name}_{ending}" for kind, ending in kinds.items()}
    for folder in folders.values():
        if folder.exists():
            raise ConfigError(f"{folder} exists and is not overwritten. Give another NAME.")
    return folders


def render(kind: str, name: str, found: Found) -> dict[str, str]:
    """The files of an experiment: name → text.

    Args:
        kind: ``vae``, ``flow``, or ``vectors``: a flow that has no VAE.
        name: of the data, and in the folder's name.
        found: what goes into it.
    """
    kept = [guess for guess in found.guesses if guess.keys]
    words = {
        "name": name,
        "x_ds": _x_ds(found.data, found.plan, found.guesses),
        "sweeps": _sweeps([guess.name for guess in kept]),
        **found.plan.sizes,
    }
    sources = ("flow", "vectors") if kind == "vectors" else (kind,)
    files = {file.name: file for source in sources for file in (_TEMPLATES / source).glob("*.yaml")}
    return {
        file: _Template(path.read_text(encoding="utf-8")).substitute(words)
        for file, path in sorted(files.items())
    }


def write_folders(texts: Mapping[Path, Mapping[str, str]]) -> None:
    """Write all folders with their files, or none.

    Raises:
        ConfigError: one appeared meanwhile, or cannot be written.
    """
    done: list[Path] = []
    try:
        for folder, files in texts.items():
            temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
            done.append(temporary)
            temporary.mkdir(parents=True)
            for name, text in files.items():
                write_into(temporary / name, text)
            temporary.rename(folder)
            done[-1] = folder
        sync_directory(done[-1].parent)
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
            lines.append(f"  {_flow(guess.name)}: {_flow(guess.keys)}{note}")
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
