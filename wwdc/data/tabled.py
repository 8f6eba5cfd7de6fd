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
from wwdc.data.catalogue import Catalogue, Variable
from wwdc.data.colour_mnist import SPLITS, Split
from wwdc.data.columns import Column, declared
from wwdc.data.examples import examples
from wwdc.data.hashes import Hashes
from wwdc.data.image_store import BAD_PIXELS, UNREADABLE, WRONG, Fit, ImageStore, Stored
from wwdc.data.joined import Joined, join
from wwdc.data.sources import open_source
from wwdc.data.splits import SplitRule
from wwdc.data.stretch import Stretch
from wwdc.data.tables import read_table
from wwdc.errors import DataError, closest

if TYPE_CHECKING:
    import torch

# Shapes: N objects, R rows (objects × views), B batch, C channels, H × W pixels.

Refusable = Literal["refuse", "drop"]
BadPixels = Literal["refuse", "drop", "fill"]
_VERSION = 1
_MOST_CHANNELS, _SIDES = 64, (8, 1024)


class TabledImages:
    """Images of a folder or an array, joined by id to the rows of a table.

    Building one reads neither; what is asked of it then reads the table, and images are decoded
    once, by `prepare`, into an array under *cache* that is memory-mapped from then on. Nothing
    is left out silently: what is wrong with the data is refused with its count and the first five
    examples, or left out and told, as the settings say.

    Args:
        images: a folder of PNG, JPEG, TIFF, ``.npy`` or FITS files whose stems are ids, or one
            ``.npy``, ``.npz``, HDF5, Zarr or FITS file with images along its first axis.
        table: CSV, Parquet or FITS table with a row an object.
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
    ) -> None:
        self._images, self._table = Path(images), Path(table)
        self._declared = declared(variables)
        self.size = _checked_size(size)
        _check_numbers(seed=(seed, 0), views=(views, 1))
        _check_policies(unmatched=unmatched, unreadable=unreadable, unseen=unseen)
        if bad_pixels not in get_args(BadPixels):
            raise DataError(f"x_ds.bad_pixels: {bad_pixels!r}: {', '.join(get_args(BadPixels))}.")
        self._id = id
        self._rule = _rule(split or {})
        self._stretch, self._augment = stretch, tuple(augment)
        draw(augment, views, 0, True, 0)
        self._unmatched, self._unreadable = unmatched, unreadable
        self._bad_pixels, self._unseen = bad_pixels, unseen
        self.seed, self.views = seed, views
        self._cache = Path(cache)
        source = open_source(self._images, key, Hashes(self._cache))
        self._store = ImageStore(source, self.size, fit, self._cache)
        names = Catalogue(tuple(Variable(v.name, "continuous") for v in self._declared))
        try:
            self._kept = names.keep(drop_variables or ()).names
        except DataError as error:
            raise DataError(f"x_ds.drop_variables: {error}") from None

    def __getstate__(self) -> dict[str, Any]:
        mapped = ("_stored", "stretch")  # memory maps stay in their process
        return {name: value for name, value in self.__dict__.items() if name not in mapped}

    @property
    def name(self) -> str:
        return self._table.name.partition(".")[0]

    @cached_property
    def catalogue(self) -> Catalogue:
        """The variables, as they were declared and found."""
        return Catalogue(tuple(column.variable for column in self._joined.columns))

    @property
    def kept(self) -> Catalogue:
        """What a flow is told."""
        return Catalogue(tuple(v for v in self.catalogue if v.name in self._kept))

    @property
    def drop_variables(self) -> tuple[str, ...]:
        """What a flow is not told, in catalogue order."""
        return tuple(v.name for v in self._declared if v.name not in self._kept)

    @property
    def split_rule(self) -> str:
        return self._rule.words

    @property
    def available(self) -> bool:
        """Whether the images are decoded, so that nothing needs to be prepared."""
        there = self._images.exists() and self._table.exists()
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
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the data: objects, splits, images and variables.

        Where they lie and which variables are dropped do not matter.
        """
        known = [variable.as_dict() for variable in self.catalogue]
        return _digest([self.images_fingerprint, known, self._values])

    @cached_property
    def images_fingerprint(self) -> str:
        """Of images, rows and ids, whatever is known of them: latents belong to these."""
        joined = self._joined
        rows = hashlib.sha256(json.dumps([joined.names.tolist(), joined.split.tolist()]).encode())
        policies = [self._unreadable, self._bad_pixels]
        views = [self.seed, self.views, sorted(self._augment)] if self.views > 1 else [self.views]
        parts = [_VERSION, self._store.key, rows.hexdigest(), policies, views]
        return _digest([*parts, dict(self._stretch or {})])

    def rows(self, split: Split) -> int:
        """Examples in a split: objects × views."""
        return len(self._objects(split)) * self.views

    def table(self, split: Split) -> dict[str, NDArray[Any]]:
        """The catalogue of a split: every object's first view, then every second one, and so on.

        Columns: ``id`` (unique over splits and views), ``object``, ``view``, ``name`` (the user's
        id) and the variables of the catalogue, NaN where they are missing.
        """
        joined, objects = self._joined, self._objects(split)
        views = np.repeat(np.arange(self.views), len(objects))
        tiled = np.tile(objects, self.views)
        ids = joined.ids[tiled]
        rows: dict[str, NDArray[Any]] = {
            "id": views * (int(joined.ids.max()) + 1) + ids,
            "object": ids,
            "view": views,
        }
        rows["name"] = joined.names[tiled]
        return rows | {c.variable.name: _typed(c, tiled) for c in joined.columns}

    def context(self, split: Split) -> NDArray[np.float32]:
        """The kept variables of every row, encoded but not standardised: (rows, width)."""
        return self.kept.encode(self.table(split))

    def images(self, split: Split, index: "torch.Tensor") -> "torch.Tensor":
        """The rows *index* (B,) of a split's table, on the device of *index*.

        Returns:
            Images (B, C, H, W) in [0, 1], stretched.
        """
        import torch  # when an image is asked for

        objects, rows = self._objects(split), index.cpu().numpy()
        chosen, view = objects[rows % len(objects)], rows // len(objects)
        pixels = self._stored.pixels[self._joined.place[chosen]]
        if pixels.dtype == np.uint16:
            pixels = pixels.astype(np.float32)  # few kernels take it
        x = torch.from_numpy(np.ascontiguousarray(pixels)).to(index.device).float()
        if self._bad_pixels == "fill" and pixels.dtype.kind == "f":
            low = x.new_tensor(self.stretch.low).view(1, -1, 1, 1)
            x = torch.where(torch.isfinite(x), x, low)
        x = self.stretch.apply(x)
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

    @cached_property
    def _joined(self) -> Joined:
        text = [name for name in (self._id, self._rule.column) if name]
        source = self._store.source
        if not self._images.exists():
            raise DataError(f"x_ds.images: {self._images}: no such file or folder.")
        return join(
            read_table(self._table, tuple(text)),
            source.names,
            lambda: len(source),
            self._declared,
            id=self._id,
            rule=self._rule,
            seed=self.seed,
            drop_unmatched=self._unmatched == "drop",
            drop_unseen=self._unseen == "drop",
        )

    @cached_property
    def _values(self) -> str:
        """SHA-256 over the values of all variables."""
        digest = hashlib.sha256()
        for column in self._joined.columns:
            digest.update(column.values.tobytes())
        return digest.hexdigest()

    @cached_property
    def _stored(self) -> Stored:
        found = self._store.open()
        if found is None:
            raise DataError(
                f"{self._images}: the images are not decoded yet. Run python -m wwdc.prepare."
            )
        return found

    def _objects(self, split: Split) -> NDArray[np.int64]:
        """Places in the joined table."""
        if split not in SPLITS:
            raise DataError(f"there is no split {split!r}; splits are {', '.join(SPLITS)}.")
        return self._split_objects[split]

    @cached_property
    def _split_objects(self) -> dict[Split, NDArray[np.int64]]:
        keep = ~self._left_out()[0]
        split = self._joined.split
        found = {name: np.flatnonzero(keep & (split == i)) for i, name in enumerate(SPLITS)}
        empty = [name for name, rows in found.items() if not len(rows)]
        if empty:
            raise DataError(f"x_ds: no object of {', '.join(empty)} has a usable image.")
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
                raise DataError(f"{self._images}: {text}. Mend them, or write {key}: {choices}.")
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
        pixels = self._stored.pixels[chosen].astype(np.float64)
        pixels[~np.isfinite(pixels)] = np.nan
        return pixels.transpose(1, 0, 2, 3).reshape(self.size[0], -1)

    def _cut_share(self) -> float:
        """Share of the pixels that the stretch cuts."""
        pixels = self._some_pixels()
        low, high = (np.array(v)[:, None] for v in (self.stretch.low, self.stretch.high))
        return float(np.mean((pixels < low) | (pixels > high)))


def _typed(column: Column, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Values of rows; classes and flags are whole numbers unless some are missing."""
    values = column.values[rows]
    if column.variable.kind in ("categorical", "flag") and column.variable.fill is None:
        return values.astype(np.int64)
    return values


def _digest(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _rule(given: Mapping[str, Any]) -> SplitRule:
    known = ("fractions", "stratify", "group", "column")
    for name in given:
        if name not in known:
            raise DataError(
                f"x_ds.split.{name}: unknown key.{closest(str(name), known)} Keys: "
                f"{', '.join(known)}."
            )
    parts = given.get("fractions")
    fractions = {"fractions": tuple(parts) if isinstance(parts, list) else parts} if parts else {}
    return SplitRule(**{**given, **fractions})


def _checked_size(size: Sequence[int]) -> tuple[int, int, int]:
    numbers = [n for n in size if isinstance(n, int) and not isinstance(n, bool)]
    least, most = _SIDES
    if len(numbers) != 3 or len(size) != 3 or not 1 <= numbers[0] <= _MOST_CHANNELS:
        raise DataError(f"x_ds.size is {list(size)}: it is [channels, height, width].")
    if not all(least <= n <= most for n in numbers[1:]):
        raise DataError(f"x_ds.size is {list(size)}: height and width are {least} … {most} pixels.")
    return numbers[0], numbers[1], numbers[2]


def _check_numbers(**given: tuple[Any, int]) -> None:
    for name, (value, least) in given.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise DataError(f"x_ds.{name} is {value!r}: it must be an integer ≥ {least}.")


def _check_policies(**given: Any) -> None:
    for name, value in given.items():
        if value not in get_args(Refusable):
            raise DataError(f"x_ds.{name}: {value!r}: refuse or drop.")
