"""The report as one HTML file that needs no other file and no network."""

__all__ = ["Card", "Tone", "cards", "escape", "figure", "lacking", "page", "picture", "table"]

import base64
import html
import io
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wwdc.report.look import CSS, JS, SVG_THEME
from wwdc.report.make import Made
from wwdc.report.style import INK, PAPER

MOST_SVG = 300_000
"""Bytes of a figure that is embedded as SVG; a larger one is embedded as an image."""

_FULL = 9.5 * 72
"""Width of a figure that fills the page [pt]."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""Of the page: it may load nothing."""


Tone = Literal["", "good", "bad"]


@dataclass(frozen=True)
class Card:
    """A figure in a few digits, with what it says."""

    value: str
    text: str
    tone: Tone = ""


def escape(text: object) -> str:
    """Text as HTML."""
    return html.escape(str(text))


def page(title: str, lead: str, sections: Sequence[tuple[str, str, str]], footer: str) -> str:
    """The whole file.

    Args:
        title: of the page, as text; *lead* and *footer* too.
        sections: name, title and HTML of each; empty ones are left out.
    """
    there = [(name, heading, body) for name, heading, body in sections if body]
    links = "".join(f'<li><a href="#{n}">{escape(h)}</a></li>' for n, h, _ in there)
    bodies = "".join(
        f'<section id="{n}"><h2>{escape(h)}</h2>{body}</section>' for n, h, body in there
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head><body>"
        f'<header><div><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p></div></header>'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav><main>{bodies}'
        f"<footer>{escape(footer)}</footer></main><script>{JS}</script></body></html>\n"
    )


def cards(items: Iterable[Card]) -> str:
    """A row of cards."""
    found = "".join(
        f'<li class="{card.tone}"><strong>{escape(card.value)}</strong>{escape(card.text)}</li>'
        for card in items
    )
    return f'<ul class="cards">{found}</ul>'


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[int] = ()) -> str:
    """A table of texts; a cell may be a pair of its text and its ``title``.

    Args:
        numbers: columns that are aligned to the right.
    """

    def cell(place: int, value: Any) -> str:
        text, title = value if isinstance(value, tuple) else (value, "")
        mark = ' class="number"' if place in numbers else ""
        told = f' title="{escape(title)}"' if title else ""
        body = f'<span class="code">{escape(text)}</span>' if title else escape(text)
        tag = "th" if place == 0 else "td"
        scope = ' scope="row"' if place == 0 else ""
        return f"<{tag}{scope}{mark}{told}>{body}</{tag}>"

    head = "".join(
        f'<th scope="col"{" class=number" if i in numbers else ""}>{escape(name)}</th>'
        for i, name in enumerate(header)
    )
    lines = ("".join(cell(i, value) for i, value in enumerate(row)) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{whole}</div>'


def figure(made: Made, folder: str = "figures") -> str:
    """A figure with its caption and links to its files.

    Args:
        folder: of the files, from the page.
    """
    name = made.plot.name
    links = "".join(
        f'<a href="{escape(folder)}/{name}.{kind}">{kind.upper()}</a>' for kind in made.files
    )
    note = f'<span class="note">{escape(made.note)}</span>' if made.note else ""
    return (
        f'<figure id="{name}"><h3>{escape(made.plot.title)}</h3>'
        f'<a class="look" href="{escape(folder)}/{name}.svg">{picture(made)}</a>'
        f"<figcaption>{escape(made.plot.caption)}{note}"
        f'<span class="files">{links}</span></figcaption></figure>'
    )


def lacking(made: Made, experiment: Path) -> str:
    """A line that says why a figure is not there, and which command makes what it needs."""
    if made.status == "failed":
        text = f"{escape(made.plot.title)} could not be drawn: {escape(made.reason)}"
        return f'<p class="lacking failed">{text}</p>'
    command = ""
    if made.stage:
        line = shlex.join(["python", "-m", f"wwdc.{made.stage}", str(experiment)])
        told = f"{line} {made.overrides}".strip()
        command = f" Run <code>{escape(told)}</code>"
    return f'<p class="lacking">{escape(made.plot.title)}: {escape(made.reason)}.{command}</p>'


def picture(made: Made) -> str:
    """The image of a figure, as wide as it was drawn: the widest fill the page."""
    svg = made.files["svg"].read_text()
    source, kind = _embedded(svg, made.files["png"])
    share = min(1.0, float(svg[svg.index('width="') + 7 :].partition("pt")[0]) / _FULL)
    return (
        f'<img class="{kind}" src="{source}" alt="{escape(made.plot.title)}" '
        f'style="max-width:{share:.0%}">'
    )


def _embedded(svg: str, png: Path) -> tuple[str, str]:
    """A figure as a ``data:`` address, and ``vector`` or ``raster``.

    Text and ground of an SVG follow the page's colours. A large one is embedded as WebP or PNG,
    whichever is smaller.
    """
    if len(svg) <= MOST_SVG:
        return _address(_themed(svg).encode(), "svg+xml"), "vector"
    data = png.read_bytes()
    smaller = _webp(data)
    if len(smaller) < len(data):
        return _address(smaller, "webp"), "raster"
    return _address(data, "png"), "raster"


def _themed(svg: str) -> str:
    """The same figure with the page's colours of text and ground, light or dark."""
    svg = svg[svg.index("<svg") :]
    for colour, name in ((INK, "ink"), (PAPER, "paper")):
        svg = svg.replace(f": {colour}", f": var(--{name})")
    return svg.replace("</style>", f"{SVG_THEME}</style>", 1)


def _webp(png: bytes) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(stream, "WEBP", quality=82, method=4)
    return stream.getvalue()


def _address(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
