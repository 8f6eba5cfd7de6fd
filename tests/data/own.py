"""Small images and tables of every kind that a user may bring."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from wwdc.data.tabled import TabledImages

SIZE = (3, 12, 16)
VARIABLES = {
    "mag": {"kind": "continuous", "units": "mag", "range": [0, 40], "column": "m_r"},
    "angle": {"kind": "circular", "units": "deg", "range": [0, 360]},
    "shape": {"kind": "categorical", "missing": "indicator"},
    "barred": "flag",
}
KINDS = ("png", "jpg", "tif", "files.npy", "files.fits", "npy", "npz", "h5", "zarr", "fits")


def pixels(count: int, size: tuple[int, int, int] = SIZE) -> np.ndarray:
    """uint8 (N, H, W, C)."""
    rng = np.random.default_rng(count)
    return rng.integers(0, 256, (count, *size[1:], size[0]), dtype=np.uint8)


def names(count: int) -> list[str]:
    return [f"J{i:04d}" for i in range(count)]


def catalogue(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(count + 1)
    shapes = rng.choice(["spiral", "round", None], count, p=[0.5, 0.4, 0.1])
    return pd.DataFrame(
        {
            "name": names(count),
            "m_r": rng.uniform(1, 30, count).round(3),
            "angle": rng.uniform(0, 360, count).round(2),
            "shape": shapes,
            "barred": rng.choice(["yes", "no"], count),
            "survey": rng.choice(["a", "b", "c", "d", "e", "f", "g", "h"], count),
        }
    )


def write_files(folder: Path, images: np.ndarray, ending: str, ids: list[str]) -> Path:
    folder.mkdir(parents=True)
    for name, image in zip(ids, images, strict=True):
        path = folder / f"{name}.{ending}"
        if ending == "npy":
            np.save(path, image)
        elif ending == "fits":
            from astropy.io import fits

            fits.writeto(path, np.moveaxis(image, -1, 0))
        else:
            Image.fromarray(image.squeeze()).save(path)
    return folder


def write_array(path: Path, images: np.ndarray, ids: list[str]) -> Path:
    if path.suffix == ".npy":
        np.save(path, images)
    elif path.suffix == ".npz":
        np.savez(path, x=images, ids=np.array(ids))
    elif path.suffix == ".h5":
        import h5py

        with h5py.File(path, "w") as file:
            file["x"], file["ids"] = images, np.array(ids, dtype="S")
    elif path.suffix == ".zarr":
        import zarr

        group = zarr.open_group(str(path), mode="w")
        group.create_array("x", data=images)
        group.create_array("ids", data=np.array(ids))
    else:
        from astropy.io import fits

        fits.writeto(path, np.moveaxis(images, -1, 1))
    return path


def write(folder: Path, kind: str, count: int = 60) -> dict:
    """The files of a dataset of *kind*, and the settings that read them."""
    images, table = pixels(count), catalogue(count)
    table.to_csv(folder / "table.csv", index=False)
    ids = names(count)
    if kind in ("npy", "npz", "h5", "zarr", "fits"):
        source = write_array(folder / f"images.{kind}", images, ids)
    else:
        source = write_files(folder / "images", images, kind.rpartition(".")[2], ids)
    ordered = kind in ("npy", "fits")  # neither says which image is whose
    return {
        "images": source,
        "table": folder / "table.csv",
        "variables": json.loads(json.dumps(VARIABLES)),
        "size": list(SIZE),
        "cache": folder / "cache",
        "id": None if ordered else "name",
    }


def prepared(settings: dict, **changes: object) -> TabledImages:
    """The dataset, prepared; what it said is lost."""
    dataset = TabledImages(**(settings | changes))
    dataset.prepare(lambda text: None)
    return dataset
