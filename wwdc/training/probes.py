"""Leakage and retention of a flow while it trains, from two cheap probes of its residuals."""

__all__ = ["ScienceProbe", "readability", "science_metrics"]

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wwdc.data.catalogue import Catalogue, Variable
from wwdc.data.colour_mnist import Split
from wwdc.data.modules import LatentDataModule
from wwdc.errors import ConfigError
from wwdc.training.lightning_loaders import LightningFlow
from wwdc.training.names import LEAKAGE, RETENTION
from wwdc.training.streams import Stream, generator

# Shapes: N rows to fit, M rows to score, D latents, C context width, W encoded columns.

Array = NDArray[np.float64]
Table = Mapping[str, NDArray[Any]]

_FIT_ROWS, _SCORE_ROWS = 4_000, 2_000
_CHUNK = 1_000
_NEIGHBOURS = 25
_PENALTY = 1e-3
"""Of the ridge, in units of the residuals' variance."""


def readability(
    u: NDArray[Any], table: Table, u_test: NDArray[Any], table_test: Table, variables: Catalogue
) -> dict[str, float]:
    """How well each variable is read from residuals: 0 is not at all, 1 is exactly.

    A number scores R², a circular variable R² of cosine and sine together, a class or flag its
    skill (a − m) / (1 − m), where a is the accuracy and m the share of the commonest class. A
    variable gets the better of a linear probe and the mean of its 25 nearest neighbours. A probe
    that does worse than a constant has read nothing: it scores 0. So does a variable that does
    not vary. Rows where a variable is missing are left out for it alone.

    Args:
        u: residuals to fit on, (N, D).
        table: raw values of the variables in those rows, each (N,).
        u_test: residuals to score on, (M, D).
        table_test: raw values in those.
        variables: what to read.

    Returns:
        A score in [0, 1] for each variable; NaN for all where a residual is not finite.
    """
    if not (np.isfinite(u).all() and np.isfinite(u_test).all()):
        return dict.fromkeys(variables.names, float("nan"))
    mean, std = u.mean(0, dtype=np.float64), u.std(0, dtype=np.float64)
    x, x_test = ((rows - mean) / np.where(std > 0, std, 1.0) for rows in (u, u_test))
    whole = Catalogue(tuple(v for v in variables if v.fill is None))
    scores = _read(x, table, x_test, table_test, whole) if len(whole) else {}
    for v in variables.keep(whole.names):  # each is known of other rows
        known, known_test = (~np.isnan(t[v.name]) for t in (table, table_test))
        scores[v.name] = 0.0
        if known.any() and known_test.any():
            told, told_test = (
                {v.name: table[v.name][known]},
                {v.name: table_test[v.name][known_test]},
            )
            one = Catalogue((v.certain,))
            scores |= _read(x[known], told, x_test[known_test], told_test, one)
    return {name: scores[name] for name in variables.names}


def _read(
    x: Array, table: Table, x_test: Array, table_test: Table, variables: Catalogue
) -> dict[str, float]:
    """Scores of variables that are known in all of these rows."""
    y, y_test = (variables.encode(t).astype(np.float64) for t in (table, table_test))
    guesses = _linear(x, y, x_test), _neighbours(x, y, x_test)
    return {
        v.name: max(0.0, *(_score(v, guess[:, part], y_test[:, part]) for guess in guesses))
        for v, part in zip(variables, variables.columns.values(), strict=True)
    }


def science_metrics(module: LightningFlow, data: LatentDataModule) -> dict[str, float]:
    """Leakage and retention of the averaged flow, as `ScienceProbe` logs them.

    A masked flow is measured with every variable given, so it leaks from all and retains none.
    What it leaks under the drop sets of a sweep is measured on embeddings, one set at a time.

    Returns:
        ``leakage.NAME`` of every kept variable and ``leakage.max``, ``retention.NAME`` of every
        dropped one and ``retention.min``; the summaries only where there is a variable.
    """
    return _measure(module, _sample(data))


class ScienceProbe(pl.Callback):
    """Logs leakage and retention of the averaged flow after a validation.

    Residuals u = f(z | c) are those of posterior samples z ~ q(z|x) of some rows of the training
    split, on which probes are fitted, and of validation, on which they are scored. Rows and
    samples are the same every time and on every rank, and follow from no random state of the
    training, which goes on to the bit as it would without. See `readability` for the scores.

    Args:
        every: epochs between two measurements; the last validation is always measured.

    Attributes:
        measured: the epoch last measured, −1 before there is one. Lightning goes on showing the
            metrics of that epoch in later ones.

    Raises:
        ConfigError: *every* is not positive, or what is trained is no flow on cached latents.
    """

    def __init__(self, every: int = 1) -> None:
        if every < 1:
            raise ConfigError(f"ScienceProbe.every is {every}: it must be 1 or more.")
        self.every = every
        self.measured = -1
        self._samples: _Samples | None = None

    def due(self, trainer: pl.Trainer) -> bool:
        """Whether the validation of the current epoch is one to measure."""
        epoch, spacing = trainer.current_epoch + 1, trainer.check_val_every_n_epoch or 1
        last = trainer.max_epochs is not None and 0 <= trainer.max_epochs < epoch + spacing
        return last or epoch % self.every == 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data = getattr(trainer, "datamodule", None)
        if not isinstance(pl_module, LightningFlow) or not isinstance(data, LatentDataModule):
            raise ConfigError(
                f"ScienceProbe measures a LightningFlow on cached latents, not a "
                f"{type(pl_module).__name__}. Take it out of trainer.callbacks."
            )
        self._samples = _sample(data)
        self.measured = -1

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or not self.due(trainer):
            return
        if self._samples is None or not isinstance(pl_module, LightningFlow):
            raise RuntimeError("on_fit_start has not run")
        metrics = _measure(pl_module, self._samples)
        # Ranks agree up to their hardware; the mean over them makes their decisions the same.
        pl_module.log_dict(metrics, on_step=False, on_epoch=True, batch_size=1, sync_dist=True)
        self.measured = trainer.current_epoch


@dataclass(frozen=True)
class _Rows:
    """Some rows of a split: posterior samples z (R, D), context (R, C), raw catalogue."""

    z: Tensor
    context: Tensor
    table: Table


@dataclass(frozen=True)
class _Samples:
    """What the probes see of a dataset."""

    fit: _Rows
    score: _Rows
    catalogue: Catalogue
    kept: tuple[str, ...]


def _sample(data: LatentDataModule) -> _Samples:
    noise = generator(data.seed, 0, Stream.PROBE)
    return _Samples(
        _rows(data, "train", _FIT_ROWS, noise),
        _rows(data, "val", _SCORE_ROWS, noise),
        data.dataset.catalogue,
        data.dataset.kept.names,
    )


def _rows(data: LatentDataModule, split: Split, limit: int, noise: torch.Generator) -> _Rows:
    table, latents = data.dataset.table(split), data.latents[split]
    rows = _spread(len(latents.mean), limit)
    mean, logvar, context = (
        torch.from_numpy(array[rows].astype(np.float32))
        for array in (latents.mean, latents.logvar, data.dataset.context(split))
    )
    z = mean + torch.exp(0.5 * logvar) * torch.randn(mean.shape, generator=noise)
    return _Rows(z, context, {name: column[rows] for name, column in table.items()})


def _spread(rows: int, limit: int) -> NDArray[np.int64]:
    """At most *limit* of *rows* rows, ascending.

    They are drawn, by a constant seed: a table lists view after view, and an even stride could
    meet the same objects in each.
    """
    rng = np.random.default_rng(np.random.SeedSequence((rows, limit)))
    return np.sort(rng.permutation(rows)[:limit])


def _measure(module: LightningFlow, samples: _Samples) -> dict[str, float]:
    fit, score = samples.fit, samples.score
    u, u_test = _residuals(module, fit), _residuals(module, score)
    read = readability(u, fit.table, u_test, score.table, samples.catalogue)
    leakage = {name: value for name, value in read.items() if name in samples.kept}
    retention = {name: value for name, value in read.items() if name not in samples.kept}
    if leakage:
        leakage["max"] = float(np.max(list(leakage.values())))
    if retention:
        retention["min"] = float(np.min(list(retention.values())))
    named = ((LEAKAGE, leakage), (RETENTION, retention))
    return {prefix + name: value for prefix, group in named for name, value in group.items()}


@torch.no_grad()
def _residuals(module: LightningFlow, rows: _Rows) -> NDArray[np.float32]:
    """u (R, D), in the precision and on the device of the module."""
    like = module.context_mean
    parts = []
    with _evaluating(module.ema):
        for z, c in zip(rows.z.split(_CHUNK), rows.context.split(_CHUNK), strict=True):
            u = module.ema(z.to(like), module.condition(c.to(like)))
            parts.append(u.float().cpu())
    return torch.cat(parts).numpy()


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def _linear(x: Array, y: Array, x_test: Array) -> Array:
    """Ridge regression of y (N, W) on standardised x (N, D), read at *x_test*: (M, W)."""
    shift = y.mean(0)
    gram = x.T @ x + _PENALTY * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (y - shift))
    guess: Array = x_test @ weights + shift
    return guess


def _neighbours(x: Array, y: Array, x_test: Array) -> Array:
    """The mean y of the nearest rows of x, one search for all variables: (M, W)."""
    from sklearn.neighbors import NearestNeighbors  # a second of import that a VAE need not pay

    search = NearestNeighbors(n_neighbors=min(_NEIGHBOURS, len(x)), algorithm="brute").fit(x)
    guess: Array = y[search.kneighbors(x_test, return_distance=False)].mean(axis=1)
    return guess


def _score(variable: Variable, guess: Array, y: Array) -> float:
    """Score of guessed against true encoded columns of one variable, both (M, width)."""
    if (y == y[0]).all():
        return 0.0
    if variable.kind in ("continuous", "circular"):
        return float(1.0 - np.square(guess - y).sum() / np.square(y - y.mean(0)).sum())
    if variable.kind == "flag":
        guess, y = (np.hstack([1.0 - columns, columns]) for columns in (guess, y))
    accuracy = float(np.mean(guess.argmax(1) == y.argmax(1)))
    commonest = float(y.mean(0).max())
    return (accuracy - commonest) / (1.0 - commonest)
