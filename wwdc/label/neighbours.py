"""Which objects are alike in what is known of them."""

__all__ = ["Neighbours"]

import threading
from typing import Any

import numpy as np

from wwdc.label.objects import Objects

NUMBER = 6
PATIENCE_S = 1.0
"""How long a question waits for the tree: at a million objects it takes seconds to grow."""


class Neighbours:
    """The nearest objects in the kept variables of the catalogue, encoded and standardised.

    The search tree grows in a thread of its own, which begins at once.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._ready = threading.Event()
        self._tree: Any = None
        threading.Thread(target=self._grow, name="neighbours", daemon=True).start()

    def of(self, row: int) -> list[tuple[int, float]]:
        """Rows and Euclidean distances of six others; none while the tree is not grown."""
        if not self._ready.wait(PATIENCE_S) or self._tree is None:
            return []
        wanted = min(NUMBER + 1, len(self._objects))
        distances, rows = self._tree.query(self._x[row], k=wanted)
        pairs = zip(np.atleast_1d(rows), np.atleast_1d(distances), strict=True)
        return [(int(other), float(far)) for other, far in pairs if other != row][:NUMBER]

    def _grow(self) -> None:
        try:
            self._tree = self._grown()
        finally:
            self._ready.set()

    def _grown(self) -> Any:
        from scipy.spatial import cKDTree

        known = self._objects.kept.keep(
            [name for name in self._objects.kept.names if name not in self._objects.table]
        )
        if not known.width:
            return None
        x = known.encode(self._objects.table)
        sd = x.std(axis=0)
        self._x = (x - x.mean(axis=0)) / np.where(sd > 0, sd, 1.0)
        return cKDTree(self._x)
