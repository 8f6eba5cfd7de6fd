"""What README and docs tell people to type is what works."""

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from wwdc.cli import main

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
LINES = sorted(
    {
        line.split(" #")[0].strip().removeprefix("$ ")
        for page in PAGES
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text(), re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip().removeprefix("$ ").startswith("python -m wwdc.")
    }
)


MISSING = ("prepare", "embed", "stats", "detect", "label", "promote", "report", "submit")
"""Stages that need what an empty tree does not have."""


def test_there_are_commands():
    assert len(LINES) >= 5


@pytest.mark.parametrize("line", LINES)
def test_a_documented_command_is_accepted(line, data_root, monkeypatch, capsys):
    """Sweeps as a dry run, jobs not submitted; the others as they are, on an empty tree."""
    monkeypatch.chdir(REPOSITORY)
    _, _, module, *arguments = shlex.split(line)
    stage = module.removeprefix("wwdc.")
    if stage in ("tune", "run") and "--dry-run" not in arguments:
        arguments.append("--dry-run")
    if stage == "submit" and "--print" not in arguments:
        arguments.append("--print")
    missing = stage in MISSING or arguments[:1] == ["best"] or "--from" in arguments
    assert main([stage, *arguments]) in ((0, 2) if missing else (0,)), capsys.readouterr().err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / Path(target)).exists(), f"{page.name} links to {target}"
