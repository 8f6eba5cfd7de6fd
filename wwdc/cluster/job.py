"""The batch job that a command may be part of: when it ends, how often it began, what it runs.

`cluster/ray_head.sh` tells all this by environment variables, and a command outside of a batch job
has none of them.
"""

__all__ = ["BatchJob", "batch_job"]

import math
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wwdc.terminal import EXIT_FAILED, EXIT_STOPPED, notice

MARGIN_S = 30.0
"""A command is to be gone so long before its job ends: the script has to send the job back."""

_NOT_COPIED = ("__pycache__", ".*")


@dataclass(frozen=True)
class BatchJob:
    """What a command knows of the batch job around it; of none, that nothing limits it.

    Attributes:
        id: Slurm's number, ``ARRAY_TASK`` of an array; empty outside of Slurm. It stays the same
            when the job is sent back to the queue.
        end: when Slurm ends the job [s since 1970]; infinite without a limit.
        restarts: how often the job was started before.
        folder: the job's own, on the disk that its nodes share.
    """

    id: str = ""
    end: float = math.inf
    restarts: int = 0
    folder: Path | None = None

    def deadline(self, budget_s: float | None) -> float:
        """When the command has to have ended [s since 1970]: by its own budget or the job's limit.

        >>> BatchJob().deadline(None), BatchJob(end=1000.0).deadline(None)
        (inf, 970.0)
        """
        own = time.time() + budget_s if budget_s else math.inf
        return min(own, self.end - MARGIN_S)

    def frozen(self, experiment: Path) -> Path:
        """The experiment's folder as it was when the job first started, if it is a restart."""
        copy = self._copy(experiment)
        return copy if self.restarts and copy and copy.is_dir() else experiment

    def freeze(self, experiment: Path) -> None:
        """Keep the experiment's folder for a restart: what is edited meanwhile is another job's."""
        copy = self._copy(experiment)
        if copy is not None and not copy.exists():
            ignored = shutil.ignore_patterns(*_NOT_COPIED)
            shutil.copytree(experiment, copy, ignore=ignored)

    def fresh(self, asked: bool) -> bool:
        """Whether what is there is to be made again: not by a restart, which may have made it."""
        if asked and self.restarts:
            notice("--fresh was for the job's first start; what is there by now is kept.")
        return asked and not self.restarts

    def stopped(self, progress: bool) -> int:
        """The exit code of a command that the time ended: a job that gets nowhere is not repeated.

        Args:
            progress: whether anything was done that the next start need not do again.
        """
        if progress or not self.restarts:
            return EXIT_STOPPED
        notice(
            "the job was started again and got no further: its time limit is too short for one "
            "epoch, or one piece of work, besides the start. Ask for more time."
        )
        return EXIT_FAILED

    def _copy(self, experiment: Path) -> Path | None:
        return self.folder / "experiment" / experiment.resolve().name if self.folder else None


def batch_job(environment: Mapping[str, str] = os.environ) -> BatchJob:
    """The batch job that *environment* speaks of.

    >>> batch_job({"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2", "SLURM_JOB_ID": "9"}).id
    '7_2'
    """
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    slurm = f"{array}_{task}" if array and task else environment.get("SLURM_JOB_ID", "")
    folder = environment.get("WWDC_JOB_DIR")
    return BatchJob(
        id=environment.get("WWDC_JOB_ID") or slurm,
        end=float(environment.get("WWDC_END") or math.inf),
        restarts=int(environment.get("WWDC_RESTARTS") or 0),
        folder=Path(folder) if folder else None,
    )
