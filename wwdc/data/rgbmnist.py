"""MNIST as COLOUR_MNIST images."""

__all__ = ["RGBMNIST"]

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from wwdc.data.colour_mnist import ColourMNIST, Raw
from wwdc.data.idx import read_content
from wwdc.data.mnist import MD5, download, find, read_pair
from wwdc.errors import DataError

_TRAIN, _TEST = "train", "t10k"


class RGBMNIST(ColourMNIST):
    """MNIST's handwritten digits (LeCun et al. 1998), read from IDX files.

    With all four files, validation is a tenth of the 60 000 training images and test is
    ``t10k``. With the two ``t10k`` files only, those 10 000 images are split 7 : 1 : 2.

    Source: https://yann.lecun.com/exdb/mnist/

    Args:
        root: folder of ``train-images-idx3-ubyte`` and its like, compressed (``.gz``) or not.
        seed: see `ColourMNIST`, as for the others.
        views: augmented views of an object.
        size: channels, height and width of an image.
        drop_variables: variables that a flow is not told.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        seed: int = 0,
        views: int = 2,
        size: Sequence[int] = (3, 28, 28),
        drop_variables: Iterable[str] | None = (),
    ) -> None:
        super().__init__(seed=seed, views=views, size=size, drop_variables=drop_variables)
        self.root = Path(root)

    @property
    def available(self) -> bool:
        return self._parts() is not None

    def prepare(self, notice: Callable[[str], None]) -> None:
        """Download what is missing unless ``t10k`` alone is there, and check what is there.

        Raises:
            DataError: a file is wrong, or could not be downloaded.
        """
        if not self.available:
            download(self.root, [name for name in MD5 if find(self.root, name) is None], notice)
            for cached in ("fingerprint", "_raw", "_split_objects"):
                self.__dict__.pop(cached, None)
        if self._parts() == (_TEST,):
            notice(
                f"{self.root}: only the t10k images are there; they are split 7 : 1 : 2 into "
                "train, val and test."
            )
        _ = self._raw

    def content(self) -> Mapping[str, str]:
        parts = self._parts()
        if parts is None:
            return MD5
        found = {path.name.removesuffix(".gz"): path for part in parts for path in self._pair(part)}
        return {
            name: hashlib.md5(read_content(path), usedforsecurity=False).hexdigest()
            for name, path in found.items()
        }

    @property
    def split_rule(self) -> str:
        return "t10k 7:1:2" if self._parts() == (_TEST,) else "train 9:1, test t10k"

    def _read(self) -> Raw:
        parts = self._parts()
        if parts is None:
            missing = [name for name in MD5 if find(self.root, name) is None]
            raise DataError(
                f"{self.root}: MNIST is not there: {', '.join(missing)} (or with .gz) missing. "
                "`python -m wwdc.prepare EXPERIMENT` downloads it."
            )
        pairs = [read_pair(*self._pair(part)) for part in parts]
        grey, digit = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
        return Raw(grey, digit, len(pairs[0][0]) if len(pairs) > 1 else None)

    def _parts(self) -> tuple[str, ...] | None:
        """The parts to read; None when files must be downloaded first."""
        there = {name.partition("-")[0] for name in MD5 if find(self.root, name)}
        lacking = {name.partition("-")[0] for name in MD5 if not find(self.root, name)}
        if not lacking:
            return _TRAIN, _TEST
        return (_TEST,) if there == {_TEST} and lacking == {_TRAIN} else None

    def _pair(self, part: str) -> tuple[Path, Path]:
        images, labels = (
            find(self.root, f"{part}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
        )
        if images is None or labels is None:
            raise DataError(f"{self.root}: the {part} images or labels are gone.")
        return images, labels
