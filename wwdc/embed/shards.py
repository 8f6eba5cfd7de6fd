"""Rows of a split through a VAE and its flows, as Arrow tables. Knows no Ray and no tree."""

__all__ = ["Models", "Pass", "Shard", "Target", "apply", "residuals", "shards_of"]

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wwdc.config import instantiate
from wwdc.data.colour_mnist import Split
from wwdc.data.dataset import ImageDataset, Sliced
from wwdc.data.latents import ENCODED_TOGETHER, Latents, cached_latents
from wwdc.embed.columns import (
    DENSITIES,
    UNCONDITIONAL,
    About,
    arrow_schema,
    time_column,
    vectors,
)
from wwdc.embed.noise import posterior_noise
from wwdc.errors import ProductError, WWDCError
from wwdc.models.identity import build_vae
from wwdc.models.weights import load_vae
from wwdc.training.lightning_loaders import LightningFlow
from wwdc.training.load import load_flow

# Shapes: N rows of a shard, B of a batch, D latent size, W context columns, T times.

Table = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Target:
    """One checkpoint to apply.

    Attributes:
        key: names it among those of a pass.
        checkpoint: file of the flow, or of the VAE.
        sha256: of that file.
        loader: the point's ``lightning_loader``, resolved.
        dropped: variables of the catalogue that the flow is not told.
        trained_without: those that it was not even trained with; of an ordinary flow, the same.
        point_id: of the checkpoint.
        kind: whether it is a flow's checkpoint or a VAE's.
    """

    key: str
    checkpoint: Path
    sha256: str
    loader: Mapping[str, Any] = field(repr=False)
    dropped: tuple[str, ...]
    trained_without: tuple[str, ...]
    point_id: str
    kind: Literal["flow", "vae"] = "flow"


@dataclass(frozen=True)
class Pass:
    """A split of a dataset, a VAE, and the checkpoints that share them. Plain data, picklable.

    Attributes:
        x_ds: how to build the dataset, with nothing dropped.
        fingerprint: what the dataset must turn out to be.
        vae: the VAE's checkpoint; None where the data are vectors.
        vae_id: its name in the latent cache.
        latents: folder of the latent caches.
        times: flow times to write the states of.
        log_prob: whether to write densities.
        device: where networks are applied.
        allow: targets that ``meta.yaml`` allows beyond the usual ones.
    """

    x_ds: Mapping[str, Any] = field(repr=False)
    fingerprint: str
    split: Split
    rows: int
    vae: Path | None
    vae_id: str
    latents: Path
    targets: tuple[Target, ...]
    seed: int = 0
    times: tuple[float, ...] = ()
    log_prob: bool = True
    batch_size: int = 1024
    device: str = "cpu"
    allow: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shard:
    """Rows [start, stop) of a split, to be embedded for some targets of a pass."""

    number: int
    start: int
    stop: int


def shards_of(rows: int, shard_rows: int) -> list[Shard]:
    """A split of *rows* rows cut into shards.

    >>> [(s.start, s.stop) for s in shards_of(10, 4)]
    [(0, 4), (4, 8), (8, 10)]
    """
    starts = range(0, rows, shard_rows)
    return [Shard(i, s, min(s + shard_rows, rows)) for i, s in enumerate(starts)]


class Models:
    """The networks of a pass, loaded once, and its data.

    Attributes:
        seconds: spent on loading flows so far.

    Raises:
        WWDCError: the dataset or the VAE cannot be had. A flow that cannot be had is told by
            `apply`, for itself alone.
    """

    def __init__(self, work: Pass) -> None:
        self.work = work
        self.device = torch.device(work.device)
        self.dataset: ImageDataset = instantiate(work.x_ds, allow=work.allow, key="data.x_ds")
        if self.dataset.fingerprint != work.fingerprint:
            raise ProductError(
                f"the data are not those of the checkpoints: their fingerprint is "
                f"{self.dataset.fingerprint}, the checkpoints were trained on {work.fingerprint}. "
                "Give data.x_ds the settings they were trained with, or train them again."
            )
        self.vae: nn.Module = build_vae(work.targets[0].loader, work.allow)
        if work.vae is not None:
            load_vae(work.vae, self.vae)
        self.vae.eval().requires_grad_(False)
        found = cached_latents(work.latents, self.vae, work.vae_id, self.dataset, work.split)
        self.latents: Latents | None = found
        self.vae.to(self.device)
        self._flows: dict[str, LightningFlow] = {}
        self.seconds = 0.0

    def flow(self, target: Target) -> LightningFlow:
        """A target's flow, loaded when it is first asked for."""
        if target.key not in self._flows:
            began = time.perf_counter()
            module = load_flow(target.checkpoint, target.loader, self.work.vae, self.work.allow)
            self._flows[target.key] = module.to(self.device)
            self.seconds += time.perf_counter() - began
        return self._flows[target.key]

    def table(self, start: int, stop: int) -> Table:
        """Rows [start, stop) of the split's catalogue."""
        if isinstance(self.dataset, Sliced):
            return self.dataset.table_rows(self.work.split, start, stop)
        return {name: column[start:stop] for name, column in self._table.items()}

    @functools.cached_property
    def _table(self) -> Table:
        return self.dataset.table(self.work.split)

    def posterior(self, start: int, stop: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and log-variance (N, D) of rows [start, stop), cached or encoded now.

        Whole batches of the cache's size are encoded, so that the numbers are the cache's.
        """
        if self.latents is not None:
            mean, logvar = self.latents.mean, self.latents.logvar
            return _rows_of(mean, start, stop), _rows_of(logvar, start, stop)
        parts = []
        first = start - start % ENCODED_TOGETHER
        for begin in range(first, stop, ENCODED_TOGETHER):
            end = min(begin + ENCODED_TOGETHER, self.work.rows)
            index = torch.arange(begin, end, device=self.device)
            images = self.dataset.images(self.work.split, index)
            encoded = self.vae.encode(images)  # type: ignore[operator]
            both = torch.stack(encoded).float().cpu().numpy()
            parts.append(both[:, max(start - begin, 0) : stop - begin])
        mean, logvar = np.concatenate(parts, axis=1)
        return mean, logvar


@torch.no_grad()
def apply(
    models: Models,
    shard: Shard,
    keys: Sequence[str],
    *,
    check: Callable[[], None] = lambda: None,
) -> Iterator[tuple[str, pa.Table | WWDCError]]:
    """The embedding of a shard for each of the targets *keys*, or why there is none.

    The latents are taken or encoded once for all of them.

    Args:
        check: called now and then; what it raises ends the work.
    """
    work = models.work
    targets = {target.key: target for target in work.targets}
    table = models.table(shard.start, shard.stop)
    mean, logvar = models.posterior(shard.start, shard.stop)
    noise = posterior_noise(table["id"], mean.shape[1], work.seed)
    z = mean + np.exp(0.5 * logvar) * noise
    latents = {"z": z.astype(np.float32), "z_mean": mean.astype(np.float32)}
    for key in keys:
        check()
        try:
            yield key, _embedding(models, targets[key], table, latents, check)
        except WWDCError as error:
            yield key, error


def _embedding(
    models: Models, target: Target, table: Table, latents: Table, check: Callable[[], None]
) -> pa.Table:
    work, catalogue = models.work, models.dataset.catalogue
    columns: dict[str, NDArray[Any]] = dict(latents)
    masked = False
    if target.kind == "flow":
        module = models.flow(target)
        masked = module.masked
        columns |= residuals(models, module, target, table, latents, check)
    for name, values in columns.items():
        if not np.isfinite(values).all():
            raise ProductError(
                f"{target.checkpoint}: {name} is NaN or infinite for {_bad_rows(values)} objects "
                f"of the {work.split} split. Train it again."
            )
    about = About(
        kind=target.kind,
        point_id=target.point_id,
        split=work.split,
        fingerprint=work.fingerprint,
        checkpoint=target.sha256,
        seed=work.seed,
        kept=[] if target.kind == "vae" else list(catalogue.keep(target.dropped).names),
        dropped=[name for name in catalogue.names if name in target.dropped],
    )
    schema = arrow_schema(
        table,
        catalogue,
        about,
        latent_dim=latents["z"].shape[1],
        times=work.times,
        log_prob=work.log_prob,
        masked=masked,
    )
    every = {**table, **columns}
    arrays = [
        vectors(every[name]) if every[name].ndim == 2 else pa.array(every[name])
        for name in schema.names
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def residuals(
    models: Models,
    module: LightningFlow,
    target: Target,
    table: Table,
    latents: Table,
    check: Callable[[], None],
) -> dict[str, NDArray[Any]]:
    """u (N, D), the densities (N,) and states on the way of a pass's rows, batch by batch.

    Args:
        module: the flow of *target*.
        table: catalogue columns (N,).
        latents: ``z`` and ``z_mean``, (N, D).
        check: called before each batch; what it raises ends the work.
    """
    trained = models.dataset.catalogue.keep(target.trained_without)
    context = trained.encode(table)
    given = None
    if module.masked:
        given = torch.tensor([name not in target.dropped for name in trained.names])
    parts: list[dict[str, Tensor]] = []
    for begin in range(0, len(context), models.work.batch_size):
        check()
        rows = slice(begin, begin + models.work.batch_size)
        z, z_mean, raw = (
            torch.from_numpy(values[rows]).to(models.device)
            for values in (latents["z"], latents["z_mean"], context)
        )
        parts.append(_batch(module, models.work, z, z_mean, raw, given))
    return {name: torch.cat([p[name] for p in parts]).numpy() for name in parts[0]}


def _batch(
    module: LightningFlow,
    work: Pass,
    z: Tensor,
    z_mean: Tensor,
    context: Tensor,
    given: Tensor | None,
) -> dict[str, Tensor]:
    """u (B, D), densities (B,) and states (B, D) of latents (B, D) and raw context (B, W)."""
    flow: Any = module.ema
    condition = module.condition(context, given)
    found = {}
    for name, density, latent in (("u", DENSITIES[0], z), ("u_mean", DENSITIES[1], z_mean)):
        if not work.log_prob:
            found[name] = flow(latent, condition)
            continue
        found[name], log_det = flow.to_base(latent, condition)
        found[density] = flow.log_density(found[name], log_det)
    if given is not None and work.log_prob:
        nothing = module.condition(context, torch.zeros_like(given))
        for name, latent in zip(UNCONDITIONAL, (z, z_mean), strict=True):
            found[name] = flow.log_prob(latent, nothing)
    if work.times:
        states = flow.path(z, condition, list(work.times))
        found |= {time_column(t): state for t, state in zip(work.times, states, strict=True)}
    return {name: tensor.float().cpu() for name, tensor in found.items()}


def _rows_of(array: NDArray[Any], start: int, stop: int) -> NDArray[np.float32]:
    """Rows of an array; of a mapped one, through a map of their own.

    Pages of a map count as the process' memory for as long as it is open.
    """
    if isinstance(array, np.memmap):
        width = array.shape[1]
        offset = array.offset + start * width * array.itemsize
        shape = (stop - start, width)
        array = np.memmap(str(array.filename), array.dtype, "r", offset, shape)
    else:
        array = array[start:stop]
    return np.array(array, np.float32)


def _bad_rows(values: NDArray[Any]) -> int:
    finite = np.isfinite(values)
    return int((~(finite if finite.ndim == 1 else finite.all(axis=1))).sum())
