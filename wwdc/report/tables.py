"""What figures draw from: an experiment's products, read when a figure asks for them."""

__all__ = ["Tables"]

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from numpy.typing import NDArray

from wwdc.config import Staged
from wwdc.data.catalogue import Catalogue
from wwdc.embed.jobs import Job, find_jobs
from wwdc.errors import ProductError
from wwdc.products import Product, Tree, sha256, verified
from wwdc.products.best import objective
from wwdc.products.text import load_yaml
from wwdc.products.tree import TABLES_INFO
from wwdc.report.drawn import Lacking
from wwdc.report.findings import Findings, find_campaigns, find_scores, read_findings
from wwdc.report.settings import Settings
from wwdc.report.shown import Shown, choose_shown
from wwdc.tune.identity import digest
from wwdc.tune.plan import Plan
from wwdc.tune.results import mean_over_seeds, table_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from wwdc.report.painter import Painter

Columns = Mapping[str, NDArray[Any]]


class Tables:
    """One experiment's products as a figure function sees them.

    Nothing is read before it is asked for, and what was read is remembered by name with a
    fingerprint of its content: a figure whose inputs have the same ones need not be drawn again.
    What is not there raises `Lacking`, which names the command that makes it.
    """

    def __init__(self, staged: Staged, plan: Plan, tree: Tree, settings: Settings) -> None:
        self.staged, self.plan, self.tree, self.settings = staged, plan, tree, settings
        self._reads: dict[str, str] = {}
        self._painters: dict[str, Painter] = {}

    @property
    def seed(self) -> int:
        """Of every choice of rows and every projection."""
        return self.settings.seed

    # What was read ------------------------------------------------------------------------------

    @contextmanager
    def recording(self) -> Iterator[dict[str, str]]:
        """Inside a ``with``: name → fingerprint of everything read."""
        reads: dict[str, str] = {}
        self._reads = reads
        try:
            yield reads
        finally:
            self._reads = {}

    def fingerprint(self, name: str) -> str:
        """Of the input called *name*, as it is now; empty where it is not there."""
        kind, _, rest = name.partition(":")
        finders: Mapping[str, Callable[[str], str]] = {
            "points": lambda _: digest([[p.info.point_id, p.info.sha256] for p in self.finished]),
            "plan": lambda _: digest([[p.point_id, p.status] for p in self.plan.points]),
            "metrics": lambda _: digest([sha256(path) for path in self._metric_files]),
            "stat_tests": self._stat_fingerprint,
            "shown": lambda sweep: digest(self._shown_identity(sweep)),
            "scores": lambda _: digest([p.info.sha256 for p in self._scored[:1]]),
            "labels": lambda _: digest(
                [[c.name, list(c.state.known)] for c in self._findings.campaigns]
                if self._scored
                else []
            ),
        }
        return finders[kind](rest) if kind in finders else ""

    def _read(self, name: str) -> None:
        if name not in self._reads:
            self._reads[name] = self.fingerprint(name)

    # The sweep ----------------------------------------------------------------------------------

    @property
    def points(self) -> pd.DataFrame:
        """One row a point of the plan, as `wwdc.results` gives."""
        self._read("points")
        self._read("plan")
        return self._points

    @property
    def sweeps(self) -> list[str]:
        """Named sweeps of points and drop sets, in order; ``all`` where there is none."""
        drops = self.plan.axes.drops if self.plan.axes else ()
        names = [p.sweep for p in self.plan.points] + [drop.sweep for drop in drops]
        return list(dict.fromkeys(name for name in names if name)) or ["all"]

    @property
    def finished(self) -> list[Product]:
        """Checkpoints of the plan's points, in its order."""
        return list(self._finished.values())

    @property
    def point_ids(self) -> set[str]:
        """Of the plan's points."""
        return {point.point_id for point in self.plan.points}

    @property
    def configurations(self) -> pd.DataFrame:
        """One row a configuration: means over seeds with 95 % intervals."""
        points = self.points
        return mean_over_seeds(points, points.attrs["metrics"])

    @property
    def asked(self) -> pd.DataFrame:
        """The finished points that a search compared: those with the first seed."""
        first = {point.point_id for point in self.plan.first_seed(self.plan.points)}
        points = self.points
        return points[points["point_id"].isin(first)]

    @functools.cached_property
    def objectives(self) -> tuple[list[str], list[str]]:
        """Metrics that points are compared by, with ``min`` or ``max`` for each."""
        tune = self.staged.training.tune
        finished = list(self._finished.values())
        if (self.plan.axes is not None and self.plan.axes.searched) or not finished:
            return list(tune.metrics), list(tune.modes)
        metric, mode = objective(finished[-1].info)
        return [metric], [mode]

    @property
    def distributions(self) -> "dict[str, BaseDistribution]":
        """What was searched, by key."""
        from wwdc.tune.domains import Normal
        from wwdc.tune.space import distribution

        axes = self.plan.axes.searched if self.plan.axes else ()
        return {a.key: distribution(a.domain) for a in axes if not isinstance(a.domain, Normal)}

    @property
    def metrics(self) -> pd.DataFrame:
        """Training curves: ``point_id config_id sweep seed epoch metric value``, maybe ``step``."""
        self._read("metrics")
        if not self._metric_files:
            raise Lacking("no point has been trained", "tune")
        parts = []
        names = ("point_id", "config_id", "sweep", "seed")
        for product in self._finished.values():
            path = self.tree.metrics / f"{product.info.job}.csv"
            if not path.is_file():
                continue
            wide = pd.read_csv(path)
            known = [n for n in ("epoch", "step") if n in wide]
            long = wide.melt(id_vars=known, var_name="metric", value_name="value").dropna()
            parts.append(long.assign(**{name: getattr(product.info, name) for name in names}))
        return pd.concat(parts, ignore_index=True)

    # What is left -------------------------------------------------------------------------------

    @property
    def verdicts(self) -> pd.DataFrame:
        """As `wwdc.stats` writes them, of this plan's points and of the controls."""
        return self._stat_table("verdicts")

    @property
    def summary(self) -> pd.DataFrame:
        """Verdicts over seeds."""
        return self._stat_table("summary")

    @property
    def tests(self) -> pd.DataFrame:
        """One row a test × variable × embedding and space."""
        return self._stat_table("tests")

    @property
    def label_curves(self) -> pd.DataFrame:
        """Scores against the number of labelled objects."""
        return self._stat_table("curves")

    # The point that is shown --------------------------------------------------------------------

    @functools.cached_property
    def shown(self) -> tuple[Shown, ...]:
        """The point that stands for each sweep."""
        if not self._finished:
            raise Lacking("no point has been trained", "tune")
        staged = replace(self.staged, splits=(self.settings.split,))
        jobs, _ = find_jobs(staged, self.tree, self.plan)
        metrics, modes = self.objectives
        return tuple(choose_shown(self._points, jobs, metrics[0], modes[0]))

    @property
    def is_flow(self) -> bool:
        """Whether the experiment trains flows, and so has residuals u."""
        return any(shown.job.kind == "flow" for shown in self.shown)

    def catalogue(self, shown: Shown) -> Catalogue:
        """Every variable that the embedding of *shown* has a column of."""
        import pyarrow.parquet as pq

        from wwdc.embed.columns import read_catalogue

        self._read(f"shown:{shown.sweep}")
        return read_catalogue(pq.read_schema(self._embedding(shown)))

    def columns(self, shown: Shown, names: Sequence[str], limit: int | None = None) -> Columns:
        """Columns of the shown point's embedding, of at most *limit* rows chosen by the seed.

        Returns:
            Numbers (N,), vectors (N, D) float32, and ``row``: their places in the file (N,).
        """
        from wwdc.embed.published import choose_rows, read_rows

        self._read(f"shown:{shown.sweep}")
        path = self._embedding(shown)
        known = read_rows(path, ["object"])["object"]
        most = min(limit or self.settings.rows, self.settings.rows)
        rows = choose_rows(known, most, self.seed)
        wanted = [name for name in dict.fromkeys(names) if name != "row"]
        return {**read_rows(path, wanted, rows), "row": rows}

    def painter(self, shown: Shown) -> "Painter":
        """The shown point's networks and images."""
        self._read(f"shown:{shown.sweep}")
        return self._painter(shown)

    def _painter(self, shown: Shown) -> "Painter":
        from wwdc.report.painter import Painter

        if shown.sweep not in self._painters:
            self._painters[shown.sweep] = Painter.of(shown.job, self.tree, self.staged)
        return self._painters[shown.sweep]

    # Anomalies ----------------------------------------------------------------------------------

    @property
    def findings(self) -> Findings:
        """Scores of anomaly detectors and what people said of the objects."""
        self._read("scores")
        self._read("labels")
        return self._findings

    # Hidden -------------------------------------------------------------------------------------

    @functools.cached_property
    def _finished(self) -> dict[str, Product]:
        finished = self.tree.finished()
        return {
            p.point_id: finished[p.point_id] for p in self.plan.points if p.point_id in finished
        }

    @functools.cached_property
    def _points(self) -> pd.DataFrame:
        return table_of(self.plan.points, self._finished)

    @functools.cached_property
    def _metric_files(self) -> list[Path]:
        paths = [self.tree.metrics / f"{p.info.job}.csv" for p in self._finished.values()]
        return [path for path in paths if path.is_file()]

    @functools.cached_property
    def _scored(self) -> list[Product]:
        return find_scores(self.tree, [shown.name for shown in self.shown])

    @functools.cached_property
    def _findings(self) -> Findings:
        return read_findings(self._scored, find_campaigns(self.tree), self.shown)

    @functools.cached_property
    def stat_info(self) -> dict[str, Any]:
        """What vouches for the tables of ``stat_tests``."""
        path = self.tree.stat_tests / TABLES_INFO
        return dict(load_yaml(path)) if path.is_file() else {}

    def _stat_fingerprint(self, table: str) -> str:
        return str(self.stat_info.get("sha256", {}).get(f"{table}.parquet", ""))

    def _stat_table(self, name: str) -> pd.DataFrame:
        self._read(f"stat_tests:{name}")
        self._read("plan")
        if not self._stat_fingerprint(name):
            raise Lacking("the embeddings have not been tested", "stats")
        frame = pd.read_parquet(self.tree.stat_tests / f"{name}.parquet")
        known = {p.config_id for p in self.plan.points}
        return frame[frame["config_id"].isna() | frame["config_id"].isin(known)]

    def _embedding(self, shown: Shown) -> Path:
        return self._embeddings[shown.sweep]()

    @functools.cached_property
    def _embeddings(self) -> dict[str, Callable[[], Path]]:
        """The file of each shown point's embedding, checked when it is first asked for."""
        embedded = {product.path: product for product in self.tree.embedded()}
        return {
            s.sweep: functools.cache(functools.partial(_checked, s.job, embedded))
            for s in self.shown
        }

    def _shown_identity(self, sweep: str) -> list[Any]:
        shown = next((s for s in self.shown if s.sweep == sweep), None)
        if shown is None:
            return []
        known = shown.job.product.info
        embedded = next((p for p in self.tree.embedded() if p.path == shown.job.path), None)
        lineage = {name: parent.model_dump() for name, parent in known.parents.items()}
        return [known.sha256, lineage, embedded.info.sha256 if embedded else None, shown.why]


def _checked(job: Job, embedded: Mapping[Path, Product]) -> Path:
    if job.path not in embedded:
        raise Lacking(
            f"the {job.split} split of {job.name} is not embedded", "embed", f"splits=[{job.split}]"
        )
    product = embedded[job.path]
    if job.product.info.sha256 not in {parent.sha256 for parent in product.info.parents.values()}:
        raise ProductError(f"{job.path} is the embedding of another checkpoint. Embed again.")
    return verified(product).path
