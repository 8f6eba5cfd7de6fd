"""Composing an experiment folder with Hydra's compose API."""

__all__ = ["load"]

import re
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from wwdc.config.arrange import arrange, require_keys
from wwdc.config.composed import Composed, canonical, find_key, resolved, set_key
from wwdc.config.defaults import Defaults, expand
from wwdc.config.files import Sources, experiment_folder, read_folder
from wwdc.config.overrides import Override, ParsedAxis, hydra_text, parse_override
from wwdc.config.schema import Meta, TuneConfig, check_keys, validate
from wwdc.config.sweeps import read_seeds, read_sweeper, read_sweeps
from wwdc.config.tree import ABSENT, delete, get, text_keys
from wwdc.errors import ConfigError, closest

Stage = Literal["train", "embed"]

_CONF = Path(__file__).parents[1] / "conf"
_ALWAYS: Mapping[Stage, tuple[str, ...]] = {
    "train": ("paths", "tune"),
    "embed": ("paths", "tune", "embed", "tests", "detectors", "label", "figures"),
}
"""Groups that are there without being listed."""

_HYDRA_RUNS = ("callbacks", "launcher")  # what Hydra would import and call
_GROUP = re.compile(r"\w+(?:/\w+)*")


def load(
    folder: Path, overrides: Sequence[str] = (), *, stage: Stage = "train", trust: bool = False
) -> Composed:
    """Compose the experiment in *folder* with Hydra *overrides*.

    Args:
        folder: holds meta.yaml, sweeps.yaml, model.yaml, train.yaml and, to embed, embed.yaml.
        overrides: ``lightning_loader.lr=1e-3``, ``+seed=7``, ``trainer=cpu``, ``~logger.wandb``,
            or with several values, ``lightning_loader.lr=1e-3,1e-4``.
        stage: which file is composed.
        trust: whether Python in the folder may be imported.

    Raises:
        ConfigError: names the file and the key, or the override, that is wrong.
    """
    folder = experiment_folder(folder)
    parsed = [parse_override(text) for text in overrides]
    _refuse_launchers(folder, parsed, stage)
    sources = read_folder(folder, stage)
    primary = next(iter(sources.files)) if stage == "embed" else "train.yaml"
    notices: list[str] = []
    defaults = expand(primary, sources.files, body=lambda name: _body(name, primary))
    notices += [f"{line} is left out: this command does not use it" for line in defaults.dropped]
    values = _choose_groups(defaults, parsed, folder, _ALWAYS[stage])
    raw, hydra = _compose(sources, primary, defaults, notices)
    fixed, swept = _apply(raw, values)
    origin = _origin(sources, fixed)
    require_keys(raw, primary, origin)
    data_root = arrange(raw, hydra, given=fixed, origin=origin, notices=notices)
    check_keys(Meta, raw["meta"], origin=origin, key="meta")
    plain = resolved(raw, origin)
    entries = read_sweeps(plain, raw, origin)
    meta = validate(Meta, plain["meta"], origin=origin, key="meta")
    allow = (*meta.allow_targets, *(_trusted_modules(folder) if trust else ()))
    if meta.allow_targets:
        names = ", ".join(meta.allow_targets)
        notices.append(f"{origin('meta.allow_targets')}: allow_targets lets {names} be built")
    raw["meta"]["allow_targets"] = list(allow)  # workers read it from the resolved point
    meta = meta.model_copy(update={"allow_targets": list(allow)})
    job = next((str(o.value) for o in parsed if o.key == "hydra.job.id"), None)
    if job is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", job):
        raise ConfigError(f"hydra.job.id={job}: letters, digits, '_', '.' and '-' name a job.")
    return Composed(
        folder=folder,
        data_root=data_root,
        stage=stage,
        meta=meta,
        tune=validate(TuneConfig, plain["tune"], origin=origin, key="tune"),
        raw=raw,
        origin=origin,
        notices=notices,
        sweeps=entries,
        seeds=read_seeds(plain, origin),
        sweeper=read_sweeper(raw, hydra, entries, file=origin("hydra.sweeper.params")),
        swept_overrides=swept,
        fixed_overrides=fixed,
        allow=allow,
        trust=trust,
        job=job,
    )


def _refuse_launchers(folder: Path, parsed: Sequence[Override], stage: Stage) -> None:
    """The cluster is reached by Slurm, the searcher by tune.searcher, not by Hydra's plugins."""
    for override in parsed:
        if override.key == "hydra/launcher":
            others = [o.text for o in parsed if o is not override]
            sites = _CONF.parent / "cluster" / "scripts" / "sites"
            shipped = any(path.stem == override.value for path in sites.glob("*.env"))
            site = ["--site", str(override.value)] if shipped else []
            own = ["--stages", stage] if stage == "embed" else []
            line = shlex.join(["python", "-m", "wwdc.submit", str(folder), *others, *site, *own])
            plain = shlex.join(["sbatch", "cluster/ray_head.sh", *own[1:], str(folder), *others])
            raise ConfigError(
                f"{override.text}: points are started by Ray, not by a Hydra launcher. "
                f"To run on the cluster: {line} (or plainly: {plain})"
            )
        if override.key == "hydra/sweeper":
            raise ConfigError(f"{override.text}: choose the search with tune.searcher=… instead")


def _body(name: str, primary: str) -> str:
    """The configuration that holds a file's own keys, without its defaults list."""
    return "_self_" if name == primary else f"_{name.removesuffix('.yaml')}_body"


def _choose_groups(
    defaults: Defaults, parsed: Sequence[Override], folder: Path, always: Sequence[str]
) -> list[Override]:
    """Apply the overrides that choose a group's file; return those that set values."""
    values = []
    for override in parsed:
        group = override.key.strip("/")
        known = group in defaults.groups or any(
            _GROUP.fullmatch(group) and (place / group).is_dir() for place in (_CONF, folder)
        )
        if override.key.startswith("hydra.") and override.action != "delete":
            values.append(override)
        elif not known or override.package or isinstance(override.value, dict):
            if override.package:
                raise ConfigError(f"{override.text}: packages (@) cannot be overridden")
            if "/" in override.key:
                raise ConfigError(_no_group(override, defaults))
            values.append(override)
        elif override.swept:
            raise ConfigError(
                f"{override.text}: {group} is a group of files, which cannot be swept; "
                "run the experiment once for each"
            )
        else:
            _choose(defaults, group, override)
    for group in always:
        if group not in defaults.groups:
            defaults.groups[group] = ["default"]
            defaults.entries.insert(0, f"/{group}")
    defaults.entries.insert(0, "experiment_base")
    return values


def _choose(defaults: Defaults, group: str, override: Override) -> None:
    chosen = None if override.action == "delete" else override.value
    if chosen is None:
        defaults.groups[group] = None
    else:
        defaults.groups[group] = [
            str(v) for v in (chosen if isinstance(chosen, list) else [chosen])
        ]
    if f"/{group}" not in defaults.entries:
        defaults.entries.insert(0, f"/{group}")


def _no_group(override: Override, defaults: Defaults) -> str:
    groups = sorted({*defaults.groups, *(p.name for p in _CONF.iterdir() if p.is_dir())})
    groups = [name for name in groups if not name.startswith("_")]
    return (
        f"{override.text}: there is no group {override.key!r}.{closest(override.key, groups)} "
        f"Groups: {', '.join(groups)}."
    )


def _compose(
    sources: Sources, primary: str, defaults: Defaults, notices: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Let Hydra merge the files; returns the experiment's tree and Hydra's own."""
    with tempfile.TemporaryDirectory(prefix="wwdc-") as scratch:
        for name, content in sources.files.items():
            if name != primary and content.get("defaults") is not None:
                _write(Path(scratch), _body(name, primary), _own_keys(name, content, notices))
        own = _own_keys(primary, sources.files[primary], notices)
        own["defaults"] = defaults.rendered()
        hydra = own.setdefault("hydra", {})
        folders = [f"file://{sources.folder}", "pkg://wwdc.conf", f"file://{sources.folder.parent}"]
        hydra["searchpath"] = [*folders, *(hydra.get("searchpath") or [])]
        _write(Path(scratch), "experiment", own)
        try:
            with initialize_config_dir(version_base="1.3", config_dir=scratch):
                config = compose("experiment", return_hydra_config=True)
            tree = OmegaConf.to_container(config, resolve=False)
        except MissingConfigException as error:
            raise ConfigError(_missing_message(error, primary)) from None
        except (HydraException, OmegaConfBaseException, yaml.YAMLError, OSError, ValueError) as e:
            raise ConfigError(f"{primary}: {_reason(e)}") from None
    plain: dict[str, Any] = text_keys(tree)
    return plain, plain.pop("hydra")


def _own_keys(name: str, content: Mapping[str, Any], notices: list[str]) -> dict[str, Any]:
    """A file's keys without its defaults; sweeper lines become text, as Hydra wants them."""
    own = {key: value for key, value in content.items() if key != "defaults"}
    hydra = own.get("hydra")
    if hydra is None:
        own.pop("hydra", None)
        return own
    if not isinstance(hydra, dict):
        raise ConfigError(f"{name}: hydra: expected keys and values, got {hydra!r}")
    own["hydra"] = hydra = dict(hydra)
    for key in _HYDRA_RUNS:
        if hydra.pop(key, None) is not None:
            notices.append(f"{name}: hydra.{key} is left out: Hydra only composes here")
    for place in hydra.get("searchpath") or []:
        if "://" in str(place) and not str(place).startswith("file://"):
            raise ConfigError(f"{name}: hydra.searchpath: only folders can be added, not {place!r}")
    params = get(hydra, "sweeper.params")
    if isinstance(params, dict):
        lines = {
            key: ",".join(map(hydra_text, value)) if isinstance(value, list) else value
            for key, value in params.items()
        }
        hydra["sweeper"] = {**hydra["sweeper"], "params": lines}
    return own


def _write(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
    (folder / f"{name}.yaml").write_text(f"# @package _global_\n{text}", encoding="utf-8")


def _missing_message(error: MissingConfigException, primary: str) -> str:
    wanted = str(error.missing_cfg_file or "").strip("/")
    group, _, name = wanted.rpartition("/")
    options = sorted(str(option) for option in error.options or [])
    if not group:
        return f"{primary}: defaults: there is no file {name}.yaml in the experiment folder"
    options = [option for option in options if not option.startswith("_")]
    listing = f" Choices: {', '.join(options)}." if options else ""
    return f"{primary}: defaults: there is no {group}={name}.{closest(name, options)}{listing}"


def _reason(error: BaseException) -> str:
    """The sentence in an error that tells what is wrong, and the line of a broken file."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{mark.name.strip()}, line {mark.line + 1}: {error.problem}"
    lines = [line.strip() for line in str(error).splitlines() if "raised while comp" not in line]
    return lines[0] if lines else type(error).__name__


def _apply(
    raw: dict[str, Any], overrides: Sequence[Override]
) -> tuple[dict[str, Any], list[ParsedAxis]]:
    """Set single values on the tree; returns them and the axes of those with several."""
    fixed: dict[str, Any] = {}
    swept: list[ParsedAxis] = []
    for override in overrides:
        if override.key.startswith("hydra."):
            if override.key != "hydra.job.id":
                raise ConfigError(f"{override.text}: of Hydra's own keys only hydra.job.id is used")
            continue
        where = f"override {override.text!r}"
        if override.action == "delete":
            key = find_key(raw, override.key, where=where)
            delete(raw, key)
            continue
        key = _key_of(raw, override, where)
        if override.swept:
            swept.append(ParsedAxis(key, override.values, override.space, where))
        else:
            set_key(raw, key, override.value, where=where)
            fixed[key] = override.value
    return fixed, swept


def _key_of(raw: dict[str, Any], override: Override, where: str) -> str:
    if override.action == "add":
        known = get(raw, f"data.{override.key}") is not ABSENT and get(raw, override.key) is ABSENT
        return f"data.{override.key}" if known else canonical(override.key)
    if override.key == "paths.vae_ckpt_dir":
        return canonical(override.key)
    try:
        return find_key(raw, override.key, where=where)
    except ConfigError as error:
        raise ConfigError(f"{error} To add a new key write +{override.text}") from None


def _origin(sources: Sources, fixed: Mapping[str, Any]) -> Any:
    def origin(key: str) -> str:
        given = any(key == name or key.startswith(f"{name}.") for name in fixed)
        return "command line" if given else sources.origin(key)

    return origin


def _trusted_modules(folder: Path) -> list[str]:
    """Put *folder* on the module path; its modules may then be instantiated."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    packages = [p.parent.name for p in folder.glob("*/__init__.py")]
    return sorted({*(p.stem for p in folder.glob("*.py")), *packages})
