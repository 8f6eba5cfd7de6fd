"""A user's own images and table, declared in YAML."""

__all__ = ["TabledImages"]

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wwdc.data.augment import draw, transform
from wwdc.data.colour_mnist import Split
from wwdc.data.examples import examples
from wwdc.data.hashes import Hashes
from wwdc.data.image_store import BAD_PIXELS, UNREADABLE, WRONG, Fit, ImageStore, Stored
from wwdc.data.sources import open_source
from wwdc.data.stretch import Stretch
from wwdc.data.tabled_rows import Refusable, TabledRows, check_policies, digest
from wwdc.errors import DataError

if TYPE_CHECKING:
    import torch

# Shapes: N objects, R rows (objects × views), B batch, C channels, H × W pixels.

BadPixels = Literal["refuse", "drop", "fill"]
_VERSION = 1
_MOST_CHANNELS, _SIDES = 64, (8, 1024)


class TabledImages(TabledRows):
    """Images of a folder or an array, joined by id to the rows of a table.

    Building one reads neither; what is asked of it then reads the table, and images are decoded
    once, by `prepare`, into an array under *cache* that is read from then on. Nothing
    is left out silently: what is wrong with the data is refused with its count and the first five
    examples, or left out and told, as the settings say.

    Args:
        images: a folder of PNG, JPEG, TIFF, ``.npy`` or FITS files whose stems are ids, or one
            ``.npy``, ``.npz``, HDF5, Zarr or FITS file with images along its first axis.
        table: CSV, Parquet, FITS or HDF5 table with a row an object.
        variables: what is known: name → kind, or name → `Declared`'s arguments.
        size: channels, height and width of an image.
        cache: folder for decoded images.
        id: the table's column of ids; None: images of an array are in the order of the rows.
        key: of the array, in a file with several.
        split: arguments of `SplitRule`.
        fit: what becomes of images of another height and width: ``refuse``, ``crop``, ``resize``.
        stretch: how pixels become [0, 1]: see `Stretch.of`.
        views: of an object, which differ by *augment*; an example is (object, view).
        augment: ``flip``, ``rotate`` (by quarter turns), both or none.
        unmatched: what becomes of images without a row and rows without an image: ``refuse`` or
            ``drop``.
        unreadable: the same of files that cannot be decoded.
        bad_pixels: the same of images with NaN or infinite pixels, or ``fill`` these with the
            stretch's *low*.
        unseen: the same of objects whose class no training object has.
        seed: of splits and views.
        drop_variables: variables that a flow is not told.
        origin: where images and table come from, told where they are missing.

    Raises:
        DataError: a setting is wrong.
    """

    def __init__(
        self,
        images: str | Path,
        table: str | Path,
        variables: Mapping[str, Any],
        size: Sequence[int],
        cache: str | Path,
        *,
        id: str | None = None,
        key: str | None = None,
        split: Mapping[str, Any] | None = None,
        fit: Fit = "refuse",
        stretch: Mapping[str, Any] | None = None,
        views: int = 1,
        augment: Sequence[str] = (),
        unmatched: Refusable = "refuse",
        unreadable: Refusable = "refuse",
        bad_pixels: BadPixels = "refuse",
        unseen: Refusable = "refuse",
        seed: int = 0,
        drop_variables: Iterable[str] | None = (),
        origin: str = "",
    ) -> None:
        super().__init__(
            Path(images),
            Path(table),
            variables,
            id=id,
            split=split,
            views=views,
            unmatched=unmatched,
            unseen=unseen,
            seed=seed,
            drop_variables=drop_variables,
            origin=origin,
        )
        self.size = _checked_size(size)
        check_policies(unreadable=unreadable)
        if bad_pixels not in get_args(BadPixels):
            raise DataError(f"x_ds.bad_pixels: {bad_pixels!r}: {', '.join(get_args(BadPixels))}.")
        self._stretch, self._augment = stretch, tuple(augment)
        draw(augment, views, 0, True, 0)
        self._unreadable, self._bad_pixels = unreadable, bad_pixels
        source = open_source(self._data, key, Hashes(Path(cache)))
        self._store = ImageStore(source, self.size, fit, Path(cache))

    def __getstate__(self) -> dict[str, Any]:
        mapped = ("_stored", "stretch")  # memory maps stay in their process
        return {name: value for name, value in self.__dict__.items() if name not in mapped}

    @property
    def available(self) -> bool:
        """Whether the images are decoded, so that nothing needs to be prepared."""
        there = self._data.exists() and self._table.exists()
        return there and self._store.open() is not None

    def prepare(self, notice: Callable[[str], None]) -> None:
        """Check table and images, and decode the images unless they are.

        Raises:
            DataError: what is wrong, how often, and the first five times.
        """
        for note in self._joined.notes:
            notice(note)
        self._store.build(notice)
        self.__dict__.pop("_stored", None)
        for note in self._left_out()[1]:
            notice(note)
        cut = self._cut_share()
        if cut > 0.001:
            notice(f"{cut:.1%} of the pixels lie outside x_ds.stretch's low … high and are cut.")

    def content(self) -> Mapping[str, str]:
        """Checksums of the images and of what is known of them."""
        return {"images": self._store.source.content(), "table": self._values}

    @cached_property
    def images_fingerprint(self) -> str:
        """Of images, rows and ids, whatever is known of them: latents belong to these."""
        joined = self._joined
        rows = hashlib.sha256(json.dumps([joined.names.tolist(), joined.split.tolist()]).encode())
        policies = [self._unreadable, self._bad_pixels]
        views = [self.seed, self.views, sorted(self._augment)] if self.views > 1 else [self.views]
        parts = [_VERSION, self._store.key, rows.hexdigest(), policies, views]
        return digest([*parts, dict(self._stretch or {})])

    def images(self, split: Split, index: "torch.Tensor") -> "torch.Tensor":
        """The rows *index* (B,) of a split's table, on the device of *index*.

        Returns:
            Images (B, C, H, W) in [0, 1], stretched.
        """
        import torch  # when an image is asked for

        from wwdc.data.batches import as_floats

        objects, rows = self._objects(split), index.cpu().numpy()
        chosen, view = objects[rows % len(objects)], rows // len(objects)
        pixels = self._stored.reader.take(self._joined.place[chosen])
        if pixels.dtype == np.uint16:
            pixels = pixels.astype(np.float32)  # few kernels take it
        x = as_floats(torch.from_numpy(pixels).to(index.device))
        if self._bad_pixels == "fill" and pixels.dtype.kind == "f":
            low = x.new_tensor(self.stretch.low).view(1, -1, 1, 1)
            x = torch.where(torch.isfinite(x), x, low)
        x = self.stretch.apply(x, in_place=True)
        return x if self.views == 1 else transform(x, self._symmetry[view, chosen])

    @cached_property
    def stretch(self) -> Stretch:
        """How pixels become [0, 1]."""
        pixels = self._stored.pixels
        given = self._stretch or {}
        if pixels.dtype.kind == "f" and not {"low", "high"} <= set(given):
            low, high = np.nanquantile(self._some_pixels(), [0.001, 0.999], axis=1)
            found = {"low": [float(f"{v:.3g}") for v in low]}
            found["high"] = [float(f"{v:.3g}") for v in high]
            raise DataError(
                f"x_ds.stretch: the pixels are numbers of type {pixels.dtype}: say which become 0 "
                f"and 1. From 0.1 % to 99.9 % of them reach: low: {found['low']}, high: "
                f"{found['high']}."
            )
        return Stretch.of(given, self.size[0], pixels.dtype)

    def _names(self) -> NDArray[np.str_] | None:
        return self._store.source.names

    def _count(self) -> int:
        return len(self._store.source)

    @cached_property
    def _stored(self) -> Stored:
        found = self._store.open()
        if found is None:
            raise DataError(
                f"{self._data}: the images are not decoded yet. Run python -m wwdc.prepare."
            )
        return found

    def _left_out(self) -> tuple[NDArray[np.bool_], list[str]]:
        """Which objects have no usable image, and why, in words."""
        state, names = self._stored.state[self._joined.place], self._joined.names
        gone, notes = np.zeros(len(names), bool), []
        policies = {
            UNREADABLE: ("cannot be decoded", "unreadable", self._unreadable),
            WRONG: (f"are not {list(self.size)} (x_ds.size)", "fit", "refuse"),
            BAD_PIXELS: ("hold NaN or infinite pixels", "bad_pixels", self._bad_pixels),
        }
        for kind, (words, key, policy) in policies.items():
            rows = np.flatnonzero(state == kind)
            if not len(rows) or policy == "fill":
                continue
            why = self._stored.reasons
            told = [f"{names[i]} ({why[int(self._joined.place[i])]})" for i in rows]
            text = f"{len(rows)} of {len(names)} images {words}: {examples(told)}"
            if policy == "refuse":
                choices = "crop or resize" if key == "fit" else "drop"
                choices += " or fill" if key == "bad_pixels" else ""
                raise DataError(f"{self._data}: {text}. Mend them, or write {key}: {choices}.")
            gone[rows] = True
            notes.append(f"{text}; left out.")
        return gone, notes

    @cached_property
    def _symmetry(self) -> NDArray[np.int8]:
        square = self.size[1] == self.size[2]
        return draw(self._augment, self.views, len(self._joined.names), square, self.seed)

    def _some_pixels(self) -> NDArray[np.float64]:
        """Pixels of at most 200 training images, by band: (C, n), NaN where they are not finite."""
        rows = self._objects("train")
        chosen = self._joined.place[rows[:: max(1, len(rows) // 200)]]
        pixels = self._stored.reader.take(chosen).astype(np.float64)
        pixels[~np.isfinite(pixels)] = np.nan
        return pixels.transpose(1, 0, 2, 3).reshape(self.size[0], -1)

    def _cut_share(self) -> float:
        """Share of the pixels that the stretch cuts."""
        pixels = self._some_pixels()
        low, high = (np.array(v)[:, None] for v in (self.stretch.low, self.stretch.high))
        return float(np.mean((pixels < low) | (pixels > high)))


def _checked_size(size: Sequence[int]) -> tuple[int, int, int]:
    numbers = [n for n in size if isinstance(n, int) and not isinstance(n, bool)]
    least, most = _SIDES
    if len(numbers) != 3 or len(size) != 3 or not 1 <= numbers[0] <= _MOST_CHANNELS:
        raise DataError(f"x_ds.size is {list(size)}: it is [channels, height, width].")
    if not all(least <= n <= most for n in numbers[1:]):
        raise DataError(f"x_ds.size is {list(size)}: height and width are {least} … {most} pixels.")
    return numbers[0], numbers[1], numbers[2]
