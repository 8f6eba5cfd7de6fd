"""Results of single tests, kept so that none is computed twice."""

__all__ = ["Outcome", "Store"]

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.products import atomic_write

_ROWS = "rows"


@dataclass(frozen=True)
class Outcome:
    """What one unit found.

    Attributes:
        rows: a mapping of figures for each variable.
        samples: for probes, the bootstrapped and the permuted effects of each variable, float32.
    """

    rows: list[dict[str, Any]]
    samples: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)


class Store:
    """A folder of outcomes by the id of their unit. A file that is damaged is as good as none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, unit_id: str) -> Outcome | None:
        """What was kept of a unit."""
        try:
            with np.load(self._path(unit_id), allow_pickle=False) as file:
                rows = json.loads(str(file[_ROWS]))
                return Outcome(rows, {name: file[name] for name in file.files if name != _ROWS})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def loaded(self, unit_ids: Iterable[str]) -> dict[str, Outcome]:
        """What was kept of several units, by id."""
        found = {unit_id: self.load(unit_id) for unit_id in unit_ids}
        return {unit_id: outcome for unit_id, outcome in found.items() if outcome is not None}

    def save(self, unit_id: str, outcome: Outcome) -> None:
        """Keep an outcome.

        Raises:
            ProductError: the folder cannot be written.
        """
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {_ROWS: np.array(json.dumps(outcome.rows)), **outcome.samples}
        np.savez_compressed(buffer, **arrays)
        atomic_write(self._path(unit_id), buffer.getvalue())

    def _path(self, unit_id: str) -> Path:
        return self.folder / f"{unit_id}.npz"
