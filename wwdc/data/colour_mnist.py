"""COLOUR_MNIST: handwritten digits with colours, rotations and scales that are known."""

__all__ = ["COLOUR_MNIST", "SPLITS", "ColourMNIST", "Raw", "Split"]

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from wwdc.data.catalogue import Catalogue, Variable
from wwdc.errors import DataError

if TYPE_CHECKING:
    import torch

    from wwdc.data.render import Renderer

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

COLOUR_MNIST = Catalogue(
    (
        Variable("r", "continuous", range=(0.05, 0.95), description="red of the stroke"),
        Variable("g", "continuous", range=(0.05, 0.95), description="green of the stroke"),
        Variable("b", "continuous", range=(0.05, 0.95), description="blue of the stroke"),
        Variable("angle", "continuous", 1, "deg", (-180.0, 180.0), "rotation, anticlockwise"),
        Variable("scale", "continuous", range=(0.0, 2.0), description="enlargement"),
        Variable("digit", "categorical", 10, description="the digit written"),
    )
)

_SPLIT_STREAM, _FACTOR_STREAM = 1, 2
_SIZE = (3, 28, 28)


@dataclass(frozen=True)
class Raw:
    """Grey digits as they were published.

    Attributes:
        grey: uint8 (N, 28, 28).
        digit: int64 (N,).
        test_from: first object of the published test part; None when there is only one part.
    """

    grey: NDArray[np.uint8]
    digit: NDArray[np.int64]
    test_from: int | None = None


class ColourMNIST(ABC):
    """Grey digits, each seen in several views with factors of their own.

    A view of an object is x = (r, g, b) · affine(grey; angle, scale) with r, g, b ~ U(0.05, 0.95),
    angle [deg] ~ N(0, 10), scale ~ N(1, 0.1), after Rogers et al., arXiv:2511.09433. Factors are
    drawn per (object, view) from the dataset's own seed: neither other views nor a training seed
    change them. Splits are by object. Building a dataset reads no images and imports no torch.

    Args:
        seed: the dataset's own seed, of factors and splits.
        views: augmented views of an object; an example is (object, view).
        size: channels, height and width of an image: (3, 28, 28).
        drop_variables: variables of the catalogue that a flow is not told.

    Raises:
        DataError: a setting is wrong.
    """

    catalogue: ClassVar[Catalogue] = COLOUR_MNIST
    version: ClassVar[int] = 1
    """Counted up when the same settings make other images."""

    def __init__(
        self,
        *,
        seed: int = 0,
        views: int = 2,
        size: Sequence[int] = _SIZE,
        drop_variables: Iterable[str] | None = (),
    ) -> None:
        if tuple(size) != _SIZE:
            raise DataError(f"x_ds.size is {list(size)}: this dataset's images are {list(_SIZE)}.")
        for name, value, least in (("seed", seed, 0), ("views", views, 1)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise DataError(f"x_ds.{name} is {value!r}: it must be an integer ≥ {least}.")
        try:
            self.kept = self.catalogue.keep(drop_variables or ())
        except DataError as error:
            raise DataError(f"x_ds.drop_variables: {error}") from None
        self.seed = seed
        self.views = views
        self.size = _SIZE
        self._renderers: dict[tuple[Split, torch.device], Renderer] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_renderers": {}}  # tensors on a device stay in their process

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def drop_variables(self) -> tuple[str, ...]:
        """What a flow is not told, in catalogue order."""
        return tuple(name for name in self.catalogue.names if name not in self.kept.names)

    @property
    @abstractmethod
    def available(self) -> bool:
        """Whether the raw data are on this machine."""

    @abstractmethod
    def prepare(self, notice: Callable[[str], None]) -> None:
        """Fetch the raw data where they are missing, and check them.

        Raises:
            DataError: naming the file that is missing or wrong.
        """

    @abstractmethod
    def content(self) -> Mapping[str, str]:
        """Checksums of the raw data by name; of the standard download when there are none yet."""

    @property
    @abstractmethod
    def split_rule(self) -> str:
        """How objects are split, in words."""

    @abstractmethod
    def _read(self) -> Raw:
        """Read and check the raw data."""

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the data: what, and which draws and splits of it.

        Where the raw data lie and which variables are dropped do not matter.
        """
        identity = {
            "dataset": self.name,
            "version": self.version,
            "content": dict(self.content()),
            "seed": self.seed,
            "views": self.views,
            "split": self.split_rule,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    def table(self, split: Split) -> dict[str, NDArray[Any]]:
        """The catalogue of a split: every object's first view, then every second one, and so on.

        Columns: ``id`` (view · objects + object, unique over splits), ``object``, ``view`` and the
        variables of the catalogue.
        """
        objects = self._objects(split)
        n = len(self._raw.grey)
        views = np.repeat(np.arange(self.views), len(objects))
        tiled = np.tile(objects, self.views)
        draws = [self._factors(view, n) for view in range(self.views)]
        factors = {name: np.concatenate([d[name][objects] for d in draws]) for name in draws[0]}
        rows = {"id": views * n + tiled, "object": tiled, "view": views}
        return rows | factors | {"digit": self._raw.digit[tiled]}

    def context(self, split: Split) -> NDArray[np.float32]:
        """The kept variables of every row, encoded but not standardised: (rows, width)."""
        return self.kept.encode(self.table(split))

    def grey(self, split: Split) -> NDArray[np.uint8]:
        """The unaugmented image of every object of a split, (objects, 28, 28)."""
        return self._raw.grey[self._objects(split)]

    def rows(self, split: Split) -> int:
        """Examples in a split: objects × views."""
        return len(self._objects(split)) * self.views

    def images(self, split: Split, index: "torch.Tensor") -> "torch.Tensor":
        """Draw the rows *index* (B,) of a split's table on the device of *index*.

        Returns:
            Images (B, 3, 28, 28) in [0, 1].
        """
        key = (split, index.device)
        if key not in self._renderers:
            from wwdc.data.render import Renderer  # torch is imported when an image is drawn

            self._renderers[key] = Renderer(self.grey(split), self.table(split), index.device)
        return self._renderers[key](index)

    @cached_property
    def _raw(self) -> Raw:
        raw = self._read()
        if len(raw.grey) < len(SPLITS) * 10:
            raise DataError(f"{self.name}: {len(raw.grey)} images are too few to split.")
        return raw

    def _objects(self, split: Split) -> NDArray[np.int64]:
        if split not in SPLITS:
            raise DataError(f"there is no split {split!r}; splits are {', '.join(SPLITS)}.")
        return self._split_objects[split]

    @cached_property
    def _split_objects(self) -> dict[Split, NDArray[np.int64]]:
        raw = self._raw
        n = len(raw.grey)
        pool = n if raw.test_from is None else raw.test_from
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, _SPLIT_STREAM)))
        order = rng.permutation(pool)
        val = round(pool / 10)
        train = pool - val if raw.test_from is not None else round(0.7 * pool)
        test = order[train + val :] if raw.test_from is None else np.arange(pool, n)
        parts = (order[:train], order[train : train + val], test)
        return {split: np.sort(part) for split, part in zip(SPLITS, parts, strict=True)}

    def _factors(self, view: int, n: int) -> dict[str, NDArray[np.float32]]:
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, _FACTOR_STREAM, view)))
        drawn = {name: rng.uniform(0.05, 0.95, n) for name in ("r", "g", "b")}
        drawn |= {"angle": rng.normal(0.0, 10.0, n), "scale": rng.normal(1.0, 0.1, n)}
        return {name: values.astype(np.float32) for name, values in drawn.items()}
