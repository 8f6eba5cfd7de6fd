"""The latent cache: built once, also by two processes, and rebuilt when it is not whole."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.conftest import TinyVAE
from wwdc.data.latents import latent_cache
from wwdc.errors import DataError, ProductError

REPOSITORY = Path(__file__).parents[2]

BUILDER = """
import sys, time, pathlib, torch
from tests.data.conftest import TinyVAE
from wwdc.data.digits import Digits
from wwdc.data.latents import latent_cache

class Slow(TinyVAE):
    def encode(self, x):
        root.joinpath("encoding").touch()
        with root.joinpath("calls").open("a") as file:
            file.write("x")
        time.sleep(float(sys.argv[2]))
        return super().encode(x)

root = pathlib.Path(sys.argv[1])
latents = latent_cache(root, Slow(), "tiny", Digits(views=2), "train")
print(latents.mean.shape)
"""


def build(root, pause):
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(root), str(pause)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def only(root, pattern):
    (path,) = root.glob(pattern)
    return path


def test_latents_are_the_encoders_in_the_tables_order(digits, vae, tmp_path):
    latents = latent_cache(tmp_path, vae, "tiny", digits, "val")
    vae.eval()
    with torch.no_grad():
        mean, logvar = vae.encode(digits.images("val", torch.arange(digits.rows("val"))))
    np.testing.assert_allclose(latents.mean, mean, atol=1e-5)
    np.testing.assert_allclose(latents.logvar, logvar, atol=1e-5)
    np.testing.assert_array_equal(latents.ids, digits.table("val")["id"])


def test_the_vae_is_left_as_it_was(digits, vae, tmp_path):
    vae.train()
    latent_cache(tmp_path, vae, "tiny", digits, "val")
    assert vae.training


def test_a_second_call_encodes_nothing_and_maps_the_file(digits, vae, tmp_path):
    first = latent_cache(tmp_path, vae, "tiny", digits, "val")
    calls = vae.calls
    second = latent_cache(tmp_path, vae, "tiny", digits, "val")
    assert vae.calls == calls
    assert isinstance(second.mean, np.memmap) and not second.mean.flags.writeable
    np.testing.assert_array_equal(first.mean, second.mean)


def test_the_key_tells_vaes_weights_data_splits_and_types_apart(digits, vae, tmp_path):
    from wwdc.data.digits import Digits

    latent_cache(tmp_path, vae, "tiny", digits, "val")
    latent_cache(tmp_path, vae, "tiny", digits, "test")
    latent_cache(tmp_path, vae, "other", digits, "val")
    latent_cache(tmp_path, vae, "tiny", digits, "val", "float16")
    latent_cache(tmp_path, vae, "tiny", Digits(views=1), "val")
    latent_cache(tmp_path, TinyVAE(seed=1), "tiny", digits, "val")
    assert len(list(tmp_path.glob("*/*/meta.json"))) == 6
    assert len(list(tmp_path.iterdir())) == 5


def test_dropped_variables_share_a_cache(vae, tmp_path):
    from wwdc.data.digits import Digits

    for drop in (["b"], ["digit"]):
        latent_cache(tmp_path, vae, "tiny", Digits(views=1, drop_variables=drop), "val")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["mean.npy", "logvar.npy", "ids.npy", "meta.json"])
@pytest.mark.parametrize("damage", ["removed", "truncated", "flipped", "emptied"])
def test_a_damaged_cache_is_rebuilt(digits, vae, tmp_path, name, damage):
    before = np.array(latent_cache(tmp_path, vae, "tiny", digits, "val").mean)
    path = only(tmp_path, f"*/val/{name}")
    data = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]
        path.write_bytes({"truncated": data[:-20], "flipped": flipped, "emptied": b""}[damage])
    after = latent_cache(tmp_path, vae, "tiny", digits, "val")
    np.testing.assert_array_equal(after.mean, before)
    meta = json.loads(only(tmp_path, "*/val/meta.json").read_text())
    assert meta["rows"] == len(before)
    assert path.read_bytes() == data


def test_latents_that_are_not_finite_are_refused(digits, vae, tmp_path):
    vae.maps.weight.data[0, 0] = float("nan")
    with pytest.raises(ProductError, match="the VAE tiny gives latents that are NaN"):
        latent_cache(tmp_path, vae, "tiny", digits, "val")
    assert not list(tmp_path.glob("*/val"))


def test_a_folder_that_cannot_be_written_is_named(digits, vae, tmp_path):
    (tmp_path / "latents").write_text("a file")
    with pytest.raises(DataError, match="latents cannot be stored"):
        latent_cache(tmp_path / "latents", vae, "tiny", digits, "val")


def test_a_full_disk_leaves_nothing_behind(digits, vae, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(DataError, match=r"\(No space left on device\)\. Free some space"):
        latent_cache(tmp_path, vae, "tiny", digits, "val")
    assert [path.name for path in tmp_path.glob("*/*")] == ["val.lock"]


def test_an_unknown_type_is_refused(digits, vae, tmp_path):
    with pytest.raises(ValueError, match="'int8' is none of float16, float32, float64"):
        latent_cache(tmp_path, vae, "tiny", digits, "val", "int8")


def test_two_processes_build_once(tmp_path):
    processes = [build(tmp_path, 0.2) for _ in range(2)]
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert output.strip() == "(2516, 4)"
    assert (tmp_path / "calls").read_text() == "x" * 5  # 2516 rows in chunks of 512


def test_a_killed_builder_hands_over_to_the_one_that_waits(tmp_path):
    killed = build(tmp_path, 60)
    marker = tmp_path / "encoding"
    deadline = time.monotonic() + 60
    while not marker.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    waiting = build(tmp_path, 0)
    time.sleep(0.2)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    output, errors = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, errors
    assert output.strip() == "(2516, 4)"


def test_what_a_killed_builder_left_is_removed(digits, vae, tmp_path):
    latent_cache(tmp_path, vae, "tiny", digits, "val")
    folder = only(tmp_path, "*/val")
    stale = folder.rename(folder.with_name(".val.123-abc.tmp"))
    (stale / "meta.json").unlink()
    latent_cache(tmp_path, vae, "tiny", digits, "val")
    assert sorted(path.name for path in folder.parent.iterdir()) == ["val", "val.lock"]
