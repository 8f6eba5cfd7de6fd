"""An experiment with embeddings of known contents, made without training anything."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tests.conftest import flow_experiment
from wwdc.config import load
from wwdc.data.catalogue import Catalogue, Variable
from wwdc.embed.columns import About, arrow_schema, vectors
from wwdc.products import Info, Parent, Tree, publish
from wwdc.tune.plan import make_plan

KNOWN = Catalogue(
    (
        Variable("size", "continuous", units="arcsec", range=(0.0, 5.0)),
        Variable("angle", "circular", 2, "deg", (-180.0, 180.0)),
        Variable("kind", "categorical", 3),
    )
)
DIM = 6
VIEWS = 2
SIZES = {"train": 300, "val": 120, "test": 90}
ODD = (0, 5)
"""Objects of the test split, counted from its first, whose residuals lie far out."""


def plant(tmp_path: Path, tree: Tree, **sizes: int) -> Path:
    """Write a tree of four points with the splits of *sizes* (objects); the experiment's folder."""
    folder = flow_experiment(tmp_path)
    _checkpoint(Tree(tree.data_root, "DIGITS", "VAE"), tmp_path, "0", 0, "vae0vae0vae0", "none")
    composed = load(folder, [])
    for point in make_plan(composed, tree).points:
        own = {"point_id": point.point_id, "config_id": point.config_id, "seed": point.seed}
        own |= {"sweep": point.sweep}
        info = _checkpoint(tree, tmp_path, "7", point.job_num, **own)
        for split, objects in (sizes or SIZES).items():
            embed(tree, tmp_path, info, split, objects)
    return folder


def embed(tree: Tree, tmp_path: Path, checkpoint: Info, split: str, objects: int) -> Path:
    """Publish the embedding of one split of a checkpoint."""
    source = tmp_path / f"{split}.parquet"
    write(source, split, objects, seed=10 * checkpoint.job_num + (checkpoint.seed or 0))
    target = tree.embeddings / checkpoint.job / f"{split}.parquet"
    info = checkpoint.model_copy(
        update={
            "kind": "embedding",
            "lineage": {"flow": Parent(point_id=checkpoint.point_id, sha256=checkpoint.sha256)},
        }
    )
    publish(source, target, info)
    return target


def write(path: Path, split: str, objects: int, seed: int, spoil: Sequence[int] = ()) -> None:
    """Residuals N(0, I), *ODD* objects of test far out in each seed; *spoil* rows hold a NaN."""
    start = {"train": 0, "val": 10_000, "test": 20_000}[split]
    rng = np.random.default_rng((seed, start))
    ids = np.arange(start, start + objects)
    table = {
        "id": np.concatenate([ids + 100_000 * view for view in range(VIEWS)]),
        "object": np.tile(ids, VIEWS),
        "view": np.repeat(np.arange(VIEWS), objects),
        "size": rng.uniform(0, 5, VIEWS * objects),
        "angle": rng.uniform(-180, 180, VIEWS * objects),
        "kind": rng.integers(3, size=VIEWS * objects),
    }
    u = rng.standard_normal((len(table["id"]), DIM), dtype=np.float32)
    if split == "test":
        u[np.isin(table["object"], start + np.array(ODD))] += 9.0
    u[list(spoil), 0] = np.nan
    about = About(
        kind="flow",
        point_id="p" * 12,
        split=split,
        fingerprint="f" * 16,
        checkpoint="c" * 64,
        seed=0,
        kept=["size"],
        dropped=["angle", "kind"],
    )
    schema = arrow_schema(table, KNOWN, about, latent_dim=DIM)
    log_prob = (-0.5 * np.square(u).sum(axis=1)).astype(np.float32)
    arrays = {
        **{key: pa.array(column) for key, column in table.items()},
        **dict.fromkeys(("u", "u_mean", "z", "z_mean"), vectors(u)),
        **dict.fromkeys(("log_prob", "log_prob_mean"), pa.array(log_prob)),
    }
    columns = [arrays[field.name] for field in schema]
    pq.write_table(pa.table(columns, schema=schema), path, row_group_size=100)


def _checkpoint(
    tree: Tree,
    tmp_path: Path,
    job_id: str,
    job_num: int,
    point_id: str,
    config_id: str,
    seed: int = 1,
    sweep: str | None = None,
) -> Info:
    source = tmp_path / "some.ckpt"
    torch.save({"state_dict": {}, "point": point_id}, source)
    config = {"model_checkpoint": {"monitor": "val_loss", "mode": "min"}}
    info = Info(
        job_id=job_id,
        job_num=job_num,
        point_id=point_id,
        config_id=config_id,
        seed=seed,
        sweep=sweep,
        metrics={"val_loss": 1.0},
        status="done",
        kind="checkpoint",
        config=config,
    )
    return publish(source, tree.ckpt(info.job), info)
