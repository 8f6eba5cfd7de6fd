"""Published scores as later stages read them."""

__all__ = ["Scores", "find_scores", "read_scores"]

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wwdc.errors import ProductError
from wwdc.products import Info, Tree, verified

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Scores:
    """The scores of one embedding.

    Attributes:
        name: of the folder under ``anomalies``, which is that of the embedding's folder.
        path: of ``scores.parquet``.
        info: ``info.config`` says which detectors there are (``detectors``), which were left out
            and why (``left_out``), and how many rows have which role (``roles``).
    """

    name: str
    path: Path
    info: Info = field(repr=False)

    @property
    def embedding(self) -> str:
        """Name of the embedding's folder."""
        return self.name

    @property
    def detectors(self) -> tuple[str, ...]:
        """Names of the columns with one detector's scores."""
        return tuple(self.info.config["detectors"])


def find_scores(tree: Tree) -> list[Scores]:
    """All scores of an experiment, by job; each file is read once, to see that it is whole.

    Raises:
        ProductError: there are none, or a file is not the one that was published.
    """
    found = [
        Scores(product.path.parent.name, verified(product).path, product.info)
        for product in tree.scored()
    ]
    if not found:
        raise ProductError(
            f"{tree.name}: nothing is scored yet. Run: python -m wwdc.detect EXPERIMENT"
        )
    return sorted(found, key=lambda scores: (scores.info.job_id, scores.info.job_num, scores.name))


def read_scores(path: Path, columns: list[str] | None = None) -> "pd.DataFrame":
    """A table of scores, one row an object and view; higher is odder, rank 1 the oddest.

    Args:
        path: of ``scores.parquet``.
        columns: some of its columns; all if None.

    Raises:
        ProductError: it is not there, or cannot be read.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise ProductError(
            f"{path}: there are no scores. Run: python -m wwdc.detect EXPERIMENT"
        ) from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ProductError(f"{path}: cannot be read as scores ({error}).") from error
