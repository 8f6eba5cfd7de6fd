"""What the figures share: colours everybody can tell apart, short names, SVG and PNG."""

__all__ = [
    "ACCENT",
    "COLOURS",
    "GREY",
    "INK",
    "PAPER",
    "better",
    "colour_of",
    "drawing_style",
    "grid_of",
    "new_figure",
    "render",
    "short_names",
    "tidy",
]

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#222222"
GREY = "#9a9a9a"
ACCENT = "#D55E00"
"""Vermilion of the palette of Okabe and Ito, https://jfly.uni-koeln.de/color/."""

COLOURS = (
    *("#0072B2", ACCENT, "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#332288", "#882255", "#999933"),
)
"""The same palette, in the order to use, and three of Tol's muted one."""

PAPER = "#ffffff"

_STYLE: Any = {
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "font.size": 9.0,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}

_DOTS = {"svg": 130, "png": 200}
_METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "png": {"Software": None}}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of *width* × *height* [inch] that needs no display and no pyplot."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def drawing_style() -> AbstractContextManager[None]:
    """Inside a ``with``, matplotlib writes all text in `INK`, whatever the user's own settings."""
    return matplotlib.rc_context(_STYLE)


def tidy(axes: Axes) -> None:
    """Keep the two axis lines that carry numbers, in quiet colours."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=9)


def render(figure: Figure, kind: str) -> bytes:
    """The figure as a file of *kind*, the same every time.

    Args:
        kind: ``svg``, in which dots of large clouds have 130 to the inch, or ``png``, 200.
    """
    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "wwdc"}):
        figure.savefig(stream, format=kind, dpi=_DOTS[kind], metadata=_METADATA[kind])
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


def grid_of(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """A figure of *rows* × *columns* panels, each *width* × *height* [inch], and its axes."""
    figure = new_figure(width * columns, height * rows)
    return figure, figure.subplots(rows, columns, squeeze=False)


def colour_of(names: Sequence[str], name: str) -> str:
    """The colour of one of *names*, the same all over a page; grey where colours have run out."""
    return COLOURS[list(names).index(name)] if name in names[: len(COLOURS)] else GREY
