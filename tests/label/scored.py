"""A scored embedding with known contents, and campaigns over it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.stats.planted import planted
from wwdc.embed.published import Embedding, read_rows
from wwdc.label.answers import Answers
from wwdc.label.campaign import Campaign
from wwdc.label.events import Posted
from wwdc.label.features import features_of
from wwdc.label.log import LabelLog
from wwdc.label.neighbours import Neighbours
from wwdc.label.objects import Objects, load_objects
from wwdc.label.pictures import ImageViewer, Pictures
from wwdc.label.ranker import Status

FINGERPRINT = "f" * 16
TOKEN = "a-token"


def scored(folder: Path, *, objects: int = 40, seed: int = 1) -> tuple[Embedding, Path]:
    """An embedding of train and test, and its scores.parquet: u's norm is the score."""
    embedding = planted(folder, objects=objects, seed=seed)
    parts = {split: read_rows(path, ["id", "u_mean"]) for split, path in embedding.files.items()}
    ids = np.concatenate([part["id"] for part in parts.values()])
    norm = np.concatenate([np.linalg.norm(part["u_mean"], axis=1) for part in parts.values()])
    splits = np.repeat(list(parts), objects)
    rank = np.empty(len(ids), np.int64)
    rank[np.lexsort((ids, -norm))] = np.arange(1, len(ids) + 1)
    nothing = np.full(len(ids), np.nan)
    columns = {
        "id": ids,
        "split": pa.array(splits).dictionary_encode(),
        "role": pa.array(np.repeat(["fit", "tested"], objects)).dictionary_encode(),
        "iforest": norm.astype(np.float32),
        "ecod": -norm.astype(np.float32),
        "score": norm.astype(np.float64),
        "rank": rank,
        "stability_detectors": np.full(len(ids), 0.5, np.float32),
        "stability_seeds": nothing.astype(np.float32),
        "stability_sweeps": nothing.astype(np.float32),
        "p_value": np.where(splits == "test", 0.25, np.nan),
        "q_value": np.where(splits == "test", 0.5, np.nan),
    }
    path = folder / "anomalies" / embedding.name / "scores.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(columns), path)
    return embedding, path


@dataclass
class Learner:
    """A ranker that has learnt nothing."""

    status: Status = field(default_factory=Status)
    umap: Any = None


def open_log(path: Path, fingerprint: str = FINGERPRINT) -> LabelLog:
    """The log at *path*."""
    return LabelLog(path, fingerprint=fingerprint, embedding="1_0")


def campaign_in(folder: Path, objects: Objects, lease_s: float = 60.0) -> Campaign:
    """A campaign whose log lies in *folder*."""
    return Campaign(objects, open_log(folder / "default.sqlite"), seed=0, lease_s=lease_s)


def answers_of(campaign: Campaign, embedding: Embedding, scores: Path) -> Answers:
    """What a page would be told."""
    features = features_of(campaign.objects, embedding, ["u_mean"], scores)
    about = {"experiment": "E", "embedding": "1_0", "strategy": "gp", "name": "default"}
    neighbours = Neighbours(campaign.objects)
    return Answers(campaign, neighbours, Learner(), features, about, "ada")


def pictures_of(objects: Objects) -> Pictures:
    """Pictures whose grey is the object's row."""

    def draw(row: int) -> tuple[Mapping[str, Any], np.ndarray]:
        return {"id": row}, np.full((1, 4, 4), row / len(objects), np.float32)

    return Pictures(draw, ImageViewer(), "test")


def said(number: int, id: int | None, kind: str = "anomaly", **more: Any) -> Posted:
    """An event of ada's, or of another's."""
    fields: dict[str, Any] = {"labeller": "ada", **more}
    return Posted(uuid=f"event-{number:04d}", id=id, kind=kind, **fields)


def planted_in(folder: Path) -> tuple[Embedding, Path, Objects]:
    """The scored embedding of *folder*, made where it is missing: the same each time."""
    if not (folder / "tree").is_dir():
        return load(folder / "tree")
    embedding = planted(folder / "tree", objects=40)
    scores = folder / "tree" / "anomalies" / embedding.name / "scores.parquet"
    return embedding, scores, load_objects(embedding, scores)


def load(folder: Path, **more: Any) -> tuple[Embedding, Path, Objects]:
    """A scored embedding and its objects."""
    embedding, scores = scored(folder, **more)
    return embedding, scores, load_objects(embedding, scores)
