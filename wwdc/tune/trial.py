"""One point from claim to published product, whatever engine runs it. Knows no Ray."""

__all__ = ["Ended", "TrialSpec", "complete", "hold", "record_failure"]

import errno
import json
import math
import platform
import shutil
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wwdc import products
from wwdc.config import fill
from wwdc.config.tree import put
from wwdc.errors import ProductError, TrainingError
from wwdc.products import Info, Parent, Tree, atomic_write, claim, now, publish_point
from wwdc.tune.exchange import FILES, Exchange, schedule, take_over
from wwdc.tune.identity import digest
from wwdc.tune.pointlog import log_epoch, logging_to
from wwdc.tune.search import RECORD

if TYPE_CHECKING:
    from wwdc.training.callbacks import Wish
    from wwdc.training.loop import Distributed

Row = dict[str, float]
Status = Literal["done", "stopped", "failed"]
IN_PROGRESS = (*FILES, "job", RECORD)


@dataclass(frozen=True)
class TrialSpec:
    """All that a worker needs to train a point: plain data, picklable.

    Attributes:
        config: resolved configuration with placeholders.
        record: the info file's fields that the plan knows.
        lineage: name → ids and hashes of what the point builds on.
        searched: the values of searched keys that may change while it trains.
        fresh: train the point although a product of it exists.
        code: folder with Python of the user's that the configuration may name.
        end: when the run has to have ended [s since 1970].
        epoch_s: how long an epoch of the point takes, where earlier points tell.
    """

    point_id: str
    job_id: str
    job_num: int
    data_root: Path
    data_name: str
    experiment_name: str
    config: dict[str, Any] = field(repr=False)
    record: dict[str, Any] = field(repr=False)
    lineage: dict[str, dict[str, str]] = field(repr=False)
    searched: dict[str, Any] = field(default_factory=dict, repr=False)
    fresh: bool = False
    code: Path | None = None
    end: float = math.inf
    epoch_s: float | None = None

    @property
    def tree(self) -> Tree:
        """The product tree the point publishes into."""
        return Tree(self.data_root, self.data_name, self.experiment_name)

    @property
    def keep(self) -> Path:
        """The folder that survives the process."""
        return self.tree.point(self.point_id)


@dataclass(frozen=True)
class Ended:
    """How a point ended, and the metrics of what it published."""

    status: Status
    metrics: dict[str, float]


@contextmanager
def hold(spec: TrialSpec) -> Iterator[bool]:
    """Claim the point for this process; false when another run trains or has finished it."""
    with claim(spec.tree, spec.point_id) as held:
        if held is None or (not spec.fresh and spec.tree.find(spec.point_id)):
            yield False
            return
        spec.keep.mkdir(parents=True, exist_ok=True)
        if spec.fresh and not _started_by(spec):
            for name in IN_PROGRESS:
                (spec.keep / name).unlink(missing_ok=True)
        atomic_write(spec.keep / "job", spec.job_id)
        atomic_write(spec.keep / RECORD, json.dumps(spec.record))
        yield True


def _started_by(spec: TrialSpec) -> bool:
    marker = spec.keep / "job"
    return marker.is_file() and marker.read_text() == spec.job_id


def complete(
    spec: TrialSpec,
    report: Callable[[Row], "Wish | None"],
    distributed: "Distributed | None" = None,
    exchange: Exchange | None = None,
    finish: bool = False,
) -> Ended:
    """Train a claimed point and publish checkpoint, metrics and info.

    Args:
        report: called with the metrics of each epoch; training ends early when it returns a wish.
        exchange: what population-based training changes.
        finish: train no further; publish what there is, as stopped.

    Raises:
        Paused: the point was put aside, as *report* wished.
        WWDCError: see `wwdc.training.loop.train_point`; nothing is published then.
    """
    from wwdc.training.loop import train_point

    created = now()
    if spec.code is not None and str(spec.code) not in sys.path:
        sys.path.insert(0, str(spec.code))
    job = f"{spec.job_id}_{spec.job_num}"
    config = fill(spec.config, job=job, data_root=spec.data_root)
    changes = {}
    if exchange is not None:
        changes = take_over(spec.keep, spec.point_id, spec.searched, exchange)
        for key, value in exchange.values.items():
            put(config, key, value)
    rank = distributed.rank if distributed else 0
    place = digest(str(spec.tree.path.resolve()), 8)  # another tree may train the same point here
    scratch = config["paths"].get("scratch_data_dir")
    log = spec.tree.multiruns / spec.job_id / "logs" / f"{spec.job_num}.log"

    def note(row: Row) -> "Wish | None":
        log_epoch(row)
        return report(row)

    with _scratch(scratch, f"wwdc-{place}-{spec.point_id}-{rank}-") as work:
        with logging_to(log) if rank == 0 else nullcontext():
            result = train_point(
                config,
                keep=spec.keep,
                work=work,
                vae_id=spec.lineage.get("vae", {}).get("point_id", ""),
                report=note,
                distributed=distributed,
                changes=changes,
                finish=finish,
            )
        status: Status = "stopped" if result.stopped else "done"
        if rank == 0:
            info = _info(spec, config, status, result.metrics, created)
            publish_point(spec.tree, result.checkpoint, info, spec.keep / "metrics.csv")
            for name in IN_PROGRESS:
                (spec.keep / name).unlink(missing_ok=True)
    return Ended(status, result.metrics)


@contextmanager
def _scratch(parent: str | None, prefix: str) -> Iterator[Path]:
    """A fresh node-local folder; those that a killed process of this point left are removed.

    Raises:
        TrainingError: its disk is full.
    """
    folder = Path(parent or tempfile.gettempdir())
    work = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(f"{prefix}*"):
            shutil.rmtree(stale, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
        yield work
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TrainingError(
            f"{error.strerror}: is the disk of {error.filename or folder} on "
            f"{socket.gethostname()} full? Free some of it, or set paths.scratch_data_dir, or "
            "WWDC_SCRATCH of a cluster job, to a folder on another one."
        ) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def record_failure(spec: TrialSpec, error: BaseException) -> None:
    """Leave an info file with the traceback in the point's folder."""
    text = "".join(traceback.format_exception(error))
    info = _info(spec, spec.config, "failed", {}, now())
    info = info.model_copy(update={"reason": str(error), "traceback": text})
    try:
        products.record_failure(spec.tree, info)
    except ProductError:
        return  # a full disk must not hide the fault itself


def _info(
    spec: TrialSpec,
    config: dict[str, Any],
    status: Status,
    metrics: dict[str, float],
    created: str,
) -> Info:
    vae = config["lightning_loader"].get("vae_ckpt_path")
    steps = schedule(spec.keep)
    return Info(
        **spec.record,
        job_id=spec.job_id,
        job_num=spec.job_num,
        point_id=spec.point_id,
        vae_fp=str(vae) if vae else None,
        metrics=metrics,
        status=status,
        created=created,
        config=config,
        device=_device(config),
        lineage={name: Parent(**ids) for name, ids in spec.lineage.items()},
        kind="checkpoint",
        schedule={"steps": steps} if steps else None,
    )


def _device(config: dict[str, Any]) -> str:
    if config["trainer"].get("accelerator") == "cpu":
        return f"cpu ({platform.machine()})"
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
