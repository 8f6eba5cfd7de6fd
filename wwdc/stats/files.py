"""The tables of a suite on disk: Parquet and CSV, and what they were made from."""

__all__ = ["write_tables"]

import dataclasses
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wwdc import __version__
from wwdc.products import Tree, atomic_write, now
from wwdc.products.text import dump_yaml
from wwdc.products.tree import TABLES_INFO
from wwdc.stats.evaluate import Tables
from wwdc.stats.settings import Suite
from wwdc.stats.units import Unit

SCHEMA = 1


def write_tables(tree: Tree, tables: Tables, suite: Suite, units: Sequence[Unit]) -> Path:
    """Write ``stat_tests/{tests,verdicts,summary,curves}`` as ``.parquet`` and ``.csv``.

    Each file is whole or as it was before. ``stat_tests/info.yaml`` goes first, comes back last,
    and holds the suite, the SHA-256 of every embedding that was read and of every table: where
    there is one, the tables belong together.

    Returns:
        The folder.

    Raises:
        ProductError: it cannot be written.
    """
    folder = tree.stat_tests
    (folder / TABLES_INFO).unlink(missing_ok=True)
    written: dict[str, str] = {}
    for name in ("tests", "verdicts", "summary", "curves"):
        frame: pd.DataFrame = getattr(tables, name)
        for suffix, data in (("parquet", _parquet(frame)), ("csv", _csv(frame))):
            atomic_write(folder / f"{name}.{suffix}", data)
            written[f"{name}.{suffix}"] = hashlib.sha256(data).hexdigest()
    atomic_write(folder / TABLES_INFO, dump_yaml(_about(suite, units, written, tables.fault)))
    return folder


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def _about(suite: Suite, units: Sequence[Unit], written: dict[str, str], fault: str) -> Any:
    embeddings = {unit.embedding.name: dict(unit.embedding.sha256) for unit in units}
    tests = {
        kind: {name: test.model_dump(by_alias=True) for name, test in group.items()}
        for kind, group in suite.tests.items()
    }
    settings = dataclasses.asdict(suite) | {
        "margin": suite.margin.model_dump(by_alias=True),
        "rows": dict(suite.rows),
        "tests": tests,
    }
    return {
        "schema": SCHEMA,
        "embeddings": embeddings,
        "suite": settings,
        "controls": fault or "hold",
        "sha256": written,
        "created": now(),
        "wwdc_version": __version__,
    }
