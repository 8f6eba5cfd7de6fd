"""The process in which things may crash and hang."""

import contextlib
import os
import signal
import time

import psutil
import pytest

from wwdc.doctor.probe import probe


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Modules of every kind of fault."""
    texts = {
        "sound": "print('hello'); import os; os.system('echo hello')",
        "broken": "raise RuntimeError('first line\\nsecond')",
        "leaving": "raise SystemExit(3)",
        "deadly": f"import os, signal; os.kill(os.getpid(), {signal.SIGSEGV:d})",
        "hanging": "import subprocess; p = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); p.wait()",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}_module.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


def test_each_module_is_told(modules):
    steps = probe("imports", "sound_module", "broken_module", "not_there", timeout_s=60)
    assert steps.fault is None
    errors = {line["module"]: line["error"] for line in steps.lines if "module" in line}
    assert errors["sound_module"] is None
    assert errors["broken_module"] == "RuntimeError: first line"
    assert errors["not_there"].startswith("ModuleNotFoundError")


def test_what_ends_the_process_is_the_last_that_was_begun(modules):
    steps = probe("imports", "sound_module", "deadly_module", "broken_module", timeout_s=60)
    assert steps.fault.startswith("killed by signal 11")
    assert steps.lines[-1] == {"importing": "deadly_module"}


def test_what_leaves_the_process(modules):
    steps = probe("imports", "leaving_module", "sound_module", timeout_s=60)
    assert steps.fault == "it said nothing"
    assert steps.lines == ({"importing": "leaving_module"},)


def test_what_hangs_is_killed_with_all_that_it_started(modules):
    steps = probe("imports", "hanging_module", timeout_s=5)
    assert "no end within 5 s" in steps.fault
    assert steps.lines == ({"importing": "hanging_module"},)
    child = int((modules / "pid").read_text())
    end = time.monotonic() + 20  # a busy kernel takes its time
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < end
            time.sleep(0.1)
