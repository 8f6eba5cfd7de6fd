"""Scores of anomaly detectors and labels of people, as a report shows them."""

__all__ = ["Campaign", "Findings", "find_campaigns", "find_scores", "read_findings"]

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from wwdc.products import Product, Tree, verified
from wwdc.report.drawn import Lacking
from wwdc.report.shown import Shown

if TYPE_CHECKING:
    from wwdc.label.events import State

_STABILITY = "stability_"


@dataclass(frozen=True)
class Campaign:
    """A log of labels and what it comes to."""

    name: str
    state: "State" = field(repr=False)

    @property
    def curve(self) -> list[tuple[int, int]]:
        """(objects labelled, anomalies among them) after each first answer."""
        return self.state.curve()


@dataclass(frozen=True)
class Findings:
    """What was found odd, and what people said of it.

    Attributes:
        embedding: whose objects were scored.
        shown: the point that it is the embedding of, where that is shown on the page.
        table: scores.parquet: a row an object and view, rank 1 the oddest.
        detectors: its columns with the scores of one detector each.
    """

    embedding: str
    shown: Shown | None
    table: pd.DataFrame = field(repr=False)
    detectors: tuple[str, ...]
    campaigns: tuple[Campaign, ...]

    @property
    def stabilities(self) -> dict[str, str]:
        """What the ranks were repeated over → the column that says how stable they were."""
        names = [str(n) for n in self.table if str(n).startswith(_STABILITY)]
        return {n.removeprefix(_STABILITY): n for n in names if self.table[n].notna().any()}

    def top(self, count: int) -> pd.DataFrame:
        """The *count* oddest objects."""
        return self.table.nsmallest(count, "rank")

    def label(self, object_id: int) -> str:
        """What people said of an object: a verdict, a grade, or nothing."""
        for campaign in self.campaigns:
            label = campaign.state.labels.get(object_id)
            if label is not None and label.labelled:
                return str(label.verdict or f"grade {label.grade}")
        return ""


def find_scores(tree: Tree, embeddings: Sequence[str]) -> list[Product]:
    """Tables of scores, those of *embeddings* first, in that order, then the others by name."""
    places = {name: place for place, name in enumerate(embeddings)}

    def order(product: Product) -> tuple[int, str]:
        name = product.path.parent.name
        return places.get(name, len(places)), name

    return sorted(tree.scored(), key=order)


def find_campaigns(tree: Tree) -> list[Path]:
    """Logs of labels by name."""
    return sorted(tree.labels.glob("*.sqlite"))


def read_findings(
    scores: Sequence[Product], campaigns: Sequence[Path], shown: Sequence[Shown]
) -> Findings:
    """The first table of *scores* with all campaigns.

    Raises:
        Lacking: nothing was scored.
        ProductError: a table is not the one that was published, or a log is none.
    """
    if not scores:
        raise Lacking("no objects have been scored", "detect")
    from wwdc.detect.results import read_scores
    from wwdc.label.events import fold
    from wwdc.label.log import read_log

    first = verified(scores[0])
    name = first.path.parent.name
    logs = tuple(Campaign(path.stem, fold(read_log(path)[1])) for path in campaigns)
    mine = next((s for s in shown if s.name == name), None)
    detectors = tuple(first.info.config["detectors"])
    return Findings(name, mine, read_scores(first.path), detectors, logs)
