"""Exit codes of a user's mistake, an interrupt and a reader that went away."""

import subprocess
import sys

import pytest

from wwdc.errors import ConfigError, ProductError
from wwdc.terminal import console, notice, run_cli


def test_the_commands_own_code_is_kept():
    assert run_cli(lambda: 3) == 3


@pytest.mark.parametrize("error", [ConfigError, ProductError])
def test_a_mistake_is_one_line(capsys, error):
    def command() -> int:
        raise error("meta.yaml: meta.authrs: unknown key")

    assert run_cli(command) == 2
    assert capsys.readouterr().err == "error: meta.yaml: meta.authrs: unknown key\n"


def test_an_interrupt_is_130(capsys):
    def command() -> int:
        raise KeyboardInterrupt

    assert run_cli(command) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_cli(lambda: 1 // 0)


def test_a_notice_is_said_once(capsys):
    for _ in range(3):
        notice("DATA_ROOT is not set: using ./data")
    assert capsys.readouterr().err == "note: DATA_ROOT is not set: using ./data\n"


def test_the_console_is_on_standard_error():
    assert console().stderr
    assert console() is console()


def test_a_reader_that_went_away():
    code = (
        "import sys; from wwdc.terminal import run_cli\n"
        "def command():\n"
        "    for _ in range(100_000): sys.stdout.write('line\\n')\n"
        "    return 0\n"
        "sys.exit(run_cli(command))"
    )
    script = 'set -o pipefail; "$0" -c "$1" | head -1'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, code], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("line\n", "", 1)
