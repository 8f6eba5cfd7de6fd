"""Strong probes: how well can a catalogue variable be read from a residual?"""

__all__ = ["PROBES", "scores"]

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from torch import nn

Array = NDArray[np.floating]
Table = Mapping[str, NDArray]

# Shapes: N rows to fit, M rows to score, D latents, K numbers predicted together.


def scores(
    probe: str, x: Array, table: Table, x_test: Array, table_test: Table, names: Sequence[str]
) -> dict[str, float]:
    """R² of numbers and accuracy of classes, by name, on rows of objects the probe never saw.

    Args:
        probe: one of :data:`PROBES`.
        x: residuals to fit on, (N, D).
        table: the catalogue's columns of those rows; a column of integers is a class.
        x_test: residuals to score on, (M, D).
        table_test: the columns of those.
        names: columns to predict.
    """
    mean, std = x.mean(0), x.std(0) + 1e-6
    x, x_test = (((rows - mean) / std).astype(np.float32) for rows in (x, x_test))
    found: dict[str, float] = {}
    numbers = [name for name in names if table[name].dtype.kind == "f"]
    if numbers:
        y, y_test = (np.stack([t[n] for n in numbers], 1) for t in (table, table_test))
        shift, width = y.mean(0), y.std(0)
        predicted = PROBES[probe](x, (y - shift) / width, False)(x_test) * width + shift
        missed, spread = predicted - y_test, y_test - y_test.mean(0)
        r2 = 1 - np.square(missed).sum(0) / np.square(spread).sum(0)
        found.update(zip(numbers, map(float, r2), strict=True))
    for name in names:
        if name not in numbers:
            predicted = PROBES[probe](x, table[name], True)(x_test)
            found[name] = float((predicted == table_test[name]).mean())
    return found


Fitted = Callable[[Array], NDArray]


def _linear(x: Array, y: NDArray, classes: bool) -> Fitted:
    model = LogisticRegression(max_iter=200) if classes else LinearRegression()
    return model.fit(x, y).predict


def _neighbours(x: Array, y: NDArray, classes: bool) -> Fitted:
    model = KNeighborsClassifier if classes else KNeighborsRegressor
    return model(n_neighbors=25).fit(x, y).predict


def _boosting(x: Array, y: NDArray, classes: bool) -> Fitted:
    model = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    make = functools.partial(model, max_iter=100, learning_rate=0.1, random_state=0)
    if classes:
        return make().fit(x, y).predict
    fitted = [make().fit(x, column) for column in y.T]
    return lambda rows: np.stack([one.predict(rows) for one in fitted], axis=1)


def _mlp(x: Array, y: NDArray, classes: bool, epochs: int = 25, batch: int = 256) -> Fitted:
    """Two hidden layers of 256, 25 epochs of Adam: weaker ones miss what is there."""
    torch.manual_seed(0)
    outputs = int(y.max()) + 1 if classes else y.shape[1]
    network = nn.Sequential(
        *(nn.Linear(x.shape[1], 256), nn.ReLU()),
        *(nn.Linear(256, 256), nn.ReLU()),
        nn.Linear(256, outputs),
    )
    inputs = torch.from_numpy(x)
    target = torch.from_numpy(y).long() if classes else torch.from_numpy(y).float()
    loss = F.cross_entropy if classes else F.mse_loss
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)
    for _ in range(epochs):
        for index in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            loss(network(inputs[index]), target[index]).backward()
            optimizer.step()

    @torch.no_grad()
    def predict(rows: Array) -> NDArray:
        out = network(torch.from_numpy(rows))
        return (out.argmax(1) if classes else out).numpy()

    return predict


PROBES: dict[str, Callable[[Array, NDArray, bool], Fitted]] = {
    "linear": _linear,
    "mlp": _mlp,
    "knn": _neighbours,
    "boosting": _boosting,
}
