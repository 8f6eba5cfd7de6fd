"""What a stage was made from when it last ended well: how a run sees that nothing changed."""

__all__ = ["Receipt", "difference", "kept", "read_receipt", "take_receipt", "write_receipt"]

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wwdc import __version__
from wwdc.products import Tree, atomic_write, sha256
from wwdc.products.atomic import is_temporary
from wwdc.run.stages import Stage
from wwdc.tune.identity import digest

SCHEMA = 1

FOLDER = "run"
"""Under ``multiruns``. Without its receipt a stage is run again, and finds its own work done."""

_READ = (".yaml", ".json", ".csv", ".html")
"""Files that are compared by content; the others are large, and an info file vouches for them."""

_PROGRESS = (
    "ckpts/*_info.yaml",
    "multiruns/points/*/last.ckpt",
    "multiruns/points/*/parts-*/*.arrow",
    "multiruns/stats/*.npz",
    "multiruns/anomalies/**/*.npy",
    f"multiruns/{FOLDER}/*.json",
    "embeddings/*/*_info.yaml",
    "anomalies/*/*_info.yaml",
)


@dataclass(frozen=True)
class Receipt:
    """Digests of what decides a stage's outcome, and of what it left."""

    settings: str
    inputs: str
    outputs: str


def take_receipt(stage: Stage, tree: Tree, settings: Any, before: Receipt | None = None) -> Receipt:
    """How things are now.

    Args:
        stage: one that keeps receipts.
        settings: plain data that decide its outcome, besides the files it reads.
        before: how they were before it ran: what changed meanwhile it may not have seen.
    """
    outputs = _digest(tree, stage.writes)
    if before is not None:
        return Receipt(before.settings, before.inputs, outputs)
    return Receipt(digest([__version__, settings], 24), _digest(tree, stage.reads), outputs)


def difference(stage: Stage, known: Receipt | None, current: Receipt) -> str:
    """Why a stage is to be run, by its last receipt; empty when it is up to date."""
    if known is None:
        return "it has not been run yet"
    if known.settings != current.settings:
        return "its settings or points changed"
    if known.inputs != current.inputs:
        return "what it reads changed"
    if known.outputs != current.outputs:
        return "what it wrote is not as it was left"
    return ""


def read_receipt(stage: Stage, tree: Tree) -> Receipt | None:
    """A stage's receipt; one that is damaged, or of another schema, is as good as none."""
    try:
        known = json.loads(_path(stage, tree).read_text(encoding="utf-8"))
        if known.pop("schema") != SCHEMA:
            return None
        return Receipt(**known)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_receipt(stage: Stage, tree: Tree, receipt: Receipt) -> None:
    """Keep it in the tree.

    Raises:
        ProductError: it cannot be written.
    """
    atomic_write(_path(stage, tree), json.dumps({"schema": SCHEMA, **asdict(receipt)}))


def kept(trees: Iterable[Tree]) -> frozenset[tuple[str, int]]:
    """What runs of these trees have left that need not be made again, and when it was written."""
    found = set()
    for tree in trees:
        for path in _files(tree, _PROGRESS):
            with contextlib.suppress(FileNotFoundError):  # another run has just finished with it
                found.add((str(path), path.stat().st_mtime_ns))
    return frozenset(found)


def _path(stage: Stage, tree: Tree) -> Path:
    return tree.multiruns / FOLDER / f"{stage.name}.json"


def _digest(tree: Tree, patterns: Sequence[str]) -> str:
    return digest([[str(p.relative_to(tree.path)), _stamp(p)] for p in _files(tree, patterns)], 24)


def _stamp(path: Path) -> Any:
    try:
        if path.suffix == ".sqlite":
            return _events(path)
        return sha256(path) if path.suffix in _READ else path.stat().st_size
    except FileNotFoundError:  # replaced while we looked
        return None


def _events(path: Path) -> Any:
    """A log's length: it only grows, and its bytes change when they are moved out of the WAL."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=30.0)) as db:
            return list(db.execute("SELECT COUNT(*), MAX(seq) FROM events").fetchone())
    except sqlite3.Error:
        return path.stat().st_size


def _files(tree: Tree, patterns: Sequence[str]) -> Iterator[Path]:
    for pattern in patterns:
        for path in sorted(tree.path.glob(pattern)):
            if path.is_file() and not is_temporary(path.name):
                yield path
