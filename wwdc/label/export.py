"""Labels out of a campaign, and events of others into it."""

__all__ = ["FORMATS", "export", "parse_lines", "read_events", "write_export"]

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from wwdc.errors import ConfigError, DataError, ProductError, closest
from wwdc.label.campaign import Campaign
from wwdc.label.events import Event
from wwdc.label.log import read_log
from wwdc.products import atomic_write

if TYPE_CHECKING:
    import pandas as pd

FORMATS: Mapping[str, str] = {
    "csv": "text/csv",
    "fits": "application/fits",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}
"""Suffix → media type. ``jsonl`` is the log itself, event by event; the others are its fold."""


def export(campaign: Campaign, suffix: str) -> bytes:
    """The labels of a campaign as the bytes of a file.

    One row an object and labeller, with the catalogue's columns and the scores; ``jsonl`` has the
    events, which another campaign can import.

    Args:
        suffix: one of `FORMATS`.

    Raises:
        ConfigError: FITS without astropy.
    """
    if suffix == "jsonl":
        events = sorted(campaign.state().known.values(), key=lambda event: event.time)
        return "".join(json.dumps(event.as_dict()) + "\n" for event in events).encode()
    return _WRITERS[suffix](_table(campaign), campaign)


def write_export(campaign: Campaign, path: Path) -> int:
    """Write `export` to a file, by its suffix; the number of labelled objects.

    Raises:
        ConfigError: the suffix is none of `FORMATS`.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise ConfigError(
            f"--export {path}: the suffix says the format: .{', .'.join(FORMATS)}."
            f"{closest(suffix, FORMATS)}"
        )
    atomic_write(path, export(campaign, suffix))
    return campaign.counts()["labelled"]


def read_events(path: Path, fingerprint: str) -> list[Event]:
    """The events of a log (``.sqlite``) or of its ``.jsonl`` export.

    Raises:
        ProductError: it is missing, broken, or a log of other data.
    """
    if not path.is_file():
        raise ProductError(f"--import {path}: there is no such file.")
    if path.suffix.lower() == ".jsonl":
        try:
            return parse_lines(path.read_bytes(), str(path))
        except DataError as error:
            raise ProductError(str(error)) from None
    meta, events = read_log(path)
    if meta["fingerprint"] != fingerprint:
        raise ProductError(
            f"--import {path}: labels of other data: their fingerprint is {meta['fingerprint']}, "
            f"those of this experiment have {fingerprint}."
        )
    return events


def parse_lines(text: bytes, source: str) -> list[Event]:
    """Events, one JSON object a line.

    Raises:
        DataError: a line is no event.
    """
    events = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            events.append(Event.model_validate(json.loads(line)))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise DataError(f"{source}, line {number}: {place}: {first['msg']}") from None
        except (ValueError, RecursionError):
            raise DataError(f"{source}, line {number}: not JSON") from None
    return events


def _table(campaign: Campaign) -> "pd.DataFrame":
    """One row an object and labeller."""
    import pandas as pd

    objects, state = campaign.objects, campaign.state()
    said = [
        (id, labeller, label)
        for labeller, labels in state.by_labeller().items()
        for id, label in labels.items()
    ]
    said.sort(key=lambda entry: (entry[0], entry[1]))
    found = [objects.row(id) for id, _, _ in said]
    rows = np.asarray(found, np.int64)
    last = [_last(campaign, id, labeller) for id, labeller, _ in said]
    columns: dict[str, Any] = {
        "id": objects.ids[rows],
        "split": np.asarray(objects.split_names)[objects.split[rows]],
        "labeller": [labeller for _, labeller, _ in said],
        **{
            name: pd.Series([getattr(label, name) for _, _, label in said], dtype=dtype)
            for name, dtype in _FIELDS.items()
        },
        "time": [event.time for event in last],
        "model": pd.Series([event.model for event in last], dtype="Int64"),
        "rank": objects.rank[rows],
        "score": objects.score[rows],
    }
    more = {**objects.measures, **objects.detectors, **objects.table}
    columns |= {name: column[rows] for name, column in more.items() if name not in columns}
    return pd.DataFrame(columns)


_FIELDS: Mapping[str, Any] = {
    "verdict": "string",
    "grade": "Int64",
    "skipped": "bool",
    "flagged": "bool",
}


def _last(campaign: Campaign, id: int, labeller: str) -> Event:
    """The last thing that somebody said of an object."""
    return next(e for e in reversed(campaign.state().history(id)) if e.labeller == labeller)


def _csv(table: "pd.DataFrame", _campaign: Campaign) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _parquet(table: "pd.DataFrame", _campaign: Campaign) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _fits(table: "pd.DataFrame", campaign: Campaign) -> bytes:
    try:
        from astropy.table import Table
    except ModuleNotFoundError:
        raise ConfigError(
            "FITS needs the package astropy, which is not installed: pip install wwdc[fits]"
        ) from None
    plain = {
        name: column.fillna("").astype(str).to_numpy(dtype=np.str_)
        if column.dtype.kind in "OU"
        else (column.fillna(-1) if column.dtype == "Int64" else column).to_numpy(dtype=None)
        for name, column in table.items()
    }
    written = Table(plain)
    for variable in campaign.objects.catalogue:
        if variable.name in plain and variable.units:
            written[variable.name].unit = variable.units
    buffer = io.BytesIO()
    written.write(buffer, format="fits")
    return buffer.getvalue()


_WRITERS: Mapping[str, Callable[["pd.DataFrame", Campaign], bytes]] = {
    "csv": _csv,
    "parquet": _parquet,
    "fits": _fits,
}
