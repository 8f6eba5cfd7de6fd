"""The ``figures`` group: shipped files, overrides and mistakes."""

import pytest

from tests.conftest import vae_experiment
from wwdc.config import load_stage
from wwdc.errors import ConfigError
from wwdc.report.make import check_figures
from wwdc.report.settings import SECTIONS, read_figures
from wwdc.tune.plan import make_plan


@pytest.fixture
def folder(tmp_path, data_root):
    return vae_experiment(tmp_path)


def read(folder, *overrides):
    return read_figures(load_stage(folder, overrides).composed)


def test_the_default_has_figures_in_every_drawn_section(folder):
    settings = read(folder)
    assert {plot.section for plot in settings.plots} == set(SECTIONS) - {"asked", "products"}
    check_figures(settings.plots)


def test_quick_is_a_part_of_it(folder):
    quick = {plot.name for plot in read(folder, "figures=quick").plots}
    assert quick < {plot.name for plot in read(folder).plots} and "map_umap" not in quick


def test_null_leaves_a_figure_out(folder):
    names = [plot.name for plot in read(folder, "figures.plots.seeds=null").plots]
    assert "seeds" not in names and "training_curves" in names


def test_a_figure_of_ones_own(folder):
    text = (folder / "embed.yaml").read_text()
    own = "{figure: {_target_: wwdc.report.figures.training.seeds, _partial_: true}, "
    own += "section: left, title: Again, caption: Look.}"
    (folder / "embed.yaml").write_text(f"{text}\nfigures:\n  plots:\n    again: {own}\n")
    found = next(plot for plot in read(folder).plots if plot.name == "again")
    assert (found.section, found.title, found.optional) == ("left", "Again", False)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("figures.seeds=3", "Did you mean"),
        ("figures.plots.seeds.section=swep", "Did you mean 'sweep'"),
        ("+figures.plots.seeds.titel=x", "Did you mean 'title'"),
        ("figures.seed=-1", "greater than or equal to 0"),
        ("figures.rows=0", "greater than 0"),
        ("figures=quik", "Did you mean 'quick'"),
        ("figures.plots.seeds.figure._target_=os.system", "not on the list"),
    ],
)
def test_mistakes(folder, override, words):
    with pytest.raises(ConfigError) as caught:
        read(folder, override)
    assert words in str(caught.value)


def test_figures_change_no_point(folder, tree):
    plans = [
        make_plan(load_stage(folder, overrides).training, tree)
        for overrides in ((), ("figures=quick", "figures.seed=4"))
    ]
    assert [p.point_id for p in plans[0].points] == [p.point_id for p in plans[1].points]
