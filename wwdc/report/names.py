"""What points and configurations are called on a page."""

__all__ = ["configuration_names", "shown_note"]

from collections.abc import Sequence

import pandas as pd

from wwdc.report.shown import Shown


def configuration_names(rows: pd.DataFrame, overrides: Sequence[str]) -> list[str]:
    """Short names of configurations, a row each: the sweep, and what else differs."""
    varied = [n for n in overrides if n in rows and len({repr(v) for v in rows[n]}) > 1]
    named = rows["sweep"].notna().all() and rows["sweep"].is_unique
    texts = []
    for _, row in rows.iterrows():
        parts = [str(row["sweep"])] if pd.notna(row["sweep"]) else []
        if not named:
            parts += [f"{n.rsplit('.', 1)[-1]}={_short(row[n])}" for n in varied if n != "seed"]
        texts.append(" ".join(parts) or ("all" if len(rows) == 1 else str(row["config_id"])))
    return texts


def shown_note(points: Sequence[Shown]) -> str:
    """Which points a figure shows and how they were chosen, for its caption."""
    told = []
    for number, shown in enumerate(points):
        job, _, place = shown.name.partition("_")
        same = number and points[0].name.startswith(f"{job}_")
        seed = shown.job.product.info.seed
        name = f"…_{place}" if same else shown.name
        told.append(f"{shown.sweep} {name}" + (f" (seed {seed})" if seed is not None else ""))
    rules = " or ".join(dict.fromkeys(shown.why for shown in points))
    return f"Shown: {', '.join(told)}; of each sweep {rules}."


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
