"""Figures and tables of what a sweep came to."""

from wwdc.report.importance import importance_figure, importances
from wwdc.report.parallel import parallel_figure
from wwdc.report.pareto import pareto_figure, pareto_table
from wwdc.report.scales import Scale, scale_of
from wwdc.report.style import short_names
from wwdc.report.sweep import write_sweep_figures
from wwdc.tune.pareto import pareto_mask

__all__ = [
    "Scale",
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
