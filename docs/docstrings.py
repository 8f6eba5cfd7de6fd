"""Docstrings as this project writes them, turned into the Markdown that mkdocstrings renders.

A doctest becomes a block of code, a role of Sphinx the name that it leads to.
"""

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|func|meth):`([^`]+)`")
_LITERAL = re.compile(r"``([^`]+)``")
_DOCTEST = re.compile(r"^>>> (?:.+\n?)+", re.MULTILINE)
_DIRECTIVE = re.compile(r" *# doctest: .*")


class Readable(griffe.Extension):
    """Rewrites each docstring once it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = readable(obj.docstring.value)


def readable(text: str) -> str:
    """A docstring as Markdown.

    >>> readable("Of :meth:`path`.")
    'Of `path`.'
    """
    text = _ROLE.sub(r"`\1`", text)
    text = _LITERAL.sub(r"`\1`", text)
    text = _DIRECTIVE.sub("", text)
    return _DOCTEST.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", text)
