"""Look at images, or vectors, and a table, and write the experiments that run on them."""

__all__ = ["main"]

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from wwdc.errors import ConfigError
from wwdc.terminal import EXIT_OK, run_cli

EPILOG = """\
examples:
  python -m wwdc.init galaxies --images galaxies/ --catalogue galaxies.csv
  python -m wwdc.init cubes --images stamps.fits --catalogue stamps.parquet --id number
  python -m wwdc.init spectra --catalogue embedded.parquet

Images are a folder of PNG, JPEG, TIFF, .npy or FITS files, or one .npy, .npz, HDF5, Zarr or FITS
array; a table is CSV, Parquet, FITS or HDF5. NAME_vae and NAME_flow are written, nothing is
overwritten. What was guessed stands in train.yaml of both, to be corrected. Vectors are an array of
two axes, or a column of lists of a Parquet table; for these NAME_flow alone is written.

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
    add("--images", metavar="PATH", type=Path, help="a folder, or an array (of vectors, too)")
    add("--catalogue", metavar="TABLE", type=Path, required=True, help="a row for each object")
    add("--id", metavar="COLUMN", help="the table's column of ids (default: it is found)")
    add("--vectors", metavar="NAME", help="the column, or array, of vectors; NAME* takes several")
    add("--out", metavar="FOLDER", type=Path, default=Path(), help="(default: the current one)")
    add("--dry-run", action="store_true", help="show what was found, write nothing")
    return parser


def _run(options: argparse.Namespace) -> int:
    from wwdc.init.survey import survey_images, survey_vectors
    from wwdc.init.vectors import find_vectors
    from wwdc.init.write import folders_of, render, write_folders

    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", options.name):
        raise ConfigError(f"NAME: {options.name!r}: it is made of letters, digits, - and _.")
    screen = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    place = find_vectors(options.images, options.catalogue, options.vectors)
    folders = folders_of(options.name, options.out, vectors=place is not None)
    if place is None:
        found = survey_images(options.images, options.catalogue, options.id, screen)
    else:
        found = survey_vectors(place, options.catalogue, options.id, screen)
    words = " and ".join(map(str, folders.values()))
    if options.dry_run:
        screen.print(f"Would write {words}. Nothing was written.", markup=False)
        return EXIT_OK
    write_folders({path: render(kind, options.name, found) for kind, path in folders.items()})
    screen.print(f"Wrote {words}. Look through train.yaml, then:", markup=False)
    flow = str(list(folders.values())[-1])
    screen.print(f"  python -m wwdc.run {shlex.quote(flow)}", markup=False)
    return EXIT_OK


if __name__ == "__main__":
    raise SystemExit(main())
