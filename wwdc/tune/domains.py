"""What a searched axis may be, and how it is written: numbers, a normal, or options."""

__all__ = ["Domain", "Normal", "Numbers", "Options", "parse_domain"]

import ast
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from wwdc.config.overrides import MOST_VALUES, parse_listed
from wwdc.errors import ConfigError, closest

_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\((.*)\)\s*", re.DOTALL)


@dataclass(frozen=True)
class Numbers:
    """Numbers in [low, high], both included, on a linear or logarithmic scale.

    Args:
        low: least value.
        high: largest value.
        integer: whole numbers only.
        log: equal ratios are equally likely, not equal differences.
        step: only low, low + step, low + 2 step, …

    >>> Numbers(1, 7, integer=True, step=3).values
    (1, 4, 7)
    """

    low: float
    high: float
    integer: bool = False
    log: bool = False
    step: float | None = None

    @property
    def values(self) -> tuple[Any, ...] | None:
        """Every value, where there are finitely many that can be listed."""
        step = self.step or (1 if self.integer else None)
        if step is None:
            return None
        count = round((self.high - self.low) / step) + 1
        return tuple(self.settle(self.low + i * step) for i in range(min(count, MOST_VALUES)))

    @property
    def corners(self) -> tuple[Any, ...]:
        """The values at which a configuration that is wrong somewhere is most likely wrong."""
        return (self.settle(self.low), self.settle(self.high))

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw a value."""
        if self.log:
            whole = self.integer and not self.step
            high = self.high + 1 if whole else self.high
            drawn = math.exp(rng.uniform(math.log(self.low), math.log(high)))
            return self.settle(math.floor(drawn) if whole else drawn)
        step = self.step or (1 if self.integer else None)
        if step is None:
            return self.settle(rng.uniform(self.low, self.high))
        steps = rng.integers(_floor((self.high - self.low) / step) + 1)
        return self.settle(self.low + step * int(steps))

    def settle(self, value: float) -> Any:
        """The allowed number nearest to *value*."""
        value = min(max(value, self.low), self.high)
        if self.step:
            most = _floor((self.high - self.low) / self.step)
            value = self.low + min(round((value - self.low) / self.step), most) * self.step
        if self.integer:
            return int(min(max(round(value), self.low), self.high))
        return float(f"{value:.12g}") if self.step else float(value)

    def contains(self, value: Any) -> bool:
        """Whether *value* is one of these numbers."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return math.isclose(self.settle(value), value, rel_tol=1e-9, abs_tol=1e-12)


@dataclass(frozen=True)
class Normal:
    """Normally distributed numbers, rounded to multiples of *step* where one is given."""

    mean: float
    sd: float
    step: float | None = None
    values: None = None

    @property
    def corners(self) -> tuple[float, ...]:
        return tuple(self.settle(self.mean + k * self.sd) for k in (-3, 3))

    def sample(self, rng: np.random.Generator) -> float:
        return self.settle(rng.normal(self.mean, self.sd))

    def settle(self, value: float) -> float:
        if self.step:
            value = float(f"{round(value / self.step) * self.step:.12g}")
        return float(value)

    def contains(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Options:
    """One of several values of any kind, lists and mappings among them."""

    values: tuple[Any, ...]

    @property
    def corners(self) -> tuple[Any, ...]:
        return self.values

    def sample(self, rng: np.random.Generator) -> Any:
        return self.values[int(rng.integers(len(self.values)))]

    def contains(self, value: Any) -> bool:
        return any(value == option and type(value) is type(option) for option in self.values)


Domain = Numbers | Normal | Options


def parse_domain(text: str, *, where: str) -> Domain:
    """Read ``loguniform(1e-5, 1e-2)``, ``choice([64, 64], [128])``, ``tag(log, interval(1, 9))``.

    Ray Tune's names have Ray Tune's meaning: the upper bound of ``randint`` and ``lograndint`` is
    not drawn, that of ``qrandint`` and ``qlograndint`` is. Hydra's are read with Hydra's parser.

    Raises:
        ConfigError: unknown function, wrong arguments or an empty range; *where* is named.

    >>> parse_domain("randint(1, 4)", where="sweeps.yaml").values
    (1, 2, 3)
    >>> parse_domain("choice([64, 64], [128])", where="sweeps.yaml").values
    ([64, 64], [128])
    """
    call = _CALL.fullmatch(text)
    name = call[1] if call else ""
    if call and name in _RAY:
        numbers = _arguments(name, call[2], where)
        return _built(name, numbers, text, where)
    if call and name not in _HYDRA:
        raise ConfigError(
            f"{where}: there is no search space {name!r}.{closest(name, (*_RAY, *_HYDRA))} "
            f"Spaces: {', '.join(sorted((*_RAY, *_HYDRA)))}."
        )
    return _from_hydra(text, where)


_RAY = {
    "uniform": ("low", "high"),
    "quniform": ("low", "high", "q"),
    "loguniform": ("low", "high"),
    "qloguniform": ("low", "high", "q"),
    "randn": ("mean", "sd"),
    "qrandn": ("mean", "sd", "q"),
    "randint": ("low", "high"),
    "qrandint": ("low", "high", "q"),
    "lograndint": ("low", "high"),
    "qlograndint": ("low", "high", "q"),
}
_HYDRA = ("choice", "range", "interval", "tag", "shuffle", "sort", "int", "float")
_DEFAULTS = {"randn": (0.0, 1.0), "qrandint": (1,), "qlograndint": (1,)}


def _arguments(name: str, text: str, where: str) -> list[float]:
    """The numbers between the parentheses, by position or by name."""
    names = _RAY[name]
    usage = f"write {name}({', '.join(names)})"
    try:
        tree = ast.parse(f"f({text})", mode="eval").body
        if not isinstance(tree, ast.Call):
            raise ValueError
        given = [ast.literal_eval(node) for node in tree.args]
        named = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
    except (SyntaxError, ValueError):
        raise ConfigError(f"{where}: cannot read {name}({text}); {usage} with numbers") from None
    aliases = {"lower": "low", "upper": "high"}
    named = {aliases.get(key, key): value for key, value in named.items()}
    unknown = [key for key in named if key not in names[len(given) :]]
    if unknown or len(given) > len(names):
        raise ConfigError(f"{where}: {name}({text}) has too many arguments; {usage}")
    values = given + [named[key] for key in names[len(given) :] if key in named]
    defaults = _DEFAULTS.get(name, ())
    missing = len(names) - len(values)
    if missing > len(defaults):
        raise ConfigError(f"{where}: {name}({text}) needs {len(names)} numbers; {usage}")
    values += list(defaults[len(defaults) - missing :]) if missing else []
    for value in values:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise ConfigError(f"{where}: {name}({text}): {value!r} is no number; {usage}")
    return values


def _built(name: str, numbers: list[float], text: str, where: str) -> Domain:
    if name.endswith("randn"):
        mean, sd, *steps = numbers
        _require(sd > 0, f"{where}: {text}: sd must be above 0")
        _require(not steps or steps[0] > 0, f"{where}: {text}: q must be above 0")
        return Normal(mean, sd, steps[0] if steps else None)
    low, high, *rest = numbers
    step = rest[0] if rest else None
    integer = "randint" in name
    log = "log" in name
    if integer:
        _require(
            all(float(number).is_integer() for number in numbers),
            f"{where}: {text}: {name} takes whole numbers; {name.replace('randint', 'uniform')} "
            "others",
        )
        low, high = int(low), int(high) - (step is None)
        step = int(step) if step and step != 1 else None
    _require(
        low < high or (integer and low == high),
        f"{where}: {text}: the lower bound must be below the upper one",
    )
    _require(not log or low > 0, f"{where}: {text}: a logarithmic scale needs bounds above 0")
    _require(step is None or step > 0, f"{where}: {text}: q must be above 0")
    for bound in (low, high):
        _require(
            step is None or math.isclose(bound / step, round(bound / step), abs_tol=1e-9),
            f"{where}: {text}: {bound:g} is no multiple of q = {step}",
        )
    return Numbers(low, high, integer, log, step)


def _from_hydra(text: str, where: str) -> Domain:
    listed = parse_listed(text, where=where)
    if listed.interval is not None:
        low, high = listed.interval
        integer = all(isinstance(bound, int) for bound in (low, high))
        _require(low < high, f"{where}: {text}: the lower bound must be below the upper one")
        log = "log" in listed.tags
        _require(not log or low > 0, f"{where}: {text}: a logarithmic scale needs bounds above 0")
        return Numbers(low, high, integer, log)
    values = listed.values
    if listed.is_range and len(values) > 1 and all(isinstance(v, int | float) for v in values):
        integer = all(isinstance(value, int) for value in values)
        low, high = min(values), max(values)
        step = (high - low) / (len(values) - 1)
        if integer:
            return Numbers(low, high, True, step=int(step) if step > 1 else None)
        return Numbers(low, high, step=step)
    return Options(tuple(values))


def _require(fits: bool, message: str) -> None:
    if not fits:
        raise ConfigError(message)


def _floor(value: float) -> int:
    return math.floor(value + 1e-9)
