"""A promoted variable as a product: its table, and what vouches for it."""

__all__ = ["Promotion", "publish_table"]

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc import __version__
from wwdc.data.catalogue import Variable
from wwdc.data.promoted import dump_table
from wwdc.embed.published import Embedding
from wwdc.products import atomic_write, info_path, now
from wwdc.products.text import dump_yaml
from wwdc.promote.classify import Candidate, Quality
from wwdc.promote.labels import Labels

SCHEMA = 1
"""Major version of the info file."""


@dataclass(frozen=True)
class Promotion:
    """How a variable came about.

    Attributes:
        experiment: ``DATA_NAME/EXPERIMENT_NAME``.
        embedding: what was labelled and is classified.
        forced: whether it was promoted although it is no better than chance.
    """

    experiment: str
    variable: Variable
    labels: Labels
    embedding: Embedding = field(repr=False)
    candidate: Candidate
    quality: Quality
    seed: int
    forced: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the info file and ``--json``."""
        labels, embedding = self.labels, self.embedding
        return {
            "experiment": self.experiment,
            "variable": self.variable.as_dict(),
            "labels": {
                "name": labels.name,
                "sha256": labels.sha256,
                "events": labels.events,
                "labellers": labels.labellers,
                "ties": len(labels.ties),
            },
            "embedding": {
                "name": embedding.name,
                "point_id": embedding.point_id,
                "sha256": dict(embedding.sha256),
            },
            "classifier": {
                "model": self.candidate.model,
                "spaces": list(self.candidate.spaces),
                "seed": self.seed,
            },
            "quality": {**self.quality.as_dict(), "of": "labelled objects", "forced": self.forced},
        }


def publish_table(
    promotion: Promotion, ids: NDArray[np.int64], values: NDArray[np.float32], folder: Path
) -> tuple[Path, str]:
    """Write the table of a promotion under *folder* unless it is there; where, and its SHA-256.

    Its name holds the first digits of its own SHA-256. The info file is written last: it proves a
    complete table.

    Raises:
        ProductError: the folder cannot be written.
    """
    variable, fingerprint = promotion.variable, promotion.labels.fingerprint
    data = dump_table(ids, values, variable, fingerprint)
    digest = hashlib.sha256(data).hexdigest()
    path = folder / f"{variable.name}-{digest[:12]}.parquet"
    about: Mapping[str, Any] = {
        "schema": SCHEMA,
        **promotion.as_dict(),
        "data": fingerprint,
        "rows": len(ids),
        "sha256": digest,
        "bytes": len(data),
        "created": now(),
        "wwdc_version": __version__,
    }
    atomic_write(path, data)
    atomic_write(info_path(path), dump_yaml(about, quoted=("sha256", "point_id", "data")))
    return path, digest
