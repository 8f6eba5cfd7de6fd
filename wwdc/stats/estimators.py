"""Multilayer perceptrons with the interface of scikit-learn, strong enough to be probes."""

__all__ = ["MLPClassifier", "MLPRegressor"]

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from torch import Tensor, nn

from wwdc.errors import ConfigError

# Shapes: N rows, D inputs, W numbers predicted together, K classes.

_Loss = Callable[[Tensor, Tensor], Tensor]

_CHUNK = 8_192
"""Rows predicted at once."""


class _MLP(BaseEstimator):
    """A network of ReLU layers on standardised inputs, fitted by Adam for a fixed time.

    All randomness comes from *random_state*: fits on the same rows agree to the bit on a machine
    and number of threads, and torch's global generator is left as it was.

    Args:
        hidden: width of each hidden layer.
        epochs: passes over the rows.
        batch_size: rows a step.
        lr: learning rate of Adam.
        random_state: seed of weights and order.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (256, 256),
        epochs: int = 25,
        batch_size: int = 256,
        lr: float = 1e-3,
        random_state: int = 0,
    ) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.random_state = random_state

    def _fit(self, x: ArrayLike, target: Tensor, outputs: int, loss: _Loss) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise ConfigError(
                f"{type(self).__name__}: epochs is {self.epochs} and batch_size "
                f"{self.batch_size}: both must be 1 or more."
            )
        rows = _matrix(x)
        self.n_features_in_ = rows.shape[1]
        self.mean_, self.scale_ = _moments(rows)
        inputs = torch.from_numpy((rows - self.mean_) / self.scale_)
        random = torch.Generator().manual_seed(self.random_state)
        self.network_ = _network((rows.shape[1], *map(int, self.hidden), outputs), random)
        optimizer = torch.optim.Adam(self.network_.parameters(), self.lr, fused=True)
        with torch.enable_grad():
            for _ in range(self.epochs):
                for index in torch.randperm(len(rows), generator=random).split(self.batch_size):
                    optimizer.zero_grad()
                    loss(self.network_(inputs[index]), target[index]).backward()
                    optimizer.step()

    @torch.no_grad()
    def _outputs(self, x: ArrayLike) -> Tensor:
        inputs = torch.from_numpy((_matrix(x) - self.mean_) / self.scale_)
        return torch.cat([self.network_(rows) for rows in inputs.split(_CHUNK)])


class MLPRegressor(RegressorMixin, _MLP):
    """Predicts one or several numbers, each standardised, by least squares.

    >>> x = np.linspace(-1.0, 1.0, 400)[:, None]
    >>> probe = MLPRegressor(hidden=(32,), epochs=60, batch_size=32).fit(x, np.abs(x[:, 0]))
    >>> bool(probe.score(x, np.abs(x[:, 0])) > 0.95)
    True
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on rows *X* (N, D) and numbers *y*, (N,) or (N, W)."""
        numbers = np.asarray(y, np.float64)
        self.flat_ = numbers.ndim == 1
        numbers = numbers.reshape(len(numbers), -1)
        self.target_mean_, self.target_scale_ = numbers.mean(0), _scale(numbers.std(0))
        scaled = (numbers - self.target_mean_) / self.target_scale_
        self._fit(X, torch.from_numpy(scaled.astype(np.float32)), scaled.shape[1], F.mse_loss)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Numbers of rows *X* (N, D), in the shape of the fitted ones: (N,) or (N, W)."""
        scaled = self._outputs(X).numpy().astype(np.float64)
        numbers: NDArray[np.float64] = scaled * self.target_scale_ + self.target_mean_
        return numbers[:, 0] if self.flat_ else numbers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class MLPClassifier(ClassifierMixin, _MLP):
    """Predicts a class and its probability by cross-entropy."""

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on rows *X* (N, D) and their classes *y* (N,)."""
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        self._fit(X, torch.from_numpy(codes.astype(np.int64)), len(self.classes_), F.cross_entropy)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Probability of each of ``classes_`` in rows *X* (N, D): (N, K)."""
        probability: NDArray[np.float32] = self._outputs(X).softmax(1).numpy()
        return probability

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The likeliest class of each row of *X* (N, D): (N,)."""
        likeliest: NDArray[Any] = self.classes_[self._outputs(X).argmax(1).numpy()]
        return likeliest


def _network(widths: Sequence[int], random: torch.Generator) -> nn.Sequential:
    """Linear layers with torch's own initialisation, drawn from *random*."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.uniform_(-(inputs**-0.5), inputs**-0.5, generator=random)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _matrix(x: ArrayLike) -> NDArray[np.float32]:
    return np.ascontiguousarray(x, dtype=np.float32)


def _moments(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean, std = rows.mean(0, dtype=np.float64), rows.std(0, dtype=np.float64)
    return mean.astype(np.float32), _scale(std).astype(np.float32)


def _scale(std: NDArray[np.float64]) -> NDArray[np.float64]:
    """What to divide by: a column that does not vary stays as it is."""
    return np.where(std > 0, std, 1.0)
