import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from wwdc.terminal import notice

RECORD = """
import json, os, sys
from pathlib import Path
folder = Path({folder!r})
calls = len(list(folder.glob("call_*")))
names = ("WWDC_CLUSTER", "WWDC_SITE", "WWDC_PYTHON", "DATA_ROOT")
call = {{"argv": sys.argv, "variables": {{n: os.environ.get(n) for n in names}}}}
(folder / f"call_{{calls}}").write_text(json.dumps(call))
reply = folder / f"reply_{{calls}}"
if reply.exists():
    stdout, stderr, code = json.loads(reply.read_text())
    sys.stdout.write(stdout)
    sys.stderr.write(stderr)
    sys.exit(code)
if "sbatch" in sys.argv[0]:
    print(41 + calls)
"""


class FakeSlurm:
    """Commands that keep what they are told, and answer as they are told to."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self._folder = folder
        self.bin.mkdir(parents=True)
        for name in ("sbatch", "scancel"):
            command = self.bin / name
            script = self._folder / f"{name}.py"
            script.write_text(RECORD.format(folder=str(folder)))
            words = shlex.join([sys.executable, "-I", str(script)])
            command.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            command.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        """The words of each command so far, its name first."""
        return [[Path(c["argv"][0]).stem, *c["argv"][1:]] for c in self._records()]

    @property
    def variables(self) -> list[dict[str, str]]:
        """The variables that each command saw."""
        return [call["variables"] for call in self._records()]

    def answer(self, call: int, stdout: str = "", stderr: str = "", code: int = 0) -> None:
        """What the command number *call* will print, and its exit code."""
        (self._folder / f"reply_{call}").write_text(json.dumps([stdout, stderr, code]))

    def _records(self) -> list[dict]:
        count = len(list(self._folder.glob("call_*")))
        return [json.loads((self._folder / f"call_{n}").read_text()) for n in range(count)]


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Slurm's commands, faked and first on the PATH."""
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.bin}{os.pathsep}{os.environ['PATH']}")
    return fake


@pytest.fixture(autouse=True)
def every_notice():
    """Each test sees notices that an earlier one has seen."""
    notice.cache_clear()
