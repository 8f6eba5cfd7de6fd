"""Is there a GPU on this machine, asked without importing torch."""

__all__ = ["has_gpu"]

import os
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

_TIMEOUT_S = 10.0


def has_gpu() -> bool:
    """Whether torch could use a GPU here: visible, present, and torch built for it."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1", "NoDevFiles"):
        return False
    try:
        if metadata.version("torch").endswith("+cpu"):
            return False
    except metadata.PackageNotFoundError:
        return False
    device_files = Path("/dev")
    if any(device_files.glob("nvidia[0-9]*")) or (device_files / "kfd").exists():
        return True
    return _nvidia_smi_lists_one()


def _nvidia_smi_lists_one() -> bool:
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        listing = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listing.returncode == 0 and "GPU 0" in listing.stdout
