"""The bill of a plan: how long it will take, on what, and how much disk it needs."""

__all__ = ["Bill", "bill", "free_space"]

import heapq
import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from wwdc.cluster.room import Room, needed
from wwdc.config.schema import TuneConfig
from wwdc.products import Info
from wwdc.products.report import human_size
from wwdc.tune.costs import Cost, Costs
from wwdc.tune.plan import Plan
from wwdc.tune.points import LEFT

UNKNOWN = "unknown: nothing of this model was trained yet"
_ROLLING = 3  # last, best and the one being written, of each point that trains


@dataclass(frozen=True)
class Bill:
    """What is left of a plan, and what it takes.

    Attributes:
        points: those left to train, the blocked ones among them.
        open: samples and replicates that follow and whose configuration is not known yet.
        at_a_time: points that train at once; None where the cluster is not connected to yet.
        seconds: wall time of training them all, without starting Ray; None where it is not known.
        point_seconds: training time of one point, on average.
        at_most: whether the times are upper bounds: points may end early.
        basis: where the times come from, for people.
        disk_bytes: of the products and of the work in progress.
        where: what `at_a_time` speaks of.
        misfit: why not even one point can train there; empty where it can.
    """

    points: int
    blocked: int
    open: int
    needs: dict[str, float]
    at_a_time: int | None
    waves: int | None
    seconds: float | None
    point_seconds: float | None
    at_most: bool
    basis: str
    cpu_hours: float | None
    gpu_hours: float | None
    disk_bytes: int | None
    free_bytes: int
    where: str
    misfit: str

    @property
    def fits(self) -> bool | None:
        """Whether a trial finds room; None where that is not known yet."""
        return not self.misfit if self.at_a_time is not None else None

    @property
    def disk_fits(self) -> bool:
        """Whether what is known to be needed is free."""
        return self.disk_bytes is None or self.disk_bytes <= self.free_bytes

    def lines(self) -> list[str]:
        """The bill for people; nothing where nothing is left to do."""
        if not self.points + self.open:
            return []
        lines = [f"{self._what()}{self._takes()}"]
        if self.misfit:
            lines.append(f"does not fit {self.where}: {self.misfit}")
        elif self.at_a_time is None:
            lines.append(f"how many at a time is known once {self.where} is connected to")
        if self.disk_bytes is not None and not self.disk_fits:
            lines.append(
                f"does not fit the disk: {human_size(self.disk_bytes)} needed, "
                f"{human_size(self.free_bytes)} free; make room, or set DATA_ROOT to another disk"
            )
        return lines

    def as_json(self) -> dict[str, Any]:
        """The bill as ``--json`` prints it: seconds, hours and bytes, null for the unknown."""
        return {
            "points": self.points,
            "blocked": self.blocked,
            "open": self.open,
            "where": self.where,
            "fits": self.fits,
            "misfit": self.misfit or None,
            "needs": self.needs,
            "at_a_time": self.at_a_time,
            "waves": self.waves,
            "seconds": _rounded(self.seconds),
            "point_seconds": _rounded(self.point_seconds),
            "at_most": self.at_most,
            "basis": self.basis,
            "cpu_hours": _rounded(self.cpu_hours),
            "gpu_hours": _rounded(self.gpu_hours),
            "disk_bytes": self.disk_bytes,
            "free_bytes": self.free_bytes,
            "disk_fits": self.disk_fits,
        }

    def _what(self) -> str:
        text = _count(self.points, "point") if self.points or not self.open else ""
        if self.blocked:
            text += f" ({self.blocked} blocked)"
        if self.open:
            text += f"{' and ' if text else ''}{_count(self.open, 'point')} to be chosen"
        if self.at_a_time and self.waves:
            text += f", {self.at_a_time} at a time on {self.where}: {_count(self.waves, 'wave')}"
        return text

    def _takes(self) -> str:
        free = f"{human_size(self.free_bytes)} free"
        if self.point_seconds is None or self.disk_bytes is None:
            return f"; time and disk {self.basis} ({free})"
        each = " a point" if self.seconds is None else ""
        seconds = self.point_seconds if self.seconds is None else self.seconds
        bound = "at most" if self.at_most else "about"
        parts = [f"{bound} {_span(seconds)} of training{each} ({self.basis})"]
        for hours, name in ((self.cpu_hours, "CPU-hours"), (self.gpu_hours, "GPU-hours")):
            if hours:
                parts.append(f"{_figure(hours)} {name}")
        parts.append(f"{human_size(self.disk_bytes)} of disk (of {free})")
        return ", " + ", ".join(parts)


def bill(
    plan: Plan,
    infos: Iterable[Info],
    settings: TuneConfig,
    room: Room | None,
    *,
    free_bytes: int,
    open_points: int = 0,
) -> Bill:
    """What the points left will take, judged by what earlier ones took.

    Args:
        plan: whose new, partial, failed and blocked points are counted, as if from the start.
        infos: of finished checkpoints, the experiment's own or others' too.
        settings: with the number of GPUs set.
        room: what there is to run on, None where that is not known yet.
        free_bytes: on the disk of the products.
        open_points: those that will follow.
    """
    todo = [point for point in plan.points if point.status in (*LEFT, "blocked")]
    count = len(todo) + open_points
    costs = Costs(infos)
    known = [costs.of(point.config) for point in todo or plan.probes]
    guessed = _complete(known, count)
    needs, where = needed(settings), room.where if room else f"the cluster at {settings.address}"
    at_a_time = min(room.holds(settings), settings.max_concurrent or count, count) if room else None
    total = sum(cost.seconds for cost in guessed) if guessed else None
    rolling = _ROLLING * (at_a_time or 1) * max((cost.bytes for cost in guessed), default=0)
    return Bill(
        points=len(todo),
        blocked=sum(point.status == "blocked" for point in todo),
        open=open_points,
        needs=needs,
        at_a_time=at_a_time,
        waves=math.ceil(count / at_a_time) if at_a_time else None,
        seconds=_wall([cost.seconds for cost in guessed], at_a_time)
        if guessed and at_a_time
        else None,
        point_seconds=total / count if total is not None else None,
        at_most=bool(guessed) and (settings.scheduler != "fifo" or any(c.at_most for c in guessed)),
        basis=_basis(known),
        cpu_hours=None if total is None else total * needs["CPU"] / 3600,
        gpu_hours=None if total is None else total * needs["GPU"] / 3600,
        disk_bytes=sum(cost.bytes for cost in guessed) + rolling if guessed else None,
        free_bytes=free_bytes,
        where=where,
        misfit=_misfit(room, settings) if room else "",
    )


def free_space(path: Path) -> int:
    """Bytes free where *path* is, or will be once its missing folders are made."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def _complete(known: Sequence[Cost | None], count: int) -> list[Cost]:
    """A cost for each of *count* points: that of an unknown one is the mean of the others."""
    found = [cost for cost in known if cost is not None]
    if not found or not count:
        return []
    mean = Cost(
        seconds=fmean(cost.seconds for cost in found),
        bytes=round(fmean(cost.bytes for cost in found)),
        epoch_s=fmean(cost.epoch_s for cost in found),
        sources=frozenset(),
        same=False,
        at_most=any(cost.at_most for cost in found),
    )
    costs = [cost or mean for cost in known][:count]
    return costs + [mean] * (count - len(costs))


def _wall(seconds: Sequence[float], at_a_time: int) -> float:
    """When the last of the points ends, if each starts as soon as another makes room."""
    ends = [0.0] * at_a_time
    for each in seconds:
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def _basis(known: Sequence[Cost | None]) -> str:
    found = [cost for cost in known if cost is not None]
    if not found:
        return UNKNOWN
    sources = len(frozenset().union(*(cost.sources for cost in found)))
    kind = "the same model" if all(cost.same for cost in found) else "similar models"
    text = f"from {_count(sources, 'earlier point')} of {kind}"
    new = len(known) - len(found)
    return f"{text}; {_count(new, 'point')} unlike any of them" if new else text


def _misfit(room: Room, settings: TuneConfig) -> str:
    found = room.misfit(settings)
    if found is None:
        return ""
    other = "run it on a cluster" if settings.address == "local" else "ask Slurm for more"
    return f"{found.reason}; {found.remedy}, or {other}"


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'s' * (number != 1)}"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _figure(value: float) -> str:
    return f"{value:.1g}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:,.0f}"
