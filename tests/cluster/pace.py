"""Callbacks of test experiments: points that take their time, or more than there is."""

__all__ = ["Ballast", "Hungry", "Pace"]

import errno
import os
import time
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

CHUNK = 1 << 24


class Pace(Callback):
    """Lets every epoch take some seconds without work."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        time.sleep(self.seconds)


class Hungry(Callback):
    """Takes ever more memory in the second epoch of the points with one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.eaten: list[bytearray] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 1 and int(os.environ["PL_GLOBAL_SEED"]) == self.seed:
            while True:
                self.eaten.append(bytearray(os.urandom(1024)) * (CHUNK // 1024))


class Ballast(Callback):
    """Fills the disk a point works on in the second epoch of the points with one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch != 1 or int(os.environ["PL_GLOBAL_SEED"]) != self.seed:
            return
        try:
            with (Path(trainer.default_root_dir) / "ballast").open("wb", buffering=0) as file:
                while file.write(bytes(CHUNK)):
                    pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
