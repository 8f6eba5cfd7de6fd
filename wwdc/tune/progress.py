"""What the terminal shows while a sweep runs: a live table, or a line an event."""

__all__ = ["Progress", "plan_table"]

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from wwdc.tune.points import Plan, Point

STYLES = {
    "done": "green",
    "stopped": "green",
    "running": "cyan",
    "failed": "red",
    "partial": "yellow",
    "blocked": "yellow",
    "waiting": "dim",
}
MAX_ROWS = 40


def plan_table(plan: Plan) -> Table:
    """Every point: its sweep, the values that differ between points, its status."""
    keys = list(dict.fromkeys(key for point in plan.points for key in point.overrides))
    named = any(point.sweep for point in plan.points)
    with_job = any(point.status in ("done", "stopped") for point in plan.points)
    table = Table(
        title=f"{plan.experiment}: {_points(len(plan.points))}", title_justify="left", box=SIMPLE
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


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count} points"


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
        max_epochs: point_id → epochs planned.
        console: on a terminal a live table, otherwise a line an event.
    """

    def __init__(
        self, plan: Plan, metric: str, max_epochs: Mapping[str, int | None], console: Console
    ) -> None:
        left = {point.point_id for point in plan.left}
        self.metric = metric
        self.console = console
        self.max_epochs = max_epochs
        self.rows = {
            point.point_id: _Row(point, "waiting" if point.point_id in left else point.status)
            for point in plan.points
        }
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
            row.epoch = self._epochs(point_id, int(result["epoch"]))
        if result and result.get(self.metric) is not None:
            row.metric = float(result[self.metric])
        if not self.console.is_terminal:
            self._line(row, changed)

    def _epochs(self, point_id: str, epoch: int) -> str:
        total = self.max_epochs.get(point_id)
        return f"{epoch}/{total}" if total else str(epoch)

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
        title = f"{self.title}: {finished} of {len(rows)} done{self._eta(rows)}"
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
        waiting = sum(row.state == "waiting" for row in rows)
        if not times or not running:
            return ""
        seconds = sum(times) / len(times) * (waiting / running + 0.5)
        return f", about {_minutes(seconds)} left"


def _clock(row: _Row) -> str:
    if row.started is None:
        return ""
    return f"{(row.ended or time.monotonic()) - row.started:.0f} s"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _leaf(key: str) -> str:
    return key.rsplit(".", 1)[-1]


def _value(value: Any) -> str:
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list) else str(value)
