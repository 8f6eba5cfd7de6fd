"""Command-line overrides and sweep lines, read with Hydra's own grammar."""

__all__ = [
    "MOST_VALUES",
    "SPACES",
    "Listed",
    "Override",
    "ParsedAxis",
    "hydra_text",
    "parse_axis",
    "parse_listed",
    "parse_override",
]

import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override as HydraOverride
from hydra.core.override_parser.types import OverrideType, Quote, QuotedString
from hydra.errors import HydraException

from wwdc.errors import ConfigError, closest

SPACES = (
    "choice",
    "interval",
    "loguniform",
    "lograndint",
    "qlograndint",
    "qloguniform",
    "qrandint",
    "qrandn",
    "quniform",
    "randint",
    "randn",
    "uniform",
)
"""Functions that name a searched domain: Ray Tune's, and Hydra's ``interval``."""

MOST_VALUES = 10_000
"""Values of an axis that are listed."""

_HYDRA_FUNCTIONS = ("choice", "grid", "range", "interval", "tag", "shuffle", "sort", "glob")
_CASTS = ("int", "float", "str", "bool", "json_str", "extend_list")
_SPACE = re.compile(r"\s*(" + "|".join(name for name in SPACES if name != "choice") + r")\s*\(")
_GRID = re.compile(r"\s*grid(_search)?\s*\(")
_CHOICE = re.compile(r"\s*choice\s*\(")
_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\(")
_LINE = re.compile(r"(\+{0,2}|~)([^=+\s][^=]*?)\s*=(.*)", re.DOTALL)
_ID_KEY = re.compile(r"(?:^|[._])id$")
_DIGITS = re.compile(r"\d[\d_]*")

_parser = OverridesParser.create()


@dataclass(frozen=True)
class ParsedAxis:
    """One swept parameter: its listed *values*, or the text of the *space* to search.

    A ``choice(…)`` has both: a searcher that samples takes it for a space.
    """

    key: str
    values: list[Any] | None
    space: str | None
    where: str


@dataclass(frozen=True)
class Listed:
    """What Hydra's sweep functions say: values, or the bounds of an interval, with its tags."""

    values: list[Any]
    interval: tuple[float, float] | None = None
    tags: frozenset[str] = frozenset()
    is_range: bool = False
    is_choice: bool = False


@dataclass(frozen=True)
class Override:
    """One command-line override.

    *action* is what its prefix says: change an existing key, add (``+``, ``++``), delete (``~``).
    With *swept*, *values* (several) or *space* is meant, as in `ParsedAxis`, else *value*.
    """

    text: str
    action: Literal["change", "add", "delete"]
    key: str
    package: str | None = None
    value: Any = None
    values: list[Any] | None = None
    space: str | None = None

    @property
    def swept(self) -> bool:
        return self.values is not None or self.space is not None


def parse_override(text: str, *, listed: bool = False) -> Override:
    """Read ``key=value``, ``+key=value``, ``~key``, ``key=a,b`` or ``key=loguniform(1e-5, 1e-2)``.

    >>> parse_override("hydra.job.id=5240735_2").value
    '5240735_2'
    >>> parse_override("lightning_loader.lr=1e-3,1e-4").values
    [0.001, 0.0001]

    With *listed*, a ``choice(…)`` is no space.
    """
    where = f"override {text!r}"
    line = _LINE.fullmatch(text.strip())
    if line is None and not text.startswith("~"):
        raise ConfigError(f"{where}: expected key=value, such as lightning_loader.lr=1e-3")
    if line and (grid := _GRID.match(line[3])):
        return parse_override(f"{line[1]}{line[2]}={_as_choice(line[3], grid)}", listed=True)
    if line and _SPACE.match(line[3]):
        action: Literal["change", "add"] = "add" if line[1] else "change"
        return Override(text, action, line[2], space=line[3].strip())
    if line and _ID_KEY.search(line[2]) and _DIGITS.fullmatch(line[3].strip()):
        text = f"{line[1]}{line[2]}={hydra_text(line[3].strip())}"
    parsed = _parse(text, where)
    values, space = _sweep_of(parsed, where, listed)
    swept = values is not None or space is not None
    return Override(
        text,
        _ACTIONS[parsed.type],
        parsed.key_or_group,
        parsed.package,
        None if swept else parsed.value(),
        values,
        space,
    )


def parse_axis(key: str, text: Any, *, where: str) -> ParsedAxis:
    """Read one line of ``hydra.sweeper.params``; a single value is an axis of one."""
    name = key.lstrip("+").strip()
    if not isinstance(text, str):
        return ParsedAxis(name, [text], None, where)
    if _SPACE.match(text):
        return ParsedAxis(name, None, text.strip(), where)
    grid = _GRID.match(text)
    parsed = _parse(f"{name}={_as_choice(text, grid) if grid else text}", where)
    values, space = _sweep_of(parsed, where, listed=grid is not None)
    if values is None and space is None:
        values = [parsed.value()]
    return ParsedAxis(name, values, space, where)


def hydra_text(value: Any) -> str:
    """Write *value* so that Hydra's grammar reads it back unchanged.

    >>> hydra_text(["b", 1, None, {"on": True}])
    "['b',1,null,{on:true}]"
    """
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return str(QuotedString(value, Quote.single).with_quotes())
        case list():
            return f"[{','.join(map(hydra_text, value))}]"
        case dict():
            return f"{{{','.join(f'{key}:{hydra_text(item)}' for key, item in value.items())}}}"
    return repr(value)


_ACTIONS: dict[OverrideType, Literal["change", "add", "delete"]] = {
    OverrideType.CHANGE: "change",
    OverrideType.ADD: "add",
    OverrideType.FORCE_ADD: "add",
    OverrideType.DEL: "delete",
}


def _parse(text: str, where: str) -> HydraOverride:
    try:
        return _parser.parse_override(text)
    except (HydraException, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        reason = re.sub(r"^\w+Exception while evaluating '.*': ", "", reason)
        call = _CALL.match(text.partition("=")[2])
        hint = ""
        if call and "Unknown function" in reason:
            known = sorted({*SPACES, *_HYDRA_FUNCTIONS, *_CASTS})
            hint = f"{closest(call[1], known)} Known functions: {', '.join(known)}."
        raise ConfigError(f"{where}: {reason}.{hint}") from None


def parse_listed(text: str, *, where: str) -> Listed:
    """Read Hydra's ``choice(…)``, ``range(…)``, ``interval(…)``, ``tag(…)``, or ``grid(…)``.

    >>> parse_listed("tag(log, interval(1e-3, 1))", where="sweeps.yaml").interval
    (0.001, 1.0)
    >>> parse_listed("grid([64, 64], [128])", where="sweeps.yaml").values
    [[64, 64], [128]]
    """
    grid = _GRID.match(text)
    call = grid or _CHOICE.match(text)
    inner = text.rstrip()[call.end() : -1] if call and text.rstrip().endswith(")") else ""
    # Hydra's own choice(…) takes no null; a plain list of the same values does.
    parsed = _parse(f"x={inner or text}", where)
    if not parsed.is_sweep_override():
        found = Listed([parsed.value()])
    else:
        found = _listed(parsed, where)
    return replace(found, values=_unwrapped(found.values)) if grid else found


def _as_choice(text: str, grid: re.Match[str]) -> str:
    """``grid(1, 2)`` as Hydra's ``choice(1, 2)``."""
    return f"choice({text[grid.end() :]}"


def _unwrapped(values: list[Any]) -> list[Any]:
    """Ray Tune writes ``grid_search([1, 2])``: a single list holds the values."""
    return values[0] if len(values) == 1 and isinstance(values[0], list) else values


def _sweep_of(
    parsed: HydraOverride, where: str, listed: bool
) -> tuple[list[Any] | None, str | None]:
    """The listed values, and the text of the space, of an override that has several."""
    if not parsed.is_sweep_override():
        return None, None
    found = _listed(parsed, where)
    text = str(parsed.input_line).partition("=")[2].strip()
    if found.interval is not None:
        return None, text
    if listed:
        return _unwrapped(found.values), None
    return found.values, text if found.is_choice else None


def _listed(parsed: HydraOverride, where: str) -> Listed:
    sweep = parsed.value()
    if not hasattr(sweep, "tags"):
        raise ConfigError(f"{where}: glob() picks configuration files and cannot be swept here")
    tags = frozenset(sweep.tags)
    if parsed.is_interval_sweep():
        return Listed([], (sweep.start, sweep.end), tags)
    # A shuffled list is read in its written order: the same line plans the same points.
    choice = hasattr(sweep, "list")
    try:
        listed = sweep.list if choice else list(islice(sweep.range(), MOST_VALUES + 1))
    except (HydraException, ValueError) as error:
        raise ConfigError(f"{where}: {str(error).splitlines()[0]}") from None
    if not listed:
        raise ConfigError(f"{where}: this range is empty")
    if not choice and len(listed) > MOST_VALUES:
        raise ConfigError(
            f"{where}: this range has more than {MOST_VALUES:,} values. Give it a larger step, "
            f"range({sweep.start}, {sweep.stop}, STEP), or search it: uniform(LOW, HIGH), or "
            "randint(LOW, HIGH) for whole numbers."
        )
    values = [HydraOverride._convert_value(value) for value in listed]
    return Listed(values, None, tags, not choice, choice and not sweep.simple_form)
