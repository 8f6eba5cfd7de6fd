"""What was found odd, how stable that is, and what people made of it."""

__all__ = ["discovery", "gallery", "rank_stability", "score_distribution"]

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from wwdc.report.drawn import Drawn, Lacking
from wwdc.report.findings import Findings
from wwdc.report.names import shown_note
from wwdc.report.reasons import reasons
from wwdc.report.style import ACCENT, COLOURS, GREY, INK, colour_of, new_figure, tidy
from wwdc.report.tables import Tables

_LABELS = {"anomaly": ACCENT, "normal": "#009E73"}


def gallery(tables: Tables, *, count: int = 50, columns: int = 10) -> Drawn:
    """The oddest objects with the reasons: which detectors, what q, which known columns are odd."""
    findings = tables.findings
    if findings.shown is None:
        raise Lacking(
            f"objects of {findings.embedding} were scored, whose point is not shown", "detect"
        )
    painter = tables.painter(findings.shown)
    top = reasons(findings, painter.table, painter.catalogue, tables.settings.split, count)
    drawn = top[top["row"] >= 0]
    pictures = painter.images(drawn["row"].to_numpy()) if len(drawn) else np.empty((0, 1, 1, 3))
    images = dict(zip(drawn.index, pictures, strict=True))
    figure, panels = _wall(max(1, -(-len(top) // columns)), columns)
    for axes, (place, row) in zip(panels, top.iterrows(), strict=False):
        if place in images:
            axes.imshow(images[place], interpolation="none")
        else:
            _write(axes, 0.5, 0.5, f"in {row['split']}", va="center")
        label = str(row["label"])
        mark = {"anomaly": " ●", "normal": " ○"}.get(label, "")
        title = f"{row['rank']}{mark}"
        axes.set_title(title, fontsize=9, color=_LABELS.get(label, INK), weight="bold", pad=2)
        _write(axes, 0.5, -0.05, _caption(row), va="top")
    note = f"{_note(findings)} {painter.legend}".strip()
    return Drawn(figure, top.drop(columns="row"), note)


def rank_stability(tables: Tables, *, count: int = 50) -> Drawn:
    """How alike detectors rank, and how stable the ranks of the oddest objects are."""
    findings = tables.findings
    names = list(findings.detectors)
    figure = new_figure(9.5, 3.5)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
    sample = findings.table[names].dropna().to_numpy(float)
    matrix = np.atleast_2d(stats.spearmanr(sample)[0]) if len(names) > 2 else _pair(sample)
    left.imshow(matrix, cmap="GnBu", vmin=0, vmax=1)
    for i in range(len(names)):
        for j in range(len(names)):
            ink = "#fdfdfd" if matrix[i, j] > 0.7 else "#111111"
            left.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", fontsize=8, color=ink)
    left.set_xticks(range(len(names)), names, rotation=35, ha="right")
    left.set_yticks(range(len(names)), names)
    left.set_title("rank correlation over all objects", fontsize=10, loc="left")
    left.spines[:].set_visible(False)
    top = findings.top(count)
    for number, (what, column) in enumerate(findings.stabilities.items()):
        right.scatter(
            top["rank"] + 0.25 * number,
            top[column],
            s=16,
            color=COLOURS[number % len(COLOURS)],
            label=f"over {what}",
            alpha=0.85,
            linewidths=0,
        )
    right.set(xlabel="rank (1 is the oddest)", ylabel="stability", ylim=(-0.05, 1.05))
    right.set_title(f"the {len(top)} oddest: 1 is found every time", fontsize=10, loc="left")
    if findings.stabilities:
        right.legend(frameon=False, fontsize=8.5, loc="lower left")
    tidy(right)
    kept = ["id", "rank", *names, *findings.stabilities.values()]
    return Drawn(figure, top[kept].reset_index(drop=True), _note(findings))


def score_distribution(tables: Tables) -> Drawn:
    """Scores of fitted, calibration and tested rows: alike where nothing is odd."""
    findings = tables.findings
    table = findings.table
    finite = table[np.isfinite(table["score"])]
    edges = np.linspace(float(finite["score"].min()), float(finite["score"].max()), 61)
    figure = new_figure(9.5, 2.8)
    left, right = figure.subplots(1, 2)
    parts = []
    for number, (role, group) in enumerate(finite.groupby("role", sort=False, observed=True)):
        density = np.histogram(group["score"], edges, density=True)[0]
        left.stairs(density, edges, color=COLOURS[number], lw=1.5, label=f"{role} ({len(group)})")
        parts.append(pd.DataFrame({"role": role, "score": edges[:-1], "density": density}))
    left.set(xlabel="score (higher is odder)", ylabel="density", yscale="log")
    left.legend(frameon=False, fontsize=8.5)
    p = np.sort(table["p_value"].dropna().to_numpy(float))
    if len(p):
        right.plot((np.arange(len(p)) + 0.5) / len(p), p, color=COLOURS[0], lw=1.6)
        right.axline((0.1, 0.1), slope=1, color=INK, lw=1, ls=":")
        right.set(xscale="log", yscale="log")
    right.set(xlabel="expected p-value", ylabel="conformal p-value")
    for axes in (left, right):
        tidy(axes)
    return Drawn(figure, pd.concat(parts, ignore_index=True), _note(findings))


def discovery(tables: Tables) -> Drawn:
    """Anomalies found by the number of objects labelled, a line a campaign."""
    findings = tables.findings
    campaigns = [c for c in findings.campaigns if c.curve]
    if not campaigns:
        raise Lacking("nobody has labelled an object", "label")
    figure = new_figure(9.5, 3.1)
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    parts = []
    names = [campaign.name for campaign in campaigns]
    for campaign in campaigns:
        curve = np.array([(0, 0), *campaign.curve])
        left.plot(
            *curve.T,
            color=colour_of(names, campaign.name),
            lw=1.8,
            label=campaign.name,
            drawstyle="steps-post",
        )
        parts.append(
            pd.DataFrame(
                {"campaign": campaign.name, "labelled": curve[:, 0], "anomalies": curve[:, 1]}
            )
        )
    most = max(part["labelled"].max() for part in parts)
    left.plot([0, most], [0, most], color=GREY, lw=1, ls=":", label="every one an anomaly")
    left.set(xlabel="objects labelled", ylabel="anomalies found")
    left.legend(frameon=False, fontsize=8.5)
    counts = pd.Series(
        [_said(label) for c in campaigns for label in c.state.labels.values()]
    ).value_counts()
    order = [
        n
        for n in ("anomaly", "normal", *(f"grade {g}" for g in range(6)), "skipped")
        if n in counts
    ]
    right.barh(
        order[::-1],
        [counts[n] for n in order[::-1]],
        color=[_LABELS.get(n, COLOURS[0]) for n in order[::-1]],
        height=0.65,
    )
    right.set_xlabel("objects")
    for axes in (left, right):
        tidy(axes)
    return Drawn(figure, pd.concat(parts, ignore_index=True))


def _said(label: Any) -> str:
    if label.verdict:
        return str(label.verdict)
    return f"grade {label.grade}" if label.grade is not None else "skipped"


def _wall(lines: int, columns: int) -> tuple[Figure, Any]:
    """A figure of square panels without axes, with room for a title and four lines of text."""
    side, above, below = 0.94 * 9.5 / columns, 0.22, 0.5
    height = lines * (side + above + below)
    figure = new_figure(9.5, height)
    figure.set_layout_engine("none")
    places = {"left": 0.003, "right": 0.997, "top": 1 - above / height, "bottom": below / height}
    space = {"wspace": 0.06, "hspace": (above + below) / side}
    panels = figure.subplots(lines, columns, squeeze=False, gridspec_kw={**places, **space})
    for axes in panels.ravel():
        axes.set_axis_off()
    return figure, panels.ravel()


def _write(axes: Axes, x: float, y: float, text: str, va: str) -> None:
    style: dict[str, Any] = {"ha": "center", "va": va, "fontsize": 6.4, "linespacing": 1.15}
    axes.text(x, y, text, color=INK, transform=axes.transAxes, **style)


def _caption(row: "pd.Series[Any]") -> str:
    """The reasons in four short lines."""
    names = str(row["detectors"]).split(", ") if row["detectors"] else []
    lines = [", ".join(names[:2]) + (f" +{len(names) - 2}" if len(names) > 2 else "")]
    if np.isfinite(row["q_value"]):
        lines.append(f"p {row['p_value']:.1g}  q {row['q_value']:.2g}")
    lines += str(row["odd_columns"]).split("; ")[:2] if row["odd_columns"] else []
    return "\n".join(line for line in lines if line)


def _pair(sample: Any) -> Any:
    """Of one or two columns scipy gives a number."""
    if sample.shape[1] < 2:
        return np.ones((1, 1))
    r = float(stats.spearmanr(sample)[0])
    return np.array([[1, r], [r, 1]])


def _note(findings: Findings) -> str:
    told = shown_note([findings.shown]) if findings.shown else f"Shown: {findings.embedding}."
    return f"{len(findings.table)} objects. {told}"
