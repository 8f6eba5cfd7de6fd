"""Look at a folder of images and a table, and write a pair of experiments that runs on them."""

__all__ = ["main"]

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as Grid

from wwdc.errors import ConfigError
from wwdc.terminal import EXIT_OK, run_cli

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wwdc.data.tables import Table
    from wwdc.init.kinds import Guess
    from wwdc.init.look import Seen

EPILOG = """\
examples:
  python -m wwdc.init galaxies --images galaxies/ --catalogue galaxies.csv
  python -m wwdc.init cubes --images stamps.fits --catalogue stamps.parquet --id number

Images are a folder of PNG, JPEG, TIFF, .npy or FITS files, or one .npy, .npz, HDF5, Zarr or FITS
array; a table is CSV, Parquet or FITS. NAME_vae and NAME_flow are written, nothing is overwritten.
What was guessed stands in NAME_vae/train.yaml and NAME_flow/train.yaml, to be corrected.

exit codes: 0 written, 2 a mistake, nothing is written
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point; returns its exit code."""
    options = _parser().parse_args(argv)
    return run_cli(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wwdc.init",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", metavar="NAME", help="of the data: letters, digits, - and _")
    add("--images", metavar="PATH", type=Path, required=True, help="a folder, or an array")
    add("--catalogue", metavar="TABLE", type=Path, required=True, help="a row for each image")
    add("--id", metavar="COLUMN", help="the table's column of ids (default: it is found)")
    add("--out", metavar="FOLDER", type=Path, default=Path(), help="(default: the current one)")
    add("--dry-run", action="store_true", help="show what was found, write nothing")
    return parser


def _run(options: argparse.Namespace) -> int:
    from wwdc.data.tables import read_table
    from wwdc.init.kinds import find_id, guess_columns
    from wwdc.init.look import look
    from wwdc.init.sizes import make_plan
    from wwdc.init.write import Pair, render, write_pair

    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", options.name):
        raise ConfigError(f"NAME: {options.name!r}: it is made of letters, digits, - and _.")
    pair = Pair.of(options.name, options.out)
    screen = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    seen = look(options.images)
    _show_images(seen, screen)
    id = find_id(read_table(options.catalogue), seen.names, seen.count, options.id)
    table = read_table(options.catalogue, (id,) if id else ())
    unmatched = _show_rows(table, seen, id, screen)
    guesses, split = guess_columns(table, id)
    _show_columns(guesses, split, screen)
    if not any(guess.keys for guess in guesses):
        raise ConfigError(f"{options.catalogue}: no column of it can be a variable.")
    plan = make_plan(seen, guesses, id=id, split=split, unmatched=unmatched)
    data: dict[str, Any] = {
        "_target_": "wwdc.data.tabled.TabledImages",
        "images": str(options.images.absolute()),
        "table": str(options.catalogue.absolute()),
        "cache": "${paths.data_dir}/${meta.data_name}/images",
    }
    _check(data, plan.x_ds, guesses)
    if options.dry_run:
        screen.print(f"Would write {pair.vae} and {pair.flow}. Nothing was written.", markup=False)
        return EXIT_OK
    write_pair(pair, render(options.name, data, plan, guesses))
    screen.print(f"Wrote {pair.vae} and {pair.flow}. Look through train.yaml, then:", markup=False)
    screen.print(f"  python -m wwdc.run {shlex.quote(str(pair.flow))}", markup=False)
    return EXIT_OK


def _check(data: dict[str, Any], x_ds: dict[str, Any], guesses: "list[Guess]") -> None:
    """Join table and images as training will, so that what is wrong is told now."""
    import tempfile

    from wwdc.data.tabled import TabledImages

    variables = {guess.name: guess.keys for guess in guesses if guess.keys}
    with tempfile.TemporaryDirectory() as cache:
        given = {key: value for key, value in data.items() if key != "_target_"}
        dataset = TabledImages(**(given | {"cache": cache}), variables=variables, **x_ds)
        _ = dataset.catalogue


def _show_images(seen: "Seen", screen: Console) -> None:
    import numpy as np

    from wwdc.data.examples import examples

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


def _show_rows(table: "Table", seen: "Seen", id: str | None, screen: Console) -> bool:
    """Rows and images that belong together; whether some do not."""
    import numpy as np

    rows = len(table.frame)
    how = "in the order of the images" if id is None else f"id: {id}"
    screen.print(f"Table: {rows:,} rows in {table.path}, {how}", markup=False)
    if id is None:
        return False
    names = np.arange(seen.count).astype("U") if seen.names is None else seen.names
    keys = np.array([str(value).strip() for value in table.frame[id].dropna()], dtype=np.str_)
    alone = False
    for ids, others, words in (
        (names, keys, "images without a row"),
        (keys, names, "rows without an image"),
    ):
        alone |= _show_alone(ids, others, words, screen)
    return alone


def _show_alone(
    ids: "NDArray[np.str_]", others: "NDArray[np.str_]", words: str, screen: Console
) -> bool:
    import numpy as np

    from wwdc.data.examples import examples

    lone = np.setdiff1d(ids, others)
    if len(lone):
        screen.print(f"  {len(lone)} {words}: {examples(lone)}", markup=False)
    return bool(len(lone))


def _show_columns(guesses: "list[Guess]", split: str | None, screen: Console) -> None:
    grid = Grid("variable", "kind", "missing", "values", box=None)
    for guess in guesses:
        kind = str(guess.keys.get("kind", "left out"))
        grid.add_row(guess.name, kind, str(guess.missing or ""), guess.seen or guess.why)
    screen.print(grid)
    if split:
        screen.print(f"Splits: as column {split} says", markup=False)


if __name__ == "__main__":
    raise SystemExit(main())
