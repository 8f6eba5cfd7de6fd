"""MNIST as COLOUR_MNIST images."""

__all__ = ["RGBMNIST"]

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from wwdc.data.colour_mnist import ColourMNIST, Raw
from wwdc.data.mnist import MD5, Part, download, find, read_part
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
        """MD5 of each file's content; the files are checked as they are read."""
        names = self._parts()
        if names is None:
            return MD5
        return {name: md5 for part in map(self._part, names) for name, md5 in part.md5.items()}

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
        read = [self._part(name) for name in parts]
        return Raw(
            np.concatenate([part.grey for part in read]),
            np.concatenate([part.digit for part in read]),
            test_from=len(read[0].grey) if len(read) > 1 else None,
        )

    def _parts(self) -> tuple[str, ...] | None:
        """The parts to read; None when files must be downloaded first."""
        there = {name.partition("-")[0] for name in MD5 if find(self.root, name)}
        lacking = {name.partition("-")[0] for name in MD5 if not find(self.root, name)}
        if not lacking:
            return _TRAIN, _TEST
        return (_TEST,) if there == {_TEST} and lacking == {_TRAIN} else None

    def _part(self, name: str) -> Part:
        images, labels = (
            find(self.root, f"{name}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
        )
        if images is None or labels is None:
            raise DataError(f"{self.root}: the {name} images or labels are gone.")
        return read_part(images, labels)
