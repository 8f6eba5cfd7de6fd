"""Make one page of what an experiment came to, with its figures; of several, side by side."""

__all__ = ["main"]

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from wwdc.commands import print_json, stage_parser
from wwdc.config import load_stage
from wwdc.products import Tree
from wwdc.report.settings import SECTIONS, Settings, read_figures
from wwdc.terminal import EXIT_FAILED, EXIT_OK, notice, run_cli
from wwdc.tune.plan import make_plan

if TYPE_CHECKING:
    from wwdc.report.make import Made

EPILOG = """\
examples:
  python -m wwdc.report experiments/digits_flow
  python -m wwdc.report experiments/digits_flow figures=quick
  python -m wwdc.report experiments/digits_flow figures.plots.map_umap=null figures.seed=1
  python -m wwdc.report experiments/digits_flow experiments/digits_masked   # side by side

The page is report/index.html in the experiment's tree; it needs no other file and no network.
What is missing is named on it with the command that makes it.

exit codes: 0 made, 1 a figure failed (the others are on the page), 2 a mistake (nothing started),
130 interrupted
"""

FLAGS = {
    "dry-run": "list sections and figures, draw nothing",
    "json": "print what was made as one JSON document",
    "fresh": "draw figures again whose inputs did not change",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point; returns its exit code."""
    options = stage_parser("report", __doc__, FLAGS, EPILOG).parse_intermixed_args(argv)
    return run_cli(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    folders = [options.experiment, *(Path(t) for t in options.overrides if _is_folder(t))]
    overrides = [text for text in options.overrides if not _is_folder(text)]
    reports = [_Report(folder, overrides, options) for folder in folders]
    if options.dry_run:
        return _dry(reports, options)
    codes = [report.run() for report in reports]
    documents = [report.document() for report in reports]
    document: dict[str, Any] = documents[0]
    if len(reports) > 1:
        from wwdc.report.compare import write_comparison

        path = write_comparison([(r.tables, r.made) for r in reports])
        document = {"reports": documents, "comparison": str(path)}
        reports[0].screen.print(f"Side by side: {path}", markup=False, soft_wrap=True)
    if options.json:
        print_json(document)
    return max(codes)


def _is_folder(text: str) -> bool:
    """Whether an argument is one more experiment: overrides have a sign of their own."""
    return "=" not in text and text[:1] not in ("~", "+")


class _Report:
    """The report of one experiment."""

    def __init__(self, folder: Path, overrides: Sequence[str], options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        staged = load_stage(folder, overrides, trust=options.trust)
        self.allow = tuple(staged.composed.allow)
        self.settings: Settings = read_figures(staged.composed)
        meta, root = staged.composed.meta, staged.composed.data_root
        self.tree = Tree(root, meta.data_name, meta.experiment_name)
        plan = make_plan(staged.training, self.tree)
        for text in dict.fromkeys((*staged.composed.notices, *plan.notices)):
            notice(text)
        from wwdc.report.make import check_figures  # matplotlib and pandas take a second
        from wwdc.report.tables import Tables

        with staged.composed.naming_files():
            check_figures(self.settings.plots, self.allow)
        self.tables: Tables = Tables(staged, plan, self.tree, self.settings)
        self.screen = Console(stderr=options.json, highlight=False)
        self.made: list[Made] = []
        self.written: list[Path] = []

    def run(self) -> int:
        """Draw, then write the page; returns the exit code."""
        from wwdc.report.make import make_figure
        from wwdc.report.write import write_maps, write_page

        place = self.tree.report / "figures"
        for plot in self.settings.plots:
            fresh = self.options.fresh
            made = make_figure(plot, self.tables, place, fresh=fresh, allow=self.allow)
            self.made.append(made)
            if made.status == "failed" or (made.status == "lacking" and not plot.optional):
                text = f"{made.status}: {plot.name}: {made.reason}"
                self.screen.print(text, markup=False, soft_wrap=True)
        self.written = write_maps(self.tables) if self.settings.map else []
        page = write_page(self.tables, self.made, self.folder)
        counts = {s: sum(m.status == s for m in self.made) for s in ("drawn", "kept", "failed")}
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        self.screen.print(f"{self.tree.name}: figures: {told or 'none'}", markup=False)
        self.screen.print(f"Report: {page}", markup=False, soft_wrap=True)
        return EXIT_FAILED if counts["failed"] else EXIT_OK

    def document(self) -> dict[str, Any]:
        """What ``--json`` prints of it."""
        rows = [
            {
                "name": made.plot.name,
                "section": made.plot.section,
                "status": made.status,
                "reason": made.reason or None,
                "files": [str(path) for path in made.files.values()],
            }
            for made in self.made
        ]
        page = str(self.tree.report / "index.html")
        maps = [str(path) for path in self.written]
        return {"experiment": self.tree.name, "page": page, "figures": rows, "maps": maps}


def _dry(reports: Sequence[_Report], options: argparse.Namespace) -> int:
    documents = []
    for report in reports:
        plots = report.settings.plots
        rows = [{"name": p.name, "section": p.section, "title": p.title} for p in plots]
        documents.append({"experiment": report.tree.name, "figures": rows})
        if options.json:
            continue
        table = Table(title=f"{report.tree.name}: {len(plots)} figures", box=SIMPLE)
        for name in ("section", "figure", "what"):
            table.add_column(name)
        for section, heading in SECTIONS.items():
            for number, plot in enumerate(p for p in plots if p.section == section):
                table.add_row(heading if not number else "", plot.name, plot.title)
        report.screen.print(table)
        report.screen.print("Nothing was drawn.")
    if options.json:
        print_json(documents[0] if len(documents) == 1 else {"reports": documents})
    return EXIT_OK


if __name__ == "__main__":
    raise SystemExit(main())
