"""Fetch and check an experiment's data, and write its catalogue and card."""

__all__ = ["main"]

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from wwdc.commands import stage_parser
from wwdc.terminal import EXIT_OK, notice, run_cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = stage_parser("prepare", __doc__, {}).parse_intermixed_args(argv)
    return run_cli(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from wwdc.config import load
    from wwdc.prepare.catalogue import prepare, read_card

    composed = load(arguments.experiment, arguments.overrides, trust=arguments.trust)
    for line in composed.notices:
        notice(line)
    path = prepare(composed, notice)
    _show(path, read_card(path))
    return EXIT_OK


def _show(path: Path, card: Mapping[str, Any]) -> None:
    """Rows and variables on standard output."""
    screen = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    counts = ", ".join(f"{split} {n['objects']:,}" for split, n in card["splits"].items())
    screen.print(
        f"{card['dataset']} {card['fingerprint']}: {counts} objects × {card['views']} views"
    )
    table = Table("variable", "kind", "width", "units", "range", "meaning", box=None)
    for variable in card["variables"]:
        span = variable["range"]
        table.add_row(
            variable["name"],
            variable["kind"],
            str(variable["width"]),
            variable["units"] or "",
            f"{span[0]:g} … {span[1]:g}" if span else "",
            variable["description"],
        )
    screen.print(table)
    screen.print(f"Catalogue: {path}", markup=False)


if __name__ == "__main__":
    raise SystemExit(main())
