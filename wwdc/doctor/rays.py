"""Ray: what in the shell or on the machine leads it astray, and whether it starts."""

__all__ = [
    "Leftovers",
    "check_leftovers",
    "check_start",
    "check_variables",
    "leftover_facts",
    "start_ray",
]

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wwdc.cluster.folders import is_left_over
from wwdc.doctor.check import Check
from wwdc.doctor.probe import Steps, probe

START_S = 120.0
EARLY_STOP_S = 600.0  # three minutes on two busy CPUs
_HARMLESS = ("RAY_USAGE_STATS_ENABLED", "RAY_DEDUP_LOGS", "RAY_COLOR_PREFIX")
_HEAD = "gcs_server"
_FOLDERS = ("wwdc-ray-*", f"wwdc-{os.getuid()}-*")  # of a Ray started here, of a Slurm job


@dataclass(frozen=True)
class Leftovers:
    """This user's own on the machine.

    Attributes:
        rays: numbers of the main processes of each Ray that runs.
        stale: folders that killed runs left.
    """

    rays: tuple[int, ...] = ()
    stale: tuple[Path, ...] = ()


def check_variables(environment: Mapping[str, str]) -> Check:
    """RAY_* of the shell: Ray obeys them even against what wwdc tells it."""
    names = sorted(n for n in environment if n.startswith("RAY_") and n not in _HARMLESS)
    if not names:
        return Check("RAY_*", "ok", "no RAY_* is set")
    listed = ", ".join(names)
    if "WWDC_JOB_DIR" in environment:
        return Check("RAY_*", "ok", f"those of this job: {listed}")
    unset = f"unset {' '.join(names)}"
    if "RAY_ADDRESS" in environment:
        address = environment["RAY_ADDRESS"]
        fix = (
            "With RAY_ADDRESS, tune.address=HOST:PORT leads to that Ray whatever it says: unset it."
        )
        text = f"RAY_ADDRESS={address}" + (f", {len(names) - 1} more" if names[1:] else "")
        return Check("RAY_*", "note", text, fix, unset)
    fix = "They change how Ray runs. Unset those that you did not set on purpose."
    return Check("RAY_*", "note", listed, fix, unset)


def check_leftovers(facts: Leftovers) -> Check:
    """Other Rays, and what killed runs left."""
    said = []
    if facts.rays:
        rays = "another Ray" if len(facts.rays) == 1 else f"{len(facts.rays)} other Rays"
        said.append(f"{rays} of yours ({', '.join(map(str, facts.rays))})")
    if facts.stale:
        folders = "a folder" if len(facts.stale) == 1 else f"{len(facts.stale)} folders"
        said.append(f"{folders} of killed runs")
    found = ", ".join(said)
    if facts.stale:
        fix = "The next run removes such folders by itself; this does it now."
        names = map(str, facts.stale)
        return Check("leftovers", "note", found, fix, f"rm -r {shlex.join(names)}")
    if facts.rays:
        fix = "They do not disturb each other. If nothing of yours should run, end those processes."
        return Check("leftovers", "note", found, fix)
    return Check("leftovers", "ok", "no other Ray of yours, no folder of a killed run")


def check_start(steps: Steps | None, early_stop: bool) -> Check:
    """Whether a Ray started here, ran a task and ended; None if that was not tried."""
    if steps is None:
        return Check("Ray", "not here", "not tried (--quick)")
    done = [str(line["step"]) for line in steps.lines if "step" in line]
    if steps.fault is None and "ended" in done:
        seconds = next(line["s"] for line in reversed(steps.lines) if "step" in line)
        return Check("Ray", "ok", f"{', '.join(done)}, in {seconds:.0f} s")
    before = f"{', '.join(done)}, then: " if done else "did not start: "
    if early_stop and done and done[-1] == "ran a task":
        fix = (
            "Trials that end early keep their CPUs here, so that others wait for ever. Train in "
            "one process, tune.engine=inline, and report it with the output of the line below."
        )
    else:
        fix = (
            "Mend what fails above first: folders, /dev/shm, limits, packages. The line below "
            "shows all that Ray says."
        )
    words = [sys.executable, "-m", "wwdc.doctor.probe", "ray", *(["early-stop"] * early_stop)]
    return Check("Ray", "fails", f"{before}{steps.fault}", fix, shlex.join(words))


def leftover_facts() -> Leftovers:
    """Of this user on this machine."""
    import psutil

    rays = []
    for process in psutil.process_iter(["name", "uids"]):
        uids = process.info["uids"]
        if uids and uids.real == os.getuid() and process.info["name"] == _HEAD:
            rays.append(process.pid)
    places = {Path("/tmp"), Path(os.environ.get("TMPDIR") or "/tmp")}
    folders = sorted(f for place in places for kind in _FOLDERS for f in place.glob(kind))
    return Leftovers(tuple(sorted(rays)), tuple(f for f in folders if is_left_over(f)))


def start_ray(early_stop: bool) -> Steps:
    """Start a Ray in another process, run a task, end it; also stop trials early, if wanted."""
    arguments = ["ray", *(["early-stop"] * early_stop)]
    steps = probe(*arguments, timeout_s=EARLY_STOP_S if early_stop else START_S)
    if steps.fault is not None:
        for folder in Path("/tmp").glob(f"wwdc-ray-{steps.pid}-*"):
            shutil.rmtree(folder, ignore_errors=True)
    return steps
