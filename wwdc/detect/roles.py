"""Which objects detectors are fitted on, which calibrate p-values, and which are tested."""

__all__ = ["ROLES", "Chosen", "Roles", "choose", "splits_of"]

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wwdc.data.colour_mnist import SPLITS
from wwdc.detect.settings import Detection
from wwdc.embed.published import choose_rows
from wwdc.errors import DataError

# Shapes: N rows of a split, F rows to fit on.

ROLES = ("fit", "calibration", "tested")
"""In the order of their codes."""

FITTED_SHARE = 1 / 2
"""Of the objects of a split that is fitted on and calibrates as well: so many at most are fitted,
and of the others"""

CALIBRATION_SHARE = 1 / 3
"""so many calibrate. Also of a test split that calibrates for want of val."""


@dataclass(frozen=True)
class Roles:
    """The splits that are scored, fitted on, and calibrate."""

    scored: tuple[str, ...]
    fit: str
    calibration: str


@dataclass(frozen=True)
class Chosen:
    """Rows and objects by role.

    Attributes:
        fit: rows of `Roles.fit`, ascending.
        calibration: rows of `Roles.calibration`, ascending.
        fitted: objects of which a row is fitted, ascending; none of their rows is tested.
        calibrating: likewise, of the calibration.
    """

    fit: NDArray[np.int64] = field(repr=False)
    calibration: NDArray[np.int64] = field(repr=False)
    fitted: NDArray[np.int64] = field(repr=False)
    calibrating: NDArray[np.int64] = field(repr=False)

    def roles(self, objects: NDArray[np.int64]) -> NDArray[np.int8]:
        """Codes (N,) of rows by their objects (N,): the place of their role in `ROLES`."""
        found = np.full(len(objects), ROLES.index("tested"), np.int8)
        found[_among(objects, self.calibrating)] = ROLES.index("calibration")
        found[_among(objects, self.fitted)] = ROLES.index("fit")
        return found


def splits_of(detection: Detection, embedded: Mapping[str, object]) -> Roles:
    """The splits by what they are used for.

    Detectors are fitted on ``fit_split``, or by ``auto`` on train, test or val, whichever is
    embedded first. val calibrates where it is embedded and not fitted on, else a part of test,
    else one of the split that is fitted on: what networks were trained on has lower scores than
    what they never saw, so train would make p-values of test too small.

    Raises:
        DataError: a split that is asked for is not embedded.
    """
    scored = tuple(s for s in SPLITS if s in (detection.splits or embedded))
    fit = detection.fit_split
    if fit == "auto":
        fit = next(split for split in ("train", "test", "val") if split in embedded)
    for split in (*scored, fit):
        if split not in embedded:
            raise DataError(
                f"the {split} split is not embedded: python -m wwdc.embed EXPERIMENT "
                f"splits=[{split}]"
            )
    unseen = [split for split in ("val", "test") if split in embedded and split != fit]
    return Roles(scored, fit, unseen[0] if unseen else fit)


def choose(detection: Detection, roles: Roles, objects: Mapping[str, NDArray[np.int64]]) -> Chosen:
    """Rows to fit on and rows that calibrate, without an object in common.

    Of an object that calibrates one row does: its views are alike, and as many rows would make the
    least p-values smaller than so few objects can tell.

    Args:
        objects: split → the object of each row, of the two splits.
    """
    shared = roles.calibration == roles.fit
    known = objects[roles.fit]
    pool = _draw(np.unique(known), FITTED_SHARE, detection.seed) if shared else None
    fit = _rows(known, pool, detection.fit_rows, detection.seed)
    fitted = np.unique(known[fit])
    others = objects[roles.calibration]
    rest = np.setdiff1d(others, fitted)
    share = 1.0 if roles.calibration == "val" and not shared else CALIBRATION_SHARE
    pool = _draw(rest, share, detection.seed + 1)
    most = min(detection.calibration_rows, len(pool))
    calibration = _rows(others, pool, most, detection.seed)
    return Chosen(fit, calibration, fitted, np.unique(others[calibration]))


def _among(objects: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
    """`numpy.isin` of what ascends, which does not sort *objects* and so needs less memory."""
    if not len(chosen):
        return np.zeros(len(objects), bool)
    place = np.searchsorted(chosen, objects)
    np.minimum(place, len(chosen) - 1, out=place)
    found: NDArray[np.bool_] = chosen[place] == objects
    return found


def _draw(objects: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(np.random.SeedSequence((seed, len(objects))))
    return np.sort(rng.permutation(objects)[: int(share * len(objects))])


def _rows(
    objects: NDArray[np.int64], pool: NDArray[np.int64] | None, limit: int, seed: int
) -> NDArray[np.int64]:
    """At most *limit* rows of the objects in *pool*, one of each object first."""
    if pool is None:
        return choose_rows(objects, limit, seed)
    among = np.flatnonzero(_among(objects, pool))
    return among[choose_rows(objects[among], limit, seed)]
