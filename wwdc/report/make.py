"""Drawing the figures of a report, or keeping those whose inputs are what they were."""

__all__ = ["FORMATS", "Made", "check_figures", "make_figure"]

import functools
import hashlib
import inspect
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import matplotlib

import wwdc
from wwdc.config import instantiate
from wwdc.errors import FAULTS, ConfigError, ProductError, last_line
from wwdc.products import atomic_write, sha256
from wwdc.report.drawn import Drawn, Lacking
from wwdc.report.settings import Plot
from wwdc.report.style import drawing_style, render
from wwdc.report.tables import Tables
from wwdc.tune.identity import digest

FORMATS = ("svg", "png", "csv")


@dataclass(frozen=True)
class Made:
    """How a figure came out.

    Attributes:
        note: what its caption adds.
        reason: what is lacking, or went wrong.
        stage: the command that makes what is lacking, with its *overrides*.
        files: format → file, of one that is there.
    """

    plot: Plot
    status: Literal["drawn", "kept", "lacking", "failed"]
    note: str = ""
    reason: str = ""
    stage: str = ""
    overrides: str = ""
    files: Mapping[str, Path] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> bool:
        """Whether there is a figure."""
        return self.status in ("drawn", "kept")


def make_figure(
    plot: Plot, tables: Tables, folder: Path, *, fresh: bool = False, allow: tuple[str, ...] = ()
) -> Made:
    """Draw *plot* into ``folder/{name}.svg``, ``.png`` and ``.csv``, unless that was done.

    ``{name}.json`` goes last and records what was read, by content, and what was written: a figure
    whose inputs, settings and code are the same is kept.

    Raises:
        ProductError: the folder cannot be written.
    """
    function = instantiate(plot.node, allow=allow, key=f"figures.plots.{plot.name}.figure")
    identity = digest(
        [dict(plot.node), _code(function), tables.settings.rows, tables.seed, tables.settings.split]
    )
    kept = None if fresh else _kept(plot, tables, folder, identity)
    if kept is not None:
        return kept
    try:
        with (
            tables.recording() as reads,
            drawing_style(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing are NaN, as drawn
            drawn = function(tables)
            if not isinstance(drawn, Drawn):
                kind = type(drawn).__name__
                raise TypeError(f"it gave {kind}: a figure's function returns a Drawn")
            contents = _contents(drawn)
    except Lacking as error:
        return Made(plot, "lacking", "", str(error), error.stage, error.overrides)
    except FAULTS as error:
        return Made(plot, "failed", "", f"{type(error).__name__}: {last_line(error)}")
    return _write(plot, drawn.note, contents, folder, {"identity": identity, "reads": dict(reads)})


def _contents(drawn: Drawn) -> dict[str, bytes]:
    return {
        "svg": render(drawn.figure, "svg"),
        "png": render(drawn.figure, "png"),
        "csv": drawn.data.to_csv(index=False).encode(),
    }


def _write(
    plot: Plot, note: str, contents: Mapping[str, bytes], folder: Path, record: dict[str, Any]
) -> Made:
    paths = {kind: folder / f"{plot.name}.{kind}" for kind in FORMATS}
    for kind, data in contents.items():
        atomic_write(paths[kind], data)
    sums = {kind: hashlib.sha256(data).hexdigest() for kind, data in contents.items()}
    record |= {"schema": 1, "note": note, "sha256": sums}
    atomic_write(folder / f"{plot.name}.json", json.dumps(record, indent=1))
    return Made(plot, "drawn", note, files=paths)


def _kept(plot: Plot, tables: Tables, folder: Path, identity: str) -> Made | None:
    """The figure as it lies in the folder, if drawing it again would give the same."""
    paths = {kind: folder / f"{plot.name}.{kind}" for kind in FORMATS}
    try:
        record = json.loads((folder / f"{plot.name}.json").read_text())
        same = record["identity"] == identity and all(
            tables.fingerprint(name) == known for name, known in record["reads"].items()
        )
        whole = same and all(sha256(paths[kind]) == record["sha256"][kind] for kind in FORMATS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ProductError, Lacking):
        return None
    return Made(plot, "kept", str(record["note"]), files=paths) if whole else None


def _code(function: Any) -> str:
    """What the figure is drawn by: this package and the function's own module."""
    while isinstance(function, functools.partial):
        function = function.func
    module = inspect.getsourcefile(function)
    own = sorted(Path(wwdc.__file__).parent.glob("report/**/*.py"))
    return _digest_of(tuple([*own, *([Path(module)] if module else [])]))


@functools.cache
def _digest_of(paths: tuple[Path, ...]) -> str:
    return digest([wwdc.__version__, matplotlib.__version__, *(sha256(p) for p in paths)])


def check_figures(plots: Iterable[Plot], allow: tuple[str, ...] = ()) -> None:
    """Refuse figures whose function is not there or does not take their arguments.

    Raises:
        ConfigError: naming the figure, and the closest match.
    """
    for plot in plots:
        key = f"figures.plots.{plot.name}.figure"
        if not plot.node.get("_partial_"):
            raise ConfigError(f"{key}: write _partial_: true; the tables are given later.")
        instantiate(plot.node, allow=allow, key=key)
