"""Times every call of wwdc's ``train_point``, in whatever process calls it.

Python imports a module of this name when it starts. With this folder on PYTHONPATH, drivers and
workers of every kind of sweep are timed alike, and none of them is changed for it. Environment:

- SWEEPS_STOPWATCH: a file; each call appends a line with its first and last second, Unix time;
- SWEEPS_STAND_IN: seconds that a stand-in sleeps instead of training;
- SWEEPS_PARENT: a process id; a child of it also appends the CPU seconds it took, at its end.
"""

import atexit
import functools
import importlib.abc
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

TIMED = "wwdc.training.loop"


def note(**figures: float) -> None:
    """Append a line; short ones of several processes do not mix."""
    with Path(os.environ["SWEEPS_STOPWATCH"]).open("a") as lines:
        lines.write(json.dumps(figures) + "\n")


def timed(train: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, its time noted."""

    @functools.wraps(train)
    def train_point(*args: Any, **options: Any) -> Any:
        start = time.time()
        result = train(*args, **options)
        note(start=start, end=time.time())
        return result

    return train_point


def stand_in(module: ModuleType, seconds: float) -> Callable[..., Any]:
    """A function that does nothing for so long and leaves what ``train_point`` leaves."""

    def train_point(
        config: Mapping[str, Any],
        *,
        keep: Path,
        work: Path,
        report: Callable[[dict[str, float]], Any],
        **_: Any,
    ) -> Any:
        time.sleep(seconds)
        row = {"epoch": 0, "val_loss": 1.0}
        work.mkdir(parents=True, exist_ok=True)
        (work / "best.ckpt").write_bytes(b"0")
        (keep / "metrics.csv").write_text("epoch,val_loss\n0,1.0\n")
        report(row)
        return module.Result(work / "best.ckpt", {"val_loss": 1.0, "epochs": 1}, [row])

    return train_point


class Finder(importlib.abc.MetaPathFinder):
    """Waits for the module to be imported, as importing it here would cost every process."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != TIMED:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            seconds = os.environ.get("SWEEPS_STAND_IN")
            train = stand_in(module, float(seconds)) if seconds else module.train_point
            module.train_point = timed(train)  # type: ignore[attr-defined]

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "SWEEPS_STOPWATCH" in os.environ:
    sys.meta_path.insert(0, Finder())
    if os.environ.get("SWEEPS_PARENT") == str(os.getppid()):
        atexit.register(lambda: note(cpu=time.process_time()))
