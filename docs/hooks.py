"""What MkDocs fills in at build time: every stage's ``--help``, every shipped settings file.

Pages stay readable where they are read as plain files: a command's page names the command, and a
link to a settings file leads to the file. In the site that link leads to the file's text.
"""

import contextlib
import io
import os
import re
import shlex
from pathlib import Path
from typing import Any
from unittest import mock

from wwdc.cli import main

REPOSITORY = Path(__file__).parents[1]
CONF = REPOSITORY / "wwdc" / "conf"
SETTINGS = "reference/settings.md"

_HELP = re.compile(r"^<!-- help: (.+) -->$", re.MULTILINE)
_FILES = re.compile(r"^<!-- settings -->$", re.MULTILINE)
_LINK = re.compile(r"\]\((?:\.\./)+wwdc/conf/([\w/.]+)\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Fill in the marks of a page, and turn its links to settings files to the page of settings."""
    markdown = _HELP.sub(lambda found: _fenced(help_of(found[1]), "text"), markdown)
    markdown = _FILES.sub(lambda found: _settings(), markdown)
    up = "../" * page.file.src_uri.count("/")
    return _LINK.sub(lambda found: f"]({up}{SETTINGS}#{_anchor(found[1])})", markdown)


def help_of(stage: str) -> str:
    """What ``python -m wwdc.STAGE --help`` prints, 100 columns wide."""
    text = io.StringIO()
    with (
        mock.patch.dict(os.environ, COLUMNS="100"),
        contextlib.redirect_stdout(text),
        contextlib.suppress(SystemExit),
    ):
        main([*shlex.split(stage), "--help"])
    return text.getvalue()


def _settings() -> str:
    parts = []
    for path in sorted(CONF.glob("*/*.yaml")):
        name = path.relative_to(CONF).as_posix()
        parts.append(f"## {name} {{ #{_anchor(name)} }}\n\n{_fenced(path.read_text(), 'yaml')}")
    return "\n\n".join(parts)


def _anchor(name: str) -> str:
    """Of a file, ``tests/default.yaml``, or of a group's folder: its first file."""
    if not name.endswith(".yaml"):
        name = f"{name}/default.yaml"
    return name.removesuffix(".yaml").replace("/", "-")


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.strip()}\n```"
