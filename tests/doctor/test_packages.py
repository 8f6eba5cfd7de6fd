"""Python, wwdc and what it requires."""

import importlib.metadata
from pathlib import Path

import pytest

from wwdc.doctor import packages
from wwdc.doctor.packages import (
    Needed,
    PythonFacts,
    WWDCFacts,
    check_packages,
    check_python,
    check_wwdc,
    import_packages,
    python_facts,
    wwdc_facts,
)
from wwdc.doctor.probe import Steps

PYTHON = "/venv/bin/python"
FITS = Needed("numpy>=2.0", "2.1", True, ("numpy",))


@pytest.mark.parametrize(
    ("version", "bits", "requires", "state"),
    [
        ("3.11.2", 64, ">=3.11", "ok"),
        ("3.14.0rc1", 64, ">=3.11", "ok"),
        ("3.10.14", 64, ">=3.11", "fails"),
        ("3.12.1", 32, ">=3.11", "fails"),
        ("3.10.14", 64, None, "fails"),
        ("3.13.0", 64, ">=3.11,<3.13", "fails"),
    ],
)
def test_python(version, bits, requires, state):
    check = check_python(PythonFacts(version, bits, PYTHON, requires))
    assert check.state == state
    assert version in check.found
    assert (check.fix is not None) == (state == "fails")


@pytest.mark.parametrize(
    ("installed", "state", "found"),
    [("0.1.0", "ok", "0.1.0"), (None, "note", "not installed"), ("0.0.9", "note", "as 0.0.9")],
)
def test_wwdc(installed, state, found):
    check = check_wwdc(WWDCFacts("0.1.0", Path("/src/wwdc"), installed), PYTHON)
    assert check.state == state
    assert found in check.found
    if state != "ok":
        assert check.command == f"{PYTHON} -m pip install --editable /src"


def test_packages_that_fit():
    extra = Needed("fsspec", "2026.1", True)
    check = check_packages([FITS, extra], PYTHON)
    assert (check.state, check.found) == ("ok", "all 1 required ones import, 1 more are there")


@pytest.mark.parametrize(
    ("package", "found", "word"),
    [
        (Needed("torch<2.14,>=2.6", None, False), "is missing", "'torch<2.14,>=2.6'"),
        (Needed("torch<2.14,>=2.6", "2.1", False), "is 2.1", "'torch<2.14,>=2.6'"),
        (Needed("ray[tune]>=2.6", "2.6", True, ("ray",), "OSError: lib"), "OSError", "ray==2.6"),
    ],
)
def test_a_package_that_does_not(package, found, word):
    check = check_packages([FITS, package], PYTHON)
    assert check.state == "fails"
    assert found in check.found
    assert check.command.startswith(f"{PYTHON} -m pip install ")
    assert word in check.command
    assert "numpy" not in check.command


def test_several_faults_are_all_told():
    wrong = [Needed("a>=2", "1", False), Needed("b", None, False), FITS]
    check = check_packages(wrong, PYTHON)
    assert check.found == "a>=2 is 1; 1 more"
    assert check.details == ("b is missing",)
    assert check.command.endswith("install 'a>=2' b")


def test_nothing_is_known_of_what_is_not_installed():
    assert check_packages([], PYTHON).state == "not here"


def test_this_environment():
    assert check_python(python_facts()).state == "ok"
    assert check_wwdc(wwdc_facts(), PYTHON).state == "ok"


def test_what_is_required_is_imported_and_what_extras_require_is_looked_up():
    needed = {package.requirement: package for package in packages._needed()}
    modules = {module for package in needed.values() for module in package.modules}
    assert {"hydra", "yaml", "sklearn", "torch", "ray", "lightning"} <= modules
    assert not {"pytest", "mypy", "wandb"} & modules  # of wwdc's own extras
    assert all(package.fits for package in needed.values())
    assert any(line.startswith("aiohttp") and not p.modules for line, p in needed.items())


def test_the_module_that_kills_the_process_is_named(monkeypatch):
    mine = (FITS, Needed("torch", "2.6", True, ("torch",)), Needed("zuko", "1.6", True, ("zuko",)))
    lines = ({"importing": "numpy"}, {"module": "numpy", "error": None}, {"importing": "torch"})
    monkeypatch.setattr(packages, "_needed", lambda: mine)
    monkeypatch.setattr(
        packages, "probe", lambda *words, timeout_s: Steps(lines, "killed by signal 11")
    )
    needed, torch = import_packages()
    assert torch is None
    assert [p.error for p in needed] == [None, "killed by signal 11", None]


def test_torch_is_told_with_what_is_required_of_it(monkeypatch):
    mine = (Needed("torch<2.14,>=2.6", "2.6", True, ("torch",)),)
    lines = ({"module": "torch", "error": None},
             {"torch": "2.6+cu124", "cuda": "12.4", "hip": None, "count": 2})  # fmt: skip
    monkeypatch.setattr(packages, "_needed", lambda: mine)
    monkeypatch.setattr(packages, "probe", lambda *words, timeout_s: Steps(lines))
    _, torch = import_packages()
    assert (torch.cuda, torch.count, torch.requirement) == ("12.4", 2, "torch<2.14,>=2.6")


def test_wwdc_that_is_not_installed(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    for name in ("version", "metadata", "requires"):
        monkeypatch.setattr(packages.metadata, name, missing)
    assert wwdc_facts().installed is None
    assert python_facts().requires is None
    assert list(packages._needed()) == []
