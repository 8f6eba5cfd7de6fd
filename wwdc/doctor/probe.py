"""What may crash or hang, in a process of its own: ``python -m wwdc.doctor.probe imports|ray``.

Each thing that is over is a line of JSON on standard output, so that the doctor knows how far this
came. What the packages print themselves goes to standard error.
"""

__all__ = ["Steps", "probe"]

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

CPUS = 2
TASK_S = 60.0
FREE_S = 30.0


@dataclass(frozen=True)
class Steps:
    """How far the process came.

    Attributes:
        lines: what it said.
        fault: why it did not come to its end; None if it did.
        pid: of the process, which is gone.
    """

    lines: tuple[dict[str, Any], ...]
    fault: str | None = None
    pid: int | None = None


def probe(*arguments: str, timeout_s: float) -> Steps:
    """Run this module; whatever it started and did not end is killed."""
    command = [sys.executable, "-m", "wwdc.doctor.probe", *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
            fault = _why(process.returncode, err)
        except subprocess.TimeoutExpired:
            _kill(process.pid)
            out, _ = process.communicate()
            fault = f"no end within {timeout_s:.0f} s"
        except BaseException:
            _kill(process.pid)
            raise
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return Steps(tuple(lines), fault, process.pid)


def _why(code: int, said: str) -> str | None:
    if code == 0:
        return None
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else "it said nothing"
    return f"killed by signal {-code}: {last}" if code < 0 else last


def _kill(pid: int) -> None:
    import psutil

    try:
        first = psutil.Process(pid)
        family = [first, *first.children(recursive=True)]  # it starts no more once it is gone
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def _imports(names: Sequence[str], say: Callable[..., None]) -> None:
    for name in names:
        say(importing=name)
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001  a package may raise anything
            say(module=name, error=f"{type(error).__name__}: {error}".splitlines()[0])
        else:
            say(module=name, error=None)
    torch = sys.modules.get("torch")
    if torch is not None:
        usable = torch.cuda.is_available()
        say(
            torch=torch.__version__,
            cuda=torch.version.cuda,
            hip=torch.version.hip,
            usable=usable,
            count=torch.cuda.device_count() if usable else 0,
        )


def _ray(early_stop: bool, say: Callable[..., None]) -> None:
    import ray

    from wwdc.cluster import start_local

    began = time.monotonic()
    local = start_local(CPUS, dashboard=early_stop)
    try:
        say(step="started", s=round(time.monotonic() - began, 1))
        task = ray.remote(num_cpus=1)(lambda: 42)
        if ray.get(task.remote(), timeout=TASK_S) != 42:
            raise RuntimeError("a task came back with something else")
        say(step="ran a task", s=round(time.monotonic() - began, 1))
        if early_stop:
            _stop_early(str(local.folder))
            say(step="stopped trials early", s=round(time.monotonic() - began, 1))
    finally:
        local.end()
    say(step="ended", s=round(time.monotonic() - began, 1))


def _stop_early(folder: str) -> None:
    """Two nested trials that Tune stops one after the other; the CPUs have to be free afterwards.

    There is room for one: where the first keeps its worker's placement group, the second waits for
    ever (https://github.com/ray-project/ray/issues/54305).
    """
    import ray
    import ray.train
    from ray import tune
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    def loop() -> None:
        while True:
            ray.train.report({"alive": 1})
            time.sleep(0.2)

    def trial(config: dict[str, Any]) -> None:
        TorchTrainer(
            loop,
            scaling_config=ray.train.ScalingConfig(
                num_workers=1, resources_per_worker={"CPU": 1.5}
            ),
            run_config=ray.train.RunConfig(
                name=f"nested-{tune.get_context().get_trial_id()}",
                storage_path=folder,
                callbacks=[TuneReportCallback()],
            ),
        ).fit()

    tune.Tuner(
        tune.with_resources(trial, {"cpu": 0.01}),
        param_space={"number": tune.grid_search([1, 2])},
        tune_config=tune.TuneConfig(max_concurrent_trials=1),
        run_config=tune.RunConfig(
            name="doctor", storage_path=folder, stop={"training_iteration": 2}, verbose=0
        ),
    ).fit()
    end = time.monotonic() + FREE_S
    while ray.available_resources().get("CPU", 0) < CPUS:
        if time.monotonic() > end:
            raise RuntimeError("stopped trials kept their CPUs")
        time.sleep(0.5)


def _main(arguments: Sequence[str]) -> int:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**facts: Any) -> None:
        out.write(json.dumps(facts) + "\n")
        out.flush()

    kind, *rest = arguments
    if kind == "imports":
        _imports(rest, say)
    else:
        _ray("early-stop" in rest, say)
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
