"""What the rest of the package asks of a dataset."""

__all__ = [
    "ImageDataset",
    "SharedImages",
    "Sliced",
    "Stretched",
    "check_dataset",
    "images_fingerprint",
]

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wwdc.data.catalogue import Catalogue
from wwdc.data.colour_mnist import Split
from wwdc.data.stretch import Stretch
from wwdc.errors import DataError

if TYPE_CHECKING:
    import torch


class ImageDataset(Protocol):
    """Images in splits and what is known of each; see `ColourMNIST` for what the members mean."""

    @property
    def name(self) -> str: ...

    @property
    def catalogue(self) -> Catalogue: ...

    @property
    def kept(self) -> Catalogue: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def available(self) -> bool: ...

    @property
    def seed(self) -> int: ...

    @property
    def views(self) -> int: ...

    @property
    def size(self) -> Sequence[int]: ...

    @property
    def split_rule(self) -> str: ...

    def prepare(self, notice: Callable[[str], None]) -> None: ...

    def content(self) -> Mapping[str, str]: ...

    def rows(self, split: Split) -> int: ...

    def table(self, split: Split) -> dict[str, NDArray[Any]]: ...

    def context(self, split: Split) -> NDArray[np.float32]: ...

    def images(self, split: Split, index: "torch.Tensor") -> "torch.Tensor": ...


@runtime_checkable
class Sliced(Protocol):
    """A dataset whose table is too large to be made as a whole."""

    def table_rows(self, split: Split, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Rows [start, stop) of ``table(split)``."""
        ...


@runtime_checkable
class SharedImages(Protocol):
    """A dataset that knows more of the images of another."""

    @property
    def images_fingerprint(self) -> str:
        """Fingerprint of the dataset whose images, rows and ids these are."""
        ...


@runtime_checkable
class Stretched(Protocol):
    """A dataset whose images in [0, 1] come from pixels of another range."""

    @property
    def stretch(self) -> Stretch:
        """What was done to them."""
        ...


def check_dataset(dataset: object, key: str) -> None:
    """Refuse what lacks a member of `ImageDataset`; none is read, for some read files.

    Args:
        key: of the dataset, for the message.

    Raises:
        DataError: what it lacks.
    """
    members = [name for name in vars(ImageDataset) if not name.startswith("_")]
    lacks = [n for n in members if not (hasattr(type(dataset), n) or n in vars(dataset))]
    if lacks:
        name, lacking = type(dataset).__name__, ", ".join(lacks)
        raise DataError(f"{key}: {name} is no dataset: it lacks {lacking}.")


def images_fingerprint(dataset: ImageDataset) -> str:
    """What names the images, whatever is known of them: latents belong to these."""
    return dataset.images_fingerprint if isinstance(dataset, SharedImages) else dataset.fingerprint
