"""How many things are wrong, and the first of them."""

__all__ = ["SHOWN", "examples"]

from collections.abc import Iterable, Sized
from itertools import islice
from typing import Any

SHOWN = 5
"""What is wrong is told with this many examples."""


def examples(things: Iterable[Any]) -> str:
    """The first five of *things*, and that there are more.

    >>> examples([1, 2]), examples("abcdefg")
    ('1, 2', 'a, b, c, d, e, …')
    """
    shown = [str(thing) for thing in islice(things, SHOWN + 1)]
    more = len(shown) > SHOWN or (isinstance(things, Sized) and len(things) > SHOWN)
    return ", ".join([*shown[:SHOWN], *(["…"] if more else [])])
