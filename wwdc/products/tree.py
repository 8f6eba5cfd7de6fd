"""One experiment's folder under DATA_ROOT: where things are and what is complete."""

__all__ = ["Product", "Tree", "info_path", "verified"]

import datetime
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wwdc.errors import ProductError
from wwdc.products.atomic import sha256
from wwdc.products.info import Info, read_info

ARTEFACTS = (".ckpt", ".parquet")
"""Suffixes of the files that an info file can belong to."""

TABLES_INFO = "info.yaml"
"""What vouches for the tables of ``stat_tests``."""

_INFO = "_info.yaml"
_POINT = re.compile(rb"""^point_id:\s*["']?([^"'\s]+)""", re.MULTILINE)
_FINISHED = ("done", "stopped")


@dataclass(frozen=True)
class Product:
    """A complete artefact and its info."""

    path: Path
    info: Info

    @property
    def info_path(self) -> Path:
        """Where the info file lies."""
        return info_path(self.path)


def info_path(artefact: Path) -> Path:
    """`ckpts/5240735_2.ckpt` → `ckpts/5240735_2_info.yaml`."""
    return artefact.with_name(f"{artefact.stem}{_INFO}")


def verified(product: Product) -> Product:
    """The same product, after reading the artefact once to see that it is what was published.

    Raises:
        ProductError: its SHA-256 differs from the one in the info file.
    """
    found = sha256(product.path)
    if found != product.info.sha256:
        raise ProductError(
            f"{product.path} is not the file that was published: its SHA-256 is {found[:12]}…, "
            f"{product.info_path.name} says {str(product.info.sha256)[:12]}…. "
            "Restore it from a copy, or remove it with its info file and run the point again."
        )
    return product


@dataclass
class Tree:
    """`DATA_ROOT/{data_name}/{experiment_name}` and what lies in it.

    Listing reads info files only, never artefacts, and reads each one once for as long as the
    file stays as it is. An artefact without an info file is not a product.
    """

    data_root: Path
    data_name: str
    experiment_name: str
    _read: dict[Path, tuple[tuple[int, int, int], Info]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        self.data_root = Path(self.data_root).absolute()
        for name in (self.data_name, self.experiment_name):
            if not name or Path(name).is_absolute() or ".." in Path(name).parts:
                raise ProductError(
                    f"{name!r} cannot name a folder under {self.data_root}. "
                    "Change data_name or experiment_name in meta.yaml."
                )

    @property
    def name(self) -> str:
        """`DATA_NAME/EXPERIMENT_NAME`, as `${product:…}` takes it."""
        return f"{self.data_name}/{self.experiment_name}"

    @property
    def path(self) -> Path:
        """The experiment's folder."""
        return self.data_root / self.data_name / self.experiment_name

    @property
    def ckpts(self) -> Path:
        """Checkpoints with their info files."""
        return self.path / "ckpts"

    @property
    def embeddings(self) -> Path:
        """Embeddings, one folder a checkpoint."""
        return self.path / "embeddings"

    @property
    def stat_tests(self) -> Path:
        """Tables of what is left in the embeddings."""
        return self.path / "stat_tests"

    @property
    def anomalies(self) -> Path:
        """Scores of detectors, one folder an embedding."""
        return self.path / "anomalies"

    @property
    def labels(self) -> Path:
        """What people said of objects, one log a campaign."""
        return self.path / "labels"

    @property
    def promoted(self) -> Path:
        """Variables that labels became, of all experiments on the same data."""
        return self.data_root / self.data_name / "promoted"

    @property
    def figures(self) -> Path:
        """Figures that stages write as they end."""
        return self.path / "figures"

    @property
    def report(self) -> Path:
        """The page of what the experiment came to, and its figures."""
        return self.path / "report"

    @property
    def metrics(self) -> Path:
        """One CSV a checkpoint, one row an epoch."""
        return self.path / "metrics"

    @property
    def multiruns(self) -> Path:
        """What runs leave behind: plans, logs, work in progress."""
        return self.path / "multiruns"

    @property
    def points(self) -> Path:
        """Work in progress, one folder a point."""
        return self.multiruns / "points"

    def ckpt(self, job: str) -> Path:
        """Final place of the checkpoint of a job, `{job_id}_{job_num}`."""
        return self.ckpts / f"{job}.ckpt"

    def point(self, point_id: str) -> Path:
        """Folder of a point's work in progress: `last.ckpt`, `metrics.csv`, `claim.json`, …"""
        return self.points / point_id

    def info_files(self) -> Iterator[Path]:
        """Every info file of checkpoints, embeddings and scores."""
        yield from sorted(self.ckpts.glob(f"*{_INFO}"))
        yield from sorted(self.embeddings.glob(f"*/*{_INFO}"))
        yield from sorted(self.anomalies.glob(f"*/*{_INFO}"))

    def products(self) -> list[Product]:
        """Complete checkpoints, oldest first.

        Raises:
            ProductError: an info file is broken.
        """
        return self._complete(self.ckpts.glob(f"*{_INFO}"))

    def embedded(self) -> list[Product]:
        """Complete embeddings, oldest first."""
        return self._complete(self.embeddings.glob(f"*/*{_INFO}"))

    def scored(self) -> list[Product]:
        """Complete scores of embeddings, oldest first."""
        return self._complete(self.anomalies.glob(f"*/*{_INFO}"))

    def finished(self) -> dict[str, Product]:
        """The newest finished (done or stopped) checkpoint of each point, by `point_id`."""
        return {p.info.point_id: p for p in self.products() if p.info.status in _FINISHED}

    def find(self, point_id: str) -> Product | None:
        """The newest finished checkpoint of one point. For many points ask `finished` once.

        Only the point's own info files are parsed, and a process reads the others once: a trial
        asks this before it trains, among thousands that are published already.
        """
        own = (path for path in self.ckpts.glob(f"*{_INFO}") if _point_of(path) == point_id)
        found = [p for p in self._complete(own) if p.info.point_id == point_id]
        return next((p for p in reversed(found) if p.info.status in _FINISHED), None)

    def failed(self) -> list[Info]:
        """Why points failed, for those that have not been run again since."""
        return [self._info(path) for path in sorted(self.points.glob("*/failed.yaml"))]

    def _complete(self, info_files: Iterable[Path]) -> list[Product]:
        found = []
        for path in info_files:
            try:
                info = self._info(path)
            except FileNotFoundError:  # removed while we looked
                continue
            artefact = artefact_of(path)
            if artefact is not None and artefact.stat().st_size == info.bytes:
                found.append(Product(artefact, info))
        return sorted(found, key=_age)

    def _info(self, path: Path) -> Info:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._read.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        info = read_info(path)
        self._read[path] = (stamp, info)
        return info


def _point_of(path: Path) -> str | None:
    """The point an info file belongs to, by its own line of text."""
    try:
        status = path.stat()
        return _point_in(path, status.st_mtime_ns, status.st_size)
    except FileNotFoundError:  # removed while we looked
        return None


@functools.lru_cache(maxsize=100_000)
def _point_in(path: Path, _mtime_ns: int, _size: int) -> str | None:
    line = _POINT.search(path.read_bytes())
    return line[1].decode() if line else None


def artefact_of(info_file: Path) -> Path | None:
    """The artefact an info file belongs to, if it is there."""
    stem = info_file.name.removesuffix(_INFO)
    for suffix in ARTEFACTS:
        candidate = info_file.with_name(f"{stem}{suffix}")
        if candidate.is_file():
            return candidate
    return None


def _age(product: Product) -> tuple[float, str]:
    moment = datetime.datetime.fromisoformat(product.info.finished)
    return moment.timestamp(), product.path.name
