"""From work in progress to product: the artefact first, then the info file that vouches for it."""

__all__ = ["FAILED", "free_job", "owner_path", "publish", "publish_point", "record_failure"]

import contextlib
from collections.abc import Iterator
from pathlib import Path

from wwdc.errors import ProductError
from wwdc.products.atomic import (
    atomic_copy,
    atomic_write,
    beside,
    copy_into,
    exclusive_write,
    sync_directory,
    write_into,
)
from wwdc.products.info import Info, dump_info, read_info
from wwdc.products.tree import Product, Tree, info_path

FAILED = "failed.yaml"
"""What says, in a point's work folder, why it failed."""


def publish(src: Path, dst: Path, info: Info) -> Info:
    """Put *src* at *dst* with its info file beside it, and return the info as written.

    Both files are complete on the disk under temporary names before either gets its own, and
    the info file is the last to: whoever finds one finds a whole artefact.

    Args:
        src: the finished artefact, on any file system.
        dst: its final name. It must be free, or this point's own.
        info: what to say about it; `sha256` and `bytes` are filled in here.

    Raises:
        ProductError: the name belongs to another point (see `free_job`), or the disk is full;
            nothing is left half-written.
    """
    if not _reserve(dst, info.point_id):
        raise ProductError(
            f"{dst} belongs to another point, {info.point_id} cannot take it. Take another name."
        )
    with _reserved(dst):
        return _place(src, dst, info)


def publish_point(tree: Tree, src: Path, info: Info, metrics: Path | None = None) -> Product:
    """Publish a trained point's checkpoint, and its metrics, under the next free name.

    Args:
        tree: where to.
        src: the checkpoint, usually on a node's scratch disk.
        info: `job_num` moves on when the name is another point's; `model_fp` is filled in.
        metrics: the table of epochs, copied to `metrics/{job}.csv`.
    """
    number = free_job(tree, info.job_id, info.job_num, info.point_id)
    info = info.model_copy(update={"job_num": number, "kind": info.kind or "checkpoint"})
    dst = tree.ckpt(info.job)
    with _reserved(dst):
        if metrics is not None:
            atomic_copy(metrics, tree.metrics / f"{info.job}.csv")
        info = _place(src, dst, info.model_copy(update={"model_fp": str(dst)}))
    (tree.point(info.point_id) / FAILED).unlink(missing_ok=True)
    return Product(dst, info)


def free_job(tree: Tree, job_id: str, job_num: int, point_id: str) -> int:
    """Reserve the first `job_num`, from the given one up, whose name no other point holds.

    A name that was reserved and never used is the same point's to take again, and `gc`'s to
    free.
    """
    while not _reserve(tree.ckpt(f"{job_id}_{job_num}"), point_id):
        job_num += 1
    return job_num


def record_failure(tree: Tree, info: Info) -> Path:
    """Write down why a point failed, in its work folder; publishing the point removes it."""
    path = tree.point(info.point_id) / FAILED
    atomic_write(path, dump_info(info))
    return path


def owner_path(artefact: Path) -> Path:
    """The marker that keeps a name for a point until its info file does."""
    return artefact.with_name(f".{artefact.name}.owner")


def _place(src: Path, dst: Path, info: Info) -> Info:
    final = info_path(dst)
    with beside(dst) as artefact, beside(final) as note:
        digest = copy_into(src, artefact)
        info = info.model_copy(update={"sha256": digest, "bytes": artefact.stat().st_size})
        write_into(note, dump_info(info))
        _rename(artefact, dst, note, final)
    return info


def _rename(artefact: Path, dst: Path, note: Path, final: Path) -> None:
    try:
        final.unlink(missing_ok=True)  # this point's own earlier one must not vouch for the new
        artefact.replace(dst)
        sync_directory(dst.parent)
        note.replace(final)
        sync_directory(dst.parent)
    except BaseException:
        final.unlink(missing_ok=True)
        dst.unlink(missing_ok=True)
        raise


def _reserve(dst: Path, point_id: str) -> bool:
    marker = owner_path(dst)
    if not exclusive_write(marker, f"{point_id}\n"):
        try:
            return marker.read_text().strip() == point_id
        except FileNotFoundError:  # just published or given up: look again
            return _reserve(dst, point_id)
    try:
        mine = read_info(info_path(dst)).point_id == point_id
    except FileNotFoundError:
        mine = not dst.exists()
    if not mine:
        marker.unlink(missing_ok=True)
    return mine


@contextlib.contextmanager
def _reserved(dst: Path) -> Iterator[None]:
    """Give the name back once the info file holds it, or when publishing fails."""
    try:
        yield
    finally:
        owner_path(dst).unlink(missing_ok=True)
