"""Python itself, wwdc, and the packages that it requires."""

__all__ = [
    "Needed",
    "PythonFacts",
    "Torch",
    "WWDCFacts",
    "check_packages",
    "check_python",
    "check_wwdc",
    "import_packages",
    "python_facts",
    "wwdc_facts",
]

import platform
import re
import shlex
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import wwdc
from wwdc.doctor.check import Check
from wwdc.doctor.probe import probe

IMPORT_S = 300.0  # from a busy network disk, torch alone can take minutes


@dataclass(frozen=True)
class PythonFacts:
    """This interpreter; *requires* is wwdc's own word on versions, such as ``>=3.11``."""

    version: str
    bits: int
    executable: str
    requires: str | None


@dataclass(frozen=True)
class WWDCFacts:
    """The code that runs and the version that was installed, if one was."""

    version: str
    folder: Path
    installed: str | None


@dataclass(frozen=True)
class Needed:
    """A package that wwdc requires.

    Attributes:
        requirement: as in the metadata: ``torch<2.14,>=2.6``.
        installed: its version; None if there is none.
        fits: whether that version is one of those.
        modules: what to import of it; nothing of those that another package needs.
        error: why importing it did not work.
    """

    requirement: str
    installed: str | None
    fits: bool
    modules: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Torch:
    """The torch that was imported.

    Attributes:
        version: with its build, ``2.13.0+cpu``.
        cuda: version of CUDA that it was built for, if any.
        hip: the same of ROCm.
        count: GPUs that it can use.
        requirement: what wwdc requires of it.
    """

    version: str
    cuda: str | None = None
    hip: str | None = None
    count: int = 0
    requirement: str = "torch"


def check_python(facts: PythonFacts) -> Check:
    """Version and width of the interpreter."""
    from packaging.specifiers import SpecifierSet

    found = f"{facts.version}, {facts.bits} bit, {facts.executable}"
    requires = facts.requires or ">=3.11"
    fits = SpecifierSet(requires).contains(facts.version, prereleases=True)
    if fits and facts.bits == 64:
        return Check("Python", "ok", found)
    return Check(
        "Python",
        "fails",
        found,
        f"wwdc needs Python {requires}, 64 bit: make an environment with one and install it there.",
        "python3.12 -m venv .venv && .venv/bin/python -m pip install --editable .",
    )


def check_wwdc(facts: WWDCFacts, executable: str) -> Check:
    """Which code runs, and whether its metadata are of that code."""
    found = f"{facts.version}, {facts.folder}"
    if facts.installed == facts.version:
        return Check("wwdc", "ok", found)
    again = f"{shlex.quote(executable)} -m pip install --editable {shlex.quote(_parent(facts))}"
    if facts.installed is None:
        text = "It is not installed, so what it requires is not known here."
        return Check("wwdc", "note", f"{found}, not installed", text, again)
    text = "The installed metadata are of another version: install this one."
    return Check("wwdc", "note", f"{found}, installed as {facts.installed}", text, again)


def check_packages(needed: Sequence[Needed], executable: str) -> Check:
    """Whether everything that is required is there, of a version that fits, and can be imported."""
    if not needed:
        return Check("packages", "not here", "unknown: wwdc is not installed")
    wrong = [package for package in needed if not package.fits]
    broken = [package for package in needed if package.fits and package.error]
    if not wrong and not broken:
        imported = sum(bool(package.modules) for package in needed)
        more = f", {len(needed) - imported} more are there" if imported < len(needed) else ""
        return Check("packages", "ok", f"all {imported} required ones import{more}")
    said = [f"{p.requirement} is {p.installed or 'missing'}" for p in wrong]
    said += [f"{_name(p)} does not import: {p.error}" for p in broken]
    words = [shlex.quote(package.requirement) for package in wrong]
    words += [shlex.quote(f"{_name(p)}=={p.installed}") for p in broken]
    again = "--force-reinstall --no-deps " if broken and not wrong else ""
    return Check(
        "packages",
        "fails",
        said[0] + (f"; {len(said) - 1} more" if said[1:] else ""),
        "Install what is missing or does not work, into this environment.",
        f"{shlex.quote(executable)} -m pip install {again}{' '.join(words)}",
        tuple(said[1:]),
    )


def python_facts() -> PythonFacts:
    """Of this process."""
    try:
        requires = metadata.metadata("wwdc")["Requires-Python"]
    except metadata.PackageNotFoundError:
        requires = None
    return PythonFacts(
        platform.python_version(), 8 * struct.calcsize("P"), sys.executable, requires
    )


def wwdc_facts() -> WWDCFacts:
    """Of this process."""
    try:
        installed = metadata.version("wwdc")
    except metadata.PackageNotFoundError:
        installed = None
    return WWDCFacts(wwdc.__version__, Path(wwdc.__file__).parent, installed)


def import_packages() -> tuple[tuple[Needed, ...], Torch | None]:
    """What wwdc requires, imported in another process, and torch if that worked."""
    needed = tuple(_needed())
    modules = [module for package in needed for module in package.modules]
    steps = probe("imports", *modules, timeout_s=IMPORT_S)
    errors = {str(line["module"]): line["error"] for line in steps.lines if "module" in line}
    last = next((line["importing"] for line in reversed(steps.lines) if "importing" in line), None)
    if steps.fault is not None:
        # It died, or hangs, in the module that it had begun last; those after it were not tried.
        errors[str(last)] = errors.get(str(last)) or steps.fault
    torch = next((line for line in steps.lines if "torch" in line), None)
    if torch is None:
        return tuple(_with_errors(needed, errors)), None
    wanted = next((p.requirement for p in needed if _name(p) == "torch"), "torch")
    found = Torch(torch["torch"], torch["cuda"], torch["hip"], torch["count"], wanted)
    return tuple(_with_errors(needed, errors)), found


def _with_errors(needed: Iterable[Needed], errors: Mapping[str, str | None]) -> Iterator[Needed]:
    for package in needed:
        said = [errors[module] for module in package.modules if errors.get(module)]
        yield replace(package, error=said[0]) if said else package


def _needed() -> Iterator[Needed]:
    """Of the metadata; of extras such as ``ray[tune]`` also what those require, one step down."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    try:
        lines = metadata.requires("wwdc") or []
    except metadata.PackageNotFoundError:
        return
    modules = _modules()
    for requirement in map(Requirement, lines):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        fits = version is not None and requirement.specifier.contains(version, prereleases=True)
        own = modules.get(canonicalize_name(requirement.name), ()) if version else ()
        yield Needed(_text(requirement), version, fits, own)
        if version is None:
            continue
        for inner in map(Requirement, metadata.requires(requirement.name) or []):
            extras = requirement.extras
            if inner.marker is None or inner.marker.evaluate({"extra": ""}):
                continue
            if any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                version = _version(inner.name)
                fits = version is not None and inner.specifier.contains(version, prereleases=True)
                yield Needed(_text(inner), version, fits)


def _modules() -> dict[str, tuple[str, ...]]:
    """The module that each distribution is imported by: ``scikit-learn`` → ``sklearn``."""
    from packaging.utils import canonicalize_name

    listed: dict[str, set[str]] = {}
    for module, distributions in metadata.packages_distributions().items():
        for name in distributions:
            listed.setdefault(canonicalize_name(name), set()).add(module)
    return {
        name: (
            min(modules, key=lambda m: (m.startswith("_"), canonicalize_name(m) != name, len(m))),
        )
        for name, modules in listed.items()
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _text(requirement: object) -> str:
    return str(requirement).partition(";")[0].strip()


def _name(package: Needed) -> str:
    return re.split(r"[\[<>=!~; ]", package.requirement, maxsplit=1)[0]


def _parent(facts: WWDCFacts) -> str:
    return str(facts.folder.parent)
