"""What there is to score: an embedding each, and what of it is known already."""

__all__ = ["SCHEMA", "Scoring", "plan_scorings", "prepare", "published", "rows_of"]

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wwdc.config import instantiate
from wwdc.detect.features import Column, Features, columns_of, write_features
from wwdc.detect.roles import splits_of
from wwdc.detect.settings import Detection, Detector
from wwdc.detect.work import Ready
from wwdc.discovery.fitted import derived, seeded
from wwdc.embed.published import Embedding
from wwdc.errors import DataError
from wwdc.products import Product, Tree, atomic_write
from wwdc.products.gc import EMBEDDING
from wwdc.tune.identity import digest

SCHEMA = 2
"""Counted up when the same settings give other scores, or scores.parquet other columns."""


@dataclass(frozen=True)
class Scoring:
    """The scores of one embedding by one set of detectors."""

    embedding: Embedding
    detection: Detection
    tree: Tree = field(repr=False)
    allow: tuple[str, ...] = field(default=(), repr=False)
    code: Path | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Of the embedding's folder."""
        return self.embedding.name

    @property
    def id(self) -> str:
        """The same for the same scores, wherever the files lie."""
        settings = {k: v for k, v in self.detection.as_dict().items() if k != "shortlist"}
        files = dict(self.embedding.sha256)
        return digest({"schema": SCHEMA, "settings": settings, "files": files}, 24)

    @property
    def work(self) -> Path:
        """Folder of work in progress."""
        return self.tree.multiruns / "anomalies" / self.id

    @property
    def draft(self) -> Path:
        """The scores before those of other embeddings are looked at."""
        return self.work / "draft.parquet"

    @property
    def path(self) -> Path:
        """Where the scores go."""
        return self.tree.anomalies / self.name / "scores.parquet"


def plan_scorings(
    detection: Detection,
    embeddings: Iterable[Embedding],
    tree: Tree,
    *,
    allow: tuple[str, ...] = (),
    code: Path | None = None,
) -> list[Scoring]:
    """One scoring an embedding."""
    return [Scoring(embedding, detection, tree, allow, code) for embedding in embeddings]


def published(scoring: Scoring) -> Product | None:
    """Its scores, if they are published."""
    found = {product.path: product for product in scoring.tree.scored()}.get(scoring.path)
    return found if found and found.info.config.get("scoring") == scoring.id else None


def rows_of(embedding: Embedding, splits: Iterable[str] | None = None) -> int:
    """Rows of an embedding, of some splits or all; 0 for a file that is no Parquet."""
    rows = 0
    for split in splits or embedding.files:
        try:
            rows += pq.read_metadata(embedding.files[split]).num_rows
        except (pa.ArrowException, OSError):
            continue  # said when it is read
    return rows


def prepare(scoring: Scoring) -> tuple[Features, list[Ready], dict[str, str]]:
    """Write the matrix of an embedding; which detectors can look at it, why others cannot.

    Raises:
        ConfigError: a detector refuses its arguments.
        DataError: a split is not embedded, or no detector can look at the embedding.
        ProductError: the embedding cannot be read, or the disk is full.
    """
    embedding, detection = scoring.embedding, scoring.detection
    roles = splits_of(detection, embedding.files)
    wanted: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    for detector in detection.detectors:
        built = _built(detector, scoring)
        names = detector.columns or getattr(built, "columns", None) or detection.columns
        try:
            wanted[detector.name] = columns_of(names, embedding)
        except DataError as error:
            if not detector.optional:
                left_out[detector.name] = str(error)
    if not wanted:
        reasons = [f"{name}: {reason}" for name, reason in left_out.items()]
        raise DataError("; ".join(reasons) or f"{scoring.name} has no column a detector looks at.")
    atomic_write(scoring.work / EMBEDDING, f"{scoring.name}\n")
    everything = list(dict.fromkeys(name for names in wanted.values() for name in names))
    features = write_features(scoring.work, embedding, detection, roles, everything)
    by_name = {column.name: column for column in features.columns}
    ready = [
        _ready(detector, [by_name[name] for name in wanted[detector.name]], scoring)
        for detector in detection.detectors
        if detector.name in wanted
    ]
    return features, ready, left_out


def _ready(detector: Detector, columns: Sequence[Column], scoring: Scoring) -> Ready:
    seed = scoring.detection.seed
    state = seeded(type(_built(detector, scoring)), detector.node, detector.name, seed)
    node = detector.node if state is None else {**detector.node, "random_state": state}
    return Ready(
        name=detector.name,
        node=node,
        columns=tuple(i for c in columns for i in range(c.start, c.start + c.width)),
        labels=tuple(label for column in columns for label in column.labels),
        fit_rows=detector.fit_rows or scoring.detection.fit_rows,
        seed=derived(seed, detector.name),
        allow=scoring.allow,
        code=scoring.code,
    )


def _built(detector: Detector, scoring: Scoring) -> Any:
    key = f"detectors.detectors.{detector.name}"
    return instantiate(detector.node, allow=scoring.allow, key=key)
