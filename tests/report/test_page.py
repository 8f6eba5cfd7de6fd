"""The page: it needs nothing beside itself, and says what is missing."""

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from wwdc.report.drawn import Drawn
from wwdc.report.look import CSS, SVG_THEME
from wwdc.report.make import Made
from wwdc.report.page import MOST_SVG, Card, cards, figure, lacking, page, picture, table
from wwdc.report.settings import Plot
from wwdc.report.style import drawing_style, new_figure, render

PLOT = Plot("seeds", {}, "sweep", "Seeds & <more>", "Look at it.")


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """A small figure on disk."""
    return on_disk(tmp_path, [1, 2, 3])


def on_disk(folder: Path, values: list[float], width: float = 9.5) -> Made:
    with drawing_style():
        drawing = new_figure(width, 2)
        axes = drawing.subplots()
        axes.plot(values, rasterized=False)
        axes.set_title("a title")
        Drawn(drawing, None)
        files = {"svg": folder / "seeds.svg", "png": folder / "seeds.png"}
        for kind, path in files.items():
            path.write_bytes(render(drawing, kind))
    return Made(PLOT, "drawn", "three <points>", files=files)


def loaded(html: str) -> list[str]:
    """What a browser would fetch to show the page."""
    found = re.findall(r'(?:src|srcset|data-src|poster)\s*=\s*"([^"]*)"', html)
    found += re.findall(r'<link[^>]*href="([^"]*)"', html)
    return found + re.findall(r"(?:url\(|@import\s+)['\"]?([^'\")]+)", html)


def test_the_page_loads_nothing(made):
    html = page("T", "lead", [("a", "A", figure(made))], "foot")
    assert all(source.startswith("data:") for source in loaded(html))
    assert "default-src &#x27;none&#x27;" in html
    assert not re.search(r"https?://", html)


def test_texts_are_escaped(made):
    html = page("<b>T", "l<i>", [("a", "<u>A", figure(made))], "f<s>")
    for tag in ("<b>", "<i>", "<u>", "<s>", "<more>", "<points>"):
        assert tag not in html
    assert "Seeds &amp; &lt;more&gt;" in html


def test_empty_sections_are_left_out():
    html = page("T", "lead", [("a", "A", "text"), ("b", "B", "")], "foot")
    assert 'id="a"' in html and 'id="b"' not in html and 'href="#b"' not in html


def test_text_of_a_figure_follows_the_page(made):
    source = re.search(r'src="data:image/svg\+xml;base64,([^"]*)"', picture(made))
    svg = base64.b64decode(source[1]).decode()
    assert SVG_THEME in svg and "var(--ink)" in svg and "var(--paper)" in svg
    assert "#222222" not in svg.replace(SVG_THEME, "")
    assert "var(--ink)" not in made.files["svg"].read_text()


def test_a_large_figure_is_an_image(tmp_path):
    made = on_disk(tmp_path, list(np.random.default_rng(0).normal(size=40_000)))
    assert made.files["svg"].stat().st_size > MOST_SVG
    html = picture(made)
    assert 'class="raster"' in html and "image/svg" not in html
    assert len(html) < 2 * made.files["png"].stat().st_size


def test_a_figure_is_as_wide_as_it_was_drawn(made, tmp_path):
    assert "max-width:100%" in picture(made)
    assert "max-width:50%" in picture(on_disk(tmp_path, [1, 2], width=4.75))


def test_what_is_lacking_and_what_failed():
    missing = Made(PLOT, "lacking", "", "nothing is embedded", "embed", "splits=[test]")
    html = lacking(missing, Path("experiments/a b"))
    assert "<code>python -m wwdc.embed &#x27;experiments/a b&#x27; splits=[test]</code>" in html
    failed = lacking(Made(PLOT, "failed", "", "ValueError: <x>"), Path("e"))
    assert "could not be drawn: ValueError: &lt;x&gt;" in failed


def test_tables_and_cards():
    html = table(("a", "b"), [("<x>", ("abc", "abcdef"))], (1,))
    assert "&lt;x&gt;" in html and 'title="abcdef"' in html and 'class="number"' in html
    assert '<li class="bad"><strong>3</strong>leak</li>' in cards([Card("3", "leak", "bad")])


def test_light_and_dark():
    assert "prefers-color-scheme:dark" in CSS and "@media print" in CSS
