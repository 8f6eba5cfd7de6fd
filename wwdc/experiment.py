"""An experiment in Python: what the commands wrote, as tables and arrays."""

__all__ = ["Experiment"]

import math
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from wwdc.config import Composed, instantiate, load
from wwdc.data.colour_mnist import SPLITS
from wwdc.errors import ProductError, closest
from wwdc.products import Product, Tree, info_path, read_info, verified
from wwdc.products.best import objective
from wwdc.run.stages import CHAIN, overrides_of
from wwdc.tune.plan import Plan, make_plan

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from wwdc.training.lightning_loaders import LightningFlow, LightningVAE

# Shapes: N rows of an embedding, D latents.

TABLES = ("verdicts", "summary", "tests", "curves")
"""Tables of ``stat_tests``."""


class Experiment:
    """What an experiment has come to so far. It reads, and starts nothing.

    Each call looks at the product tree anew, so it may be asked while a run goes on.

    >>> experiment = wwdc.Experiment("experiments/digits_flow")  # doctest: +SKIP
    >>> experiment.results()[["sweep", "seed", "val_loss"]]      # doctest: +SKIP
    >>> u = experiment.vectors("u", "test")                      # doctest: +SKIP
    >>> u.shape                                                  # doctest: +SKIP
    (8616, 32)

    A *point* is named by the position that `plan` gives (``job_num``), by its ``point_id``, by its
    checkpoint (``20261124030501314_0``), or by the folder of an embedding, which for a flow that
    serves several drop sets says which. Without one it is the best, by the metric that
    ``model_checkpoint.monitor`` names, of those that there is something of.

    Args:
        folder: the experiment's folder.
        overrides: as on the command line: ``["+seed=42"]``.
        trust: whether Python in the folder may be imported.

    Raises:
        ConfigError: the folder or an override is wrong.
    """

    def __init__(
        self, folder: str | Path, overrides: Sequence[str] = (), *, trust: bool = False
    ) -> None:
        self.folder = Path(folder)
        self.overrides = tuple(overrides)
        self.trust = trust
        training = overrides_of(CHAIN[1], self.overrides)
        self._composed: Composed = load(self.folder, training, trust=trust)
        meta = self._composed.meta
        self.tree = Tree(self._composed.data_root, meta.data_name, meta.experiment_name)

    def __repr__(self) -> str:
        return f"Experiment({str(self.folder)!r}): {self.tree.name} in {self.tree.path}"

    @property
    def name(self) -> str:
        """``DATA_NAME/EXPERIMENT_NAME``."""
        return self.tree.name

    @property
    def report(self) -> Path:
        """The page that ``python -m wwdc.report`` writes.

        Raises:
            ProductError: it has not been written.
        """
        page = self.tree.report / "index.html"
        if not page.is_file():
            raise self._lacking("there is no report yet", "report")
        return page

    def plan(self) -> "pd.DataFrame":
        """One row a point: ``job_num, point_id, config_id, sweep, seed, status, detail``, and a
        column for each swept key, such as ``lightning_loader.lr``."""
        import pandas as pd

        fixed = ("job_num", "point_id", "config_id", "sweep", "seed", "status", "detail")
        points = self._plan().points
        rows = [{name: getattr(p, name) for name in fixed} | p.overrides for p in points]
        keys = dict.fromkeys(key for point in points for key in point.overrides if key != "seed")
        return pd.DataFrame(rows, columns=[*fixed, *keys]).astype({"seed": "Int64"})

    def results(self, *, over_seeds: bool = False) -> "pd.DataFrame":
        """One row a point with its metrics, or their means over seeds; see `wwdc.results`."""
        from wwdc.tune.results import mean_over_seeds, table_of

        frame = table_of(self._plan().points, self.tree.finished())
        return mean_over_seeds(frame, frame.attrs["metrics"]) if over_seeds else frame

    @overload
    def embeddings(
        self,
        split: str = ...,
        point: int | str | None = ...,
        *,
        columns: Sequence[str] | None = ...,
        arrow: Literal[False] = ...,
    ) -> "pd.DataFrame": ...

    @overload
    def embeddings(
        self,
        split: str = ...,
        point: int | str | None = ...,
        *,
        columns: Sequence[str] | None = ...,
        arrow: Literal[True],
    ) -> "pa.Table": ...

    def embeddings(
        self,
        split: str = "test",
        point: int | str | None = None,
        *,
        columns: Sequence[str] | None = None,
        arrow: bool = False,
    ) -> "pd.DataFrame | pa.Table":
        """A split as one point sees it: ids, the catalogue, densities, latents, residuals.

        A row of a vector column holds an array (D,); `vectors` gives all rows as one. The frame's
        ``attrs["embedding"]`` says whose it is.

        Args:
            split: ``train``, ``val`` or ``test``.
            point: whose; see the class.
            columns: those to read; None reads all.
            arrow: give the table of Arrow instead, which copies nothing.

        Raises:
            ProductError: it is not embedded, is damaged, or has no such column.
        """
        import pyarrow.parquet as pq

        path = self._embedded(split, point, columns or ())
        table: pa.Table = pq.read_table(path, columns=None if columns is None else list(columns))
        if arrow:
            return table
        frame: pd.DataFrame = table.to_pandas()
        frame.attrs["embedding"] = path.parent.name
        return frame

    def vectors(
        self, name: str = "u", split: str = "test", point: int | str | None = None
    ) -> "NDArray[np.float32]":
        """A vector column of an embedding, (N, D) float32, in the order of `embeddings`.

        Args:
            name: ``u``, ``u_mean``, ``z``, ``z_mean`` or ``u_t0.5``, …

        Raises:
            ProductError: as `embeddings`, or the column holds no vectors.
        """
        from wwdc.embed.published import read_rows

        values: NDArray[np.float32] = read_rows(self._embedded(split, point, [name]), [name])[name]
        if values.ndim != 2:
            raise ProductError(f"{name} holds numbers: embeddings({split!r})[{name!r}] has them.")
        return values

    def stats(
        self, table: Literal["verdicts", "summary", "tests", "curves"] = "verdicts"
    ) -> "pd.DataFrame":
        """What is left in the residuals: a row a point, variable and space.

        Args:
            table: ``summary`` is over seeds, ``tests`` has each test by itself, ``curves`` scores
                against the number of labels.

        Raises:
            ProductError: nothing has been tested, or the table is damaged.
        """
        import pandas as pd
        import pyarrow as pa

        if table not in TABLES:
            guess = closest(table, TABLES)
            raise ProductError(f"there is no table {table!r}.{guess} Tables: {', '.join(TABLES)}.")
        path = self.tree.stat_tests / f"{table}.parquet"
        if not path.is_file():
            raise self._lacking("nothing is tested yet", "stats")
        try:
            return pd.read_parquet(path)
        except (pa.ArrowException, OSError) as error:
            raise self._lacking(f"{path} is damaged", "stats") from error

    def anomalies(self, point: int | str | None = None) -> "pd.DataFrame":
        """The scores of every object, oddest first: ``id, split, role``, the detectors', ``score,
        rank``, stabilities, ``p_value, q_value``.

        Args:
            point: whose residuals were scored; see the class.

        Raises:
            ProductError: nothing has been scored.
        """
        from wwdc.detect.results import read_scores

        found = {product.path.parent.name: product for product in self.tree.scored()}
        name = self._choose(found, point, "scored", "detect")
        frame = read_scores(verified(found[name]).path).sort_values("rank", ignore_index=True)
        frame.attrs["embedding"] = name
        return frame

    def labels(self, name: str = "default", *, events: bool = False) -> "pd.DataFrame":
        """What people said of objects: ``id, verdict, grade, target, skipped, flagged``.

        Args:
            name: of the campaign, ``--name`` of ``python -m wwdc.label``.
            events: give the log itself instead, a row an event, undone ones and all.

        Raises:
            ProductError: there is no such campaign, or its log is broken.
        """
        import pandas as pd

        from wwdc.label.events import Event, fold
        from wwdc.label.log import read_log

        path = self.tree.labels / f"{name}.sqlite"
        if not path.is_file():
            known = sorted(p.stem for p in self.tree.labels.glob("*.sqlite"))
            there = f", there are {', '.join(known)}" if known else ""
            raise self._lacking(f"there are no labels {name!r}{there}", "label", f"--name {name}")
        said = read_log(path)[1]
        if events:
            return pd.DataFrame([e.as_dict() for e in said], columns=[*Event.model_fields])
        fields = ("verdict", "grade", "target", "skipped", "flagged")
        rows = [
            {"id": id} | {field: getattr(label, field) for field in fields}
            for id, label in fold(said).labels.items()
        ]
        frame = pd.DataFrame(rows, columns=["id", *fields])
        return frame.astype({"grade": "Int64", "target": "float64"})

    def load(self, point: int | str | None = None) -> "LightningFlow | LightningVAE":
        """The trained model of a point: on the CPU, frozen, in evaluation mode; see `wwdc.load`.

        Raises:
            ProductError: it is not trained, or its checkpoint or VAE is missing or broken.
        """
        from wwdc.products.export import export, load

        product = self._trained(point)
        with tempfile.TemporaryDirectory(prefix="wwdc-") as folder:
            export(product, Path(folder) / "model", self.tree, allow=self._composed.allow)
            return load(Path(folder) / "model", allow=self._composed.allow)

    def context(self, split: str = "test", point: int | str | None = None) -> "NDArray[np.float32]":
        """What a point's flow is told of each object of an embedding, raw, (N, W) float32.

        ``module.flow(z, module.condition(context))`` gives its residuals. With *condition_dropout*
        that tells it every variable: those of a drop set need *given* as well, bool (V,) in the
        catalogue's order, False for what is dropped; see `LightningFlow.condition`.

        Raises:
            ProductError: the point is not embedded, or its checkpoint is gone.
        """
        from wwdc.embed.published import read_rows

        path = self._embedded(split, point, ())
        point_id = read_info(info_path(path)).point_id
        config = self._trained(point_id).info.config["data"]["x_ds"]
        kept = instantiate(config, allow=self._composed.allow, key="data.x_ds").kept
        encoded: NDArray[np.float32] = kept.encode(read_rows(path, ["id", *kept.names]))
        return encoded

    def _trained(self, point: int | str | None) -> Product:
        found = {product.info.job: product for product in self.tree.finished().values()}
        if isinstance(point, str):
            jobs = {p.path.parent.name: p.info.job for p in self.tree.embedded()}
            point = jobs.get(point, point)
        return found[self._choose(found, point, "trained", "tune")]

    def _plan(self) -> Plan:
        return make_plan(self._composed, self.tree)

    def _embedded(self, split: str, point: int | str | None, columns: Sequence[str]) -> Path:
        """The embedding of a split, whole and with *columns*."""
        import pyarrow.parquet as pq

        if split not in SPLITS:
            guess = closest(split, SPLITS)
            raise ProductError(f"there is no split {split!r}.{guess} Splits: {', '.join(SPLITS)}.")
        found = {p.path.parent.name: p for p in self.tree.embedded() if p.path.stem == split}
        name = self._choose(found, point, f"embedded of {split}", "embed", f"'splits=[{split}]'")
        path = verified(found[name]).path
        known = pq.read_schema(path).names
        for column in columns:
            if column not in known:
                raise ProductError(f"{path} has no column {column!r}.{closest(column, known)}")
        return path

    def _choose(
        self,
        found: Mapping[str, Product],
        point: int | str | None,
        what: str,
        stage: str,
        more: str = "",
    ) -> str:
        """The one of *found*, by the name of its folder or job, that *point* means."""
        if isinstance(point, str) and point in found:
            return point
        plan = self._plan()
        if point is None:
            wanted = self._best_first(plan)
        elif isinstance(point, int):
            wanted = [p.point_id for p in plan.points if p.job_num == point]
        else:
            jobs = (p.info.point_id for p in found.values() if p.info.job == point)
            wanted = list(dict.fromkeys(jobs)) or [point]
        for point_id in wanted:
            names = [name for name, p in found.items() if p.info.point_id == point_id]
            if len(names) > 1 and point is not None:
                raise ProductError(f"{point!r} may be any of {', '.join(sorted(names))}.")
            if names:
                return names[0]
        which = "nothing" if point is None else f"no point {point!r}"
        raise self._lacking(f"{which} is {what} yet", stage, more)

    def _best_first(self, plan: Plan) -> list[str]:
        """Ids of the plan's finished points by the metric that their configuration names."""
        finished = self.tree.finished()
        infos = [finished[p.point_id].info for p in plan.points if p.point_id in finished]
        if not infos:
            return []
        metric, mode = objective(infos[-1])
        sign = -1.0 if mode == "max" else 1.0
        scored = [(sign * info.metrics.get(metric, math.nan), info.point_id) for info in infos]
        return [name for _, name in sorted(scored, key=lambda s: (math.isnan(s[0]), s[0]))]

    def _lacking(self, what: str, stage: str, more: str = "") -> ProductError:
        """An error that names the command."""
        words = [*map(shlex.quote, (str(self.folder), *self.overrides)), *([more] if more else [])]
        command = " ".join(["python", "-m", f"wwdc.{stage}", *words])
        return ProductError(f"{self.tree.name}: {what}. Run: {command}")
