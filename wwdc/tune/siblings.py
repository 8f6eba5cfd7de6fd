"""Which experiment folder beside this one trains a product that is missing."""

__all__ = ["command_that_trains"]

import shlex
from functools import lru_cache
from pathlib import Path

import yaml


@lru_cache(maxsize=64)
def command_that_trains(product: str, folder: Path) -> str:
    """The command for ``DATA_NAME/EXPERIMENT_NAME``, from the folders beside *folder*.

    A placeholder stands for the folder when none of them names the product.
    """
    for meta in sorted(folder.absolute().parent.glob("*/meta.yaml")):
        if _name(meta) == product:
            path = folder.parent / meta.parent.name
            return f"python -m wwdc.tune {shlex.quote(str(path))}"
    return f"python -m wwdc.tune EXPERIMENT, the folder whose meta.yaml says {product}"


def _name(meta: Path) -> str | None:
    try:
        found = yaml.safe_load(meta.read_text())["meta"]
        return f"{found['data_name']}/{found['experiment_name']}"
    except (OSError, yaml.YAMLError, TypeError, KeyError, UnicodeDecodeError):
        return None  # not an experiment, or a broken one that says so when it is run
