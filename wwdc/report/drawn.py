"""What a figure function gives, and how it says that there is nothing to draw from."""

__all__ = ["Drawn", "Lacking"]

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from wwdc.errors import WWDCError


@dataclass(frozen=True)
class Drawn:
    """A figure with its numbers.

    Attributes:
        figure: as `wwdc.report.style.new_figure` makes it.
        data: the numbers drawn, a row an observation.
        note: what the caption adds: which point is shown, how many rows, which seed.
    """

    figure: Figure
    data: pd.DataFrame
    note: str = ""


class Lacking(WWDCError):
    """What a figure draws from is not there.

    Args:
        what: is missing, in words.
        stage: the command that makes it, such as ``embed``; empty where none does: the figure
            is for other experiments.
        overrides: of that command.
    """

    def __init__(self, what: str, stage: str = "", overrides: str = "") -> None:
        super().__init__(what)
        self.stage = stage
        self.overrides = overrides
