"""Building objects from configuration, limited to what an allow-list names."""

__all__ = ["check_targets", "instantiate"]

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from wwdc.errors import ConfigError, closest

_CLASSES = (
    "coniferest.",
    "lightning.pytorch.callbacks.",
    "lightning.pytorch.loggers.",
    "lightning.pytorch.plugins.",
    "lightning.pytorch.profilers.",
    "lightning.pytorch.strategies.",
    "optuna.pruners.",
    "optuna.samplers.",
    "pyod.models.",
    "sklearn.",
    "torch.distributions.",
    "torch.nn.",
    "torch.optim.",
    "wwdc.data.",
    "wwdc.discovery.",
    "wwdc.embed.",
    "wwdc.label.",
    "wwdc.models.",
    "wwdc.report.",
    "wwdc.stats.",
    "wwdc.training.",
    "zuko.",
)
"""Where classes may come from, by the name as written and by the name they resolve to."""

_FUNCTIONS = (
    "torch.nn.functional.",
    "torch.nn.init.",
    "wwdc.report.figures.",
    "wwdc.stats.conditional.",
    "wwdc.stats.independence.",
    "wwdc.stats.normality.",
    "wwdc.stats.two_sample.",
    "wwdc.training.losses.",
    "wwdc.training.schedules.",
)
"""Where functions may come from: those that compute, none that read, write or start anything."""

_NEVER = (
    "cloudpickle",
    "dill",
    "fsspec",
    "hydra",
    "joblib",
    "numpy",
    "omegaconf",
    "pandas",
    "pip",
    "pkg_resources",
    "psutil",
    "pyarrow",
    "ray",
    "requests",
    "setuptools",
    "torch",
    "urllib3",
    "wwdc",
    "yaml",
)
"""Packages (beside the standard library) that ``allow_targets`` cannot add to."""

_RESERVED = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")


def instantiate(node: Any, *, allow: Sequence[str] = (), key: str = "", **kwargs: Any) -> Any:
    """Build what *node* describes, innermost first.

    A dict with ``_target_`` becomes a call of that class with the other keys as arguments;
    ``_args_`` are positional ones, and ``_partial_: true`` gives a callable that waits for the
    rest. Other dicts and lists are copied with their contents built.

    Args:
        node: a plain, resolved piece of configuration.
        allow: dotted names accepted beyond the built-in list (``allow_targets`` in meta.yaml).
        key: the dotted key of *node*, for messages.
        kwargs: further arguments of the outermost call; they win over those in *node*.

    Raises:
        ConfigError: the target is not allowed, not there, or refuses its arguments.

    >>> instantiate({"_target_": "os.system", "command": "true"})
    Traceback (most recent call last):
    wwdc.errors.ConfigError: _target_: 'os.system' is not on the list of what may be built. ...
    """
    if isinstance(node, list):
        return [instantiate(item, allow=allow, key=_join(key, i)) for i, item in enumerate(node)]
    if not isinstance(node, Mapping):
        return node
    if "_target_" not in node:
        return {n: instantiate(v, allow=allow, key=_join(key, n)) for n, v in node.items()}
    _check_reserved(node, key)
    target = locate(node["_target_"], allow=allow, key=key)
    named = {
        name: instantiate(value, allow=allow, key=_join(key, name))
        for name, value in node.items()
        if name not in _RESERVED and name not in kwargs
    }
    positional = instantiate(list(node.get("_args_") or ()), allow=allow, key=_join(key, "_args_"))
    return _call(target, node, positional, {**named, **kwargs}, key)


def check_targets(config: Any, allow: Sequence[str] = (), *, resolve: bool = False) -> None:
    """Refuse a configuration that names a target outside the allow-list.

    By name only, which imports nothing; with *resolve*, by what each name leads to as well, which
    imports torch and lightning. `instantiate` checks both in any case.
    """
    for key, node in _targets(config, ""):
        _check_reserved(node, key)
        if resolve:
            locate(node["_target_"], allow=allow, key=key)
        else:
            _check_name(node["_target_"], allow, key)


def locate(name: Any, *, allow: Sequence[str] = (), key: str = "") -> Callable[..., Any]:
    """Import the class or function called *name*, if it may be built."""
    _check_name(name, allow, key)
    found = _import(name, key)
    if not _may_build(found, name, allow):
        raise ConfigError(_refusal(name, key, f"It leads to {_identity(found)}."))
    target: Callable[..., Any] = found
    return target


def _check_name(name: Any, allow: Sequence[str], key: str) -> None:
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"{_join(key, '_target_')}: expected a dotted name, got {name!r}")
    private = any(part.startswith("_") for part in name.split("."))
    if private or not (name.startswith((*_CLASSES, *_FUNCTIONS)) or _extended(name, allow)):
        raise ConfigError(_refusal(name, key))


def _extended(name: str, allow: Sequence[str]) -> bool:
    """Whether ``allow_targets`` adds *name*, which the standard library and others never are."""
    root = name.partition(".")[0]
    if root in sys.stdlib_module_names or root in _NEVER:
        return False
    return any(name == entry or name.startswith(f"{entry.removesuffix('.*')}.") for entry in allow)


def _may_build(found: Any, name: str, allow: Sequence[str]) -> bool:
    """Judge an object by what it is and where it was defined, not by the name it was found by."""
    identity = _identity(found)
    if "." in getattr(found, "__qualname__", "."):
        return False
    if inspect.isclass(found):
        if identity.startswith("sklearn."):
            return _is_estimator(found)
        return identity.startswith(_CLASSES) or _extended(identity, [*allow, *_exact(name, allow)])
    if isinstance(found, FunctionType | BuiltinFunctionType):
        if not name.startswith(_FUNCTIONS):
            return name in allow and _extended(identity, [identity])
        in_torch = identity.startswith(("torch.nn.functional.", "torch.nn.init.", "torch._C."))
        return identity.startswith(_FUNCTIONS) or (
            in_torch and isinstance(found, BuiltinFunctionType)
        )
    return False


def _exact(name: str, allow: Sequence[str]) -> list[str]:
    """An exact entry covers its re-export: the package it names may define it elsewhere."""
    return [name.partition(".")[0]] if name in allow else []


def _is_estimator(found: type) -> bool:
    base = importlib.import_module("sklearn.base").BaseEstimator
    return issubclass(found, base)


def _identity(found: Any) -> str:
    if isinstance(found, ModuleType):
        return f"the module {found.__name__}"
    module = getattr(found, "__module__", None)
    return f"{module}.{getattr(found, '__qualname__', type(found).__qualname__)}"


def _import(name: str, key: str) -> Any:
    """Import the longest module in *name*, then follow its attributes."""
    parts = name.split(".")
    found: Any = None
    for depth in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:depth])
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise ConfigError(
                    f"{_join(key, '_target_')}: {name!r} needs the package {error.name!r}, "
                    "which is not installed"
                ) from None
            if depth == 1:
                raise ConfigError(
                    f"{_join(key, '_target_')}: {name!r}: the package {parts[0]!r} is not installed"
                ) from None
        except ImportError as error:
            raise ConfigError(f"{_join(key, '_target_')}: {name!r}: {error}") from None
        else:
            break
    for part in parts[depth:]:
        if not hasattr(found, part):
            owner = _identity(found)
            guess = closest(part, [n for n in dir(found) if not n.startswith("_")])
            place = f"{_join(key, '_target_')}: {name!r}"
            raise ConfigError(f"{place} does not exist: {owner} has no {part!r}.{guess}")
        found = getattr(found, part)
    return found


def _call(
    target: Callable[..., Any],
    node: Mapping[str, Any],
    positional: list[Any],
    named: dict[str, Any],
    key: str,
) -> Any:
    partial = bool(node.get("_partial_", False))
    place = f"{key or 'config'}: {node['_target_']}"
    _check_arguments(target, positional, named, partial, place)
    if partial:
        return functools.partial(target, *positional, **named)
    try:
        return target(*positional, **named)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{place}: {error}") from error


def _check_arguments(
    target: Callable[..., Any],
    positional: list[Any],
    named: Mapping[str, Any],
    partial: bool,
    place: str,
) -> None:
    """Compare the arguments with the target's signature, where it has one."""
    try:
        signature = inspect.signature(target)
    except ValueError:  # a builtin may have none
        return
    known = signature.parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
    for name in named:
        if name not in known and not takes_any:
            raise ConfigError(
                f"{place}: unknown argument {name!r}.{closest(str(name), known)} "
                f"Arguments: {', '.join(known)}."
            )
    try:
        (signature.bind_partial if partial else signature.bind)(*positional, **named)
    except TypeError as error:
        raise ConfigError(f"{place}: {error}. Arguments: {', '.join(known)}.") from None


def _check_reserved(node: Mapping[str, Any], key: str) -> None:
    for name in node:
        if isinstance(name, str) and name.startswith("_") and name.endswith("_"):
            if name not in _RESERVED:
                known = ", ".join(_RESERVED)
                raise ConfigError(
                    f"{_join(key, name)}: unknown instruction.{closest(name, _RESERVED)} "
                    f"Known: {known}."
                )
    if not isinstance(node.get("_args_") or [], list):
        raise ConfigError(f"{_join(key, '_args_')}: expected a list, got {node['_args_']!r}")
    if str(node["_target_"]).startswith("sklearn.") and node.get("memory") is not None:
        raise ConfigError(
            f"{_join(key, 'memory')}: a cache on disk is read by unpickling; leave it"
        )


def _targets(node: Any, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield key, node
        for name, value in node.items():
            yield from _targets(value, _join(key, name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _targets(value, _join(key, index))


def _refusal(name: str, key: str, detail: str = "") -> str:
    names = [entry.removesuffix(".") for entry in (*_CLASSES, *_FUNCTIONS)]
    detail = f" {detail}" if detail else ""
    return (
        f"{_join(key, '_target_')}: {name!r} is not on the list of what may be built.{detail} "
        f"Classes of {', '.join(names)} are. Add a class of another installed package to "
        "allow_targets in meta.yaml; Python in the experiment folder needs --trust."
    )


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)
