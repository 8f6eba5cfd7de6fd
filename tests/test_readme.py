"""What README and docs tell people to type is what works."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY
from wwdc.cli import main

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
STAGE = "python -m wwdc."
MISSING = ("init", "prepare", "embed", "stats", "detect", "label", "promote", "report", "submit")
"""Stages that need what an empty tree does not have."""
OWN_DATA = ("galaxies_", "galaxy10_", "spectra_")
"""Experiments whose data are the reader's."""


def blocks(page: Path, *languages: str) -> list[str]:
    """What stands in a page's listings of some languages."""
    pattern = rf"```(?:{'|'.join(languages)})\n(.*?)```"
    return re.findall(pattern, page.read_text(), re.DOTALL)


TYPED = sorted(
    {
        line.split(" #")[0].strip().removeprefix("$ ")
        for page in PAGES
        for block in blocks(page, "sh", "console")
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip()
    }
)
LINES = [line for line in TYPED if line.startswith(STAGE)]


def test_there_are_commands():
    assert len(LINES) >= 5


@pytest.mark.parametrize("line", LINES)
def test_a_documented_command_is_accepted(line, data_root, monkeypatch, capsys):
    """Sweeps and runs as a dry run, jobs not submitted, the doctor without a Ray, which its own
    tests start; the others as they are, on an empty tree."""
    monkeypatch.chdir(REPOSITORY)
    _, _, module, *arguments = shlex.split(line)
    stage = module.removeprefix("wwdc.")
    if stage in ("tune", "run") and not {"--dry-run", "--status"} & {*arguments}:
        arguments.append("--dry-run")
    if stage == "submit" and "--print" not in arguments:
        arguments.append("--print")
    if stage == "doctor" and "--quick" not in arguments:
        arguments.append("--quick")
    missing = stage in MISSING or {"best", "--from"} & {*arguments} or not _ready(arguments)
    assert main([stage, *arguments]) in ((0, 2) if missing else (0,)), capsys.readouterr().err


def _ready(arguments: list[str]) -> bool:
    """Whether a command is of experiments that are there with their data."""
    named = [word for word in arguments if word.startswith("experiments/")]
    own = any(name in word for word in arguments for name in OWN_DATA)
    return not own and all((REPOSITORY / word).is_dir() for word in named)


def test_scripts_and_targets_that_are_named_are_there():
    makefile = (REPOSITORY / "Makefile").read_text()
    for line in TYPED:
        words = line.split()
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), line
        if words[0] == "python" and words[1].endswith(".py"):
            assert (REPOSITORY / words[1]).is_file(), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_listings_can_be_read(page):
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")
    for block in blocks(page, "yaml"):
        yaml.safe_load(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / Path(target)).exists(), f"{page.name} links to {target}"
