"""The columns of an embedding, and what its file says about them."""

__all__ = [
    "DENSITIES",
    "SCHEMA",
    "UNCONDITIONAL",
    "About",
    "arrow_schema",
    "read_about",
    "read_catalogue",
    "time_column",
    "vectors",
]

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wwdc.data.catalogue import Catalogue, Variable
from wwdc.errors import ProductError

SCHEMA = 1
"""Major version of an embedding's columns and metadata."""

DENSITIES = ("log_prob", "log_prob_mean")
"""Of z, which u belongs to, and of z_mean."""

UNCONDITIONAL = ("log_prob_unconditional", "log_prob_unconditional_mean")
"""The same of a flow with condition_dropout that is told nothing."""

_KEY = b"wwdc"


class About(BaseModel):
    """What an embedding's file says about itself, under ``wwdc`` in its metadata.

    Attributes:
        fingerprint: of the dataset.
        checkpoint: SHA-256 of the flow's file, or of the VAE's where no flow was applied.
        seed: of the posterior samples.
        kept: variables that the flow was told, in catalogue order.
        dropped: the others.
    """

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    kind: Literal["flow", "vae"]
    point_id: str
    split: str
    fingerprint: str
    checkpoint: str
    seed: int
    kept: list[str]
    dropped: list[str]


def time_column(time: float) -> str:
    """Name of the column of states at a flow's time.

    >>> time_column(0.5), time_column(1.0)
    ('u_t0.5', 'u_t1')
    """
    return f"u_t{time:g}"


def arrow_schema(
    table: Mapping[str, NDArray[Any]],
    catalogue: Catalogue,
    about: About,
    *,
    latent_dim: int,
    times: Sequence[float] = (),
    masked: bool = False,
    log_prob: bool = True,
) -> pa.Schema:
    """The columns of an embedding, in order.

    Args:
        table: the dataset's columns; their names and types are used.
        catalogue: kinds, units and ranges of the variables among them.
        about: goes into the file's metadata; a VAE's embedding has no u and no densities.
        latent_dim: D, the length of each vector.
        times: flow times whose states are written as well.
        masked: whether the density without any variable is written as well.
        log_prob: whether densities are written at all.
    """
    vector = pa.list_(pa.float32(), latent_dim)
    known = {variable.name: variable for variable in catalogue}
    fields = [
        pa.field(
            name,
            pa.from_numpy_dtype(column.dtype),
            nullable=False,
            metadata=known[name].metadata() if name in known else None,
        )
        for name, column in table.items()
    ]
    flow = about.kind == "flow"
    for name in ("z", "u", "z_mean", "u_mean") if flow else ("z", "z_mean"):
        fields.append(pa.field(name, vector, nullable=False))
    densities = [*DENSITIES, *(UNCONDITIONAL if masked else ())] if flow and log_prob else []
    fields += [pa.field(name, pa.float32(), nullable=False) for name in densities]
    for time in times if flow else ():
        fields.append(pa.field(time_column(time), vector, nullable=False))
    return pa.schema(fields, metadata={_KEY: about.model_dump_json(by_alias=True)})


def vectors(values: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """Rows (N, D) as an Arrow array, without a copy."""
    values = np.ascontiguousarray(values, np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def read_about(schema: pa.Schema) -> About:
    """What an embedding's schema says about it.

    Raises:
        ProductError: it is no embedding, or one of another major version.
    """
    text = (schema.metadata or {}).get(_KEY)
    if text is None:
        raise ProductError("not an embedding of wwdc: its metadata has no key 'wwdc'.")
    found = json.loads(text).get("schema")
    if found != SCHEMA:
        raise ProductError(
            f"an embedding of schema {found!r}, this wwdc reads schema {SCHEMA}. Use the version "
            "of wwdc that wrote it, or remove it and run python -m wwdc.embed."
        )
    return About.model_validate_json(text)


def read_catalogue(schema: pa.Schema) -> Catalogue:
    """The variables among an embedding's columns, in catalogue order."""
    return Catalogue(
        tuple(
            Variable.from_metadata(field.name, field.metadata)
            for field in schema
            if b"kind" in (field.metadata or {})
        )
    )
