"""One point from claim to published product, whatever engine runs it. Knows no Ray."""

__all__ = ["Outcome", "TrialSpec", "complete", "hold", "record_failure"]

import platform
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wwdc.config import fill
from wwdc.errors import ProductError
from wwdc.products import (
    Info,
    Tree,
    atomic_write,
    claim,
    dump_info,
    free_job,
    git_state,
    publish,
    read_info,
)

if TYPE_CHECKING:
    from wwdc.training.loop import Distributed

Row = dict[str, float]
Outcome = Literal["done", "failed", "elsewhere"]


@dataclass(frozen=True)
class TrialSpec:
    """All that a worker needs to train a point: plain data, picklable.

    Attributes:
        config: resolved configuration with placeholders.
        record: the info file's fields that the plan knows.
        lineage: name → identity of what the point builds on.
    """

    point_id: str
    job_id: str
    job_num: int
    data_root: Path
    data_name: str
    experiment_name: str
    config: dict[str, Any] = field(repr=False)
    record: dict[str, Any] = field(repr=False)
    lineage: dict[str, str] = field(repr=False)
    fresh: bool = False

    @property
    def tree(self) -> Tree:
        """The product tree the point publishes into."""
        return Tree(self.data_root, self.data_name, self.experiment_name)

    @property
    def keep(self) -> Path:
        """The folder that survives the process."""
        return self.tree.points / self.point_id


@contextmanager
def hold(spec: TrialSpec) -> Iterator[bool]:
    """Claim the point for this process; false when another run trains or has finished it."""
    with claim(spec.tree, spec.point_id) as held:
        if not held or (not spec.fresh and spec.tree.find(spec.point_id)):
            yield False
            return
        spec.keep.mkdir(parents=True, exist_ok=True)
        if spec.fresh and not _started_by(spec):
            for name in ("last.ckpt", "best.ckpt", "metrics.csv"):
                (spec.keep / name).unlink(missing_ok=True)
        atomic_write(spec.keep / "job", spec.job_id)
        yield True


def _started_by(spec: TrialSpec) -> bool:
    marker = spec.keep / "job"
    return marker.is_file() and marker.read_text() == spec.job_id


def complete(
    spec: TrialSpec, report: Callable[[Row], None], distributed: "Distributed | None" = None
) -> dict[str, float]:
    """Train a claimed point and publish checkpoint, metrics and info; returns its metrics.

    Raises:
        WWDCError: see `wwdc.training.loop.train_point`; nothing is published then.
    """
    from wwdc.training.loop import train_point

    created = _now()
    job = f"{spec.job_id}_{spec.job_num}"
    config = fill(spec.config, job=job, data_root=spec.data_root)
    scratch = config["paths"].get("scratch_data_dir")
    if scratch:
        Path(scratch).mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"wwdc-{spec.point_id}-", dir=scratch))
    try:
        result = train_point(
            config,
            keep=spec.keep,
            work=work,
            vae_id=spec.lineage.get("vae", ""),
            report=report,
            distributed=distributed,
        )
        if distributed is None or distributed.rank == 0:
            _publish(spec, config, result.checkpoint, result.metrics, created)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return result.metrics


def record_failure(spec: TrialSpec, error: BaseException) -> None:
    """Leave an info file with the traceback beside the point's checkpoints."""
    text = "".join(traceback.format_exception(error))
    info = _info(spec, "failed", {}, _now(), reason=str(error), traceback=text)
    try:
        spec.keep.mkdir(parents=True, exist_ok=True)
        atomic_write(spec.keep / "failed.yaml", dump_info(info))
    except (OSError, ProductError):
        return  # a full disk must not hide the fault itself


def _publish(
    spec: TrialSpec,
    config: dict[str, Any],
    checkpoint: Path,
    metrics: dict[str, float],
    created: str,
) -> None:
    tree = spec.tree
    job_num = free_job(tree, spec.job_id, spec.job_num, spec.point_id)
    spec = TrialSpec(**{**spec.__dict__, "job_num": job_num})
    job = f"{spec.job_id}_{job_num}"
    info = _info(spec, "done", metrics, created, config=config, model_fp=str(tree.ckpt(job)))
    tree.metrics.mkdir(parents=True, exist_ok=True)
    atomic_write(tree.metrics / f"{job}.csv", (spec.keep / "metrics.csv").read_bytes())
    publish(checkpoint, tree.ckpt(job), info)
    for path in sorted(spec.keep.iterdir()):
        if path.name in {"last.ckpt", "best.ckpt", "metrics.csv", "failed.yaml", "job"}:
            path.unlink(missing_ok=True)


def _info(
    spec: TrialSpec,
    status: Literal["done", "failed"],
    metrics: dict[str, float],
    created: str,
    *,
    config: dict[str, Any] | None = None,
    model_fp: str | None = None,
    **extra: str,
) -> Info:
    config = config or spec.config
    vae = config["lightning_loader"].get("vae_ckpt_path")
    return Info(
        **spec.record,
        job_id=spec.job_id,
        job_num=spec.job_num,
        point_id=spec.point_id,
        vae_fp=str(vae) if vae else None,
        model_fp=model_fp,
        metrics=metrics,
        status=status,
        created=created,
        finished=_now(),
        config=config,
        git=git_state(),
        host=platform.node(),
        device=_device(config),
        lineage=spec.lineage,
        **extra,
    )


def _device(config: dict[str, Any]) -> str:
    if config["trainer"].get("accelerator") in ("cpu", None):
        return f"cpu ({platform.machine()})"
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def finished_metrics(spec: TrialSpec) -> dict[str, float]:
    """Metrics of the product another process published for this point."""
    product = spec.tree.find(spec.point_id)
    return dict(read_info(product.info_path).metrics) if product else {}
