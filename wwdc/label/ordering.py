"""Orders of the objects, and pages of them, from arrays: a million objects are no matter."""

__all__ = ["FILTERS", "Orders"]

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wwdc.errors import DataError, closest

FILTERS = ("all", "unlabelled", "labelled", "anomaly", "normal", "skipped", "flagged")

KEPT = 16
"""Orders kept: 8 MB each at a million objects."""


class Orders:
    """Rows by decreasing value of a key, ties by id, NaN last; kept while the values stay.

    Args:
        by_id: rows in the order of their ids.
        values: key → its values (N,) and the version they are of; raises KeyError.
        keys: what can be asked for.
    """

    def __init__(
        self,
        by_id: NDArray[np.int64],
        values: Callable[[str], tuple[NDArray[np.generic], int]],
        keys: tuple[str, ...],
    ) -> None:
        self.keys = keys
        self._by_id, self._values = by_id, values
        self._kept: OrderedDict[tuple[str, bool], tuple[int, NDArray[np.int64]]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, *, descending: bool = True) -> NDArray[np.int64]:
        """All rows in the order of *key*.

        Raises:
            DataError: there is no such key.
        """
        if key not in self.keys:
            raise DataError(
                f"sort: there is no {key!r}.{closest(key, self.keys)} There are "
                f"{', '.join(self.keys)}."
            )
        values, version = self._values(key)
        with self._lock:
            known = self._kept.get((key, descending))
            if known is not None and known[0] == version:
                self._kept.move_to_end((key, descending))
                return known[1]
        return self.put(key, values, version, descending=descending)

    def put(
        self, key: str, values: NDArray[np.generic], version: int, *, descending: bool = True
    ) -> NDArray[np.int64]:
        """Make the order of *values* and keep it, before anybody asks for it."""
        order = _order(values, self._by_id, descending)
        with self._lock:
            self._kept[key, descending] = (version, order)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return order


def _order(
    values: NDArray[np.generic], by_id: NDArray[np.int64], descending: bool
) -> NDArray[np.int64]:
    ascending = values[by_id].astype(np.float64)
    if descending:
        ascending = -ascending
    order: NDArray[np.int64] = by_id[np.argsort(ascending, kind="stable")]  # NaN goes last
    return order
