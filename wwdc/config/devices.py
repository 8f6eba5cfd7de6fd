"""How many GPUs this machine has, asked without importing torch."""

__all__ = ["gpu_count", "has_gpu"]

import os
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

_TIMEOUT_S = 10.0
_NONE = ("", "-1", "NoDevFiles")
_AMD = Path("/sys/class/kfd/kfd/topology/nodes")


def has_gpu() -> bool:
    """Whether torch could use a GPU here: visible, present, and torch built for it."""
    return gpu_count() > 0


def gpu_count() -> int:
    """How many GPUs torch could use here: visible, present, and torch built for them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if (visible is not None and visible.strip() in _NONE) or not _torch_has_gpus():
        return 0
    present = _device_files() or _listed()
    if visible is None:
        return present
    named = [name.strip() for name in visible.split(",")]
    end = next((i for i, name in enumerate(named) if name in _NONE), len(named))
    if all(name.isdecimal() for name in named[:end]):  # else parts of a card: take their word
        return min(end, present)
    return end if present else 0


def _torch_has_gpus() -> bool:
    try:
        return not metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        return False


def _device_files() -> int:
    nvidia = [path for path in Path("/dev").glob("nvidia*") if path.name[6:].isdecimal()]
    if nvidia or not Path("/dev/kfd").exists():
        return len(nvidia)
    cards = [path for path in _AMD.glob("*/gpu_id") if path.read_text().strip() != "0"]
    return max(1, len(cards))


def _listed() -> int:
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listing = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    if listing.returncode != 0:
        return 0
    return len(re.findall(r"^GPU \d+", listing.stdout, re.MULTILINE))
