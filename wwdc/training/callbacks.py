"""What happens at the end of every epoch: metrics recorded, checkpoints rolled, progress told."""

__all__ = ["EpochRecorder", "best_checkpoint", "read_metrics"]

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from wwdc.errors import ConfigError, TrainingError
from wwdc.products import atomic_copy, atomic_write

Row = dict[str, float]


class EpochRecorder(Checkpoint):
    """Appends a row of metrics an epoch and keeps what a killed point needs to go on.

    Runs after Lightning's own checkpoint callbacks. The best checkpoint is copied before the
    last one, so whatever instant the process dies at, ``last.ckpt`` never speaks of a best
    checkpoint that is not there. Saving is skipped while it would cost more than a twentieth of
    the time spent training.

    Args:
        keep: folder for ``last.ckpt``, ``best.ckpt`` and ``metrics.csv``; survives the process.
        work: node-local folder, written first.
        report: called with each epoch's row, on every rank.
        metric: a metric that must be among those logged.
        rows: rows of the epochs that were trained before a resume.

    Raises:
        TrainingError: a logged metric is NaN or infinite.
        ConfigError: *metric* is not logged.
    """

    def __init__(
        self,
        keep: Path,
        work: Path,
        report: Callable[[Row], None],
        metric: str | None,
        rows: list[Row],
    ) -> None:
        self.keep = keep
        self.work = work
        self.report = report
        self.metric = metric
        self.rows = rows
        self._saved_at = -math.inf
        self._save_seconds = 0.0
        self._best_written = 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        row = self._row(trainer)
        self.rows.append(row)
        self._check(row, validated="val_loss" in row)
        self.report(row)
        last_epoch = trainer.current_epoch + 1 == trainer.max_epochs or trainer.should_stop
        due = time.monotonic() - self._saved_at >= 20 * self._save_seconds
        if trainer.strategy.broadcast(due or last_epoch):
            self._save(trainer)

    def _row(self, trainer: Trainer) -> Row:
        epoch = trainer.current_epoch
        validated = (epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        metrics = {
            name: float(value)
            for name, value in sorted(trainer.callback_metrics.items())
            if validated or not name.startswith("val_")
        }
        return {"epoch": epoch, **metrics}

    def _check(self, row: Row, validated: bool) -> None:
        bad = [name for name, value in row.items() if not math.isfinite(value)]
        if bad:
            raise TrainingError(
                f"epoch {int(row['epoch'])}: {', '.join(f'{n} = {row[n]}' for n in bad)}. "
                "Lower the learning rate or clip gradients (trainer.gradient_clip_val)."
            )
        if self.metric and validated and self.metric not in row:
            raise ConfigError(
                f"tune.metric: {self.metric!r} is never logged. Logged: "
                f"{', '.join(name for name in row if name != 'epoch')}."
            )

    def _save(self, trainer: Trainer) -> None:
        started = time.monotonic()
        last = self.work / "last.ckpt"
        trainer.save_checkpoint(last)
        if trainer.is_global_zero:
            best = best_checkpoint(trainer)
            if best and (written := best.stat().st_mtime_ns) != self._best_written:
                atomic_copy(best, self.keep / "best.ckpt")
                self._best_written = written
            atomic_write(self.keep / "metrics.csv", _as_csv(self.rows))
            atomic_copy(last, self.keep / "last.ckpt")
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - started


def best_checkpoint(trainer: Trainer) -> Path | None:
    """The checkpoint the first ModelCheckpoint holds for the best; None before there is one."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.best_model_path:
            return Path(callback.best_model_path)
    return None


def read_metrics(path: Path, before: int) -> list[Row]:
    """Rows of a metrics file for the epochs below *before*; none where the file is missing."""
    if not path.is_file():
        return []
    with path.open(newline="") as lines:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(lines)]
    return [row for row in rows if row["epoch"] < before]


def _as_csv(rows: list[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([_text(row.get(name)) for name in names] for row in rows)]
    return "".join(",".join(line) + "\n" for line in lines)


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return repr(int(value)) if float(value).is_integer() else repr(float(value))
