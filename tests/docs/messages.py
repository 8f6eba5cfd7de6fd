"""Every text that wwdc can print, with a gap where something is filled in."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.conftest import REPOSITORY

GAP = "\0"


def is_printed(message: str) -> bool:
    """Whether some text has the words of *message* in order, ``…`` standing for anything."""
    parts = (re.escape(part.strip()) for part in message.split("…"))
    return re.search(".*".join(parts), printed()) is not None


@cache
def printed() -> str:
    """One text a line: string literals of wwdc but its docstrings, lines of its shell scripts."""
    folder = REPOSITORY / "wwdc"
    texts = [line for path in folder.rglob("*.sh") for line in path.read_text().splitlines()]
    texts += [text for path in folder.rglob("*.py") for text in _literals(path)]
    return "\n".join(text.replace("\n", " ") for text in texts)


def _literals(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(_part(value) for value in node.values)
        elif isinstance(node, ast.Constant) and node not in docstrings:
            yield str(node.value)


def _part(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else GAP
