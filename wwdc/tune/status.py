"""How far every point of a plan is, read from the product tree alone: no run is asked."""

__all__ = [
    "Objective",
    "StatusRow",
    "show_status",
    "status_counts",
    "status_json",
    "status_lines",
    "status_reasons",
    "status_rows",
    "status_table",
]

import csv
import json
import math
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wwdc.products import Info, Tree, holder
from wwdc.products.claims import CLAIM
from wwdc.training.names import metrics_of
from wwdc.tune.plan import Plan
from wwdc.tune.points import Point
from wwdc.tune.progress import STYLES

_FINISHED = ("done", "stopped")
_LISTED = 5


@dataclass(frozen=True)
class Objective:
    """An objective's value at the last epoch that has one, and the best so far.

    Of a finished point ``best`` is the value of what was published.
    """

    last: float | None
    best: float | None


@dataclass(frozen=True)
class StatusRow:
    """How far a point is.

    Attributes:
        label: what differs from the other points.
        epochs: trained so far; of a running point at least so many, since its metrics are
            written when it saves a checkpoint.
        max_epochs: planned; None without an end.
        objectives: metric → its values.
        job: names the products of a finished point.
        host, pid: of the process that trains it.
        heartbeat_s: seconds since that process last said that it lives.
        finished: when a finished or failed point ended, UTC.
        reason: why it failed or is blocked, one line.
        traceback: the file that holds it.
    """

    job_num: int
    point_id: str
    label: str
    status: str
    epochs: int | None
    max_epochs: int | None
    objectives: dict[str, Objective]
    job: str | None = None
    host: str | None = None
    pid: int | None = None
    heartbeat_s: float | None = None
    finished: str | None = None
    reason: str | None = None
    traceback: str | None = None


def status_rows(plan: Plan, tree: Tree) -> list[StatusRow]:
    """Where each point of *plan* is. Costs a small file or two a point.

    Raises:
        ProductError: an info file or a claim cannot be read.
    """
    infos = {point: product.info for point, product in tree.finished().items()}
    failed = {info.point_id: info for info in tree.failed()}
    return [_state(point, tree, infos, failed) for point in plan.points]


def show_status(plan: Plan, tree: Tree, screen: Console, *, as_json: bool) -> None:
    """A table with the reasons of failures on a terminal, lines elsewhere, or JSON."""
    rows = status_rows(plan, tree)
    if as_json:
        sys.stdout.write(json.dumps(status_json(plan, rows), indent=1) + "\n")
    elif screen.is_terminal:
        screen.print(status_counts(plan), markup=False, soft_wrap=True)
        screen.print()
        screen.print(status_table(rows))
        for line in status_reasons(rows):
            screen.print(line, markup=False, soft_wrap=True)
    else:
        sys.stdout.write("".join(f"{line}\n" for line in status_lines(rows)))


def status_table(rows: list[StatusRow]) -> Table:
    """The rows for a terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    columns = _columns(rows)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("point", overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("epoch", justify="right", no_wrap=True)
    for title, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("held by / ended", overflow="fold")
    for row in rows:
        values = [_figure(value(row)) for _, value in columns]
        status = Text(row.status, style=STYLES.get(row.status, ""))
        remark = Text(_remark(row, "%d %b %H:%M"), style="" if row.status == "running" else "dim")
        table.add_row(str(row.job_num), Text(row.label), status, _epoch(row), *values, remark)
    return table


def status_lines(rows: list[StatusRow]) -> list[str]:
    """The rows for a pipe: tab-separated, a header first."""
    columns = _columns(rows)
    titles = [title for title, _ in columns]
    lines = [["#", "point_id", "point", "status", "epoch", *titles, "held by / ended", "reason"]]
    for row in rows:
        values = [_figure(value(row)) for _, value in columns]
        line = [str(row.job_num), row.point_id, row.label, row.status, _epoch(row)]
        lines.append([*line, *values, _remark(row), row.reason or ""])
    return ["\t".join(re.sub(r"\s", " ", cell) for cell in line) for line in lines]


def status_reasons(rows: list[StatusRow]) -> list[str]:
    """Why points failed or are blocked: each reason once, with the points it holds for."""
    groups: defaultdict[tuple[str, str], list[StatusRow]] = defaultdict(list)
    for row in rows:
        if row.reason:
            groups[row.status, row.reason].append(row)
    lines = []
    for (status, reason), members in groups.items():
        shown = ", ".join(f"#{row.job_num}" for row in members[:_LISTED])
        more = f" and {len(members) - _LISTED} more" if len(members) > _LISTED else ""
        lines.append(f"{status} {shown}{more}: {reason}")
        if members[0].traceback:
            lines.append(f"  traceback: {members[0].traceback}")
    return lines


def status_json(plan: Plan, rows: list[StatusRow]) -> dict[str, Any]:
    """The rows as the one document ``--json`` prints."""
    return {
        "experiment": plan.experiment,
        "points": [asdict(row) for row in rows],
        "num_points": len(rows),
        "counts": dict(plan.counts),
        "open": plan.open,
    }


def status_counts(plan: Plan) -> str:
    """How many points are done, and how the others are."""
    counts = plan.counts
    finished = counts["done"] + counts["stopped"]
    title = f"{plan.experiment}: {finished} of {len(plan.points) + plan.open} done"
    others = [f"{n} {status}" for status, n in sorted(counts.items()) if status not in _FINISHED]
    if plan.open:
        others.append(f"{plan.open} to be chosen")
    return ", ".join([title, *others])


def _state(
    point: Point, tree: Tree, infos: Mapping[str, Info], failed: Mapping[str, Info]
) -> StatusRow:
    work = tree.point(point.point_id)
    info = infos.get(point.point_id) if point.status in _FINISHED else None
    rows = _rows(tree.metrics / f"{info.job}.csv" if info else work / "metrics.csv")
    failure = failed.get(point.point_id) if point.status == "failed" else None
    ended = info or failure
    owner = holder(tree, point.point_id) if point.status == "running" else None
    planned = point.config["trainer"].get("max_epochs")
    return StatusRow(
        job_num=point.job_num,
        point_id=point.point_id,
        label=point.label,
        status=point.status,
        epochs=_trained(point, rows, info),
        max_epochs=planned if isinstance(planned, int) and planned >= 0 else None,
        objectives=_measured(point.config["tune"], rows, info),
        job=info.job if info else None,
        host=owner.host if owner else None,
        pid=owner.pid if owner else None,
        heartbeat_s=_age(work / CLAIM) if owner else None,
        finished=ended.finished if ended else None,
        reason=_last_line(failure.reason if failure else point.detail, point.status),
        traceback=point.detail if failure else None,
    )


def _rows(path: Path) -> list[dict[str, float]]:
    """The epochs of a metrics file; none where there is none."""
    try:
        with path.open(newline="") as lines:
            return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(lines)]
    except FileNotFoundError:
        return []


def _trained(point: Point, rows: list[dict[str, float]], info: Info | None) -> int | None:
    if info and "epochs" in info.metrics:
        return int(info.metrics["epochs"])
    if rows:
        return int(rows[-1]["epoch"]) + 1
    return 0 if point.status == "running" else None


def _measured(
    tune: Mapping[str, Any], rows: list[dict[str, float]], info: Info | None
) -> dict[str, Objective]:
    names = metrics_of(tune)
    mode = tune.get("mode", "min")
    modes = mode if isinstance(mode, list) else [mode] * len(names)
    found = {}
    for name, mode in zip(names, modes, strict=True):
        values = [row[name] for row in rows if math.isfinite(row.get(name, math.nan))]
        best = (max if mode == "max" else min)(values, default=None)
        if info:
            published = info.metrics.get(name, math.nan)
            best = published if math.isfinite(published) else None
        found[name] = Objective(values[-1] if values else None, best)
    return found


def _age(claim: Path) -> float | None:
    try:
        return round(max(0.0, time.time() - claim.stat().st_mtime), 1)
    except FileNotFoundError:  # released while we looked
        return None


def _last_line(text: str | None, status: str) -> str | None:
    if status not in ("failed", "blocked"):
        return None
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else "unknown"


Column = tuple[str, Callable[[StatusRow], float | None]]


def _columns(rows: list[StatusRow]) -> list[Column]:
    """One objective has its last and its best value; several are shown of the same epoch."""
    names = list(dict.fromkeys(name for row in rows for name in row.objectives))
    if len(names) == 1:
        return [(names[0], partial(_last, name=names[0])), ("best", partial(_best, name=names[0]))]
    return [(name, partial(_latest, name=name)) for name in names]


def _last(row: StatusRow, name: str) -> float | None:
    return row.objectives[name].last if name in row.objectives else None


def _best(row: StatusRow, name: str) -> float | None:
    return row.objectives[name].best if name in row.objectives else None


def _latest(row: StatusRow, name: str) -> float | None:
    """What was published, else the last value: the best ones may be of different epochs."""
    return (_best if row.status in _FINISHED else _last)(row, name)


def _epoch(row: StatusRow) -> str:
    if row.epochs is None:
        return ""
    text = f"{row.epochs}/{row.max_epochs}" if row.max_epochs else str(row.epochs)
    return f"≥{text}" if row.status == "running" else text


def _remark(row: StatusRow, date: str = "%Y-%m-%d %H:%M") -> str:
    """Who trains a point, or when it ended."""
    if row.host:
        seen = "" if row.heartbeat_s is None else f", {_ago(row.heartbeat_s)}"
        return f"{row.host} {row.pid}{seen}"
    if row.finished:
        return datetime.fromisoformat(row.finished).strftime(date)
    return ""


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s ago" if seconds < 90 else f"{seconds / 60:.0f} min ago"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"
