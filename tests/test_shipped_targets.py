"""Every ``_target_`` in a shipped YAML file is on the allow-list and can be imported."""

import importlib
from pathlib import Path

import pytest
import yaml

import wwdc
from wwdc.config import check_targets

ROOT = Path(wwdc.__file__).parent
FOLDERS = [ROOT.parent / "experiments", ROOT / "conf"]


def targets(node):
    """All targets of parsed YAML, at any depth."""
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from targets(child)


def shipped():
    """(file, target) of every target shipped."""
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.yaml")):
            for target in sorted(set(targets(yaml.safe_load(path.read_text())))):
                yield pytest.param(target, id=f"{path.relative_to(folder.parent)}:{target}")


CASES = list(shipped())


def test_there_are_some():
    assert len(CASES) > 20


@pytest.mark.parametrize("target", CASES)
def test_target_is_allowed_and_imports(target):
    module, _, name = target.rpartition(".")
    check_targets({"_target_": target})
    assert callable(getattr(importlib.import_module(module), name))
