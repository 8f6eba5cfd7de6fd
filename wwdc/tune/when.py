"""Conditions of axes: ``when: lightning_loader.flow.transforms > 2``."""

__all__ = ["Condition", "in_order", "parse_condition"]

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from wwdc.errors import ConfigError

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}
_WORDS = {"true": True, "false": False, "null": None}
_EXAMPLE = "such as lightning_loader.flow.transforms > 2, joined by and, or, not"
T = TypeVar("T")


@dataclass(frozen=True)
class Condition:
    """A comparison of configuration keys with values, or several joined by and, or, not.

    Attributes:
        text: as written.
        keys: the dotted keys it reads, as the configuration names them.
    """

    text: str
    where: str
    keys: tuple[str, ...]
    _tree: ast.expr = field(repr=False, compare=False)
    _names: Mapping[str, str] = field(repr=False, compare=False)

    def holds(self, value_of: Callable[[str], Any]) -> bool:
        """Whether it is true where *value_of* gives the value of each key.

        Raises:
            ConfigError: two values cannot be compared.
        """
        try:
            return bool(self._value(self._tree, value_of))
        except TypeError as error:
            raise ConfigError(f"{self.where}: {self.text!r}: {error}") from None

    def _value(self, node: ast.expr, value_of: Callable[[str], Any]) -> Any:
        match node:
            case ast.BoolOp(op=ast.And(), values=parts):
                return all(self._value(part, value_of) for part in parts)
            case ast.BoolOp(values=parts):
                return any(self._value(part, value_of) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return not self._value(inner, value_of)
            case ast.UnaryOp(operand=inner):
                return -self._value(inner, value_of)
            case ast.Compare(left=left, ops=ops, comparators=others):
                values = [self._value(part, value_of) for part in (left, *others)]
                pairs = zip(ops, values, values[1:], strict=False)
                return all(_COMPARE[type(op)](one, other) for op, one, other in pairs)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self._value(item, value_of) for item in items]
            case ast.Constant(value=value):
                return value
        name = _dotted(node)
        return _WORDS[name] if name in _WORDS else value_of(self._names[name])


def parse_condition(text: str, find_key: Callable[[str], str], *, where: str) -> Condition:
    """Read a condition; *find_key* turns a name into the configuration's dotted key.

    Raises:
        ConfigError: it is no comparison, calls something, or names a key that does not exist.

    >>> condition = parse_condition("a.b > 2 and not c == 'x'", str, where="sweeps.yaml")
    >>> condition.keys, condition.holds({"a.b": 3, "c": "y"}.get)
    (('a.b', 'c'), True)
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise ConfigError(f"{where}: cannot read {text!r}; write a comparison {_EXAMPLE}") from None
    if not isinstance(tree, ast.Compare | ast.BoolOp | ast.UnaryOp):
        raise ConfigError(f"{where}: {text!r} compares nothing; write a comparison {_EXAMPLE}")
    names: dict[str, str] = {}
    for name in _names_in(tree, text, where):
        if name not in _WORDS:
            try:
                names[name] = find_key(name)
            except ConfigError as error:
                hint = f"If {name} is meant as text, put it in quotes."
                raise ConfigError(f"{where}: {error} {hint}") from None
    return Condition(text, where, tuple(names.values()), tree, names)


def in_order(
    items: Sequence[T], key: Callable[[T], str], needs: Callable[[T], set[str]]
) -> list[T]:
    """*items* so that each comes after those whose keys its conditions read; else as they were.

    Raises:
        ConfigError: conditions wait for each other in a circle.
    """
    known = {key(item) for item in items}
    placed: list[T] = []
    left = list(items)
    while left:
        done = {key(item) for item in placed}
        ready = next((i for i in left if needs(i) & known - {key(i)} <= done), None)
        if ready is None:
            names = ", ".join(key(item) for item in left)
            raise ConfigError(f"sweeps.yaml: the conditions (when) of {names} form a circle.")
        placed.append(ready)
        left.remove(ready)
    return placed


def _names_in(node: ast.expr, text: str, where: str) -> list[str]:
    name = _dotted(node)
    if name:
        return [name]
    match node:
        case ast.BoolOp(values=parts):
            inner = list(parts)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            inner = [operand]
        case ast.Compare(left=left, ops=ops, comparators=others) if all(
            type(op) in _COMPARE for op in ops
        ):
            inner = [left, *others]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            inner = list(items)
        case ast.Constant():
            inner = []
        case _:
            raise ConfigError(
                f"{where}: {text!r}: {ast.unparse(node)!r} cannot stand in a condition; write a "
                f"comparison {_EXAMPLE}"
            )
    return [found for part in inner for found in _names_in(part, text, where)]


def _dotted(node: ast.expr) -> str:
    """``a.b.c`` of a chain of attributes, else nothing."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=inner, attr=name):
            parent = _dotted(inner)
            return f"{parent}.{name}" if parent else ""
    return ""
