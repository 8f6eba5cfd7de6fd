"""Parallel coordinates, and the files that a sweep's report consists of."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection

from wwdc.report import parallel_figure, write_sweep_figures
from wwdc.report.style import ACCENT

PARAMS = ["loader.lr", "loader.hidden", "loader.rank", "loader.fixed"]
FIGURES = {"importance.svg", "importance.png", "parallel.svg", "parallel.png"}


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 16
    return pd.DataFrame(
        {
            "point_id": [f"{i:012x}" for i in range(n)],
            "loader.lr": 10 ** rng.uniform(-5, -2, n),
            "loader.hidden": [[64], [128, 128]] * (n // 2),
            "loader.rank": [math.nan, 1.0, 2.0, 3.0] * (n // 4),
            "loader.fixed": ["silu"] * n,
            "val_loss": rng.uniform(1, 2, n),
            "leakage": rng.uniform(0, 1, n),
        }
    )


def _texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_line_stands_out(frame, mode):
    figure = parallel_figure(frame, PARAMS[:2], "val_loss", mode)
    [axes] = figure.axes
    [others] = [c for c in axes.collections if isinstance(c, LineCollection)]
    assert len(others.get_segments()) == len(frame) - 1
    [best] = [line for line in axes.lines if line.get_color() == ACCENT and len(line.get_xdata())]
    chosen = frame.loc[getattr(frame["val_loss"], f"idx{mode}")()]
    spread = np.log(frame["loader.lr"].max() / frame["loader.lr"].min())
    place = np.log(chosen["loader.lr"] / frame["loader.lr"].min()) / spread
    assert best.get_ydata()[0] == pytest.approx(place)
    assert best.get_ydata()[-1] == (0.0 if mode == "min" else 1.0)
    good = "lower" if mode == "min" else "higher"
    assert f"val_loss\n({good} is better)" in _texts(figure)


def test_what_a_point_lacks_is_said(frame):
    assert "not set" in _texts(parallel_figure(frame, PARAMS, "val_loss"))
    assert "not set" not in _texts(parallel_figure(frame, PARAMS[:2], "val_loss"))


def test_an_outlier_does_not_squeeze_the_rest(frame):
    frame.loc[0, "val_loss"] = 1e6
    assert any(text.startswith("≥ ") for text in _texts(parallel_figure(frame, PARAMS, "val_loss")))


def test_files(frame, tmp_path):
    frame.loc[0, "val_loss"] = math.nan
    written = write_sweep_figures(frame, PARAMS, ["val_loss"], ["min"], tmp_path / "report")
    assert {path.name for path in written} == FIGURES | {"sweep.csv", "importance.csv"}
    assert {path.name for path in (tmp_path / "report").iterdir()} == {p.name for p in written}
    table = pd.read_csv(tmp_path / "report" / "sweep.csv")
    assert len(table) == 16
    assert table["loader.hidden"][1] == "[128, 128]"
    shares = pd.read_csv(tmp_path / "report" / "importance.csv", index_col="param")
    assert set(shares.index) == set(PARAMS[:3])  # what never varies is not shown
    assert shares["val_loss"].sum() == pytest.approx(1.0)
    assert (tmp_path / "report" / "parallel.png").read_bytes().startswith(b"\x89PNG")


def test_several_metrics_add_a_front(frame, tmp_path):
    written = write_sweep_figures(frame, PARAMS, ["val_loss", "leakage"], ["min", "max"], tmp_path)
    assert {"pareto.svg", "pareto.png"} <= {path.name for path in written}
    shares = pd.read_csv(tmp_path / "importance.csv", index_col="param")
    assert list(shares.columns) == ["val_loss", "leakage"]


def test_the_same_table_gives_the_same_bytes(frame, tmp_path):
    for folder in ("one", "two"):
        write_sweep_figures(frame, PARAMS, ["val_loss"], ["min"], tmp_path / folder)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_nothing_before_four_points_are_finished(frame, tmp_path):
    frame.loc[3:, "val_loss"] = math.nan
    folder = tmp_path / "report"
    assert write_sweep_figures(frame, PARAMS, ["val_loss"], ["min"], folder) == []
    assert not folder.exists()


def test_nothing_varies_but_the_table_is_kept(frame, tmp_path):
    written = write_sweep_figures(frame, PARAMS[3:], ["val_loss"], ["min"], tmp_path)
    assert [path.name for path in written] == ["sweep.csv"]


def test_no_display_and_no_pyplot():
    code = "import sys, wwdc.report; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
