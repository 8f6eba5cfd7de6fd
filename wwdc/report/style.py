"""What the figures share: colours everybody can tell apart, short names, SVG and PNG."""

__all__ = [
    "ACCENT",
    "COLOURS",
    "GREY",
    "INK",
    "better",
    "new_figure",
    "render",
    "short_names",
    "tidy",
]

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#222222"
GREY = "#9a9a9a"
ACCENT = "#D55E00"
"""Vermilion of the palette of Okabe and Ito, https://jfly.uni-koeln.de/color/."""

COLOURS = ("#0072B2", ACCENT, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""The same palette, in the order to use."""

_METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "png": {"Software": None}}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of *width* × *height* [inch] that needs no display and no pyplot."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def tidy(axes: Axes) -> None:
    """Keep the two axis lines that carry numbers, in quiet colours."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=9)


def render(figure: Figure, kind: str) -> bytes:
    """The figure as a file of *kind* ``svg`` or ``png`` (200 dots an inch), the same every time."""
    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "wwdc"}):
        figure.savefig(stream, format=kind, dpi=200, metadata=_METADATA[kind])
    return stream.getvalue()


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The shortest endings of dotted *keys* that still tell them apart.

    >>> short_names(["lightning_loader.lr", "lightning_loader.vae.width", "a.flow.width"])
    {'lightning_loader.lr': 'lr', 'lightning_loader.vae.width': 'vae.width', 'a.flow.width': \
'flow.width'}
    """
    names = {}
    for key in keys:
        parts = key.split(".")
        endings = (".".join(parts[-count:]) for count in range(1, len(parts) + 1))
        others = [f".{other}" for other in keys if other != key]
        told = (e for e in endings if not e.startswith("_"))  # _target_ alone says nothing
        free = (e for e in told if not any(o.endswith(f".{e}") for o in others))
        names[key] = next(free, key)
    return names


def better(mode: str) -> str:
    """What to call the good end of a metric's axis."""
    return "lower is better" if mode == "min" else "higher is better"
