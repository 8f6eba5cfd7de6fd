"""What a worker does: pieces of passes in, parts on the disk out. Knows no Ray."""

__all__ = ["Done", "Embedder", "Piece", "make_embedder"]

import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch

from wwdc.embed.parts import write_part
from wwdc.embed.shards import Models, Pass, Shard, apply
from wwdc.errors import WWDCError


@dataclass(frozen=True)
class Piece:
    """A shard of a pass, for those of its targets that have no part of it yet.

    Attributes:
        number: of the pass.
        keys: of the targets.
    """

    number: int
    shard: Shard
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Done:
    """How a piece ended.

    Attributes:
        errors: why a target has no part, by key; it has one if it is not here.
        seconds: it took, the loading of networks not counted.
        device: where the networks were applied.
    """

    errors: dict[str, str]
    seconds: float
    device: str


class Embedder:
    """Does pieces one after the other; it keeps the networks of the last pass.

    Args:
        passes: what pieces refer to by number.
        parts: folder of each target's parts, by key.
        check: called now and then; what it raises ends the work.
        written: called with the rows of each part that was written.
    """

    def __init__(
        self,
        passes: Sequence[Pass],
        parts: Mapping[str, Path],
        check: Callable[[], None] = lambda: None,
        written: Callable[[int], None] | None = None,
    ) -> None:
        self.passes = passes
        self.parts = parts
        self.check = check
        self.written = written
        self._loaded: tuple[int, Models] | None = None

    def __call__(self, piece: Piece) -> Done:
        models = self._models(piece.number)
        errors: dict[str, str] = {}
        loading = models.seconds
        began = time.perf_counter()
        for key, found in apply(models, piece.shard, piece.keys, check=self.check):
            if isinstance(found, pa.Table):
                try:
                    write_part(self.parts[key], piece.shard.number, found)
                except WWDCError as error:
                    errors[key] = str(error)
                else:
                    if self.written is not None:
                        self.written(len(found))
            else:
                errors[key] = str(found)
        seconds = time.perf_counter() - began - (models.seconds - loading)
        return Done(errors, seconds, _name(models.device))

    def _models(self, number: int) -> Models:
        if self._loaded is None or self._loaded[0] != number:
            self._loaded = None  # its memory goes before the next ones are loaded
            self._loaded = (number, Models(self.passes[number]))
        return self._loaded[1]


def make_embedder(
    passes: Sequence[Pass], parts: Mapping[str, Path], code: Path | None = None
) -> Embedder:
    """An embedder in a process of its own; *code* is a folder with Python of the user's."""
    if code is not None and str(code) not in sys.path:
        sys.path.insert(0, str(code))
    return Embedder(passes, parts)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.machine()})"
