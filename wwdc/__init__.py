"""What We Don't C: find what a catalogue does not say about images."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wwdc.experiment import Experiment
    from wwdc.products.export import load
    from wwdc.tune.results import results

__all__ = ["Experiment", "__version__", "load", "results"]

__version__ = "0.1.0"

_LATER = {
    "Experiment": "wwdc.experiment",
    "load": "wwdc.products.export",
    "results": "wwdc.tune.results",
}


def __getattr__(name: str) -> Any:
    """Import what needs pandas or torch when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)
