"""From paths to settings: look at the data, tell what is there, and check that it can be read."""

__all__ = ["survey_images", "survey_vectors"]

import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from wwdc.data.tabled import TabledImages
from wwdc.data.tabled_vectors import TabledVectors
from wwdc.data.tables import Table, read_table
from wwdc.errors import ConfigError
from wwdc.init.kinds import Guess, find_id, guess_columns, own_id
from wwdc.init.look import look
from wwdc.init.show import show_columns, show_images, show_rows, show_vectors
from wwdc.init.sizes import Plan, plan_images, plan_vectors
from wwdc.init.vectors import Place, look_at_vectors, without_vectors
from wwdc.init.write import Found


def survey_images(images: Path, catalogue: Path, id: str | None, screen: Console) -> Found:
    """What is written for images and a table with a row for each.

    Args:
        id: the table's column of ids; None: it is found.
        screen: where it is told.

    Raises:
        WWDCError: they cannot be used.
    """
    seen = look(images)
    show_images(seen, screen)
    id = find_id(_as_written(catalogue), seen.names, seen.count, id)
    table = read_table(catalogue, (id,) if id else ())
    unmatched = show_rows(table, seen, id, screen)
    guesses, split = _columns(table, id, screen)
    plan = plan_images(seen, guesses, id=id, split=split, unmatched=unmatched)
    data = {"images": str(images.absolute()), "table": str(catalogue.absolute())}
    return _checked(TabledImages, data, plan, guesses)


def survey_vectors(place: Place, catalogue: Path, id: str | None, screen: Console) -> Found:
    """What is written for vectors; the arguments and errors are those of `survey_images`."""
    seen = look_at_vectors(place)
    show_vectors(seen, screen)
    apart = place.path != catalogue
    if apart:
        id = find_id(_as_written(catalogue), seen.names, seen.count, id, "vector")
    else:
        id = own_id(read_table(catalogue), id)
    table = without_vectors(read_table(catalogue, (id,) if id else ()), place)
    unmatched = show_rows(table, seen, id, screen)
    guesses, split = _columns(table, id, screen)
    plan = plan_vectors(seen, guesses, id=id, split=split, unmatched=unmatched)
    data = {"vectors": str(place.path.absolute())}
    data |= {"table": str(catalogue.absolute())} if apart else {}
    given = {"column": place.column, "key": place.key}
    data |= {name: value for name, value in given.items() if value is not None}
    return _checked(TabledVectors, data, plan, guesses)


def _as_written(catalogue: Path) -> Table:
    """The table with all columns of a CSV as text: an id ``007`` is not the number 7."""
    return read_table(catalogue, tuple(map(str, read_table(catalogue).frame.columns)))


def _columns(table: Table, id: str | None, screen: Console) -> tuple[list[Guess], str | None]:
    """What the columns are taken for, and the one of splits; both are told."""
    guesses, split = guess_columns(table, id)
    show_columns(guesses, split, screen)
    if not any(guess.keys for guess in guesses):
        raise ConfigError(f"{table.path}: no column of it can be a variable.")
    return guesses, split


def _checked(
    dataset: type[TabledImages | TabledVectors],
    data: dict[str, Any],
    plan: Plan,
    guesses: list[Guess],
) -> Found:
    """Join table and data as training will, so that what is wrong is told now."""
    variables = {guess.name: guess.keys for guess in guesses if guess.keys}
    with tempfile.TemporaryDirectory() as cache:
        _ = dataset(**data, cache=cache, variables=variables, **plan.x_ds).catalogue
    kind = "images" if dataset is TabledImages else "vectors"
    target = f"{dataset.__module__}.{dataset.__name__}"
    cache = f"${{paths.data_dir}}/${{meta.data_name}}/{kind}"
    return Found({"_target_": target, **data, "cache": cache}, plan, guesses)
