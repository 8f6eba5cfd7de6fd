"""Publishing scores: what embeddings agree on is added, the info file vouches for the rest."""

__all__ = ["finish", "group_id", "is_current"]

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.detect.assemble import Draft, read_columns, rewrite, top_size
from wwdc.detect.plan import SCHEMA, Scoring, published
from wwdc.detect.shortlist import EXPORTS, write_shortlist
from wwdc.detect.stability import Votes, stabilities
from wwdc.errors import ProductError
from wwdc.products import Info, Parent, Product, publish
from wwdc.tune.identity import digest


def group_id(scorings: Sequence[Scoring]) -> str:
    """The same for the same scores of the same embeddings, listed in the same way."""
    scores = {scoring.name: scoring.id for scoring in scorings}
    listed = [scoring.detection.shortlist.model_dump() for scoring in scorings[:1]]
    return digest({"schema": SCHEMA, "scores": scores, "shortlist": listed}, 24)


def is_current(scoring: Scoring, group: str) -> Product | None:
    """Its scores, if they are published, compared with all of *group*, and listed."""
    product = published(scoring)
    if product is None or product.info.config.get("group") != group:
        return None
    exports = [scoring.path.with_name(name) for name in EXPORTS]
    return product if all(path.is_file() for path in exports) else None


def finish(
    scorings: Sequence[Scoring], *, fresh: bool, first: Mapping[str, Product]
) -> list[Product]:
    """Compare the embeddings' scores, and publish those that are new or compared with others.

    Args:
        scorings: all of which there is a draft or a product.
        fresh: whether drafts come before what is published.
        first: embedding name → its first split's product, for the info file.

    Raises:
        ProductError: a file cannot be read, or the disk is full.
    """
    if not scorings:
        return []
    group = group_id(scorings)
    sources = {scoring.name: _source(scoring, fresh) for scoring in scorings}
    configs: dict[str, list[str]] = {}
    for scoring in scorings:
        configs.setdefault(_configuration(scoring), []).append(scoring.name)
    listed = scorings[0].detection.shortlist.size

    def read(name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        found = read_columns(sources[name].path, ["id", "score"])
        return found["id"], found["score"]

    votes: tuple[dict[str, Votes], Votes] | None = None
    products = []
    for scoring in scorings:
        current = None if fresh else is_current(scoring, group)
        if current is None:
            if votes is None:
                votes = stabilities(configs, read, lambda rows: top_size(rows, listed))
            seeds, sweeps = votes[0][_configuration(scoring)], votes[1]
            current = _publish(scoring, sources[scoring.name], group, seeds, sweeps, first)
        products.append(current)
    for scoring in scorings:
        shutil.rmtree(scoring.work, ignore_errors=True)
    return products


def _configuration(scoring: Scoring) -> str:
    """What seeds have in common; a flow with several drop sets has one for each."""
    embedding = scoring.embedding
    return f"{embedding.config_id}/{','.join(embedding.dropped)}"


def _source(scoring: Scoring, fresh: bool) -> Draft:
    product = None if fresh else published(scoring)
    draft = Draft.load(product.path if product else scoring.draft)
    if draft is None:
        raise ProductError(f"{scoring.draft}: it is not there any more. Run the command again.")
    return draft


def _publish(
    scoring: Scoring,
    source: Draft,
    group: str,
    seeds: Votes,
    sweeps: Votes,
    first: Mapping[str, Product],
) -> Product:
    ids = read_columns(source.path, ["id"])["id"]
    final = scoring.work / "scores.parquet"
    columns = {"stability_seeds": seeds.share(ids), "stability_sweeps": sweeps.share(ids)}
    rewrite(source.path, final, columns)
    found = read_columns(final, ["q_value"])["q_value"]
    with np.errstate(invalid="ignore"):
        significant = int((found <= scoring.detection.shortlist.fdr).sum())
    settings = scoring.detection.as_dict()
    about = {**source.about, "group": group, "settings": settings, "significant": significant}
    info = _info(scoring, first[scoring.name].info, about)
    for name in EXPORTS:
        scoring.path.with_name(name).unlink(missing_ok=True)
    info = publish(final, scoring.path, info)
    write_shortlist(scoring)
    return Product(scoring.path, info)


def _info(scoring: Scoring, embedding: Info, about: Mapping[str, Any]) -> Info:
    lineage: dict[str, Parent | str] = {
        f"embedding_{split}": Parent(point_id=embedding.point_id, sha256=digest_)
        for split, digest_ in sorted(scoring.embedding.sha256.items())
    }
    return Info(
        **{
            name: getattr(embedding, name)
            for name in ("param", "val", "description", "job_id", "job_num", "vae_fp", "model_fp")
        },
        point_id=embedding.point_id,
        config_id=embedding.config_id,
        seed=embedding.seed,
        sweep=embedding.sweep,
        overrides=embedding.overrides,
        status="done",
        kind="anomalies",
        lineage=lineage,
        config=dict(about),
    )
