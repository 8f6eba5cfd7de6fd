"""What the terminal says of a suite: a table of verdicts over seeds, and what the controls saw."""

__all__ = ["show_tables", "two_digits"]

from collections.abc import Iterator
from typing import Any

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wwdc.stats.evaluate import Tables
from wwdc.stats.settings import Suite

STYLES = {
    "removed": "green",
    "present": "blue",
    "leaks": "bold red",
    "undecided": "yellow",
    "not tested": "dim",
}
MOST_REASONS = 12

_CELL = 9
"""Letters of a cell: undecided, or an interval below 0."""


def show_tables(tables: Tables, suite: Suite, screen: Console) -> None:
    """Print verdicts by sweep and variable, what controls saw, and why verdicts are open."""
    if tables.fault:
        screen.print(Text(f"No verdicts: {tables.fault}.", style="bold red"), soft_wrap=True)
    for space, found in tables.summary.groupby("space", sort=False):
        for variables in _side_by_side(found, screen.width):
            screen.print(_grid(found, tables.verdicts, str(space), variables))
    screen.print(Text(_legend(suite), style="dim"))
    for line in _reasons(tables):
        screen.print(line, markup=False, soft_wrap=True)


def _side_by_side(summary: pd.DataFrame, width: int) -> Iterator[list[str]]:
    """As many variables at a time as *width* columns hold, beside the names of sweeps."""
    variables = list(dict.fromkeys(summary["variable"]))
    sweeps = max(len(_name(row)) for row in summary.to_dict("records"))
    column = max(_CELL, *map(len, variables)) + 2
    count = max(1, (width - sweeps - 3) // column)
    for first in range(0, len(variables), count):
        yield variables[first : first + count]


def _legend(suite: Suite) -> str:
    margin = suite.margin
    return (
        "Under each verdict the effect, by the strongest probe: R² of a number, skill of a class "
        f"(0 is guessing, 1 always right); mean over seeds, then the widest {suite.level:.0%} "
        "interval of one. † dropped: the flow was not told. "
        f"Margin {margin.number:g} for numbers, {margin.class_:g} for classes. "
        "Controls: z, the raw latents; normal, random numbers; shuffled, labels of others."
    )


def _grid(summary: pd.DataFrame, verdicts: pd.DataFrame, space: str, variables: list[str]) -> Table:
    counts = sorted(set(summary["seeds"]))
    seeds = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    title = f"What is left in {space}: verdicts over {seeds} {'seed' if seeds == '1' else 'seeds'}"
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("sweep", overflow="fold")
    for name in variables:
        table.add_column(name, justify="center", no_wrap=True)
    for _, group in summary.groupby(["config_id", "sweep"], sort=False, dropna=False):
        records = group.to_dict("records")
        cells = {row["variable"]: _cell(row) for row in records}
        table.add_row(_name(records[0]), *(cells.get(v, Text()) for v in variables))
    table.add_section()
    controls = verdicts[verdicts["point_id"].isna()]
    for control, group in controls.groupby("space", sort=False):
        effects = group.groupby("variable")["effect"].mean()
        texts = [two_digits(effects[v]) if pd.notna(effects.get(v)) else "" for v in variables]
        table.add_row(*(Text(text, style="dim") for text in (str(control), *texts)))
    return table


def _name(row: dict[Any, Any]) -> str:
    return str(row["config_id"] if pd.isna(row["sweep"]) else row["sweep"])


def _cell(row: dict[Any, Any]) -> Text:
    verdict = str(row["verdict"])
    text = Text(verdict, style=STYLES.get(verdict, ""))
    if pd.notna(row["effect"]):
        mark = "† " if row["conditioned"] is False else ""
        span = f"{two_digits(row['ci_low'])}–{two_digits(row['ci_high'])}"
        text.append(f"\n{mark}{two_digits(row['effect'])}\n{span}", style="dim")
    return text


def two_digits(value: Any) -> str:
    """Two digits, without the zero before the point; a dash for NaN.

    >>> two_digits(0.871), two_digits(-0.009), two_digits(float("nan"))
    ('.87', '−.01', '–')
    """
    if pd.isna(value):
        return "–"
    text = f"{abs(value):.2f}"
    sign = "−" if value < 0 and float(text) else ""
    return sign + (text[1:] if text.startswith("0") else text)


def _reasons(tables: Tables) -> Iterator[str]:
    lost = tables.verdicts[tables.verdicts["variable"] == ""]
    for row in lost.to_dict("records"):
        yield f"not tested: {row['reason']}"
    if tables.fault:
        return
    explained = tables.summary[tables.summary["reason"] != ""].to_dict("records")
    for row in explained[:MOST_REASONS]:
        place = f"{_name(row)}, {row['variable']} in {row['space']}"
        yield f"{row['verdict']}: {place}: {row['reason']}"
    if len(explained) > MOST_REASONS:
        yield f"and {len(explained) - MOST_REASONS} more: see summary.csv"
