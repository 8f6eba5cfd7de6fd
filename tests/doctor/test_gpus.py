"""GPUs, and a torch that fits them."""

import pytest

from wwdc.doctor import gpus
from wwdc.doctor.gpus import Card, Driver, check_gpus, check_torch, driver_facts
from wwdc.doctor.packages import Torch

PYTHON = "/venv/bin/python"
CPU = Torch("2.13.0+cpu", requirement="torch<2.14,>=2.6")
CUDA = Torch("2.13.0+cu130", cuda="13.0")
H100 = Card("NVIDIA H100", 81559, 80000)
NONE = Driver()
ONE = Driver((H100,), "12.8")


@pytest.mark.parametrize(
    ("torch", "driver", "environment", "state"),
    [
        (CPU, NONE, {}, "ok"),
        (CUDA, NONE, {}, "ok"),
        (Torch("2.13.0+cu128", "12.8", None, 1), ONE, {}, "ok"),
        (Torch("2.13.0+rocm", None, "6.4", 1), NONE, {}, "ok"),
        (CPU, ONE, {}, "fails"),
        (CPU, Driver(devices=1), {}, "fails"),
        (CUDA, ONE, {}, "fails"),
        (CUDA, ONE, {"CUDA_VISIBLE_DEVICES": ""}, "ok"),
        (CPU, ONE, {"CUDA_VISIBLE_DEVICES": "-1"}, "ok"),
        (None, NONE, {}, "fails"),
    ],
)
def test_torch(torch, driver, environment, state):
    check = check_torch(torch, driver, environment, PYTHON)
    assert check.state == state
    assert (check.fix is not None) == (state == "fails")


@pytest.mark.parametrize(
    ("cuda", "build"),
    [("13.0", "cu130"), ("12.9", "cu128"), ("12.8", "cu128"), ("12.4", "cu126"), ("11.8", "cu118")],
)
def test_the_build_to_install_is_one_that_the_driver_runs(cuda, build):
    command = check_torch(CPU, Driver((H100,), cuda), {}, PYTHON).command
    assert command.startswith(f"{PYTHON} -m pip install ")
    assert "'torch<2.14,>=2.6'" in command
    assert command.endswith(f"/{build}")


BUSY = Driver((Card("A", 80000, 79000), Card("B", 80000, 500)), "12.8")
TWO = Torch("2.13.0+cu128", "12.8", None, 2)
JOB = {"SLURM_GPUS_ON_NODE": "1"}


@pytest.mark.parametrize(
    ("driver", "torch", "counted", "environment", "state", "found"),
    [
        (NONE, CPU, 0, {}, "not here", "none"),
        (NONE, CUDA, 0, JOB, "fails", "Slurm gave this job 1"),
        (ONE, Torch("2", "12.8", None, 1), 1, {}, "ok", "1 of 1"),
        (ONE, CUDA, 0, {"CUDA_VISIBLE_DEVICES": ""}, "note", "hidden by CUDA_VISIBLE_DEVICES=''"),
        (ONE, CPU, 0, {}, "note", "none for torch"),
        (BUSY, TWO, 2, {}, "note", "the memory of 1"),
        (BUSY, TWO, 1, {}, "note", "wwdc counts 1"),
        (Driver(fault="No devices were found"), CPU, 0, {}, "note", "No devices"),
        (Driver(fault="Driver mismatch"), CUDA, 0, JOB, "fails", "Driver mismatch"),
        (NONE, Torch("2", None, "6.4", 1), 1, {}, "ok", "1 of 1"),
    ],
)
def test_gpus(driver, torch, counted, environment, state, found):
    check = check_gpus(driver, torch, counted, environment)
    assert check.state == state
    assert found in check.found
    assert bool(check.fix) == (state in ("note", "fails"))


def test_the_cards_are_listed_with_their_memory():
    check = check_gpus(ONE, Torch("2", "12.8", None, 1), 1, {})
    assert check.details == ("0: NVIDIA H100, 78 of 80 GiB free",)


def program(tmp_path, monkeypatch, text):
    path = tmp_path / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


def test_nvidia_smi_is_asked(tmp_path, monkeypatch):
    program(
        tmp_path,
        monkeypatch,
        'case "$1" in --query*) echo "NVIDIA H100, 81559, 80000"; echo "MIG, [N/A], [N/A]";; '
        '*) echo "| Driver Version: 570.1  CUDA Version: 12.8 |";; esac',
    )
    assert driver_facts().cards == (H100, Card("MIG"))
    assert driver_facts().cuda == "12.8"


def test_an_nvidia_smi_that_fails(tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "echo NVIDIA-SMI has failed; exit 9")
    assert driver_facts().fault == "NVIDIA-SMI has failed"
    assert not driver_facts().cards


def test_a_machine_without_nvidia_smi(monkeypatch):
    monkeypatch.setattr(gpus.shutil, "which", lambda name: None)
    assert driver_facts().cards == ()
    assert driver_facts().fault is None
