"""From an experiment to what is labelled: which embedding, its scores, its images."""

__all__ = ["Opened", "open_objects"]

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.config import Staged, instantiate
from wwdc.embed.jobs import Job, find_jobs
from wwdc.embed.published import Embedding, find_embeddings
from wwdc.errors import ConfigError, ProductError, closest
from wwdc.label.features import Features, features_of
from wwdc.label.objects import Objects, load_objects
from wwdc.label.settings import LabelSettings
from wwdc.products import Product, Tree, verified
from wwdc.products.best import objective
from wwdc.terminal import notice
from wwdc.tune.plan import Plan

# Shapes: C channels, H × W pixels.


@dataclass(eq=False)
class Opened:
    """What a campaign is about.

    Attributes:
        job: of the embedding; it says how to build the dataset.
    """

    objects: Objects
    embedding: Embedding
    features: Features
    job: Job
    allow: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Of the dataset."""
        return self.job.fingerprint

    @functools.cached_property
    def dataset(self) -> Any:
        """The dataset, with nothing dropped.

        Raises:
            DataError: its raw data are missing.
            ProductError: it is not what the checkpoint was trained on.
        """
        dataset = instantiate(self.job.x_ds, allow=self.allow, key="data.x_ds")
        if hasattr(dataset, "prepare"):
            dataset.prepare(notice)
        if dataset.fingerprint != self.fingerprint:
            raise ProductError(
                f"the data are not those of the embedding: their fingerprint is "
                f"{dataset.fingerprint}, the embedding is of {self.fingerprint}. Give data.x_ds "
                "the settings it was trained with."
            )
        return dataset

    def draw(self, row: int) -> tuple[Mapping[str, Any], NDArray[np.float32]]:
        """An object's line of the catalogue and its image (C, H, W) in [0, 1]."""
        import torch

        objects = self.objects
        split = objects.split_names[objects.split[row]]
        images = self.dataset.images(split, torch.tensor([int(objects.index[row])]))
        line = {name: column[row].item() for name, column in objects.table.items()}
        return {"id": int(objects.ids[row]), "split": split, **line}, images[0].float().numpy()


def open_objects(
    staged: Staged, tree: Tree, plan: Plan, settings: LabelSettings, experiment: Path
) -> Opened:
    """The objects of the embedding that the settings choose.

    Raises:
        ProductError: nothing is scored, or a product is broken.
        ConfigError: the settings name what is not there.
    """
    scored = _scored(tree, experiment)
    finished = tree.finished()
    checkpoints = {
        product.path.parent.name: finished[product.info.point_id]
        for product in scored.values()
        if product.info.point_id in finished
    }
    if settings.embedding is None:
        name = _best(checkpoints, {point.point_id for point in plan.points}, tree)
    else:
        name = _named(settings.embedding, list(scored))
    if name not in checkpoints:
        raise ProductError(f"{scored[name].path}: the checkpoint that it came from is gone.")
    scores, checkpoint = verified(scored[name]), checkpoints[name]
    drops = plan.axes.drops if plan.axes else ()
    found, faults = find_embeddings(tree, {checkpoint.info.point_id: checkpoint}, drops)
    embedding = next((e for e in found if e.name == name), None)
    if embedding is None:
        told = [f"{fault.path}: {fault.reason}" for fault in faults if fault.path.name == name]
        raise ProductError(
            f"{scores.path}: its embedding cannot be used. {' '.join(told)} "
            f"Run: python -m wwdc.embed {experiment}, then python -m wwdc.detect {experiment}"
        )
    _check_parents(scores, embedding, experiment)
    objects = load_objects(embedding, scores.path, settings.splits)
    columns = settings.columns or scores.info.config["settings"]["columns"]
    features = features_of(objects, embedding, columns, scores.path)
    jobs, _ = find_jobs(staged, tree, plan, everything=True)
    job = next(job for job in jobs if job.name == name)
    return Opened(objects, embedding, features, job, tuple(staged.training.allow))


def _scored(tree: Tree, experiment: Path) -> dict[str, Product]:
    """Scores by the name of their embedding."""
    scored = {product.path.parent.name: product for product in tree.scored()}
    if not scored:
        raise ProductError(
            f"{tree.name}: nothing is scored yet. Run: python -m wwdc.detect {experiment}"
        )
    return scored


def _named(wanted: str | int, names: Sequence[str]) -> str:
    """The embedding that ``label.embedding`` names.

    YAML reads ``5240735_2`` as the number 52407352.
    """
    if isinstance(wanted, int):
        same = [name for name in names if name.replace("_", "") == str(wanted)]
        if len(same) == 1:
            return same[0]
    elif wanted in names:
        return wanted
    raise ConfigError(
        f"label.embedding: {wanted!r} has no scores.{closest(str(wanted), names)} Scored are "
        f"{', '.join(names)}. Put the name in quotes where it looks like a number."
    )


def _best(checkpoints: Mapping[str, Product], points: set[str], tree: Tree) -> str:
    """The embedding of the best checkpoint, by the metric that its configuration names."""
    chosen = {n: p for n, p in checkpoints.items() if p.info.point_id in points}
    if not chosen:
        raise ProductError(
            f"{tree.name}: none of the points that this command asks for is scored. Scored are "
            f"{', '.join(checkpoints) or 'none'}: choose one with label.embedding=NAME."
        )

    def key(name: str) -> tuple[float, str]:
        info = chosen[name].info
        metric, mode = objective(info)
        value = info.metrics.get(metric, np.inf)
        value = -value if mode == "max" and np.isfinite(value) else value
        return (value if np.isfinite(value) else np.inf), name

    return min(chosen, key=key)


def _check_parents(scores: Product, embedding: Embedding, experiment: Path) -> None:
    """Refuse scores of an embedding that has been made again since."""
    known = {parent.sha256 for parent in scores.info.parents.values()}
    if not known & set(embedding.sha256.values()):
        raise ProductError(
            f"{scores.path} was made from an earlier embedding. Run: python -m wwdc.detect "
            f"{experiment}"
        )
