"""Every shipped figure on small tables: a figure with its numbers, the same every time."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from matplotlib.figure import Figure

import wwdc
from tests.report.small import D, EmptyTables, SmallTables, dataset, findings, painter
from wwdc.config import instantiate
from wwdc.models.identity import Identity
from wwdc.report.drawn import Drawn, Lacking
from wwdc.report.figures.maps import map_pca
from wwdc.report.projections import pca, umap
from wwdc.report.reasons import reasons
from wwdc.report.settings import SECTIONS
from wwdc.report.style import drawing_style, render
from wwdc.report.verdicts import MARKS

CONF = Path(wwdc.__file__).parent / "conf" / "figures"
PLOTS = yaml.safe_load((CONF / "default.yaml").read_text())["plots"]
SEARCHED = ("parallel", "importance", "importance_left", "pareto")
SMALL = {"map_umap": {"rows": 120}}
FLOWS = ("samples", "counterfactuals", "style_transfer", "normality")


def tables_for(name: str) -> SmallTables:
    if name in SEARCHED:
        return SmallTables(searched=True, objectives=("val_loss", "leakage"))
    return SmallTables()


def draw(name: str, tables: object = None) -> Drawn:
    node = {**PLOTS[name]["figure"], **SMALL.get(name, {})}
    with drawing_style():
        return instantiate(node)(tables if tables is not None else tables_for(name))


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text) if t.get_text()]


@pytest.fixture(scope="module")
def drawn() -> dict[str, Drawn]:
    """Every figure, drawn once."""
    return {name: draw(name) for name in PLOTS}


@pytest.mark.parametrize("name", PLOTS)
def test_a_figure_with_numbers_and_no_nan_in_words(name, drawn):
    made = drawn[name]
    assert isinstance(made, Drawn) and isinstance(made.figure, Figure)
    assert isinstance(made.data, pd.DataFrame) and len(made.data)
    assert not any("nan" in text.lower().split() or "None" in text for text in texts(made.figure))
    assert "nan" not in made.note
    assert made.figure.get_size_inches()[0] <= 9.6


@pytest.mark.parametrize("name", PLOTS)
def test_the_same_bytes_every_time(name, drawn):
    again = draw(name)
    for kind in ("svg", "png"):
        assert render(again.figure, kind) == render(drawn[name].figure, kind)
    assert again.data.to_csv() == drawn[name].data.to_csv()


@pytest.mark.parametrize("name", PLOTS)
def test_what_is_lacking_is_told(name):
    with pytest.raises(Lacking):
        draw(name, EmptyTables(tables_for(name)))


@pytest.mark.parametrize("name", PLOTS)
def test_captions_and_sections(name):
    assert PLOTS[name]["section"] in SECTIONS
    assert PLOTS[name]["caption"].endswith(".") and len(PLOTS[name]["caption"]) > 30


@pytest.mark.parametrize("name", FLOWS)
def test_a_vae_has_no_figures_of_flows(name):
    with pytest.raises(Lacking, match="no flow"):
        draw(name, SmallTables(kind="vae"))


def test_a_vae_has_the_others():
    tables = SmallTables(kind="vae")
    for name in ("seeds", "training_curves", "reconstructions", "traversals", "map_pca"):
        assert len(draw(name, tables).data)


class VectorTables(SmallTables):
    """A flow on vectors: there is no VAE."""

    def painter(self, shown):
        made = super().painter(shown)
        made.models.vae = Identity(D)
        made.models.dataset.images = lambda split, index: torch.full((len(index), 1, 3, 3), 0.5)
        return made


@pytest.mark.parametrize("name", ["reconstructions", "traversals"])
def test_vectors_have_no_pictures_of_a_vae(name):
    with pytest.raises(Lacking, match="no VAE"):
        draw(name, VectorTables())


@pytest.mark.parametrize("name", ["samples", "counterfactuals", "style_transfer", "gallery"])
def test_vectors_are_grey_squares_and_captions_say_so(name, drawn):
    assert "grey square" in draw(name, VectorTables()).note
    assert "grey square" not in drawn[name].note


@pytest.mark.parametrize("tables", [SmallTables, VectorTables])
def test_heads_stand_clear_of_the_title(tables):
    """Above images of 28 pixels and of 3."""
    figure = draw("counterfactuals", tables()).figure
    figure.canvas.draw()
    for axes in figure.axes:
        title = axes.title.get_window_extent()
        heads = [t.get_window_extent() for t in axes.texts]
        assert len(heads) == 2 and not any(title.overlaps(head) for head in heads)


@pytest.mark.parametrize("name", SEARCHED)
def test_a_listed_sweep_searches_nothing(name):
    with pytest.raises(Lacking, match=r"searched|one objective"):
        draw(name, SmallTables())


def test_verdicts_have_their_marks(drawn):
    found = texts(drawn["verdicts"].figure)
    told = 2 * 6 - 3  # b is dropped twice, the digit once
    assert found.count(MARKS["leaks"]) == 2
    assert found.count(MARKS["removed"]) == told - 2
    assert found.count(MARKS["present"]) == 3
    assert found.count("present †") == 3
    assert {"only_b", "b_digit", "z (before)", "random numbers"} <= set(found)


def test_leakage_and_retention_are_of_the_right_variables(drawn):
    metrics = set(drawn["importance_left"].data["metric"])
    assert metrics == {"leakage", "retention"}


def test_flow_time_begins_at_z(drawn):
    axes = drawn["flow_time"].figure.axes[0]
    line = axes.lines[1]
    assert list(line.get_xdata()) == [0.0, 0.25, 0.5, 1.0]
    assert line.get_ydata()[0] == pytest.approx(0.95)


def test_many_points_are_drawn_as_means_of_cells():
    class Many(SmallTables):
        def columns(self, shown, names, limit=None):
            rng = np.random.default_rng(0)
            n = 6000
            z = rng.standard_normal((n, 8)).astype(np.float32)
            z[:, 0] *= 3
            table = {"id": np.arange(n), "z": z, "u": z, "r": z[:, 0], "g": np.ones(n)}
            zeros = {k: np.zeros(n) for k in ("b", "angle", "scale", "digit")}
            return {**table, **zeros}

    figure = map_pca(Many(), spaces=0).figure
    cells = figure.axes[0].images[0].get_array()
    middle = cells.astype(float).filled(np.nan)[18]  # a line through the middle, left to right
    known = middle[np.isfinite(middle)]
    assert abs(np.corrcoef(known, np.arange(len(known)))[0, 1]) > 0.95


def test_principal_components():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((500, 5)) * [1, 7, 1, 3, 1]).astype(np.float32)
    places = pca(x, 0)
    assert np.corrcoef(places[:, 0], x[:, 1])[0, 1] > 0.99
    assert np.corrcoef(places[:, 1], x[:, 3])[0, 1] > 0.99
    assert pca(x[:, :1], 0).shape == (500, 2)


def test_umap_is_repeatable():
    x = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    assert (umap(x, 3) == umap(x, 3)).all()
    assert (umap(x, 3) != umap(x, 4)).any()


def test_telling_an_object_what_is_known_of_it_changes_nothing():
    made = painter(("b",))
    rows = made.choose(6)
    _, reconstructed = made.reconstruct(rows)
    swapped = made.swap(rows, rows)
    own = swapped[np.arange(6), np.arange(6)]
    assert np.allclose(own, reconstructed, atol=1e-4)
    assert not np.allclose(swapped[0, 1], reconstructed[0], atol=1e-6)


def test_one_of_each_class_is_chosen():
    made = painter(())
    rows = made.choose(10)
    assert sorted(made.table["digit"][rows]) == list(range(10))
    assert (made.table["view"][rows] == 0).all()


def test_what_is_told_changes_the_picture():
    made = painter(("b",))
    scale = next(v for v in made.catalogue if v.name == "scale")
    values, pictures = made.vary(3, scale, 3)
    assert (np.diff(values) > 0).all()
    assert not np.allclose(pictures[0], pictures[2], atol=1e-6)


def test_a_dropped_variable_cannot_be_told():
    made = painter(("b",))
    b = next(v for v in made.catalogue if v.name == "b")
    _, pictures = made.vary(3, b, 3)
    assert np.allclose(pictures[0], pictures[2], atol=1e-6)


def test_reasons_name_detectors_columns_and_labels():
    data = dataset()
    table = data.table("test")
    table["scale"] = table["scale"].copy()
    table["scale"][0] = 1.9
    found = reasons(findings(None), table, data.catalogue, "test", 3)
    assert list(found["rank"]) == [1, 2, 3]
    assert set(found.loc[0, "detectors"].split(", ")) <= {"iforest", "ecod", "knn"}
    assert "scale 1.9 high" in found.loc[0, "odd_columns"]
    assert list(found["label"]) == ["anomaly", "normal", "grade 3"]
    assert list(found["row"]) == [0, 1, 2]


def test_reasons_of_another_split_have_no_row():
    data = dataset()
    found = reasons(findings(None), data.table("val"), data.catalogue, "val", 3)
    assert set(found["row"]) == {-1} and list(found["rank"]) == [1, 2, 3]
