"""From blocks of scores to a table: one score, its rank, how stable and how surprising it is."""

__all__ = ["STABILITIES", "Draft", "read_columns", "rewrite", "top_size", "write_draft"]

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wwdc.detect.features import Features
from wwdc.detect.plan import Scoring
from wwdc.detect.roles import ROLES
from wwdc.detect.work import Ready, Task, noted, scores_of, tasks_of
from wwdc.discovery.combine import Combination, in_top, ranks
from wwdc.discovery.conformal import conformal_p, discoveries
from wwdc.errors import DataError, ProductError
from wwdc.products.atomic import beside

# Shapes: N scored rows, M rows of other splits, K detectors.

STABILITIES = ("stability_seeds", "stability_sweeps")
"""Columns that compare an embedding with others, filled in when all are scored."""

GROUP_ROWS = 65_536
"""Rows of a row group."""

TOP_SHARE = 0.01

_KEY = b"wwdc"


@dataclass(frozen=True)
class Draft:
    """A table of scores that says what it holds, under ``wwdc`` in its metadata."""

    path: Path
    about: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path) -> "Draft | None":
        """A draft, if it is there and whole."""
        try:
            metadata = pq.read_schema(path).metadata or {}
        except (FileNotFoundError, pa.ArrowException):
            return None
        return cls(path, json.loads(metadata[_KEY])) if _KEY in metadata else None


def top_size(rows: int, listed: int) -> int:
    """How many of so many rows count as a detector's top: those listed, or 1 %, if that is more.

    >>> top_size(1_000, 50), top_size(100_000, 50)
    (50, 1000)
    """
    return max(listed, int(TOP_SHARE * rows))


def write_draft(
    scoring: Scoring, features: Features, ready: Sequence[Ready], left_out: Mapping[str, str]
) -> Draft:
    """Join the blocks of every detector into a table beside them.

    Raises:
        DataError: the detector whose score counts is left out.
        ProductError: the disk is full.
    """
    detection = scoring.detection
    used = {detector.name: tasks_of(features, detector) for detector in ready}
    used = {name: tasks for name, tasks in used.items() if name not in left_out}
    chosen = list(used) if detection.combined else [detection.score]
    missing = [name for name in chosen if name not in used] or ([] if chosen else ["all"])
    if missing:
        raise DataError(f"{missing[0]}: {left_out.get(missing[0], 'no detector is left')}")
    scores = _scores(scoring, features, [used[name] for name in chosen])
    ids, role = features.array("id"), features.array("role")
    p = np.full(features.rows, np.nan)
    tested = role == ROLES.index("tested")
    about = _about(scoring, features, ready, left_out, scores[: features.rows], role)
    try:
        p[tested] = conformal_p(scores[features.array("calibration")], scores[: len(p)][tested])
    except DataError as error:
        about["no_p_values"] = str(error)
    scores = scores[: features.rows]
    columns = {
        "id": ids,
        "role": role,
        "score": scores,
        "rank": ranks(scores, ids),
        "stability_detectors": _agreement(used, features.rows, detection.shortlist.size),
        "p_value": p,
        "q_value": discoveries(p),
    }
    _write(scoring.draft, features, used, columns, about)
    return Draft(scoring.draft, about)


def rewrite(source: Path, target: Path, columns: Mapping[str, NDArray[np.float32]]) -> None:
    """Copy a table of scores with some columns (N,) replaced, a row group at a time.

    Raises:
        ProductError: it cannot be read, or the disk is full.
    """
    try:
        file = pq.ParquetFile(source)
        with beside(target) as temporary:
            with pq.ParquetWriter(temporary, file.schema_arrow) as writer:
                start = 0
                for number in range(file.num_row_groups):
                    table = file.read_row_group(number)
                    stop = start + len(table)
                    for name, column in columns.items():
                        place = table.schema.get_field_index(name)
                        part = pa.array(column[start:stop], pa.float32())
                        table = table.set_column(place, table.schema.field(place), part)
                    writer.write_table(table, row_group_size=max(len(table), 1))
                    start = stop
            temporary.replace(target)
    except pa.ArrowException as error:
        raise ProductError(f"{source}: cannot be read as scores ({error}).") from error


def read_columns(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Columns (N,) of a table of scores."""
    table = pq.read_table(path, columns=list(names))
    return {name: table.column(name).to_numpy() for name in names}


def _scores(
    scoring: Scoring, features: Features, chosen: Sequence[list[Task]]
) -> NDArray[np.float64]:
    """The score of every row (N + M,): of one detector, or of all combined."""
    detection = scoring.detection
    if not detection.combined:
        return np.concatenate(list(scores_of(chosen[0])))
    fitted = features.array("fit")
    reference = np.stack([_at(scores_of(tasks), fitted) for tasks in chosen], axis=1)
    combine = Combination.of(detection.score, reference, detection.seed)
    blocks = zip(*(scores_of(tasks) for tasks in chosen), strict=True)
    return np.concatenate([combine(np.stack(block, axis=1)) for block in blocks])


def _at(blocks: Iterable[NDArray[np.float64]], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scores at *rows*, which ascend."""
    found, start = [], 0
    for block in blocks:
        first, last = np.searchsorted(rows, (start, start + len(block)))
        found.append(block[rows[first:last] - start])
        start += len(block)
    return np.concatenate(found)


def _agreement(used: Mapping[str, list[Task]], rows: int, listed: int) -> NDArray[np.float32]:
    """Share of detectors (N,) that put a row in their own top; NaN with one detector only."""
    if len(used) < 2:
        return np.full(rows, np.nan, np.float32)
    votes = np.zeros(rows, np.float32)
    for tasks in used.values():
        votes += in_top(np.concatenate(list(scores_of(tasks)))[:rows], top_size(rows, listed))
    return votes / np.float32(len(used))


def _about(
    scoring: Scoring,
    features: Features,
    ready: Sequence[Ready],
    left_out: Mapping[str, str],
    scores: NDArray[np.float64],
    role: NDArray[np.int8],
) -> dict[str, Any]:
    notes = {d.name: noted(features, d) for d in ready if d.name not in left_out}
    counts = np.bincount(role, minlength=len(ROLES))
    return {
        "scoring": scoring.id,
        "detectors": notes,
        "left_out": dict(left_out),
        "columns": [column.name for column in features.columns],
        "rows": features.rows,
        "splits": dict(features.splits),
        "roles": {name: int(count) for name, count in zip(ROLES, counts, strict=True)},
        "calibrating": len(features.array("calibration")),
        "not_scored": int(np.isnan(scores).sum()),
    }


def _write(
    path: Path,
    features: Features,
    used: Mapping[str, list[Task]],
    columns: Mapping[str, NDArray[Any]],
    about: Mapping[str, Any],
) -> None:
    text = pa.dictionary(pa.int8(), pa.string())
    schema = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("split", text, nullable=False),
            pa.field("role", text, nullable=False),
            *(pa.field(name, pa.float32(), nullable=False) for name in used),
            pa.field("score", pa.float64(), nullable=False),
            pa.field("rank", pa.int64(), nullable=False),
            *(pa.field(f"stability_{of}", pa.float32()) for of in ("detectors", "seeds", "sweeps")),
            pa.field("p_value", pa.float64()),
            pa.field("q_value", pa.float64()),
        ],
        metadata={_KEY: json.dumps(about)},
    )
    splits = list(features.splits)
    ends = np.cumsum(list(features.splits.values()))
    with beside(path) as temporary:
        with pq.ParquetWriter(temporary, schema) as writer:
            blocks = {name: _sliced(tasks, features.rows) for name, tasks in used.items()}
            for start in range(0, features.rows, GROUP_ROWS):
                stop = min(start + GROUP_ROWS, features.rows)
                which = np.searchsorted(ends, np.arange(start, stop), "right").astype(np.int8)
                part = {name: column[start:stop] for name, column in columns.items()}
                arrays = part | {name: next(found) for name, found in blocks.items()}
                arrays |= {name: np.full(stop - start, np.nan, np.float32) for name in STABILITIES}
                named: dict[str, Any] = {
                    "split": pa.DictionaryArray.from_arrays(pa.array(which), splits),
                    "role": pa.DictionaryArray.from_arrays(pa.array(part["role"]), list(ROLES)),
                }
                values = [named.get(f.name, arrays.get(f.name)) for f in schema]
                table = pa.table([pa.array(v) for v in values], schema=schema)
                writer.write_table(table, row_group_size=GROUP_ROWS)
        temporary.replace(path)


def _sliced(tasks: Sequence[Task], rows: int) -> Iterator[NDArray[np.float32]]:
    """A detector's scores of N rows by row group, whatever its blocks are."""
    held, start = np.empty(0, np.float64), 0
    for block in scores_of(list(tasks)):
        held = np.concatenate([held, block])
        while len(held) >= GROUP_ROWS or start + len(held) >= rows:
            size = min(GROUP_ROWS, rows - start)
            if size <= 0:
                return
            yield held[:size].astype(np.float32)
            held, start = held[size:], start + size
