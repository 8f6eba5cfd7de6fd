"""What happens at the end of every epoch: metrics recorded, checkpoints rolled, progress told."""

__all__ = ["EpochRecorder", "Report", "Row", "Wish", "best_checkpoint", "read_metrics"]

import csv
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from wwdc.errors import ConfigError, TrainingError, closest
from wwdc.products import atomic_copy, atomic_write
from wwdc.training.names import is_science
from wwdc.training.probes import ScienceProbe

Row = dict[str, float]
Wish = Literal["stop", "pause"]
"""How a point is to end before its time: published, or put aside to be taken up again."""
Report = Callable[[Row], Wish | None]


class EpochRecorder(Checkpoint):
    """Appends a row of metrics an epoch and keeps what a killed point needs to go on.

    Runs after Lightning's own checkpoint callbacks. The best checkpoint is copied before the
    last one, so whatever instant the process dies at, ``last.ckpt`` never speaks of a best
    checkpoint that is not there. Saving is skipped while it would cost more than a twentieth of
    the time spent training.

    Args:
        keep: folder for ``last.ckpt``, ``best.ckpt`` and ``metrics.csv``; survives the process.
        work: node-local folder, written first.
        report: called with each epoch's row, on every rank; training ends when it returns a wish
            on the first.
        metrics: those that must be among the ones logged.
        rows: rows of the epochs that were trained before a resume.
        always: save every epoch, whatever it costs.

    Attributes:
        ended: the wish of *report* that ended training before its time.

    Raises:
        TrainingError: a logged metric is NaN or infinite.
        ConfigError: one of *metrics* is not logged.
    """

    def __init__(
        self,
        keep: Path,
        work: Path,
        report: Report,
        metrics: Sequence[str],
        rows: list[Row],
        always: bool = False,
    ) -> None:
        self.keep = keep
        self.work = work
        self.report = report
        self.metrics = metrics
        self.rows = rows
        self.always = always
        self.ended: Wish | None = None
        self._saved_at = -math.inf
        self._save_seconds = 0.0
        self._best_written = 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        row = self._row(trainer)
        self.rows.append(row)
        self._check(row, validated="val_loss" in row)
        last_epoch = trainer.current_epoch + 1 == trainer.max_epochs or trainer.should_stop
        due = self.always or time.monotonic() - self._saved_at >= 20 * self._save_seconds
        saved = trainer.strategy.broadcast(due or last_epoch)
        if saved:  # before it is reported: a scheduler may pause the point there
            self._save(trainer)
        wish: Wish | None = trainer.strategy.broadcast(self.report(row))
        if wish and not last_epoch:
            trainer.should_stop, self.ended = True, wish
            if not saved:
                self._save(trainer)

    def _row(self, trainer: Trainer) -> Row:
        epoch = trainer.current_epoch
        validated = (epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        probed = validated and any(p.measured == epoch for p in _probes(trainer))
        metrics = {
            name: float(value)
            for name, value in sorted(trainer.callback_metrics.items())
            if validated or not name.startswith("val_")
            if probed or not is_science(name)
        }
        return {"epoch": epoch, **metrics}

    def _check(self, row: Row, validated: bool) -> None:
        bad = [name for name, value in row.items() if not math.isfinite(value)]
        if bad:
            raise TrainingError(
                f"epoch {int(row['epoch'])}: {', '.join(f'{n} = {row[n]}' for n in bad)}. "
                "Lower the learning rate or clip gradients (trainer.gradient_clip_val)."
            )
        for name in self.metrics if validated else ():
            if name not in row and not is_science(name):
                logged = [known for known in row if known != "epoch"]
                raise ConfigError(
                    f"tune.metric: {name!r} is never logged.{closest(name, logged)} Logged: "
                    f"{', '.join(logged)}."
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


def _probes(trainer: Trainer) -> list[ScienceProbe]:
    callbacks: list[object] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, ScienceProbe)]


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
