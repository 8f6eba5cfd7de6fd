"""A point's VAE and flow with the images of its data: what pictures are made of."""

__all__ = ["Painter"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wwdc.config import Staged
from wwdc.data.catalogue import Catalogue, Variable
from wwdc.embed.jobs import Job
from wwdc.embed.passes import plan_passes
from wwdc.embed.shards import Models
from wwdc.errors import ProductError
from wwdc.models.convolutional import ConvVAE
from wwdc.models.identity import Identity
from wwdc.products import Tree
from wwdc.training.lightning_loaders import LightningFlow

# Shapes: N images, C channels, H × W pixels, D latents, K values.

Array = NDArray[np.float32]
Table = Mapping[str, NDArray[Any]]


class Painter:
    """Draws with the networks of one checkpoint, on the CPU.

    Latents are posterior means, so that a picture is the same every time. Images come out as
    (N, H, W, 3) in [0, 1]; of one channel it is repeated, of more than three the first are shown.

    Args:
        models: the VAE, the flow and the data, as embedding uses them.
        dropped: variables that the flow is not told.
    """

    def __init__(self, models: Models, dropped: Sequence[str]) -> None:
        self.models = models
        self.dropped = tuple(dropped)
        self.table: Table = models.dataset.table(models.work.split)

    @classmethod
    def of(cls, job: Job, tree: Tree, staged: Staged) -> "Painter":
        """The painter of a checkpoint.

        Raises:
            ProductError: a checkpoint is broken, or the data are not those it was trained on.
        """
        allow = tuple(staged.composed.allow)
        planned = plan_passes([job], tree, staged.embed, device="cpu", allow=allow)
        if planned.failed:
            raise ProductError(planned.failed[0].detail)
        return cls(Models(planned.passes[0]), job.dropped)

    @property
    def catalogue(self) -> Catalogue:
        """Every variable known of the objects."""
        return self.models.dataset.catalogue

    @property
    def kept(self) -> Catalogue:
        """What the flow is told."""
        return self.catalogue.keep(self.dropped)

    @property
    def of_vectors(self) -> bool:
        """Whether the data are vectors, which no VAE has made latents of."""
        return isinstance(self.models.vae, Identity)

    @property
    def legend(self) -> str:
        """What a caption says of the pictures; empty of images, which speak for themselves."""
        square = "A vector is a grey square of its components, from −4 to 4 standard deviations."
        return square if self.of_vectors else ""

    def choose(self, count: int) -> NDArray[np.int64]:
        """Rows that show the catalogue: one of each class in turn, the first objects else."""
        classes = next((v for v in self.catalogue if v.kind == "categorical"), None)
        first = np.flatnonzero(self.table["view"] == 0) if "view" in self.table else None
        rows = np.arange(len(self.table["id"])) if first is None else first
        if classes is None:
            return rows[:count]
        values = self.table[classes.name][rows]
        turn = np.zeros(len(rows), int)
        for value in np.unique(values):
            turn[values == value] = np.arange(np.sum(values == value))
        return np.asarray(rows[np.lexsort((values, turn))][:count])

    def images(self, rows: NDArray[np.int64]) -> Array:
        """Images of *rows* of the split."""
        return _shown(self._images(rows))

    @torch.no_grad()
    def reconstruct(self, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """Images and what the VAE makes of them."""
        x = self._images(rows)
        return _shown(x), _shown(self._decode(self._mean(x)))

    @torch.no_grad()
    def pixel_errors(self, rows: NDArray[np.int64]) -> Array | None:
        """Root mean square errors of reconstructions in the units of the data, (N, C).

        None where the VAE knows no stretch: images are in [0, 1] then.
        """
        if not isinstance(self.models.vae, ConvVAE):
            return None
        x = self._images(rows)
        undo = self.models.vae.pixels
        wrong = undo(self._decode(self._mean(x))) - undo(x)
        errors: Array = wrong.square().mean((2, 3)).sqrt().numpy()
        return errors

    @torch.no_grad()
    def traverse(self, row: int, values: Sequence[float], most: int, seed: int) -> tuple[Any, ...]:
        """One object with one latent moved at a time.

        Args:
            values: where a latent is put, in standard deviations of its posterior means.
            most: latents moved, those with the widest posterior means first.
            seed: of the thousand objects that the means are taken over.

        Returns:
            Latents (L,), their standard deviations (D,) and images (L, K, H, W, 3).
        """
        rng = np.random.default_rng(np.random.SeedSequence((seed, 1)))
        rows = rng.permutation(len(self.table["id"]))[:1000]
        means = self._mean(self._images(np.sort(rows)))
        centre, spread = means.mean(0), means.std(0)
        chosen = torch.argsort(spread, descending=True, stable=True)[:most]
        z = self._mean(self._images(np.array([row]))).repeat(len(chosen) * len(values), 1)
        steps = torch.tensor(values).float()
        for place, latent in enumerate(chosen):
            rows_of = slice(place * len(values), (place + 1) * len(values))
            z[rows_of, latent] = centre[latent] + steps * spread[latent]
        pictures = _shown(self._decode(z))
        shape = (len(chosen), len(values), *pictures.shape[1:])
        return chosen.numpy(), spread.numpy(), pictures.reshape(shape)

    @torch.no_grad()
    def sample(self, rows: NDArray[np.int64], count: int, seed: int) -> Array:
        """*count* draws of p(x | c) for what is known of each of *rows*: (N, K, H, W, 3)."""
        condition = self._condition(self._take(np.repeat(rows, count)))
        generator = torch.Generator().manual_seed(seed)
        z = self.flow.ema.sample(condition, generator)
        pictures = _shown(self._decode(z))
        return pictures.reshape(len(rows), count, *pictures.shape[1:])

    @torch.no_grad()
    def told(self, rows: NDArray[np.int64], table: Table) -> Array:
        """Objects *rows* keep their residual u and are told *table* instead: (N, H, W, 3)."""
        module = self.flow
        u = module.ema(self._mean(self._images(rows)), self._condition(self._take(rows)))
        return _shown(self._decode(module.ema.inverse(u, self._condition(table))))

    def vary(self, row: int, variable: Variable, count: int) -> tuple[NDArray[Any], Array]:
        """An object told *count* values of a variable, from low to high, and everything else as
        it is: the values (K,) and images (K, H, W, 3)."""
        values = self.spread(variable, count)
        table = dict(self._take(np.full(len(values), row)))
        table[variable.name] = values
        return values, self.told(np.full(len(values), row), table)

    def spread(self, variable: Variable, count: int) -> NDArray[Any]:
        """Values that show a variable's range: its classes, or quantiles from 1 % to 99 %."""
        column = self.table[variable.name]
        if variable.kind in ("categorical", "flag"):
            classes = np.unique(column[~np.isnan(column)])
            chosen = np.linspace(0, len(classes) - 1, count).round().astype(int)
            return np.asarray(classes[np.unique(chosen)])
        low, high = np.nanquantile(column, [0.01, 0.99])
        return np.linspace(low, high, count).astype(column.dtype)

    def swap(self, rows: NDArray[np.int64], donors: NDArray[np.int64]) -> Array:
        """Each of *rows* told what is known of each of *donors*: (N, K, H, W, 3)."""
        content, told = np.repeat(rows, len(donors)), np.tile(donors, len(rows))
        pictures = self.told(content, self._take(told))
        return pictures.reshape(len(rows), len(donors), *pictures.shape[1:])

    @property
    def flow(self) -> LightningFlow:
        """The conditional flow."""
        return self.models.flow(self.models.work.targets[0])

    def _take(self, rows: NDArray[np.int64]) -> Table:
        return {name: column[rows] for name, column in self.table.items()}

    def _images(self, rows: NDArray[np.int64]) -> torch.Tensor:
        found = self.models.dataset.images(self.models.work.split, torch.from_numpy(np.array(rows)))
        return found.float()

    def _mean(self, images: torch.Tensor) -> torch.Tensor:
        mean: torch.Tensor = self.models.vae.encode(images)[0]  # type: ignore[operator]
        return mean.float()

    def _decode(self, z: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.models.vae.decode(z)  # type: ignore[operator]
        return found

    def _condition(self, table: Table) -> torch.Tensor:
        target = self.models.work.targets[0]
        trained = self.catalogue.keep(target.trained_without)
        context = torch.from_numpy(trained.encode(table))
        module = self.flow
        given = None
        if module.masked:
            given = torch.tensor([name not in self.dropped for name in trained.names])
        return module.condition(context, given)


def _shown(images: torch.Tensor) -> Array:
    """(N, C, H, W) as (N, H, W, 3), between 0 and 1."""
    channels = images.shape[1]
    images = images[:, :3] if channels >= 3 else images[:, :1].expand(-1, 3, -1, -1)
    return images.clamp(0, 1).permute(0, 2, 3, 1).numpy().astype(np.float32)
