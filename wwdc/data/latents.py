"""Latents of a frozen VAE: encoded once, kept on disk, memory-mapped by every trial."""

__all__ = ["ENCODED_TOGETHER", "Latents", "cached_latents", "evaluating", "latent_cache"]

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import nn

from wwdc.data.colour_mnist import Split
from wwdc.data.dataset import ImageDataset, images_fingerprint
from wwdc.errors import DataError, ProductError

ENCODED_TOGETHER = 512
"""Rows that go through an encoder at once. A row's last bits can depend on it, so it is fixed."""

_SCHEMA = 1
_ARRAYS = ("mean", "logvar", "ids")
_TYPES = ("float16", "float32", "float64")


@dataclass(frozen=True)
class Latents:
    """q(z | x) = N(mean, exp(logvar)) of every row of a split, in the order of its table.

    Attributes:
        mean: (N, D), memory-mapped and read-only.
        logvar: (N, D), as well.
        ids: the rows' ids (N,).
    """

    mean: NDArray[Any]
    logvar: NDArray[Any]
    ids: NDArray[np.int64]


def latent_cache(
    root: Path,
    vae: nn.Module,
    vae_id: str,
    dataset: ImageDataset,
    split: Split,
    dtype: str = "float32",
) -> Latents:
    """The latents of a split, encoded now unless they are on disk.

    They lie in ``root/KEY/split``, where the key stands for the VAE (its id and its weights), the
    fingerprint of the images and the dtype. One process builds them while others wait; what a
    killed process left, or what was damaged since, is built anew.

    Args:
        root: folder of the caches.
        vae: has ``encode(x) -> (mean (B, D), logvar (B, D))``; images go to its device.
        vae_id: what the VAE is called: its point id, or its checkpoint's SHA-256.
        dataset: where the images come from.
        split: ``train``, ``val`` or ``test``.
        dtype: type of the stored numbers: float16, float32 or float64.

    Raises:
        ProductError: the VAE gives latents that are not finite.
        DataError: the folder cannot be written.
    """
    if dtype not in _TYPES:
        raise ValueError(f"dtype {dtype!r} is none of {', '.join(_TYPES)}")
    folder = root / _key(vae, vae_id, dataset, dtype) / split
    found = _open(folder)
    if found is not None:
        return found
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{split}.lock")):
            return _open(folder) or _build(folder, vae, vae_id, dataset, split, dtype)
    except OSError as error:
        raise DataError(
            f"{folder}: the latents cannot be stored ({error.strerror or error}). Free some space "
            "there, or point DATA_ROOT at a folder you may write to."
        ) from error


def cached_latents(
    root: Path,
    vae: nn.Module,
    vae_id: str,
    dataset: ImageDataset,
    split: Split,
    dtype: str = "float32",
) -> Latents | None:
    """The latents that `latent_cache` keeps on disk, or None: nothing is encoded or written."""
    return _open(root / _key(vae, vae_id, dataset, dtype) / split)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside a ``with``; afterwards the mode is what it was."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def _key(vae: nn.Module, vae_id: str, dataset: ImageDataset, dtype: str) -> str:
    """Name of the cache. A VAE trained again has other weights under the same id."""
    weights = hashlib.sha256()
    for name, tensor in sorted(vae.state_dict().items()):
        weights.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        weights.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    parts = [_SCHEMA, vae_id, weights.hexdigest(), images_fingerprint(dataset), dtype]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _build(
    folder: Path, vae: nn.Module, vae_id: str, dataset: ImageDataset, split: Split, dtype: str
) -> Latents:
    """Encode a split beside *folder*, then rename. The caller holds the lock."""
    for stale in folder.parent.glob(f".{folder.name}.*.tmp"):  # left by a killed process
        shutil.rmtree(stale, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        ids = dataset.table(split)["id"]
        with (temporary / "ids.npy").open("xb") as file:
            np.save(file, ids)
            os.fsync(file.fileno())
        latent_dim = _encode(temporary, vae, vae_id, dataset, split, len(ids), dtype)
        meta = {
            "schema": _SCHEMA,
            "vae": vae_id,
            "data": images_fingerprint(dataset),
            "split": split,
            "rows": len(ids),
            "latent_dim": latent_dim,
            "dtype": dtype,
            "sha256": {name: _sha256(temporary / f"{name}.npy") for name in _ARRAYS},
        }
        with (temporary / "meta.json").open("x") as text:
            json.dump(meta, text, indent=1)
            text.flush()
            os.fsync(text.fileno())
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    found = _open(folder)
    if found is None:
        raise DataError(f"{folder}: the latents just written do not read back. Check the disk.")
    return found


def _encode(
    folder: Path,
    vae: nn.Module,
    vae_id: str,
    dataset: ImageDataset,
    split: Split,
    rows: int,
    dtype: str,
) -> int:
    """Write ``mean.npy`` and ``logvar.npy`` as they are encoded; the latent size D."""
    device = next((p.device for p in vae.parameters()), torch.device("cpu"))
    latent_dim = 0
    with ExitStack() as stack:
        stack.enter_context(evaluating(vae))
        stack.enter_context(torch.no_grad())
        files = [
            stack.enter_context((folder / f"{name}.npy").open("xb")) for name in ("mean", "logvar")
        ]
        for start in range(0, max(rows, 1), ENCODED_TOGETHER):
            index = torch.arange(start, min(start + ENCODED_TOGETHER, rows), device=device)
            encoded = vae.encode(dataset.images(split, index))  # type: ignore[operator]
            for file, tensor in zip(files, encoded, strict=True):
                part = tensor.float().cpu().numpy()
                if not np.isfinite(part).all():
                    raise ProductError(
                        f"the VAE {vae_id} gives latents that are NaN or infinite on the {split} "
                        "split. Train it again."
                    )
                if not start:
                    latent_dim = part.shape[1]
                    _write_header(file, (rows, latent_dim), dtype)
                file.write(np.ascontiguousarray(part, dtype).tobytes())
        for file in files:
            file.flush()
            os.fsync(file.fileno())
    return latent_dim


def _write_header(file: BinaryIO, shape: tuple[int, int], dtype: str) -> None:
    """What `numpy.save` writes before the numbers of an array."""
    described = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": described, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _open(folder: Path) -> Latents | None:
    """The cache in *folder*, or None when it is missing, incomplete or damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        mean, logvar, ids = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS
        )
        shape = (meta["rows"], meta["latent_dim"])
        whole = mean.shape == logvar.shape == shape and ids.shape == shape[:1]
        sums = all(_sum_of(folder / f"{name}.npy") == meta["sha256"][name] for name in _ARRAYS)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    return Latents(mean, logvar, ids) if whole and sums else None


def _sum_of(path: Path) -> str:
    state = path.stat()
    return _remembered_sum(path, state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=256)
def _remembered_sum(path: Path, _mtime_ns: int, _size: int, _inode: int) -> str:
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
