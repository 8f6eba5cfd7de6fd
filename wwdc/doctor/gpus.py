"""GPUs, and whether this torch is one that can use them."""

__all__ = ["Card", "Driver", "check_gpus", "check_torch", "driver_facts"]

import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wwdc.doctor.ask import ask
from wwdc.doctor.check import Check
from wwdc.doctor.packages import Torch
from wwdc.terminal import counted

_BUSY = 0.1  # a card with less of its memory free is somebody's
_BUILDS = (((13,), "cu130"), ((12, 8), "cu128"), ((12,), "cu126"), ((11,), "cu118"))
"""Builds of torch by the oldest CUDA of a driver that runs them; 12.6 runs on any driver of 12."""
_FIELDS = "name,memory.total,memory.free"


@dataclass(frozen=True)
class Card:
    """A GPU; memory in MiB, None where the driver does not say (parts of a card)."""

    name: str
    total: int | None = None
    free: int | None = None


@dataclass(frozen=True)
class Driver:
    """What the machine's NVIDIA driver says.

    Attributes:
        cards: that it lists.
        cuda: the newest version of CUDA that it supports.
        devices: number of GPUs' device files, which are there without nvidia-smi too.
        fault: what nvidia-smi says if it does not work.
    """

    cards: tuple[Card, ...] = ()
    cuda: str | None = None
    devices: int = 0
    fault: str | None = None

    @property
    def count(self) -> int:
        """How many GPUs there are."""
        return len(self.cards) or self.devices


def check_torch(
    torch: Torch | None, driver: Driver, environment: Mapping[str, str], executable: str
) -> Check:
    """Whether torch was built for the GPUs that are here."""
    if torch is None:
        return Check("torch", "fails", "cannot be imported", "See the packages, above.")
    build = f"CUDA {torch.cuda}" if torch.cuda else f"ROCm {torch.hip}" if torch.hip else "the CPU"
    found = f"{torch.version}, built for {build}"
    if torch.count:
        return Check("torch", "ok", f"{found}, can use {counted(torch.count, 'GPU')}")
    if not driver.count or _hidden(environment):
        return Check("torch", "ok", found)
    newest = f"CUDA {driver.cuda}" if driver.cuda else "a CUDA that nvidia-smi tells"
    builds = "https://pytorch.org/get-started lists the builds."
    fix = f"The driver supports {newest}: install a torch built for that or an older one. {builds}"
    fault = "but cannot use the GPU" if torch.cuda else "but there is a GPU"
    command = _pip(torch.requirement, driver.cuda, executable) if driver.cuda else None
    return Check("torch", "fails", f"{found}, {fault}", fix, command)


def check_gpus(
    driver: Driver, torch: Torch | None, to_ray: int, environment: Mapping[str, str]
) -> Check:
    """The GPUs that training may use.

    Args:
        driver: what there is.
        torch: what torch sees.
        to_ray: how many wwdc tells Ray of.
        environment: CUDA_VISIBLE_DEVICES, and what a Slurm job was given.
    """
    usable = torch.count if torch else 0
    given = environment.get("SLURM_GPUS_ON_NODE") or "0"
    if driver.fault and not usable:
        return Check(
            "GPUs",
            "fails" if given != "0" else "note",
            f"nvidia-smi: {driver.fault}",
            "The driver does not work on this machine: reboot it, or tell who runs it.",
        )
    details = tuple(f"{i}: {_line(card)}" for i, card in enumerate(driver.cards))
    if not driver.count and not usable:
        if given != "0":
            return Check(
                "GPUs",
                "fails",
                f"none, though Slurm gave this job {given}",
                "Look with nvidia-smi on the node, and tell the cluster's support.",
            )
        return Check("GPUs", "not here", "none; training runs on the CPUs")
    if not usable and _hidden(environment):
        return Check(
            "GPUs",
            "note",
            f"{counted(driver.count, 'GPU')}, hidden by CUDA_VISIBLE_DEVICES="
            f"{environment['CUDA_VISIBLE_DEVICES']!r}",
            "To train on them, unset it.",
            "unset CUDA_VISIBLE_DEVICES",
            details,
        )
    if not usable:
        return Check(
            "GPUs",
            "note",
            f"{counted(driver.count, 'GPU')}, none for torch",
            "See torch.",
            details=details,
        )
    found = f"{usable} of {max(driver.count, usable)} for torch"
    if to_ray != usable:
        return Check(
            "GPUs",
            "note",
            f"{found}, but wwdc counts {to_ray}",
            "Name them by number in CUDA_VISIBLE_DEVICES, such as 0,1.",
            details=details,
        )
    busy = [i for i, card in enumerate(driver.cards) if _is_busy(card)]
    if busy:
        listed = ", ".join(map(str, busy))
        return Check(
            "GPUs",
            "note",
            f"{found}; others fill the memory of {listed}",
            "Choose free ones with CUDA_VISIBLE_DEVICES; nvidia-smi says who uses them.",
            details=details,
        )
    return Check("GPUs", "ok", found, details=details)


def driver_facts() -> Driver:
    """Ask nvidia-smi, and look for device files."""
    devices = [path for path in Path("/dev").glob("nvidia*") if path.name[6:].isdecimal()]
    if shutil.which("nvidia-smi") is None:
        return Driver(devices=len(devices))
    listed = ask("nvidia-smi", f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits")
    if not listed.ok:
        said = listed.out.strip().splitlines()
        fault = listed.fault or (said[-1] if said else f"exit code {listed.code}")
        return Driver(devices=len(devices), fault=fault)
    cards = [_card(line) for line in listed.out.splitlines() if line.strip()]
    version = re.search(r"CUDA Version: *([\d.]+)", ask("nvidia-smi").out)
    return Driver(tuple(cards), version[1] if version else None, len(devices))


def _card(line: str) -> Card:
    name, *memory = [field.strip() for field in line.split(",")]
    total, free = [int(field) if field.isdecimal() else None for field in (*memory, "", "")[:2]]
    return Card(name, total, free)


def _line(card: Card) -> str:
    if card.total is None or card.free is None:
        return card.name
    return f"{card.name}, {card.free / 1024:.0f} of {card.total / 1024:.0f} GiB free"


def _is_busy(card: Card) -> bool:
    return bool(card.total) and card.free is not None and card.free < _BUSY * (card.total or 0)


def _hidden(environment: Mapping[str, str]) -> bool:
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    return visible is not None and visible.strip() in ("", "-1", "NoDevFiles")


def _pip(requirement: str, cuda: str, executable: str) -> str:
    version = tuple(int(part) for part in cuda.split("."))
    build = next((name for least, name in _BUILDS if version >= least), _BUILDS[-1][1])
    index = f"https://download.pytorch.org/whl/{build}"
    words = [executable, "-m", "pip", "install", "--force-reinstall", requirement]
    return shlex.join([*words, "--index-url", index])
