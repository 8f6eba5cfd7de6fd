"""The page and the map files of an experiment on disk."""

__all__ = ["write_maps", "write_page"]

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from wwdc import __version__
from wwdc.products import atomic_write, now
from wwdc.report.atlas import write_map
from wwdc.report.drawn import Lacking
from wwdc.report.make import Made
from wwdc.report.page import figure, lacking, page
from wwdc.report.sections import asked, configuration_table, gallery_table, products_table
from wwdc.report.settings import SECTIONS
from wwdc.report.tables import Tables

PAGE = "index.html"


def write_page(tables: Tables, made: Sequence[Made], experiment: Path) -> Path:
    """Write ``report/index.html``; figures that are not there are told with their reason.

    Args:
        experiment: the folder, as it was given: for the commands that the page names.

    Raises:
        ProductError: it cannot be written.
    """
    texts: Mapping[str, Callable[[Tables], str]] = {
        "asked": asked,
        "sweep": configuration_table,
        "products": products_table,
    }
    sections = []
    for name, heading in SECTIONS.items():
        body = texts[name](tables) if name in texts else ""
        own = [m for m in made if m.plot.section == name]
        body += "".join(_figure(each, experiment) for each in own)
        sections.append((name, heading, body))
    meta = tables.staged.composed.meta
    title = f"{meta.data_name} / {meta.experiment_name}"
    lead = "What was removed, what is left, and what is odd in it"
    footer = f"Made by wwdc {__version__}, {now()[:16].replace('T', ' ')} UTC."
    path = tables.tree.report / PAGE
    atomic_write(path, page(title, lead, sections, footer))
    return path


def write_maps(tables: Tables) -> list[Path]:
    """Write ``report/map`` for each point shown; what is not embedded has none."""
    written = []
    try:
        shown = tables.shown
    except Lacking:
        return []
    for point in shown:
        try:
            written.append(write_map(tables, point, tables.tree.report / "map"))
        except Lacking:
            continue
    return written


def _figure(made: Made, experiment: Path) -> str:
    if made.shown:
        more = gallery_table(made.files["csv"]) if made.plot.name == "gallery" else ""
        return figure(made) + more
    if made.status == "lacking" and made.plot.optional:
        return ""
    return lacking(made, experiment)
