"""What a point builds on: the checkpoints it starts from, by content, and what is missing."""

__all__ = ["BLOCKED", "checkpoints", "identity"]

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from wwdc.config import ROOT
from wwdc.errors import ConfigError
from wwdc.products import info_path, read_info, sha256
from wwdc.tune.siblings import command_that_trains

BLOCKED = "@MISSING_PRODUCT:"


def checkpoints(
    config: Mapping[str, Any], root: Path, folder: Path
) -> tuple[dict[str, dict[str, str]], str]:
    """Identity of the checkpoints a point starts from, and what of them is missing."""
    loader = config["lightning_loader"]
    needed = "flow" not in loader or loader.get("vae") is not None  # vae: null has no checkpoint
    given = {
        "vae": loader.get("vae_ckpt_path") if needed else None,
        "resume": config.get("trainer_ckpt_path"),
    }
    lineage, missing = {}, ""
    for name, text in given.items():
        if text is None or text == "":
            continue
        key = "trainer_ckpt_path" if name == "resume" else "lightning_loader.vae_ckpt_path"
        if not isinstance(text, str):
            raise ConfigError(f"{key}: expected the path of a checkpoint, got {text!r}")
        path = Path(str(text).replace(ROOT, str(root)))
        if str(text).startswith(BLOCKED):
            product = str(text)[len(BLOCKED) : -1]
            command = command_that_trains(product, folder)
            missing = f"needs a checkpoint of {product}, which is not trained yet: {command}"
            lineage[name] = {"missing": product}
        elif not path.is_file():
            missing = f"needs the checkpoint {path}, which does not exist: {_way_to(path, folder)}"
            lineage[name] = {"missing": str(text)}
        else:
            lineage[name] = dict(_parent(path, path.stat().st_mtime_ns))
    return lineage, missing


def _way_to(path: Path, folder: Path) -> str:
    if path.parent.name == "ckpts" and len(path.parts) > 4:
        return command_that_trains("/".join(path.parts[-4:-2]), folder)
    return "correct the path, or write ${product:DATA_NAME/EXPERIMENT}"


@lru_cache(maxsize=64)
def _parent(path: Path, _mtime_ns: int) -> Mapping[str, str]:
    if not info_path(path).is_file():
        return {"sha256": sha256(path)}
    info = read_info(info_path(path))
    return {"point_id": info.point_id, "sha256": str(info.sha256)}


def identity(parent: Mapping[str, str]) -> str:
    """The point's id where there is one: the same point trained again is the same science."""
    order = ("point_id", "sha256", "fingerprint", "missing")
    return next(parent[key] for key in order if key in parent)
