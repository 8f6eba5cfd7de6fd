"""From pixel values to [0, 1] and back: linear, or a stretch that shows faint and bright alike."""

__all__ = ["Stretch", "StretchKind"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from wwdc.errors import DataError, closest

if TYPE_CHECKING:
    from torch import Tensor

# Shapes: B batch, C channels, H × W pixels.

StretchKind = Literal["linear", "asinh", "log"]


@dataclass(frozen=True)
class Stretch:
    """y = (f(x) − f(low)) / (f(high) − f(low)), cut to [0, 1], per band.

    f(x) is x (``linear``), asinh((x − low) / softening) (``asinh``, linear near *low*; Lupton et
    al. 2004, https://arxiv.org/abs/astro-ph/0312483) or log(1 + (x − low) / softening) (``log``).

    Args:
        kind: which f.
        low: value that becomes 0, of each band.
        high: value that becomes 1.
        softening: where f turns from linear to logarithmic, above *low*, in units of the pixels.

    Raises:
        DataError: high ≤ low, or softening ≤ 0.

    >>> Stretch("asinh", (0.0,), (100.0,), (1.0,)).kind
    'asinh'
    """

    kind: StretchKind
    low: tuple[float, ...]
    high: tuple[float, ...]
    softening: tuple[float, ...]

    def __post_init__(self) -> None:
        if any(h <= lo for lo, h in zip(self.low, self.high, strict=True)):
            raise DataError(
                f"x_ds.stretch: high {list(self.high)} is not above low {list(self.low)}."
            )
        if min(self.softening) <= 0:
            raise DataError(f"x_ds.stretch.softening: {list(self.softening)}: it must be above 0.")

    @classmethod
    def of(cls, given: Mapping[str, Any] | None, bands: int, dtype: "np.dtype[Any]") -> "Stretch":
        """What ``x_ds.stretch`` says of *bands* bands; whole numbers have their type's range.

        Raises:
            DataError: a key is unknown, a number is missing, or there are not as many as bands.
        """
        given = dict(given or {})
        known = ("kind", "low", "high", "softening")
        for name in given:
            if name not in known:
                raise DataError(
                    f"x_ds.stretch.{name}: unknown key.{closest(str(name), known)} Keys: "
                    f"{', '.join(known)}."
                )
        kind = given.get("kind", "linear")
        if kind not in get_args(StretchKind):
            choices = ", ".join(get_args(StretchKind))
            raise DataError(f"x_ds.stretch.kind: {kind!r} is none of {choices}.")
        whole = dtype.kind == "u"
        usual = {"low": 0.0, "high": float(np.iinfo(dtype).max)} if whole else {}
        low, high = (_bands(name, given.get(name, usual.get(name)), bands) for name in known[1:3])
        tenth = [(h - lo) / 10 for lo, h in zip(low, high, strict=True)]
        return cls(kind, low, high, _bands("softening", given.get("softening", tenth), bands))

    def apply(self, x: "Tensor", *, in_place: bool = False) -> "Tensor":
        """Pixels (B, C, H, W) to [0, 1]; *in_place* may change *x*, which saves a copy."""
        if self.kind == "linear" and len({*self.low}) == len({*self.high}) == 1:
            y = x if in_place else x.clone()
            y = y.sub_(self.low[0]) if self.low[0] else y
            return y.div_(self.high[0] - self.low[0]).clamp_(0, 1)
        low, high, soft = (self._like(x, n) for n in ("low", "high", "softening"))
        top = self._forward((high - low) / soft)
        return (self._forward((x - low).clamp(min=0) / soft) / top).clamp(0, 1)

    def undo(self, y: "Tensor") -> "Tensor":
        """[0, 1] (B, C, H, W) to pixels: the inverse, but for what was cut."""
        low, high, soft = (self._like(y, n) for n in ("low", "high", "softening"))
        t = y * self._forward((high - low) / soft)
        inverse = {"linear": t, "asinh": t.sinh(), "log": t.expm1()}[self.kind]
        return inverse * soft + low

    def _forward(self, x: "Tensor") -> "Tensor":
        if self.kind == "linear":
            return x
        return x.asinh() if self.kind == "asinh" else x.log1p()

    def _like(self, x: "Tensor", name: str) -> "Tensor":
        return x.new_tensor(getattr(self, name)).view(1, -1, 1, 1)


def _bands(name: str, given: Any, bands: int) -> tuple[float, ...]:
    numbers = [given] * bands if isinstance(given, int | float) else given
    if numbers is None:
        raise DataError(
            f"x_ds.stretch.{name}: these pixels are no whole numbers from 0: give the value that "
            f"becomes {0 if name == 'low' else 1}, one number or one for each of {bands} bands."
        )
    right = isinstance(numbers, Sequence) and all(
        isinstance(n, int | float) and not isinstance(n, bool) and np.isfinite(n) for n in numbers
    )
    if not right or len(numbers) != bands:
        raise DataError(
            f"x_ds.stretch.{name} is {given!r}: one number, or one for each of {bands} bands."
        )
    return tuple(float(number) for number in numbers)
