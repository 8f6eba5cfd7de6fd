"""What there is to embed: each published checkpoint, drop set and split, and what is done."""

__all__ = ["Job", "Status", "embedding_info", "failed", "find_jobs", "folder_name", "with_status"]

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from wwdc.config import ROOT, Staged, instantiate
from wwdc.data.colour_mnist import Split
from wwdc.errors import ProductError
from wwdc.models.context import is_masked
from wwdc.products import Info, Parent, Product, Tree, claimed, info_path, read_info
from wwdc.products.tree import artefact_of
from wwdc.tune.identity import digest
from wwdc.tune.plan import Plan
from wwdc.tune.sweeps import Setting

Status = Literal["new", "partial", "running", "done", "failed"]

DROPS = "data.x_ds.drop_variables"
_FINISHED = ("done", "stopped")


@dataclass(frozen=True)
class Job:
    """One embedding: of a checkpoint, under a drop set where it serves several, of a split.

    Attributes:
        product: the checkpoint.
        split: what is embedded.
        path: where the embedding goes.
        settings: the settings of the ``embed`` group that it depends on.
        drop: the drop set, for a flow with condition_dropout.
        param: the swept parameter as sweeps.yaml has it, for a drop set.
        x_ds: how to build the dataset, with nothing dropped.
        rows: of the embedding, once it is known.
        detail: why it failed.
    """

    product: Product
    split: Split
    path: Path
    settings: Mapping[str, Any]
    drop: Setting | None = None
    param: str | None = None
    x_ds: Mapping[str, Any] = field(default_factory=dict, repr=False)
    rows: int | None = None
    status: Status = "new"
    detail: str = ""

    @property
    def name(self) -> str:
        """The embedding's folder: ``{job_id}_{job_num}``, with ``-{sweep}`` for a drop set."""
        return self.path.parent.name

    @property
    def sweep(self) -> str | None:
        """The named sweep it belongs to."""
        return self.drop.sweep if self.drop else self.product.info.sweep

    @property
    def kind(self) -> Literal["flow", "vae"]:
        """Whether a flow is applied."""
        loader = self.product.info.config.get("lightning_loader", {})
        return "flow" if isinstance(loader.get("flow"), Mapping) else "vae"

    @property
    def dropped(self) -> list[str]:
        """The variables that the flow is not told."""
        if self.drop is not None:
            return list(self.drop.value)
        return list(self.product.info.config["data"]["x_ds"].get("drop_variables") or [])

    @property
    def fingerprint(self) -> str:
        """Of the dataset that the checkpoint was trained on."""
        return self.product.info.parents.get("data", Parent()).fingerprint or ""

    @property
    def work(self) -> str:
        """Name of its folder of work in progress: one driver at a time makes this file."""
        return f"embed-{digest([self.name, self.split], 12)}"

    def contents(self, shard_rows: int) -> str:
        """Name of what its parts hold, and how they are cut: parts of other contents are no use."""
        info = self.product.info
        known = [info.sha256, self.dropped, self.split, self.fingerprint, dict(self.settings)]
        return digest([*known, shard_rows], 12)

    def lineage(self) -> dict[str, Parent]:
        """What the embedding builds on, by content."""
        info = self.product.info
        own = Parent(point_id=info.point_id, sha256=info.sha256)
        parents = {name: p for name, p in info.parents.items() if name in ("vae", "data")}
        return {self.kind: own, **{n: p for n, p in parents.items() if n != self.kind}}

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints of it."""
        info = self.product.info
        return {
            "job": self.name,
            "point_id": info.point_id,
            "sweep": self.sweep,
            "seed": info.seed,
            "split": self.split,
            "path": str(self.path),
            "rows": self.rows,
            "status": self.status,
        }


def find_jobs(
    staged: Staged, tree: Tree, plan: Plan, *, everything: bool = False, fresh: bool = False
) -> tuple[list[Job], int]:
    """The embeddings that an experiment's checkpoints are due, and how many points have none.

    Args:
        everything: every finished checkpoint of the tree, not those of the plan's points only.
        fresh: finished embeddings count as new.
    """
    products, untrained = _products(tree, plan, everything)
    drops = getattr(plan.axes, "drops", ())
    chosen = staged.embed
    settings = {"seed": chosen.seed, "times": chosen.times, "log_prob": chosen.log_prob}
    nodes = {point.point_id: point.config["data"]["x_ds"] for point in plan.points}
    current = staged.training.resolve()["data"]["x_ds"]
    jobs = []
    for product in products:
        info = product.info
        masked = is_masked(info.config.get("lightning_loader", {}))
        splits: Any = staged.splits  # checked when embed.yaml was read
        for split in splits:
            for drop in drops if masked and drops else (None,):
                job = Job(
                    product=product,
                    split=split,
                    path=tree.embeddings / folder_name(info, drop) / f"{split}.parquet",
                    settings=settings,
                    drop=drop,
                    param=_as_written(staged, drop),
                )
                node = _dataset_node(job, nodes.get(info.point_id, current), staged)
                jobs.append(with_status(replace(job, x_ds=node), tree, fresh=fresh))
    return jobs, untrained


def with_status(job: Job, tree: Tree, *, fresh: bool = False) -> Job:
    """The job with its status in the tree; one that failed stays so."""
    if job.status == "failed":
        return job
    found = None if fresh else _embedded(job)
    status: Status = "new"
    if found is not None:
        return replace(job, status="done", rows=found.config.get("rows"))
    if claimed(tree, job.work):
        status = "running"
    elif not fresh and _has_parts(tree.point(job.work)):
        status = "partial"
    return replace(job, status=status)


def failed(job: Job, reason: str) -> Job:
    """The job, failed."""
    return replace(job, status="failed", detail=reason)


def embedding_info(job: Job, *, rows: int, device: str, created: str) -> Info:
    """The info file of a job's embedding: its checkpoint's, with what was done to it."""
    info = job.product.info
    changes: dict[str, Any] = {}
    if job.drop is not None:
        changes = {
            "param": job.param,
            "val": json.dumps(list(job.drop.value)),
            "description": job.drop.description,
            "sweep": job.drop.sweep,
            "overrides": {DROPS: list(job.drop.value), **info.overrides},
        }
    known = ("param", "val", "description", "job_id", "job_num", "point_id", "config_id", "seed")
    fields = {name: getattr(info, name) for name in (*known, "overrides", "sweep", "vae_fp")}
    config = {**info.config, "embed": dict(job.settings), "split": job.split, "rows": rows}
    return Info(
        **{**fields, **changes},
        model_fp=str(job.product.path),
        status="done",
        created=created,
        config=config,
        device=device,
        kind="embedding",
        lineage=job.lineage(),
    )


def _has_parts(work: Path) -> bool:
    try:
        return any(work.glob("parts-*/*.arrow"))
    except FileNotFoundError:  # another run has just finished with it
        return False


def _embedded(job: Job) -> Info | None:
    """The info of the finished embedding of this very job."""
    try:
        info = read_info(info_path(job.path))
    except (FileNotFoundError, ProductError):  # none, or one that a new one replaces
        return None
    same = (
        job.path.is_file()
        and job.path.stat().st_size == info.bytes
        and info.parents == job.lineage()
        and info.config.get("embed") == dict(job.settings)
        and (job.drop is None or info.overrides.get(DROPS) == list(job.drop.value))
    )
    return info if same else None


def _products(tree: Tree, plan: Plan, everything: bool) -> tuple[list[Product], int]:
    if everything:
        return [*(p for p in tree.products() if p.info.status in _FINISHED), *_cut(tree)], 0
    finished = tree.finished()
    cut = {product.info.point_id: product for product in _cut(tree)}
    found = [finished.get(point.point_id) or cut.get(point.point_id) for point in plan.points]
    products = [product for product in found if product is not None]
    return products, len(found) - len(products)


def _cut(tree: Tree) -> Iterator[Product]:
    """Checkpoints that were published and are no longer whole: they fail, and are not passed by."""
    for path in sorted(tree.ckpts.glob("*_info.yaml")):
        info, artefact = read_info(path), artefact_of(path)
        if info.status in _FINISHED and (artefact is None or artefact.stat().st_size != info.bytes):
            yield Product(artefact or tree.ckpt(info.job), info)


def folder_name(info: Info, drop: Setting | None) -> str:
    """The folder of a checkpoint's embedding: the job's name, and that of the drop set."""
    if drop is None:
        return info.job
    return f"{info.job}-{drop.sweep or '-'.join(['drop', *drop.value])}"


def _as_written(staged: Staged, drop: Setting | None) -> str | None:
    if drop is None:
        return None
    entry = staged.training.sweeps.get(drop.sweep or "")
    return entry.param if entry else drop.key


def _dataset_node(job: Job, known: Mapping[str, Any], staged: Staged) -> dict[str, Any]:
    """How to build the data that a checkpoint was trained on.

    What the experiment says now comes first: the info file may name folders of another machine.
    """
    recorded = {**job.product.info.config["data"]["x_ds"], "drop_variables": []}
    here = str(staged.training.data_root)
    text = json.dumps({**known, "drop_variables": []}).replace(ROOT, here)
    same = _fingerprint(text, tuple(staged.training.allow)) == job.fingerprint
    return dict(json.loads(text)) if same else recorded


@functools.lru_cache(maxsize=64)
def _fingerprint(text: str, allow: tuple[str, ...]) -> str:
    return str(instantiate(json.loads(text), allow=allow, key="data.x_ds").fingerprint)
