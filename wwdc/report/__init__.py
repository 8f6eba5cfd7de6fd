"""Figures, tables and the page of what an experiment came to."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wwdc.report.drawn import Drawn, Lacking
    from wwdc.report.importance import importance_figure, importances
    from wwdc.report.parallel import parallel_figure
    from wwdc.report.pareto import pareto_figure, pareto_table
    from wwdc.report.scales import Scale, scale_of
    from wwdc.report.style import short_names
    from wwdc.report.sweep import write_sweep_figures
    from wwdc.report.tables import Tables
    from wwdc.tune.pareto import pareto_mask

__all__ = [
    "Drawn",
    "Lacking",
    "Scale",
    "Tables",
    "importance_figure",
    "importances",
    "parallel_figure",
    "pareto_figure",
    "pareto_mask",
    "pareto_table",
    "scale_of",
    "short_names",
    "write_sweep_figures",
]

_LATER = {
    "Drawn": "wwdc.report.drawn",
    "Lacking": "wwdc.report.drawn",
    "Scale": "wwdc.report.scales",
    "Tables": "wwdc.report.tables",
    "importance_figure": "wwdc.report.importance",
    "importances": "wwdc.report.importance",
    "parallel_figure": "wwdc.report.parallel",
    "pareto_figure": "wwdc.report.pareto",
    "pareto_mask": "wwdc.tune.pareto",
    "pareto_table": "wwdc.report.pareto",
    "scale_of": "wwdc.report.scales",
    "short_names": "wwdc.report.style",
    "write_sweep_figures": "wwdc.report.sweep",
}


def __getattr__(name: str) -> Any:
    """Import what needs matplotlib or optuna when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)
