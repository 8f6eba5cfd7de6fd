"""What is put in order after Hydra has merged the files."""

__all__ = ["arrange", "require_keys"]

import difflib
import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wwdc.config.devices import has_gpu
from wwdc.config.placeholders import ROOT, blank
from wwdc.config.schema import Origin
from wwdc.config.tree import ABSENT, get, map_text, put, texts
from wwdc.errors import ConfigError

_REQUIRED = {
    "meta": "- meta",
    "sweeps": "- sweeps",
    "data": "- /data/rgbmnist",
    "lightning_loader": "- model",
    "trainer": "- /trainer/cpu",
    "paths": "- /paths/default",
}
_KNOWN = (
    *_REQUIRED,
    "detectors",
    "early_stopping",
    "embed",
    "figures",
    "hydra",
    "label",
    "logger",
    "model_checkpoint",
    "seed",
    "seeds",
    "splits",
    "tests",
    "trainer_ckpt_path",
    "tune",
)
_ALIKE = 0.8
_LOGGER = re.compile(r"\$\{\.*logger\.(\w+)\}")
_LOGGERS = ("csv", "wandb")
_HYDRA_VALUE = re.compile(r"\$\{hydra[:.]([\w.]+)\}")
_NOW = re.compile(r"\$\{now:")


def require_keys(raw: Mapping[str, Any], primary: str, origin: Origin) -> None:
    """Refuse a tree in which a section is missing or misspelt."""
    for key in raw:
        alike = difflib.get_close_matches(key, _KNOWN, n=1, cutoff=_ALIKE)
        if key not in _KNOWN and alike:
            raise ConfigError(f"{origin(key)}: unknown key {key!r}. Did you mean {alike[0]!r}?")
    for key, line in _REQUIRED.items():
        if raw.get(key) is not None:
            if not isinstance(raw[key], dict):
                raise ConfigError(
                    f"{origin(key)}: {key}: expected keys and values, got {raw[key]!r}"
                )
            continue
        if key == "sweeps" and raw.get("seeds") is not None:
            continue
        raise ConfigError(
            f"{primary}: {key} is missing; does the defaults list have a line such as '{line}'?"
        )


def arrange(
    raw: dict[str, Any],
    hydra: Mapping[str, Any],
    *,
    given: Mapping[str, Any],
    origin: Origin,
    notices: list[str],
) -> Path:
    """Bring the merged tree into its final form, in place; returns the data root."""
    raw["tune"] = raw.get("tune") or {}
    _rewrite_text(raw, hydra, origin)
    _alias_vae(raw, given, origin)
    _drop_loggers(raw, origin, notices)
    _use_present_device(raw, notices)
    return _settle_data_root(raw, notices)


def _rewrite_text(raw: dict[str, Any], hydra: Mapping[str, Any], origin: Origin) -> None:
    """Put placeholders, and read ``${train.x}`` as ``${x}``: there is no tree of that name."""
    prefixed = "train" not in raw

    def rewrite(text: str) -> str:
        if "${" not in text:
            return text
        text = _HYDRA_VALUE.sub(lambda match: str(get(hydra, match[1])), blank(text))
        return text.replace("${train.", "${") if prefixed else text

    for key, text in texts(raw):
        place = f"{origin(key)}: {key}: {text!r}"
        if _NOW.search(text):
            raise ConfigError(f"{place} differs at every run, so no point could be found again")
        for name in _HYDRA_VALUE.findall(blank(text)):
            value = get(hydra, name)
            if not isinstance(value, str | int | float) or value == "???":
                known = "hydra:job.id and hydra:job.num"
                raise ConfigError(f"{place}: hydra:{name} has no value here; {known} have one")
    raw.update(map_text(raw, rewrite))


def _alias_vae(raw: dict[str, Any], given: Mapping[str, Any], origin: Origin) -> None:
    """``paths.vae_ckpt_dir`` and ``paths.vae_ckpt_path`` are one key."""
    paths = raw["paths"]
    names = ("vae_ckpt_path", "vae_ckpt_dir")
    aliases = [f"${{{prefix}{name}}}" for prefix in ("paths.", ".") for name in names]
    written = {name: paths.get(name) for name in names if paths.get(name) not in (None, *aliases)}
    if len(set(map(str, written.values()))) == 2 and "paths.vae_ckpt_path" not in given:
        raise ConfigError(
            f"{origin('paths.vae_ckpt_dir')}: paths.vae_ckpt_dir and paths.vae_ckpt_path are two "
            f"names of one key, but differ: {written!r}"
        )
    paths["vae_ckpt_path"] = next(iter(written.values()), None)
    paths["vae_ckpt_dir"] = aliases[0]


def _drop_loggers(raw: dict[str, Any], origin: Origin, notices: list[str]) -> None:
    """Take out loggers that are not there: deleted, not chosen, or not installed."""
    loggers = raw.get("logger") or {}
    raw["logger"] = loggers
    listed = raw["trainer"].get("logger")
    if loggers.get("wandb") is not None and importlib.util.find_spec("wandb") is None:
        loggers["wandb"] = None
        notices.append(
            "wandb is not installed, so it mirrors nothing; metrics are in the experiment's "
            "metrics folder (pip install 'wwdc[wandb]')"
        )
    if not isinstance(listed, list):
        return
    kept = []
    for index, entry in enumerate(listed):
        match = _LOGGER.fullmatch(entry) if isinstance(entry, str) else None
        if match is None:
            kept.append(entry)
        elif loggers.get(match[1]) is not None:
            kept.append(f"${{logger.{match[1]}}}")
        elif match[1] not in (*_LOGGERS, *loggers):
            choices = ", ".join(sorted({*_LOGGERS, *loggers}))
            key = f"trainer.logger.{index}"
            raise ConfigError(
                f"{origin(key)}: {key}: there is no logger {match[1]!r}. Loggers: {choices}."
            )
    raw["trainer"]["logger"] = kept


def _use_present_device(raw: dict[str, Any], notices: list[str]) -> None:
    trainer = raw["trainer"]
    wants_gpu = trainer.get("accelerator") in ("gpu", "cuda")
    if wants_gpu and get(raw, "tune.address") in (ABSENT, None, "local") and not has_gpu():
        trainer["accelerator"] = "cpu"
        trainer["devices"] = 1
        notices.append("there is no GPU on this machine: training on the CPU")


def _settle_data_root(raw: dict[str, Any], notices: list[str]) -> Path:
    """Where data and products lie: ``paths.data_dir`` if it is a plain path, else $DATA_ROOT."""
    written = raw["paths"].get("data_dir")
    if written not in (None, ROOT):
        if not isinstance(written, str) or ROOT in written or "${" in written:
            raise ConfigError(
                f"paths.data_dir: expected a path or ${{oc.env:DATA_ROOT}}, got {written!r}"
            )
        put(raw, "paths.data_dir", ROOT)
        return Path(written).expanduser().absolute()
    put(raw, "paths.data_dir", ROOT)
    root = os.environ.get("DATA_ROOT")
    if not root:
        notices.append(f"DATA_ROOT is not set: using {Path('data').absolute()}")
    return Path(root or "data").expanduser().absolute()
