"""Embeddings with known contents: what is in u is what the test put there."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wwdc.data.catalogue import Catalogue, Variable
from wwdc.embed.columns import About, arrow_schema, time_column, vectors
from wwdc.embed.published import Embedding

KNOWN = Catalogue(
    (
        Variable("colour", "continuous", range=(0.0, 1.0)),
        Variable("size", "continuous"),
        Variable("kind", "categorical", 3),
    )
)
DIM = 6


def planted(
    folder: Path,
    *,
    dropped: tuple[str, ...] = ("size",),
    leaks: tuple[str, ...] = (),
    objects: int = 900,
    seed: int = 1,
    name: str = "1_0",
    spoil: dict[str, np.ndarray] | None = None,
    times: tuple[float, ...] = (),
) -> Embedding:
    """u holds the *dropped* variables and those that leak; z, and states at *times*, hold all."""
    files = {}
    for split, number in (("train", objects), ("test", objects)):
        rng = np.random.default_rng((seed, split == "train"))
        start = 0 if split == "train" else objects
        table = {
            "id": np.arange(start, start + number),
            "object": np.arange(start, start + number),
            "view": np.zeros(number, np.int64),
            "colour": rng.uniform(size=number),
            "size": rng.normal(size=number),
            "kind": rng.integers(3, size=number),
        } | (spoil or {})
        signal = {
            "colour": (table["colour"] - 0.5) * 3.4,
            "size": table["size"],
            "kind": table["kind"] - 1.0,
        }
        noise = rng.normal(size=(2, number, DIM)).astype(np.float32)
        u, z = noise[0], noise[1]
        for column, variable in enumerate(KNOWN.names):
            shown = 0.95 * np.nan_to_num(signal[variable])
            mixed = (shown + 0.3 * noise[1][:, column]).astype(np.float32)
            z[:, column] = mixed
            if variable in (*dropped, *leaks):
                u[:, column] = mixed
        about = About(
            kind="flow",
            point_id=f"point{seed:07d}",
            split=split,
            fingerprint="f" * 16,
            checkpoint="c" * 64,
            seed=0,
            kept=[v for v in KNOWN.names if v not in dropped],
            dropped=list(dropped),
        )
        schema = arrow_schema(table, KNOWN, about, latent_dim=DIM, times=times)
        arrays = {
            **{key: pa.array(column) for key, column in table.items()},
            **dict.fromkeys(("u", "u_mean"), vectors(u)),
            **dict.fromkeys(("z", "z_mean", *map(time_column, times)), vectors(z)),
            **dict.fromkeys(("log_prob", "log_prob_mean"), pa.array(np.zeros(number, np.float32))),
        }
        path = folder / name / f"{split}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = [arrays[field.name] for field in schema]
        pq.write_table(pa.table(columns, schema=schema), path, row_group_size=200)
        files[split] = path
    return Embedding(
        name=name,
        point_id=f"point{seed:07d}",
        config_id="config000000",
        sweep="drops " + ", ".join(dropped),
        seed=seed,
        files=files,
        sha256={split: f"{name}-{split}" for split in files},
        family="vae/data/0",
        catalogue=KNOWN,
        dropped=dropped,
        columns=tuple(schema.names),
    )
