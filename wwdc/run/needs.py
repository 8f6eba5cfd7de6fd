"""Experiments that have to be run before another: who makes the product that is missing."""

__all__ = ["forget", "make_note", "noted", "who_makes"]

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from wwdc.errors import ProductError
from wwdc.products import Tree, atomic_write

NOTE = "needs.json"


def who_makes(product: str, folder: Path) -> Path:
    """The folder beside *folder* whose meta.yaml names ``DATA_NAME/EXPERIMENT_NAME``.

    Raises:
        ProductError: there is none.
    """
    parent = folder.absolute().parent
    for meta in sorted(parent.glob("*/meta.yaml")):
        if _name(meta) == product:
            return folder.parent / meta.parent.name
    raise ProductError(
        f"{folder} needs a checkpoint of {product}, which is not trained yet, and no folder in "
        f"{parent} has a meta.yaml that says so. Run its experiment first: "
        "python -m wwdc.run EXPERIMENT --until tune"
    )


def noted(tree: Tree) -> dict[str, str]:
    """Product → folder of the experiments that a run of this one began and has not ended."""
    try:
        found = json.loads((tree.multiruns / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def make_note(tree: Tree, needs: Mapping[str, Path]) -> None:
    """Remember what is begun: once killed, the best of half an experiment is not what was meant."""
    folders = {product: str(folder.absolute()) for product, folder in needs.items()}
    if folders and folders != noted(tree):
        atomic_write(tree.multiruns / NOTE, json.dumps(folders))


def forget(tree: Tree) -> None:
    """They are done."""
    (tree.multiruns / NOTE).unlink(missing_ok=True)


def _name(meta: Path) -> str | None:
    try:
        found = yaml.safe_load(meta.read_text(encoding="utf-8"))["meta"]
        return f"{found['data_name']}/{found['experiment_name']}"
    except (OSError, yaml.YAMLError, TypeError, KeyError, UnicodeDecodeError):
        return None  # not an experiment, or a broken one that says so when it is run
