"""What was found, in words on the screen."""

__all__ = ["show_columns", "show_images", "show_rows", "show_vectors"]

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table as Grid

from wwdc.data.columns import as_word
from wwdc.data.examples import examples
from wwdc.data.tables import Table
from wwdc.init.kinds import Guess
from wwdc.init.look import Seen
from wwdc.init.vectors import SeenVectors


def show_images(seen: Seen, screen: Console) -> None:
    looked = "" if seen.looked == seen.count else f" ({seen.looked} looked at)"
    shapes = ", ".join(
        f"{' × '.join(map(str, shape))} ({n})" for shape, n in seen.shapes.most_common(3)
    )
    screen.print(f"Images: {seen.count:,}{looked} in {seen.path}", markup=False)
    screen.print(f"  channels × height × width: {shapes}")
    screen.print(f"  type of pixels: {', '.join(seen.types)}")
    low, high = np.nanmin(seen.bands, axis=1), np.nanmax(seen.bands, axis=1)
    spans = ", ".join(f"{a:.4g} … {b:.4g}" for a, b in zip(low, high, strict=True))
    screen.print(f"  values, by channel: {spans}")
    if seen.bad:
        screen.print(f"  {seen.bad} of {seen.looked} hold NaN or infinite pixels")
    if seen.unreadable:
        told = examples(f"{name} ({why})" for name, why in seen.unreadable.items())
        screen.print(f"  {len(seen.unreadable)} of {seen.looked} cannot be read: {told}")


def show_vectors(seen: SeenVectors, screen: Console) -> None:
    place, good = seen.place, seen.values[~seen.bad]
    where = f"{place.path}, column {place.column}" if place.column else str(place.path)
    screen.print(f"Vectors: {seen.count:,} of {seen.length} numbers in {where}", markup=False)
    if len(good):
        std = good.std(axis=0, dtype=np.float64)
        screen.print(f"  values: {good.min():.4g} … {good.max():.4g}")
        screen.print(f"  standard deviations of components: {std.min():.4g} … {std.max():.4g}")
        if not std.all():
            screen.print(f"  {int((std == 0).sum())} components are constant")
    if seen.bad.any():
        rows = np.flatnonzero(seen.bad)
        told = examples(rows if seen.names is None else seen.names[rows])
        screen.print(f"  {len(rows)} hold NaN or infinite numbers: {told}", markup=False)


def show_rows(table: Table, seen: Seen | SeenVectors, id: str | None, screen: Console) -> bool:
    """Rows and images, or vectors, that belong together; whether some do not."""
    rows, thing = len(table.frame), "image" if isinstance(seen, Seen) else "vector"
    how = f"in the order of the {thing}s" if id is None else f"id: {id}"
    screen.print(f"Table: {rows:,} rows in {table.path}, {how}", markup=False)
    if id is None or seen.path == table.path:
        return False
    names = np.arange(seen.count).astype("U") if seen.names is None else seen.names
    keys = np.array([as_word(value) for value in table.frame[id].dropna()], dtype=np.str_)
    alone = False
    for ids, others, words in (
        (names, keys, f"{thing}s without a row"),
        (keys, names, f"rows without {'an' if thing == 'image' else 'a'} {thing}"),
    ):
        alone |= _show_alone(ids, others, words, screen)
    return alone


def _show_alone(
    ids: NDArray[np.str_], others: NDArray[np.str_], words: str, screen: Console
) -> bool:
    lone = np.setdiff1d(ids, others)
    if len(lone):
        screen.print(f"  {len(lone)} {words}: {examples(lone)}", markup=False)
    return bool(len(lone))


def show_columns(guesses: list[Guess], split: str | None, screen: Console) -> None:
    grid = Grid("variable", "kind", "missing", "values", box=None)
    for guess in guesses:
        kind = str(guess.keys.get("kind", "left out"))
        grid.add_row(guess.name, kind, str(guess.missing or ""), guess.seen or guess.why)
    screen.print(grid)
    if split:
        screen.print(f"Splits: as column {split} says", markup=False)
