"""Strong probes: how well can a catalogue variable be read from a residual?"""

__all__ = ["PROBES", "score"]

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from torch import Tensor, nn

Array = NDArray[np.floating]

# Shapes: N rows to fit, M rows to score, D latents.


def score(
    probe: str, x: Array, y: NDArray, x_test: Array, y_test: NDArray, *, classes: bool
) -> float:
    """R² of a number, or accuracy of a class, on rows (M, D) of objects the probe never saw."""
    mean, std = x.mean(0), x.std(0) + 1e-6
    fitted = PROBES[probe](((x - mean) / std).astype(np.float32), y, classes)
    predicted = fitted(((x_test - mean) / std).astype(np.float32))
    if classes:
        return float((predicted == y_test).mean())
    return float(1 - np.square(predicted - y_test).sum() / np.square(y_test - y_test.mean()).sum())


Fitted = Callable[[Array], NDArray]


def _linear(x: Array, y: NDArray, classes: bool) -> Fitted:
    model = LogisticRegression(max_iter=200) if classes else LinearRegression()
    return model.fit(x, y).predict


def _neighbours(x: Array, y: NDArray, classes: bool) -> Fitted:
    model = KNeighborsClassifier if classes else KNeighborsRegressor
    return model(n_neighbors=25).fit(x, y).predict


def _boosting(x: Array, y: NDArray, classes: bool) -> Fitted:
    model = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return model(max_iter=100, learning_rate=0.1, random_state=0).fit(x, y).predict


def _mlp(x: Array, y: NDArray, classes: bool, epochs: int = 25, batch: int = 256) -> Fitted:
    """Two hidden layers of 256, 25 epochs of Adam: weaker ones miss what is there."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    outputs = int(y.max()) + 1 if classes else 1
    network = nn.Sequential(
        *(nn.Linear(x.shape[1], 256), nn.ReLU()),
        *(nn.Linear(256, 256), nn.ReLU()),
        nn.Linear(256, outputs),
    )
    shift, width = (0.0, 1.0) if classes else (float(y.mean()), float(y.std()))
    inputs = torch.from_numpy(x)
    target = torch.from_numpy(y).long() if classes else torch.from_numpy((y - shift) / width)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)
    for _ in range(epochs):
        for index in torch.randperm(len(x), generator=generator).split(batch):
            optimizer.zero_grad()
            _loss(network(inputs[index]), target[index], classes).backward()
            optimizer.step()

    @torch.no_grad()
    def predict(rows: Array) -> NDArray:
        out = network(torch.from_numpy(rows))
        return (out.argmax(1) if classes else out[:, 0] * width + shift).numpy()

    return predict


def _loss(out: Tensor, target: Tensor, classes: bool) -> Tensor:
    return F.cross_entropy(out, target) if classes else F.mse_loss(out[:, 0], target.float())


PROBES: dict[str, Callable[[Array, NDArray, bool], Fitted]] = {
    "linear": _linear,
    "mlp": _mlp,
    "knn": _neighbours,
    "boosting": _boosting,
}
