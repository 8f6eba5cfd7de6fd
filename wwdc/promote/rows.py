"""Rows of an embedding for a classifier: those that were labelled, and then all of them."""

__all__ = ["all_values", "labelled_rows"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wwdc.data.colour_mnist import SPLITS
from wwdc.embed.columns import read_about
from wwdc.embed.published import Embedding, read_rows
from wwdc.errors import DataError, ProductError
from wwdc.promote.classify import TASKS, Candidate, Kind, Labelled, values
from wwdc.promote.labels import Labels, as_arrays

LEAST, LEAST_OF_A_CLASS = 10, 3
"""Objects that must be labelled, and of each class."""

_SPACES = ("u_mean", "z_mean")
_TOGETHER = 1 << 18
"""Rows in memory at a time."""


def labelled_rows(labels: Labels, embedding: Embedding, experiment: str) -> Labelled:
    """The rows that have a label, with their residuals and latents.

    Verdicts are used where there are enough of them, else grades.

    Raises:
        ProductError: a split is not embedded.
        DataError: there are too few labels, or they are of other objects.
    """
    missing = [split for split in SPLITS if split not in embedding.files]
    if missing:
        raise ProductError(
            f"{embedding.name}: the {' and '.join(missing)} split is not embedded, and every "
            f"object needs a value. Run: python -m wwdc.embed {experiment} "
            f"'splits=[{','.join(SPLITS)}]'"
        )
    about = read_about(pq.read_schema(embedding.files[SPLITS[0]]))
    if about.fingerprint != labels.fingerprint:
        raise DataError(
            f"labels {labels.name} are of data with the fingerprint {labels.fingerprint}, "
            f"{embedding.name} is of {about.fingerprint}."
        )
    found = {kind: _rows(labels, embedding, kind) for kind in TASKS}
    for labelled in found.values():
        if not _lacking(labelled):
            return labelled
    told = "; ".join(f"{kind}s: {_told(labelled)}" for kind, labelled in found.items())
    raise DataError(
        f"labels {labels.name} are too few to learn from: {told}. At least {LEAST} objects and "
        f"{LEAST_OF_A_CLASS} of each kind are needed. Label more: python -m wwdc.label "
        f"{experiment} --name {labels.name}"
    )


def all_values(
    model: Any, candidate: Candidate, kind: Kind, embedding: Embedding
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Ids and promoted values of every row of every split, some rows at a time."""
    ids, found = [], []
    for split in SPLITS:
        path = embedding.files[split]
        total = pq.read_metadata(path).num_rows
        for start in range(0, total, _TOGETHER):
            chosen = np.arange(start, min(start + _TOGETHER, total))
            rows = read_rows(path, ["id", *candidate.spaces], chosen)
            ids.append(rows.pop("id"))
            found.append(values(model, candidate, kind, rows))
    return np.concatenate(ids), np.concatenate(found)


def _rows(labels: Labels, embedding: Embedding, kind: Kind) -> Labelled:
    ids, target = as_arrays(labels.verdicts if kind == "verdict" else labels.grades)
    names = [name for name in _SPACES if name in embedding.columns]
    parts = []
    for split in SPLITS:
        path = embedding.files[split]
        chosen = np.flatnonzero(np.isin(read_rows(path, ["id"])["id"], ids))
        parts.append(read_rows(path, ["id", "object", *names], chosen))
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if len(rows["id"]) != len(ids):
        raise DataError(
            f"labels {labels.name}: {len(ids) - len(rows['id'])} of {len(ids)} labelled ids are "
            f"not in {embedding.name}."
        )
    order = np.argsort(rows["id"])
    spaces: Mapping[str, NDArray[np.float32]] = {name: rows[name][order] for name in names}
    return Labelled(spaces, target, rows["object"][order], kind)


def _lacking(labelled: Labelled) -> bool:
    counts = _counts(labelled)
    return counts[0] < LEAST or min(counts[1:]) < LEAST_OF_A_CLASS


def _counts(labelled: Labelled) -> Sequence[int]:
    """Objects, those of the upper class, those of the lower one."""
    upper = labelled.target > TASKS[labelled.kind].middle
    objects = labelled.objects
    return [len(np.unique(objects[rows])) for rows in (upper | True, upper, ~upper)]


def _told(labelled: Labelled) -> str:
    total, upper, lower = _counts(labelled)
    words = {"verdict": ("anomalous", "normal"), "grade": ("above 2.5", "below")}[labelled.kind]
    return f"{total} objects, {upper} {words[0]} and {lower} {words[1]}"
