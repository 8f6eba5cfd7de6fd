"""The steps of docs/own-data.md in a folder of the user's own: data → init → run → report."""

import io
import re
import signal
import subprocess
import sys

import httpx
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import REPOSITORY
from tests.data.own import names, write_array, write_files

pytestmark = [pytest.mark.slow, pytest.mark.ray]

TIMEOUT_S = 600
SMALL = (
    *("x_ds.drop_variables=[brightness]", "+seed=1", "trainer.max_epochs=1", "tune.cpus=1"),
    *("embed.engine=inline", "tests=quick", "detectors=quick", "figures=quick"),
    *("tests.probes.mlp=null", "tests.permutations=99", "tests.bootstraps=99"),
)
RNG = np.random.default_rng(0)


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Runs a command in the user's folder, where DATA_ROOT is not set; gives its output."""
    monkeypatch.delenv("DATA_ROOT", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))

    def run(stage, *words):
        command = [sys.executable, "-m", f"wwdc.{stage}", *map(str, words)]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    return run


def discs(known: pd.DataFrame, side: int) -> np.ndarray:
    """uint8 (N, side, side, 3): a disc in one of two colours, as bright as its row says."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    disc = np.hypot(x, y) < side / 3
    colours = {"red": [230, 60, 30], "blue": [40, 80, 240]}
    colour = np.array([colours[name] for name in known["colour"]])
    bright = known["brightness"].to_numpy(float)[:, None] * colour
    return (bright[:, None, None] * disc[None, ..., None]).astype(np.uint8)


def table(count: int) -> pd.DataFrame:
    colours = RNG.choice(["red", "blue"], count)
    return pd.DataFrame({"brightness": RNG.uniform(0.3, 1, count).round(3), "colour": colours})


def train_briefly(folder) -> None:
    """One epoch of the VAE, which is trained as its folder says."""
    model = folder / "model.yaml"
    text, changed = re.subn(r"max_epochs: \d+", "max_epochs: 1", model.read_text())
    assert changed == 1
    model.write_text(text)


def sections(out: str, folder) -> str:
    """The names of a report's sections; nothing on its page is lacking or failed."""
    line = [line for line in out.splitlines() if line.startswith("Report: ")][-1]
    page = (folder / line.removeprefix("Report: ")).read_text()
    assert not re.findall(r'<p class="lacking[^>]*>(.*?)</p>', page)
    assert "<img" in page
    return " ".join(re.findall(r'<section id="(\w+)"', page))


def test_coloured_images_and_a_table_with_mistakes(tmp_path, typed):
    """2 000 PNGs; a file is broken, a row and an image have no partner, values are missing."""
    known = table(2000)
    write_files(tmp_path / "img", discs(known, 20), "png", names(2000))
    (tmp_path / "img" / "J0003.png").unlink()
    (tmp_path / "img" / "J0000.png").write_bytes(b"no image")
    known.insert(0, "name", names(2000))
    known = known.iloc[:-1].astype({"brightness": object})
    known.loc[4, "brightness"], known.loc[9, "brightness"] = "faint", -99.0
    known.loc[11, "colour"] = None
    known.to_csv(tmp_path / "cat.csv", index=False, sep=";", encoding="utf-8-sig")
    told = typed("init", "gal", "--images", "img", "--catalogue", "cat.csv")
    for words in ("images without a row: J1999", "rows without an image: J0003", "faint, -99"):
        assert words in told
    assert "J0000" in told
    train_briefly(tmp_path / "gal_vae")
    found = sections(typed("run", "gal_flow", *SMALL), tmp_path)
    assert found == "asked sweep vae flow left maps anomalies products"
    typed("products", "verify", "gal_flow")


def test_a_cube_and_a_table(tmp_path, typed):
    """Flux in a FITS cube, in the order of the rows of a CSV."""
    known = table(200)
    flux = 1e-3 * discs(known, 16).astype(np.float32) + RNG.normal(0, 0.01, (200, 16, 16, 3))
    write_array(tmp_path / "cube.fits", flux.astype(np.float32), [])
    known.to_csv(tmp_path / "cat.csv", index=False)
    typed("init", "flux", "--images", "cube.fits", "--catalogue", "cat.csv")
    train_briefly(tmp_path / "flux_vae")
    found = sections(typed("run", "flux_flow", *SMALL), tmp_path)
    assert found == "asked sweep vae flow left maps anomalies products"


def test_vectors(tmp_path, typed):
    """128 numbers an object; no VAE is trained or shown, and the labelling page shows squares."""
    known = table(300)
    vectors = RNG.normal(size=(300, 128))
    vectors[:, :4] += 5 * known["brightness"].to_numpy()[:, None]
    known.assign(source=np.arange(300) * 7, embedding=list(vectors)).to_parquet(
        tmp_path / "v.parquet"
    )
    assert "300 of 128 numbers" in typed("init", "spec", "--catalogue", "v.parquet")
    found = sections(typed("run", "spec_flow", *SMALL), tmp_path)
    assert found == "asked sweep flow left maps anomalies products"
    assert not (tmp_path / "data" / "spec" / "VAE").exists()
    assert picture(tmp_path).size == (96, 88)


def picture(folder) -> Image.Image:
    """The oddest object as the labelling page shows it."""
    command = [sys.executable, "-m", "wwdc.label", "spec_flow", *SMALL[:3], "label.umap=false"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        base, _, token = process.stdout.readline().strip().partition("/?token=")
        with httpx.Client(base_url=base, headers={"X-Token": token}, timeout=120) as client:
            first = client.get("/api/next").json()["item"]["id"]
            answer = client.get("/api/image", params={"id": first, "size": 96})
        return Image.open(io.BytesIO(answer.content))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
