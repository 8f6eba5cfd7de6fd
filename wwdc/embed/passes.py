"""From jobs to passes: checkpoints of one VAE and split go over the data together."""

__all__ = ["MOST", "Planned", "plan_passes"]

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wwdc.config import EmbedConfig, instantiate
from wwdc.embed.jobs import Job, failed
from wwdc.embed.shards import Pass, Target
from wwdc.errors import ProductError
from wwdc.products import Product, Tree, verified
from wwdc.products.export import vae_of
from wwdc.terminal import notice

MOST = 32
"""Flows in memory at a time."""


@dataclass(frozen=True)
class Planned:
    """Passes, the jobs they serve by key, and the jobs that cannot be done.

    Attributes:
        jobs: with their numbers of rows; a target's key is its job's `Job.work`.
    """

    passes: tuple[Pass, ...]
    jobs: dict[str, Job]
    failed: tuple[Job, ...]


def plan_passes(
    jobs: Iterable[Job],
    tree: Tree,
    settings: EmbedConfig,
    *,
    device: str,
    allow: tuple[str, ...],
) -> Planned:
    """Check what *jobs* are made of, and group those that share it.

    Raises:
        DataError: the raw data are missing or wrong.
        ConfigError: the dataset cannot be built.
    """
    finder = _Finder(tree, allow)
    groups: dict[tuple[Any, ...], list[Target]] = {}
    heads: dict[tuple[Any, ...], Pass] = {}
    sound: dict[str, Job] = {}
    broken: list[Job] = []
    for job in jobs:
        try:
            vae = finder.vae(job)
            rows = finder.rows(job)
        except ProductError as error:
            broken.append(failed(job, str(error)))
            continue
        target = _target(job)
        node = json.dumps([job.x_ds, target.loader.get("vae")], sort_keys=True)
        key = (vae, node, job.split)
        sound[job.work] = replace(job, rows=rows)
        groups.setdefault(key, []).append(target)
        if key not in heads:
            heads[key] = Pass(
                x_ds=job.x_ds,
                fingerprint=job.fingerprint,
                split=job.split,
                rows=rows,
                vae=vae,
                vae_id=_vae_id(job, vae),
                latents=tree.data_root / tree.data_name / "latents",
                targets=(),
                seed=settings.seed,
                times=tuple(settings.times),
                log_prob=settings.log_prob,
                batch_size=settings.batch_size,
                device=device,
                allow=allow,
            )
    passes = tuple(
        replace(heads[key], targets=tuple(targets[first : first + MOST]))
        for key, targets in groups.items()
        for first in range(0, len(targets), MOST)
    )
    return Planned(passes, sound, tuple(broken))


class _Finder:
    """Looks at each checkpoint and dataset once, however many jobs share it."""

    def __init__(self, tree: Tree, allow: tuple[str, ...]) -> None:
        self.root = tree.data_root
        self.allow = allow
        self._vaes: dict[str | None, Path] = {}
        self._faults: dict[Path, ProductError | None] = {}

    def vae(self, job: Job) -> Path | None:
        """The VAE's checkpoint, after both checkpoints were read to see that they are intact.

        None where the flow was trained on vectors.
        """
        product = job.product
        if product.path not in self._faults:
            self._faults[product.path] = _fault(lambda: verified(product))
        if fault := self._faults[product.path]:
            raise fault
        if job.kind == "vae":
            return product.path
        if product.info.config["lightning_loader"].get("vae") is None:
            return None
        parent = job.lineage().get("vae")
        sha256 = parent.sha256 if parent else None
        if sha256 not in self._vaes:
            self._vaes[sha256] = vae_of(product, self.root)
        return self._vaes[sha256]

    def rows(self, job: Job) -> int:
        """Rows of the split, of the very data that the checkpoint was trained on."""
        dataset = _dataset(json.dumps(job.x_ds), self.allow)
        if dataset.fingerprint != job.fingerprint:
            raise ProductError(
                f"{job.product.path} was trained on data with the fingerprint {job.fingerprint}; "
                f"those that data.x_ds names now have {dataset.fingerprint}. Give data.x_ds the "
                "settings it was trained with, or train it again."
            )
        return int(dataset.rows(job.split))


def _vae_id(job: Job, vae: Path | None) -> str:
    """What training called the VAE in the latent cache."""
    parents = job.lineage()
    return "" if vae is None else parents.get("vae", parents[job.kind]).point_id or ""


def _fault(look: Callable[[], Product]) -> ProductError | None:
    try:
        look()
    except ProductError as error:
        return error
    return None


@functools.lru_cache(maxsize=16)
def _dataset(text: str, allow: tuple[str, ...]) -> Any:
    dataset = instantiate(json.loads(text), allow=allow, key="data.x_ds")
    if hasattr(dataset, "prepare"):
        dataset.prepare(notice)
    return dataset


def _target(job: Job) -> Target:
    info = job.product.info
    loader = dict(info.config["lightning_loader"])
    return Target(
        key=job.work,
        checkpoint=job.product.path,
        sha256=str(info.sha256),
        loader=loader,
        dropped=tuple(job.dropped) if job.kind == "flow" else (),
        trained_without=tuple(info.config["data"]["x_ds"].get("drop_variables") or ()),
        point_id=info.point_id,
        kind=job.kind,
    )
