"""`wwdc STAGE …`."""

import importlib.util
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from wwdc import __version__
from wwdc.cli import STAGES, main


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_lists_the_stages(capsys, arguments):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    for stage, summary in STAGES.items():
        assert f"{stage} " in out
        assert summary in out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"wwdc {__version__}\n"


def test_an_unknown_stage(capsys):
    assert main(["tuna", "experiments/x"]) == 2
    assert "Did you mean 'tune'?" in capsys.readouterr().err


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_a_module(stage):
    assert importlib.util.find_spec(f"wwdc.{stage}.__main__") is not None


def test_a_stage_gets_its_arguments_and_gives_its_code(monkeypatch):
    got = []
    stage = SimpleNamespace(main=lambda argv: got.extend(argv) or 3)
    monkeypatch.setitem(sys.modules, "wwdc.tune.__main__", stage)
    assert main(["tune", "experiments/x", "--dry-run", "+seed=7"]) == 3
    assert got == ["experiments/x", "--dry-run", "+seed=7"]


def test_a_stages_own_help():
    code = "import sys; from wwdc.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "products", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "verify" in done.stdout


@pytest.mark.parametrize("stage", STAGES)
def test_help_imports_nothing_heavy_and_has_at_most_ten_flags(stage):
    code = (
        f"import sys, wwdc.{stage}.__main__ as command\n"
        "try: command.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'lightning', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    assert len(set(re.findall(r"--[a-z][a-z-]+", done.stdout))) <= 11  # with --help
