"""`wwdc STAGE …`: every stage of the workflow under one name."""

__all__ = ["main"]

import importlib
import sys
from collections.abc import Sequence

from wwdc import __version__
from wwdc.errors import WWDCError, closest
from wwdc.terminal import EXIT_OK, run_cli

STAGES = {
    "init": "look at your own images and table, and write a pair of experiments",
    "prepare": "check or download an experiment's data and write its catalogue",
    "tune": "train every point of an experiment's sweep that is not trained yet",
    "embed": "apply the trained checkpoints to a split: latents, residuals, densities",
    "stats": "test what is left in the residuals: what was removed, what leaks",
    "detect": "score every object with anomaly detectors, list the oddest",
    "label": "look at the oddest objects in a browser, and let the ranking learn from you",
    "promote": "turn labels into a catalogue variable, and write the experiment that uses it",
    "report": "one page of what an experiment came to: figures, tables, what is left, anomalies",
    "run": "run all of these stages, as far as something is missing or out of date",
    "submit": "send an experiment's stages to a Slurm cluster",
    "products": "list, choose, check and tidy an experiment's products",
    "doctor": "check this machine: Python, DATA_ROOT, Ray, Slurm, GPUs, and how to mend what fails",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage, as `python -m wwdc.STAGE` does, and return its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    return run_cli(lambda: _dispatch(arguments))


def _dispatch(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_help())
        return EXIT_OK
    stage, *rest = arguments
    if stage == "--version":
        sys.stdout.write(f"wwdc {__version__}\n")
        return EXIT_OK
    if stage not in STAGES:
        raise WWDCError(
            f"{stage!r} is not a stage.{closest(stage, STAGES)} There are {', '.join(STAGES)}."
        )
    code: int = importlib.import_module(f"wwdc.{stage}.__main__").main(rest)
    return code


def _help() -> str:
    width = max(map(len, STAGES))
    lines = [f"  {name:{width}}  {summary}" for name, summary in STAGES.items()]
    return "\n".join(
        [
            "usage: wwdc STAGE EXPERIMENT [OVERRIDE ...]",
            "",
            "stages:",
            *lines,
            "",
            "wwdc STAGE --help says more. EXPERIMENT is the path of an experiment's folder,",
            "an OVERRIDE changes its configuration: lightning_loader.lr=1e-3, +seed=7.",
            "",
        ]
    )
