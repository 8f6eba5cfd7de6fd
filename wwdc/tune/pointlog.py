"""One log file a point: what Lightning and other libraries say, and a line an epoch."""

__all__ = ["log_epoch", "logging_to"]

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

_SOURCES = ("wwdc", "py.warnings", "lightning.pytorch", "lightning.fabric")
_LOG = logging.getLogger("wwdc.point")


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Append what is logged or warned of inside the block to *path*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    levels = {name: logging.getLogger(name).level for name in _SOURCES}
    logging.captureWarnings(True)
    for name in _SOURCES:
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)
        logging.captureWarnings(False)
        handler.close()


def log_epoch(row: Mapping[str, float]) -> None:
    """A line with the metrics of an epoch."""
    metrics = " ".join(f"{name} {value:.6g}" for name, value in row.items() if name != "epoch")
    _LOG.info("epoch %d: %s", row["epoch"], metrics)
