"""GPUs counted without torch."""

import pytest

from wwdc.config import devices
from wwdc.config.devices import gpu_count, has_gpu


@pytest.fixture
def machine(monkeypatch):
    """A machine with three cards and a torch that can use them."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices.metadata, "version", lambda _name: "2.9.0+cu130")
    monkeypatch.setattr(devices, "_device_files", lambda: 3)
    return monkeypatch


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        ("", 0),
        ("-1", 0),
        ("NoDevFiles", 0),
        ("1", 1),
        ("0,2", 2),
        ("0, 2", 2),
        ("0,-1,2", 1),
        ("0,1,2,3,4", 3),
        ("MIG-a,MIG-b,MIG-c,MIG-d", 4),
    ],
)
def test_what_is_visible_counts(machine, visible, count):
    machine.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_count() == count
    assert has_gpu() == (count > 0)


def test_all_count_unless_told_otherwise(machine):
    assert gpu_count() == 3


def test_torch_for_cpus_uses_none(machine):
    machine.setattr(devices.metadata, "version", lambda _name: "2.9.0+cpu")
    assert gpu_count() == 0


def test_nvidia_smi_is_asked_where_there_are_no_device_files(machine, tmp_path):
    machine.setattr(devices, "_device_files", lambda: 0)
    program = tmp_path / "nvidia-smi"
    lines = "GPU 0: H100 (UUID: GPU-1)\n  MIG 1g.10gb Device 0: (UUID: MIG-1)\nGPU 1: H100\n"
    program.write_text(f"#!/bin/sh\ncat <<'E'\n{lines}E\n")
    program.chmod(0o755)
    machine.setattr(devices.shutil, "which", lambda _name: str(program))
    assert gpu_count() == 2
    program.write_text("#!/bin/sh\nexit 9\n")
    assert gpu_count() == 0
