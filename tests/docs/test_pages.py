"""What the pages say of commands, settings and messages is what there is."""

import re

import pytest
import yaml

from docs.docstrings import readable
from docs.hooks import help_of, on_page_markdown
from tests.conftest import REPOSITORY
from tests.docs.messages import is_printed
from wwdc.cli import STAGES

DOCS = REPOSITORY / "docs"
MESSAGES = re.findall(r"^#### `(.+)`$", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)


class Page:
    """As much of MkDocs' page as the hook looks at."""

    def __init__(self, name):
        self.file = self
        self.src_uri = name

    def filled(self):
        return on_page_markdown((DOCS / self.src_uri).read_text(), page=self)


def listed(node):
    """The pages of a part of the navigation."""
    if isinstance(node, str):
        return [node]
    parts = node.values() if isinstance(node, dict) else node
    return [page for part in parts for page in listed(part)]


def test_every_page_is_in_the_navigation_once():
    text = (REPOSITORY / "mkdocs.yml").read_text()
    pages = listed(yaml.safe_load(text)["nav"])
    assert sorted(pages) == sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md"))


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_one_that_wwdc_prints(message):
    assert is_printed(message)


def test_a_message_that_nothing_prints_is_told():
    assert len(MESSAGES) > 50
    assert not is_printed("nothing is embodied yet. Run: …")
    assert not is_printed("Run: … nothing is embedded yet.")


def test_every_command_has_its_help():
    text = Page("reference/commands.md").filled()
    assert "<!--" not in text
    for stage in STAGES:
        assert f"## {stage}\n" in text and f"usage: python -m wwdc.{stage} " in text
    assert "--delete" in help_of("products gc")


def test_every_settings_file_has_its_text():
    text = Page("reference/settings.md").filled()
    files = sorted((REPOSITORY / "wwdc/conf").glob("*/*.yaml"))
    assert len(files) > 10
    for path in files:
        anchor = f"{path.parent.name}-{path.stem}"
        assert path.read_text().strip() in text
        assert f"](../reference/settings.md#{anchor})" in text and f"{{ #{anchor} }}" in text


def test_links_to_settings_lead_to_their_page():
    text = Page("discovery.md").filled()
    assert "(reference/settings.md#detectors-default)" in text and "../wwdc" not in text


def test_docstrings_become_markdown():
    text = "Of :meth:`path`, ``a``.\n\n>>> 1 + 1  # doctest: +SKIP\n2\n\nMore."
    assert readable(text) == "Of `path`, `a`.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nMore."
