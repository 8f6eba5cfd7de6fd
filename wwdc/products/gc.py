"""What a killed or finished run leaves behind and nobody needs."""

__all__ = ["EMBEDDING", "Garbage", "gc", "orphans", "temporaries"]

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wwdc.errors import ProductError
from wwdc.products.atomic import is_temporary
from wwdc.products.claims import CLAIM, acquire, claimed, is_stale
from wwdc.products.publish import owner_path
from wwdc.products.tree import ARTEFACTS, Tree, info_path

EMBEDDING = "embedding"
"""What says, in the work folder of an embedding, where it goes, under `Tree.embeddings`; in that of
its scores, which embedding they are of."""

ANOMALIES = "anomalies"
"""Under `Tree.multiruns`, where scores are in work."""

AGE_S = 3600.0
"""What changed less than this ago may still be somebody's work."""


@dataclass(frozen=True)
class Garbage:
    """A file or folder that can go, with the reason."""

    path: Path
    bytes: int
    reason: str


def gc(tree: Tree, *, delete: bool = False, age_s: float = AGE_S) -> list[Garbage]:
    """List what can go from a tree, and remove it when told to.

    Never a product, never anything a living process claims, nothing that changed within the
    last *age_s* seconds, and nothing that lies, or that a link leads, outside the tree.

    Args:
        tree: the tree to look at.
        delete: remove what is listed. What was claimed in the meantime stays.
        age_s: how long a file must have been left alone [s].
    """
    inside = tree.path.resolve()
    found = [g for g in _candidates(tree, age_s) if g.path.parent.resolve().is_relative_to(inside)]
    return [g for g in found if _remove(tree, g.path)] if delete else found


def temporaries(tree: Tree) -> Iterator[Path]:
    """Files that were being written, by a process that may be gone."""
    for folder, _, names in os.walk(tree.path):
        yield from (Path(folder) / name for name in sorted(names) if is_temporary(name))


def orphans(tree: Tree) -> Iterator[Path]:
    """Checkpoints, embeddings and scores without an info file: no products."""
    places = (tree.ckpts.glob("*"), tree.embeddings.glob("*/*"), tree.anomalies.glob("*/scores.*"))
    for path in [path for place in places for path in sorted(place)]:
        artefact = path.suffix in ARTEFACTS and not path.name.startswith(".")
        if artefact and path.is_file() and not info_path(path).exists():
            yield path


def _candidates(tree: Tree, age_s: float) -> Iterator[Garbage]:
    finished = tree.finished()
    gone = []
    for point in sorted(tree.points.glob("*")):
        if point.is_symlink() or not point.is_dir() or claimed(tree, point.name):
            continue
        if not _quiet(point, age_s):
            continue
        if point.name in finished:
            gone.append(point)
            yield Garbage(
                point,
                _size(point),
                f"work of a point that is finished as {_name(finished[point.name].path)}",
            )
        elif path := _embedding(tree, point):
            gone.append(point)
            yield Garbage(point, _size(point), f"work on {_name(path)}, which is there")
        elif is_stale(point / CLAIM):
            yield Garbage(point / CLAIM, _size(point / CLAIM), "claim of a process that is gone")
    for folder in sorted((tree.multiruns / ANOMALIES).glob("*")):
        if folder.is_dir() and not folder.is_symlink() and _quiet(folder, age_s):
            gone.append(folder)
            yield Garbage(folder, _size(folder), "scores that were begun and not gone on with")
    for path in temporaries(tree):
        if any(path.is_relative_to(folder) for folder in gone) or _busy(tree, path):
            continue
        if _old(path, age_s):
            yield Garbage(path, _size(path), "half-written file")
    for path in orphans(tree):
        if _old(path, age_s) and not claimed(tree, _owner(path)):
            yield Garbage(path, _size(path), "artefact without an info file")
    for marker in sorted(tree.ckpts.glob(".*.owner")):
        if _old(marker, age_s) and not claimed(tree, marker.read_text().strip()):
            yield Garbage(marker, _size(marker), "name kept for a point that was not published")


def _embedding(tree: Tree, work: Path) -> Path | None:
    """The published embedding that a work folder was for."""
    try:
        path = tree.embeddings / (work / EMBEDDING).read_text().strip()
    except FileNotFoundError:
        return None
    return path if info_path(path).is_file() else None


def _remove(tree: Tree, path: Path) -> bool:
    try:
        if path.parent == tree.points:
            return _remove_work(tree, path)
        if path.parent == tree.multiruns / ANOMALIES:
            shutil.rmtree(path)
            return True
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ProductError(f"cannot remove {error.filename or path}: {error.strerror}.") from error
    return True


def _remove_work(tree: Tree, folder: Path) -> bool:
    """Remove a point's folder while holding the point: a run may be about to take it again."""
    lease = acquire(tree, folder.name)
    if lease is None:
        return False
    try:
        shutil.rmtree(folder)
    finally:
        lease.release()
    return True


def _busy(tree: Tree, path: Path) -> bool:
    return path.is_relative_to(tree.points) and claimed(
        tree, path.relative_to(tree.points).parts[0]
    )


def _owner(artefact: Path) -> str:
    try:
        return owner_path(artefact).read_text().strip() or "unknown"
    except FileNotFoundError:
        return "unknown"


def _old(path: Path, age_s: float) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > age_s
    except FileNotFoundError:
        return False


def _quiet(folder: Path, age_s: float) -> bool:
    """Whether nothing in a folder changed lately.

    Its own time counts where it is empty, and only there: whoever looks at a claim touches it.
    """
    return all(_old(path, age_s) for path in [*folder.rglob("*")] or [folder])


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(_size(child) for child in path.iterdir())


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
