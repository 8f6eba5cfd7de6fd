"""What the terminal shows while a sweep runs: a live table, or a line an event."""

__all__ = ["Progress", "plan_table", "search_table"]

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from wwdc.terminal import counted
from wwdc.tune.plan import Plan
from wwdc.tune.points import Point, short

STYLES = {
    "done": "green",
    "stopped": "green",
    "running": "cyan",
    "failed": "red",
    "partial": "yellow",
    "paused": "yellow",
    "blocked": "yellow",
    "waiting": "dim",
    "unstarted": "dim",
}
MAX_ROWS = 40


def plan_table(plan: Plan) -> Table:
    """Every point: its sweep, the values that differ between points, its status."""
    keys = list(dict.fromkeys(key for point in plan.points for key in point.overrides))
    named = any(point.sweep for point in plan.points)
    with_job = any(point.status in ("done", "stopped") for point in plan.points)
    table = Table(
        title=f"{plan.experiment}: {counted(len(plan.points), 'point')}",
        title_justify="left",
        box=SIMPLE,
    )
    table.add_column("#", justify="right")
    for name in ["point", *(["sweep"] if named else []), *map(_leaf, keys), "status"]:
        table.add_column(name, overflow="fold")
    if with_job:
        table.add_column("product", overflow="fold")
    for point in plan.points:
        cells = [point.point_id, *([point.sweep or "–"] if named else [])]
        cells += [_value(point.overrides[key]) if key in point.overrides else "" for key in keys]
        status = Text(point.status, style=STYLES.get(point.status, ""))
        product = [Text(point.detail)] if with_job and point.status in ("done", "stopped") else []
        table.add_row(str(point.job_num), *map(Text, cells), status, *product)
    return table


def search_table(plan: Plan) -> Table:
    """The axes that are searched, each with its domain and condition."""
    axes = plan.axes.searched if plan.axes else ()
    table = Table(title="searched", title_justify="left", box=SIMPLE)
    columns = ["param", "space"]
    columns += ["when"] if any(axis.when for axis in axes) else []
    columns += ["description"] if any(axis.description for axis in axes) else []
    widest = max((len(axis.text) for axis in axes), default=0)
    for name in columns:
        least = min(widest, 24) if name == "space" else None
        table.add_column(name, overflow="fold", min_width=least)
    for axis in axes:
        cells = {"param": axis.key, "space": axis.text, "description": axis.description}
        cells["when"] = axis.when.text if axis.when else ""
        table.add_row(*(Text(cells[name]) for name in columns))
    return table


@dataclass
class _Row:
    point: Point
    state: str
    epoch: str = ""
    metric: float | None = None
    started: float | None = None
    ended: float | None = None
    shown: float = field(default=-1.0)


class Progress:
    """Follows the points of one run.

    Args:
        plan: all points; those not left are shown as they are.
        metric: the metric to show.
        console: on a terminal a live table, otherwise a line an event.
    """

    def __init__(self, plan: Plan, metric: str, console: Console) -> None:
        self.metric = metric
        self.console = console
        self.rows: dict[str, _Row] = {}
        self.open = 0
        self.follow(plan)
        self.title = plan.experiment
        self.live = Live(console=console, get_renderable=self._table, refresh_per_second=2)
        self.began = time.monotonic()

    def __enter__(self) -> "Progress":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def follow(self, plan: Plan) -> None:
        """Show points that the plan has by now, and how many will still come."""
        left = {point.point_id for point in plan.left}
        for point in plan.points:
            state = "waiting" if point.point_id in left else point.status
            self.rows.setdefault(point.point_id, _Row(point, state))
        self.open = plan.open

    def add(self, point: Point) -> None:
        """Show a point that a searcher chose."""
        if point.point_id not in self.rows:
            self.rows[point.point_id] = _Row(point, "waiting")
            self.open = max(0, self.open - 1)

    def event(self, point_id: str, state: str, result: Mapping[str, Any] | None = None) -> None:
        """Note that a point started, reported, finished or failed."""
        row = self.rows[point_id]
        changed = row.state != state
        row.state = state
        if state == "running" and row.started is None:
            row.started = time.monotonic()
        if state in ("done", "failed", "stopped"):
            row.ended = time.monotonic()
        if result and result.get("epoch") is not None:
            row.epoch = _epochs(row.point, int(result["epoch"]))
        if result and result.get(self.metric) is not None:
            row.metric = float(result[self.metric])
        if not self.console.is_terminal:
            self._line(row, changed)

    def _line(self, row: _Row, changed: bool) -> None:
        now = time.monotonic()
        if not changed and now - row.shown < 30:
            return
        row.shown = now
        parts = [f"[{now - self.began:6.0f} s]", row.state.ljust(8), f"#{row.point.job_num}"]
        parts += [row.point.label, f"epoch {row.epoch}" if row.epoch else "", self._metric(row)]
        self.console.print(" ".join(part for part in parts if part), markup=False, soft_wrap=True)

    def _metric(self, row: _Row) -> str:
        return f"{self.metric} {row.metric:.5g}" if row.metric is not None else ""

    def _table(self) -> Table:
        rows = list(self.rows.values())
        finished = sum(row.state in ("done", "stopped") for row in rows)
        title = f"{self.title}: {finished} of {len(rows) + self.open} done{self._eta(rows)}"
        table = Table(title=title, title_justify="left", box=SIMPLE)
        for name in ("#", "point", "state", "epoch", self.metric, "time"):
            table.add_column(name, justify="left" if name in ("point", "state") else "right")
        active = [row for row in rows if row.state in ("running", "failed")]
        others = [row for row in rows if row.state not in ("running", "failed")]
        shown = sorted((active + others)[:MAX_ROWS], key=lambda row: row.point.job_num)
        for row in shown:
            value = f"{row.metric:.5g}" if row.metric is not None else ""
            state = Text(row.state, style=STYLES.get(row.state, ""))
            number = str(row.point.job_num)
            table.add_row(number, Text(row.point.label), state, row.epoch, value, _clock(row))
        if len(shown) < len(rows):
            table.caption = f"{len(rows) - len(shown)} more"
        return table

    def _eta(self, rows: list[_Row]) -> str:
        times = [row.ended - row.started for row in rows if row.ended and row.started]
        running = sum(row.state == "running" for row in rows)
        waiting = sum(row.state == "waiting" for row in rows) + self.open
        if not times or not running:
            return ""
        seconds = sum(times) / len(times) * (waiting / running + 0.5)
        return f", about {_minutes(seconds)} left"


def _epochs(point: Point, epoch: int) -> str:
    total = point.config["trainer"].get("max_epochs")
    return f"{epoch}/{total}" if total else str(epoch)


def _clock(row: _Row) -> str:
    if row.started is None:
        return ""
    return f"{(row.ended or time.monotonic()) - row.started:.0f} s"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _leaf(key: str) -> str:
    return key.rsplit(".", 1)[-1]


def _value(value: Any) -> str:
    return short(value)
