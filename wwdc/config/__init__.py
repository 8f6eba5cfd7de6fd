"""An experiment folder, composed, checked and resolved: the only place that knows Hydra."""

from wwdc.config.compose import load
from wwdc.config.composed import Composed
from wwdc.config.numbers import check_numbers
from wwdc.config.overrides import ParsedAxis
from wwdc.config.placeholders import JOB, JOB_NUM, ROOT, fill, missing_products
from wwdc.config.schema import EmbedConfig, Meta, Resources, SweepEntry, TuneConfig
from wwdc.config.stages import Staged, load_stage
from wwdc.config.targets import check_targets, instantiate

__all__ = [
    "JOB",
    "JOB_NUM",
    "ROOT",
    "Composed",
    "EmbedConfig",
    "Meta",
    "ParsedAxis",
    "Resources",
    "Staged",
    "SweepEntry",
    "TuneConfig",
    "check_numbers",
    "check_targets",
    "fill",
    "instantiate",
    "load",
    "load_stage",
    "missing_products",
]
