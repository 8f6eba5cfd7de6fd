"""Dotted keys into a tree of plain dicts and lists."""

__all__ = ["ABSENT", "delete", "dotted_keys", "get", "map_text", "put", "text_keys", "texts"]

from collections.abc import Callable, Iterator
from typing import Any

ABSENT: Any = object()
"""What `get` returns for a key that is not there (a null is there)."""


def get(tree: Any, key: str) -> Any:
    """The value at dotted *key*, or `ABSENT`.

    >>> get({"a": [{"b": 1}]}, "a.0.b")
    1
    """
    node = tree
    for part in key.split("."):
        if isinstance(node, dict):
            node = node.get(part, ABSENT)
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            return ABSENT
    return node


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set dotted *key*, creating what leads to it; a dict is merged into a dict.

    Raises:
        KeyError: a value that is neither dict nor list is on the way.
    """
    *path, last = key.split(".")
    node: Any = tree
    for part in path:
        child = get(node, part)
        if child is ABSENT or child is None:
            child = {}
            _assign(node, part, child)
        node = child
    _assign(node, last, value)


def delete(tree: dict[str, Any], key: str) -> None:
    """Remove dotted *key*, which must be there."""
    parent, _, last = key.rpartition(".")
    node = get(tree, parent) if parent else tree
    if isinstance(node, list):
        del node[int(last)]
    else:
        del node[last]


def dotted_keys(tree: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key, inner ones included."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield f"{prefix}{name}"
            yield from dotted_keys(value, f"{prefix}{name}.")


def texts(tree: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every text value with its dotted key."""
    if isinstance(tree, str):
        yield prefix.rstrip("."), tree
    elif isinstance(tree, dict):
        for name, value in tree.items():
            yield from texts(value, f"{prefix}{name}.")
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from texts(value, f"{prefix}{index}.")


def map_text(tree: Any, change: Callable[[str], str]) -> Any:
    """Copy *tree* with every text value changed."""
    if isinstance(tree, str):
        return change(tree)
    if isinstance(tree, dict):
        return {key: map_text(value, change) for key, value in tree.items()}
    if isinstance(tree, list):
        return [map_text(value, change) for value in tree]
    return tree


def text_keys(tree: Any) -> Any:
    """Copy *tree* with every key as text, as JSON has them.

    >>> text_keys({"classes": {0: "spiral", 1: "round"}})
    {'classes': {'0': 'spiral', '1': 'round'}}
    """
    if isinstance(tree, dict):
        return {str(key): text_keys(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [text_keys(value) for value in tree]
    return tree


def _assign(node: Any, part: str, value: Any) -> None:
    if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
        node[int(part)] = value
    elif not isinstance(node, dict):
        raise KeyError(part)
    elif isinstance(value, dict) and isinstance(node.get(part), dict):
        for name, item in value.items():
            _assign(node[part], name, item)
    else:
        node[part] = value
