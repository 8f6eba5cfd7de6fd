"""The catalogue as a Parquet file, and the dataset card beside it."""

__all__ = ["prepare", "read_card", "write_catalogue"]

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wwdc import __version__
from wwdc.config import Composed, fill, instantiate
from wwdc.data.colour_mnist import SPLITS
from wwdc.data.dataset import ImageDataset, check_dataset
from wwdc.errors import ProductError
from wwdc.products import atomic_write, now, sha256
from wwdc.products.text import dump_yaml, load_yaml

SCHEMA = 1


def prepare(composed: Composed, notice: Callable[[str], None]) -> Path:
    """Fetch and check the data of an experiment and write its catalogue.

    Returns:
        ``DATA_ROOT/{data_name}/catalogue/{fingerprint}.parquet``.

    Raises:
        ConfigError: the experiment names no dataset, or one that is not allowed.
        DataError: it is no dataset, or the raw data are missing or wrong.
        ProductError: the catalogue cannot be written.
    """
    node = composed.resolve()["data"]["x_ds"]
    node = fill(node, job="prepare_0", data_root=composed.data_root)
    dataset = instantiate(node, allow=composed.meta.allow_targets, key="data.x_ds")
    check_dataset(dataset, "data.x_ds")
    return write_catalogue(dataset, composed.data_root / composed.meta.data_name, notice)


def write_catalogue(dataset: ImageDataset, folder: Path, notice: Callable[[str], None]) -> Path:
    """Write *dataset*'s catalogue and card under ``folder/catalogue`` unless they are there.

    The card is written last and holds the catalogue's SHA-256: a catalogue with a matching card is
    complete.
    """
    dataset.prepare(notice)
    path = folder / "catalogue" / f"{dataset.fingerprint}.parquet"
    if not _is_complete(path):
        data = _parquet(dataset)
        atomic_write(path, data)
        atomic_write(_card_path(path), dump_yaml(_card(dataset, data), quoted=("fingerprint",)))
    return path


def read_card(path: Path) -> dict[str, Any]:
    """The dataset card of the catalogue at *path*.

    Raises:
        ProductError: there is none, it is broken, or another version wrote it.
    """
    place = _card_path(path)
    try:
        card = load_yaml(place)
    except FileNotFoundError:
        raise ProductError(f"{place}: no such dataset card. Run python -m wwdc.prepare.") from None
    if not isinstance(card, dict) or card.get("schema") != SCHEMA:
        raise ProductError(
            f"{place}: not a dataset card of schema {SCHEMA}. Remove it and run "
            "python -m wwdc.prepare."
        )
    return card


def _card_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}_info.yaml")


def _is_complete(path: Path) -> bool:
    try:
        return bool(read_card(path).get("sha256") == sha256(path))
    except ProductError:
        return False


def _parquet(dataset: ImageDataset) -> bytes:
    """All splits, one after the other, with a column that says which."""
    tables = {split: dataset.table(split) for split in SPLITS}
    arrays = {
        name: pa.array(np.concatenate([table[name] for table in tables.values()]))
        for name in tables["train"]
    }
    rows = [len(table["id"]) for table in tables.values()]
    splits = pa.DictionaryArray.from_arrays(np.repeat(np.arange(len(SPLITS)), rows), SPLITS)
    known = {variable.name: variable.metadata() for variable in dataset.catalogue}
    fields = [
        pa.field(name, array.type, metadata=known.get(name)) for name, array in arrays.items()
    ]
    about = {"schema": SCHEMA, "dataset": dataset.name, "fingerprint": dataset.fingerprint}
    schema = pa.schema(
        [*fields, pa.field("split", splits.type)], metadata={"wwdc": json.dumps(about)}
    )
    buffer = io.BytesIO()
    pq.write_table(pa.table([*arrays.values(), splits], schema=schema), buffer)
    return buffer.getvalue()


def _card(dataset: ImageDataset, data: bytes) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "seed": dataset.seed,
        "views": dataset.views,
        "size": list(dataset.size),
        "split_rule": dataset.split_rule,
        "splits": {
            split: {"objects": dataset.rows(split) // dataset.views, "rows": dataset.rows(split)}
            for split in SPLITS
        },
        "variables": [variable.as_dict() for variable in dataset.catalogue],
        "content": dict(dataset.content()),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "created": now(),
        "wwdc_version": __version__,
    }
