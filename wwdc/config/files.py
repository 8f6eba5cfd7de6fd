"""Reading the YAML files of an experiment folder."""

__all__ = ["Sources", "experiment_folder", "read_folder", "read_yaml"]

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from wwdc.errors import ConfigError, closest

_REQUIRED = ("meta.yaml", "sweeps.yaml", "model.yaml", "train.yaml")
_EMBED = ("embed.yaml", "embedding.yaml")
_SECTIONS = {"meta.yaml": ("meta",), "sweeps.yaml": ("sweeps", "seeds")}


@dataclass(frozen=True)
class Sources:
    """The files of a folder, as written, those that decide last first."""

    folder: Path
    files: Mapping[str, Mapping[str, Any]]

    def origin(self, key: str) -> str:
        """Name the file that writes the dotted *key* (or its nearest parent)."""
        parts = key.split(".")
        for depth in range(len(parts), 0, -1):
            for name, content in self.files.items():
                node: Any = content
                for part in parts[:depth]:
                    node = node.get(part, _ABSENT) if isinstance(node, Mapping) else _ABSENT
                if node is not _ABSENT:
                    return name
        return "train.yaml"


_ABSENT = object()


def experiment_folder(folder: Path) -> Path:
    """Check that *folder* is an experiment folder and make it absolute."""
    path = Path(folder).expanduser().absolute()
    try:
        if path.is_dir():
            return path
        if path.exists():
            raise ConfigError(f"{folder} is a file; give the experiment folder: {path.parent}")
    except OSError as error:
        raise ConfigError(f"{str(folder)[:80]}: no experiment folder: {error.strerror}") from None
    siblings = path.parent.iterdir() if path.parent.is_dir() else ()
    guess = closest(path.name, [p.name for p in siblings if (p / "train.yaml").is_file()])
    raise ConfigError(f"there is no experiment folder {folder}.{guess}")


def read_folder(folder: Path, stage: Literal["train", "embed"]) -> Sources:
    """Read the files that *stage* needs."""
    names = [*_REQUIRED]
    if stage == "embed":
        present = [name for name in _EMBED if (folder / name).is_file()]
        if len(present) == 2:
            raise ConfigError(f"{folder} has both embed.yaml and embedding.yaml; keep one")
        names.append(present[0] if present else "embed.yaml")
    names.reverse()
    files = {name: read_yaml(folder / name) for name in names}
    for name, sections in _SECTIONS.items():
        _check_sections(name, files[name], sections)
    return Sources(folder, files)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one file, interpolations unresolved; what is wrong names the file and the line."""
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except FileNotFoundError:
        present = [p.name for p in path.parent.glob("*.y*ml")]
        guess = closest(path.name, set(present) - {*_REQUIRED, *_EMBED})
        listing = f" The folder has {', '.join(sorted(present))}." if present else ""
        raise ConfigError(f"{path.name} is missing in {path.parent}.{guess}{listing}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        problem = error.problem or "broken YAML"
        raise ConfigError(f"{path.name}{line}: {problem}. (File {path})") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{path.name}: cannot be read: {reason}. (File {path})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path.name}: expected keys and values, got a {type(content).__name__}")
    keyed: dict[str, Any] = {}
    for key, value in content.items():
        if not isinstance(key, str):
            raise ConfigError(f"{path.name}: the key {key!r} is not text; put it in quotes")
        keyed[key] = value
    return keyed


def _check_sections(name: str, content: Mapping[str, Any], sections: tuple[str, ...]) -> None:
    for key in content:
        if key not in (*sections, "defaults"):
            raise ConfigError(
                f"{name}: {key}: unknown key.{closest(key, sections)} "
                f"Known keys: {', '.join(sections)}."
            )
    if not any(key in content and content[key] is not None for key in sections):
        raise ConfigError(f"{name}: {sections[0]}: this key is required and missing.")
