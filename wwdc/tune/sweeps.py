"""From ``sweeps.yaml``, ``hydra.sweeper.params`` and overrides to the axes of a sweep."""

__all__ = ["DROPS", "SEED", "Axes", "Axis", "Choice", "Searched", "Setting", "read_axes"]

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wwdc.config import Composed, ParsedAxis
from wwdc.config.overrides import parse_listed
from wwdc.config.schema import SweepEntry
from wwdc.config.tree import ABSENT, get
from wwdc.errors import ConfigError
from wwdc.models.context import is_masked
from wwdc.tune.domains import Domain, Normal, parse_domain
from wwdc.tune.when import Condition, in_order, parse_condition

SEED = "seed"
DROPS = "data.x_ds.drop_variables"
_DROPOUT = "lightning_loader.condition_dropout"
_NOT_SWEPT = (
    "detectors",
    "embed",
    "figures",
    "hydra",
    "label",
    "logger",
    "meta",
    "paths",
    "seeds",
    "splits",
    "sweeps",
    "tests",
    "tune",
)
_SAMPLING = ("random", "optuna")


@dataclass(frozen=True)
class Choice:
    """One listed value of an axis, with the name and description of the sweep that declares it."""

    value: Any
    sweep: str | None = None
    description: str = ""
    when: Condition | None = None


@dataclass(frozen=True)
class Axis:
    """The listed values one configuration key takes; different axes multiply."""

    key: str
    choices: tuple[Choice, ...]

    @property
    def needs(self) -> set[str]:
        """The keys its conditions read."""
        return {key for choice in self.choices if choice.when for key in choice.when.keys}


@dataclass(frozen=True)
class Searched:
    """A configuration key whose values a searcher draws from a domain."""

    key: str
    domain: Domain
    text: str
    where: str
    name: str | None = None
    description: str = ""
    when: Condition | None = None

    @property
    def needs(self) -> set[str]:
        """The keys its condition reads."""
        return set(self.when.keys) if self.when else set()


@dataclass(frozen=True)
class Setting:
    """A key set to a value in one point, with the sweep that says so and where it is written."""

    key: str
    value: Any
    sweep: str | None
    description: str
    place: str


@dataclass(frozen=True)
class Axes:
    """What a sweep varies: listed axes, slowest first, searched ones, and seeds.

    Attributes:
        seeds: replicates of every point; None leaves the configuration's own seed.
        drops: drop sets that a masked flow serves. They vary no point: an embedding applies them.
    """

    composed: Composed
    listed: tuple[Axis, ...]
    searched: tuple[Searched, ...]
    seeds: tuple[Choice, ...] | None
    notices: tuple[str, ...] = ()
    drops: tuple[Setting, ...] = ()

    def combinations(self) -> Iterator[tuple[Setting, ...]]:
        """Every combination of the listed axes; one whose conditions all fail is left out."""
        yield from self._expand(in_order(self.listed, _key, _needs), ())

    def seed_settings(self) -> tuple[tuple[Setting, ...], ...]:
        """The seeds, each as what is to be set."""
        if self.seeds is None:
            return ((),)
        axis = Axis(SEED, self.seeds)
        return tuple((_setting(self.composed, axis, choice),) for choice in self.seeds)

    def draw(
        self, settings: Sequence[Setting], value: Callable[[Searched], Any]
    ) -> tuple[Setting, ...]:
        """*settings* with a value for each searched axis whose condition holds."""
        drawn = list(settings)
        for axis in in_order(self.searched, _key, _needs):
            if axis.when is None or axis.when.holds(self.lookup(drawn)):
                drawn.append(Setting(axis.key, value(axis), None, axis.description, axis.where))
        return tuple(drawn)

    def lookup(self, settings: Sequence[Setting]) -> Callable[[str], Any]:
        """The value of a key with *settings* made, for conditions."""
        chosen = {setting.key: setting.value for setting in settings}

        def value_of(key: str) -> Any:
            return chosen[key] if key in chosen else get(self.composed.resolve({}), key)

        return value_of

    def _expand(
        self, axes: Sequence[Axis], settings: tuple[Setting, ...]
    ) -> Iterator[tuple[Setting, ...]]:
        if not axes:
            yield settings
            return
        axis, *others = axes
        value_of = self.lookup(settings)
        active = [c for c in axis.choices if c.when is None or c.when.holds(value_of)]
        if not active:
            yield from self._expand(others, settings)
        for choice in active:
            setting = _setting(self.composed, axis, choice)
            yield from self._expand(others, (*settings, setting))


def read_axes(composed: Composed) -> Axes:
    """The axes of a sweep.

    ``hydra.sweeper.params`` decides which entries of ``sweeps.yaml`` are used where it is given;
    otherwise every entry is. ``seeds:`` is the fastest axis. An override of a swept key replaces
    its axis, one with several values adds an axis. Without a searcher that samples, searched axes
    that hold finitely many values are listed.

    With a ``condition_dropout`` above 0, one flow serves every value of ``drop_variables``: they
    become `Axes.drops` instead of an axis.

    Raises:
        ConfigError: nothing is swept, seeds are declared twice, or a space is wrong; drop sets
            and ``condition_dropout`` are swept together.
    """
    sampling = composed.tune.searcher in _SAMPLING
    if composed.sweeper is not None:
        listed, searched, notices = _from_sweeper(composed, composed.sweeper, sampling)
    else:
        listed, searched = _from_entries(composed)
        notices = []
    listed, searched = _override(composed, _with_seeds(composed, listed), searched, sampling)
    if composed.tune.searcher == "grid":
        listed, searched = listed + [_enumerated(axis) for axis in searched], []
    seeds = next((axis.choices for axis in listed if axis.key == SEED), None)
    listed = [axis for axis in listed if axis.key != SEED]
    listed, drops = _take_drops(composed, listed, searched)
    if drops:
        notices.append(_drops_notice(drops))
    axes = Axes(composed, tuple(listed), tuple(searched), seeds, tuple(notices), drops)
    _refuse_keys(axes)
    if not (listed or searched or seeds or composed.sweeps or composed.fixed_overrides):
        raise ConfigError(
            f"{composed.folder.name}/sweeps.yaml: no sweeps. Declare at least one entry under "
            "`sweeps:` (param, val, description) or `seeds: [42]`."
        )
    return axes


def _take_drops(
    composed: Composed, listed: list[Axis], searched: list[Searched]
) -> tuple[list[Axis], tuple[Setting, ...]]:
    """The axes a masked flow is trained along, and the drop sets that it serves."""
    varied: list[Axis | Searched] = [*listed, *searched]
    swept = next((axis for axis in varied if axis.key == _DROPOUT), None)
    if swept is None and get(composed.raw, _DROPOUT) is ABSENT:
        return listed, ()
    with composed.naming_files():
        config = composed.resolve({})
    axis = next((axis for axis in listed if axis.key == DROPS), None)
    if axis is None and (written := get(config, DROPS)):
        axis = Axis(DROPS, (Choice(written),))
    rate, several = _rate(swept, get(config, _DROPOUT))
    dropping = axis is not None or any(other.key == DROPS for other in searched)
    if several and dropping:
        raise ConfigError(
            f"{several}: {_DROPOUT} is swept together with {DROPS}: a flow with it serves every "
            "drop set, one without it a single one. Fix it, for example to "
            f"{_DROPOUT}=0.5, or compare its values with everything kept (no sweeps of {DROPS})."
        )
    if not is_masked({"condition_dropout": rate}) or not dropping:
        return listed, ()
    rest = [other for other in listed if other.key != DROPS]
    _refuse_dependence(axis, [*rest, *searched])
    if axis is None:
        return rest, ()
    return rest, tuple(_setting(composed, axis, choice) for choice in axis.choices)


def _rate(axis: Axis | Searched | None, written: Any) -> tuple[Any, str]:
    """The ``condition_dropout`` of every point; where it is swept, if it has several values."""
    if axis is None:
        return written, ""
    if isinstance(axis, Searched):
        return None, axis.where
    if len(axis.choices) > 1 or axis.needs:
        return None, "sweeps.yaml"
    return axis.choices[0].value, ""


def _refuse_dependence(drops: Axis | None, others: Sequence[Axis | Searched]) -> None:
    """A drop set is applied after training: neither conditions nor a searcher can use it."""
    why = "is applied when embedding, as lightning_loader.condition_dropout is set"
    for axis in others:
        if isinstance(axis, Searched) and axis.key == DROPS:
            raise ConfigError(
                f"{axis.where}: {DROPS} {why}, so it cannot be searched. List its values as "
                "named sweeps (`val:`)."
            )
        if DROPS in axis.needs:
            raise ConfigError(
                f"sweeps.yaml: a condition (when) of {axis.key} reads {DROPS}, which {why}. "
                "Leave the condition out."
            )
    if drops is not None and drops.needs:
        raise ConfigError(
            f"sweeps.yaml: a sweep of {DROPS} has a condition (when), but it {why}. "
            "Leave the condition out."
        )


def _drops_notice(drops: Sequence[Setting]) -> str:
    names = [drop.sweep or str(drop.value) for drop in drops]
    sets = "named sweep" if all(drop.sweep for drop in drops) else "drop set"
    several = (f"{sets}s", "are") if len(drops) > 1 else (sets, "is")
    return (
        f"{len(drops)} {several[0]} of {DROPS} ({', '.join(names)}) {several[1]} applied when "
        "embedding: with condition_dropout one flow serves any."
    )


def _setting(composed: Composed, axis: Axis, choice: Choice) -> Setting:
    place = _place_of(axis, choice, composed)
    return Setting(axis.key, choice.value, choice.sweep, choice.description, place)


def _place_of(axis: Axis, choice: Choice, composed: Composed) -> str:
    """Where a value of a sweep was written, for messages."""
    if choice.sweep:
        return f"{composed.origin(f'sweeps.{choice.sweep}.val')}: sweeps.{choice.sweep}.val"
    if axis.key in composed.fixed_overrides:
        return "command line"
    written = {a.key: a.where for a in (*(composed.sweeper or ()), *composed.swept_overrides)}
    return written.get(axis.key) or composed.origin("seeds" if axis.key == SEED else axis.key)


def _refuse_keys(axes: Axes) -> None:
    listed = {axis.key: _place_of(axis, axis.choices[0], axes.composed) for axis in axes.listed}
    for key, place in (listed | {axis.key: axis.where for axis in axes.searched}).items():
        if key.partition(".")[0] in _NOT_SWEPT and key != "paths.vae_ckpt_path":
            raise ConfigError(
                f"{place}: {key} cannot be swept: it is the same for all points. Set it in its "
                "file or on the command line."
            )
    needs = [(axis.key, axis.needs) for axis in axes.listed]
    needs += [(axis.key, axis.needs) for axis in axes.searched]
    for key, read in needs:
        if key in read:
            raise ConfigError(
                f"sweeps.yaml: a condition (when) of {key} reads {key} itself. It can read other "
                "keys only."
            )
    for axis in axes.searched:
        if axis.key == SEED:
            raise ConfigError(f"{axis.where}: seeds are replicates and are listed: seeds: [42, 43]")
        if axis.key in listed:
            raise ConfigError(
                f"{axis.where}: {axis.key} has listed values too ({listed[axis.key]}). Keep one."
            )


def _with_seeds(composed: Composed, listed: list[Axis]) -> list[Axis]:
    if composed.seeds is None:
        return listed
    if any(axis.key == SEED for axis in listed):
        raise ConfigError(
            "train.yaml: hydra.sweeper.params sweeps `seed` and `seeds:` is given too. "
            "Keep one of them."
        )
    return [*listed, Axis(SEED, tuple(Choice(seed) for seed in composed.seeds))]


def _from_entries(composed: Composed) -> tuple[list[Axis], list[Searched]]:
    grouped: dict[str, list[Choice]] = {}
    searched: list[Searched] = []
    for name, entry in composed.sweeps.items():
        key = composed.find_key(entry.param)
        space = entry.space
        where = f"{composed.origin(f'sweeps.{name}')}: sweeps.{name}"
        if space is None:
            grouped.setdefault(key, []).append(_choice(composed, entry.val, name))
        elif space.lstrip().startswith("grid"):
            values = parse_listed(space, where=f"{where}.space").values
            when = _condition(composed, name, entry)
            choices = [Choice(value, None, entry.description, when) for value in values]
            grouped.setdefault(key, []).extend(choices)
        else:
            axis = _searched(composed, name, entry, key)
            if any(other.key == key for other in searched):
                raise ConfigError(f"{where}: {entry.param} is searched by another entry too.")
            searched.append(axis)
    return [Axis(key, tuple(choices)) for key, choices in grouped.items()], searched


def _searched(composed: Composed, name: str, entry: SweepEntry, key: str) -> Searched:
    where = f"{composed.origin(f'sweeps.{name}')}: sweeps.{name}.space"
    text = str(entry.space)
    domain = parse_domain(text, where=where)
    when = _condition(composed, name, entry)
    return Searched(key, domain, text, where, name, entry.description, when)


def _condition(composed: Composed, name: str, entry: SweepEntry) -> Condition | None:
    if entry.when is None:
        return None
    where = f"{composed.origin(f'sweeps.{name}')}: sweeps.{name}.when"
    return parse_condition(entry.when, composed.find_key, where=where)


def _from_sweeper(
    composed: Composed, sweeper: list[ParsedAxis], sampling: bool
) -> tuple[list[Axis], list[Searched], list[str]]:
    names = {
        (composed.find_key(entry.param), entry.space or _frozen(entry.val)): name
        for name, entry in composed.sweeps.items()
    }
    axes: list[Axis] = []
    searched: list[Searched] = []
    used: set[str | None] = set()
    for parsed in sweeper:
        name = names.get((parsed.key, parsed.space))
        if name is not None:
            used.add(name)
            searched.append(_searched(composed, name, composed.sweeps[name], parsed.key))
        elif _is_searched(parsed, sampling):
            searched.append(_anonymous(parsed))
        else:
            found = [names.get((parsed.key, _frozen(value))) for value in parsed.values or []]
            used.update(found)
            choices = [
                _choice(composed, value, name)
                for value, name in zip(parsed.values or [], found, strict=True)
            ]
            axes.append(Axis(parsed.key, tuple(choices)))
    left_out = [name for name in composed.sweeps if name not in used]
    notices = [
        f"Sweep {name!r} is not among hydra.sweeper.params and is left out." for name in left_out
    ]
    return axes, searched, notices


def _choice(composed: Composed, value: Any, name: str | None) -> Choice:
    if name is None:
        return Choice(value)
    entry = composed.sweeps[name]
    return Choice(value, name, entry.description, _condition(composed, name, entry))


def _is_searched(parsed: ParsedAxis, sampling: bool) -> bool:
    """Whether a line means a domain: a choice(…) does when a searcher samples."""
    return parsed.values is None or (sampling and parsed.space is not None)


def _anonymous(parsed: ParsedAxis) -> Searched:
    text = str(parsed.space)
    return Searched(parsed.key, parse_domain(text, where=parsed.where), text, parsed.where)


def _override(
    composed: Composed, listed: list[Axis], searched: list[Searched], sampling: bool
) -> tuple[list[Axis], list[Searched]]:
    """Let the command line's values and spaces replace axes on their keys, or add some."""
    named = {(a.key, _frozen(c.value)): c for a in listed for c in a.choices}
    spaces = {a.key: _anonymous(a) for a in composed.swept_overrides if _is_searched(a, sampling)}
    values = {a.key: list(a.values or []) for a in composed.swept_overrides if a.key not in spaces}
    declared = {axis.key for axis in listed}
    values |= {key: [v] for key, v in composed.fixed_overrides.items() if key in declared}

    def replaced(key: str) -> Axis:
        choices = (named.get((key, _frozen(value)), Choice(value)) for value in values[key])
        return Axis(key, tuple(replace(choice, when=None) for choice in choices))

    kept = [replaced(a.key) if a.key in values else a for a in listed if a.key not in spaces]
    added = [replaced(key) for key in values if key not in declared]
    gone = {*values, *composed.fixed_overrides}
    left = [spaces.pop(axis.key, axis) for axis in searched if axis.key not in gone]
    return kept + added, left + list(spaces.values())


def _enumerated(axis: Searched) -> Axis:
    """A searched axis as a listed one, for a grid.

    Raises:
        ConfigError: it holds infinitely many values.
    """
    values = axis.domain.values if not isinstance(axis.domain, Normal) else None
    if values is None:
        raise ConfigError(
            f"{axis.where}: tune.searcher=grid cannot list the values of {axis.text!r}. Use "
            "tune.searcher=random or optuna with tune.num_samples, or grid(…) with values."
        )
    choices = (Choice(value, None, axis.description, axis.when) for value in values)
    return Axis(axis.key, tuple(choices))


def _key(axis: Axis | Searched) -> str:
    return axis.key


def _needs(axis: Axis | Searched) -> set[str]:
    return axis.needs


def _frozen(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, Mapping):
        return tuple(sorted((key, _frozen(item)) for key, item in value.items()))
    return (type(value).__name__, value)
