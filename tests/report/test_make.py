"""Figures that are drawn, kept, lacking or failed, and wrong declarations of them."""

import hashlib
import json

import pandas as pd
import pytest

from wwdc.errors import ConfigError
from wwdc.report.drawn import Drawn, Lacking
from wwdc.report.make import FORMATS, check_figures, make_figure
from wwdc.report.settings import Plot, Settings
from wwdc.report.style import new_figure
from wwdc.report.tables import Tables

NODE = {"_target_": "wwdc.report.figures.training.seeds", "_partial_": True}


class Recorded(Tables):
    """Tables with one input, whose fingerprint a test sets."""

    def __init__(self) -> None:
        self.settings = Settings(())
        self._reads = {}
        self.now = "first"

    def fingerprint(self, name: str) -> str:
        return self.now

    @property
    def configurations(self) -> pd.DataFrame:
        self._read("points")
        return pd.DataFrame({"x": [1]})


@pytest.fixture
def tables() -> Recorded:
    return Recorded()


@pytest.fixture
def plan(monkeypatch):
    """A figure that counts how often it is drawn; *plan.draw* may be replaced."""

    class Draws:
        calls = 0

        def draw(self, tables):
            figure = new_figure(2, 1)
            figure.subplots().plot([1, 2])
            return Drawn(figure, tables.configurations, "a note")

    draws = Draws()

    def function(tables):
        draws.calls += 1
        return draws.draw(tables)

    monkeypatch.setattr("wwdc.report.make.instantiate", lambda *_, **__: function)
    return draws


def plot(**changes) -> Plot:
    return Plot("seeds", NODE | changes, "sweep", "Seeds")


def test_a_figure_is_written_with_its_numbers_and_a_record(tables, plan, tmp_path):
    made = make_figure(plot(), tables, tmp_path)
    assert made.status == "drawn" and made.shown and made.note == "a note"
    assert {p.name for p in tmp_path.iterdir()} == {f"seeds.{k}" for k in (*FORMATS, "json")}
    record = json.loads((tmp_path / "seeds.json").read_text())
    assert record["reads"] == {"points": "first"}
    for kind in FORMATS:
        data = made.files[kind].read_bytes()
        assert record["sha256"][kind] == hashlib.sha256(data).hexdigest()


def test_it_is_kept_while_nothing_changes(tables, plan, tmp_path):
    first = make_figure(plot(), tables, tmp_path)
    again = make_figure(plot(), tables, tmp_path)
    assert again.status == "kept" and plan.calls == 1
    assert (again.note, again.files) == (first.note, first.files)


@pytest.mark.parametrize("change", ["input", "settings", "fresh", "file", "record"])
def test_it_is_drawn_again_when_something_changed(tables, plan, tmp_path, change):
    make_figure(plot(), tables, tmp_path)
    chosen = plot()
    match change:
        case "input":
            tables.now = "second"
        case "settings":
            chosen = plot(metrics=["val_loss"])
        case "file":
            (tmp_path / "seeds.png").write_bytes(b"edited")
        case "record":
            (tmp_path / "seeds.json").write_text("{")
    made = make_figure(chosen, tables, tmp_path, fresh=change == "fresh")
    assert made.status == "drawn" and plan.calls == 2


def test_what_is_lacking_names_the_command(tables, plan, tmp_path):
    def lacking(_):
        raise Lacking("nothing is embedded", "embed", "splits=[test]")

    plan.draw = lacking
    made = make_figure(plot(), tables, tmp_path)
    assert (made.status, made.stage, made.overrides) == ("lacking", "embed", "splits=[test]")
    assert not made.shown and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (ValueError("no rows"), "ValueError: no rows"),
        (3, "it gave int"),
        (None, "it gave NoneType"),
    ],
)
def test_a_figure_that_fails_is_named(tables, plan, tmp_path, result, words):
    def fail(_):
        if isinstance(result, Exception):
            raise result
        return result

    plan.draw = fail
    made = make_figure(plot(), tables, tmp_path)
    assert made.status == "failed" and words in made.reason
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (
            {"_target_": "wwdc.report.figures.training.seed", "_partial_": True},
            "Did you mean 'seeds'",
        ),
        ({"_target_": "wwdc.report.page.page", "_partial_": True}, "not on the list"),
        ({"_target_": "os.system", "_partial_": True}, "not on the list"),
        ({**NODE, "number": 3}, "unknown argument 'number'"),
        ({"_target_": "wwdc.report.figures.training.seeds"}, "_partial_: true"),
    ],
)
def test_mistakes(node, words):
    with pytest.raises(ConfigError, match=r"figures\.plots\.seeds\.figure") as caught:
        check_figures([Plot("seeds", node, "sweep", "Seeds")])
    assert words in str(caught.value)
