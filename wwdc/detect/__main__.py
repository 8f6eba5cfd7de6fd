"""Score every embedded object with anomaly detectors, and list the oddest."""

__all__ = ["main"]

import argparse
import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from wwdc.cluster.job import batch_job
from wwdc.commands import again, print_json, stage_parser
from wwdc.config import TuneConfig, load_stage
from wwdc.detect.settings import read_detection
from wwdc.errors import ProductError
from wwdc.products import Product, Tree
from wwdc.terminal import EXIT_FAILED, EXIT_OK, EXIT_STOPPED, notice, run_cli
from wwdc.tune.plan import make_plan
from wwdc.tune.stopping import Stopped, StopRequest

if TYPE_CHECKING:
    from wwdc.detect.plan import Scoring
    from wwdc.embed.published import Fault

EPILOG = """\
examples:
  python -m wwdc.detect experiments/digits_flow
  python -m wwdc.detect experiments/digits_flow detectors=quick
  python -m wwdc.detect experiments/digits_flow detectors.score=zmean detectors.detectors.lof=null
  python -m wwdc.detect experiments/digits_flow +seed=42 detectors.columns=[u] detectors.seed=1

exit codes: 0 scored, 1 an embedding is broken or the detector of its score failed (the others are
scored), 2 a mistake (nothing started), 3 stopped by a signal or the time budget (resumable),
130 interrupted (resumable)
"""

FLAGS = {
    "dry-run": "list the embeddings, start nothing",
    "json": "print what was found as one JSON document",
    "all": "every checkpoint of the tree",
    "fresh": "score again what is scored",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point; returns its exit code."""
    options = stage_parser("detect", __doc__, FLAGS, EPILOG).parse_intermixed_args(argv)
    return run_cli(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    job = batch_job()
    options.fresh = job.fresh(options.fresh)
    staged = load_stage(job.frozen(options.experiment), options.overrides, trust=options.trust)
    job.freeze(options.experiment)
    detection = read_detection(staged.composed)
    meta, root = staged.composed.meta, staged.composed.data_root
    tree = Tree(root, meta.data_name, meta.experiment_name)
    plan = make_plan(staged.training, tree)
    for text in dict.fromkeys((*staged.composed.notices, *plan.notices)):
        notice(text)
    from wwdc.detect.plan import plan_scorings  # pyarrow takes half a second to import
    from wwdc.embed.published import find_embeddings

    finished = tree.finished()
    planned = {p.point_id: finished[p.point_id] for p in plan.points if p.point_id in finished}
    drops = plan.axes.drops if plan.axes else ()
    embeddings, faults = find_embeddings(tree, finished if options.all else planned, drops)
    if not embeddings and not any(fault.broken for fault in faults):
        raise ProductError(
            f"{tree.name}: nothing is embedded yet. Run: python -m wwdc.embed {options.experiment}"
        )
    code = staged.composed.folder if options.trust else None
    allow = staged.composed.allow
    scorings = plan_scorings(detection, embeddings, tree, allow=allow, code=code)
    run = _Command(options, scorings, faults, tree, staged.training.tune)
    return run.dry() if options.dry_run else run.run()


class _Command:
    """What there is to score, and how it was asked for."""

    def __init__(
        self,
        options: argparse.Namespace,
        scorings: "Sequence[Scoring]",
        faults: "Sequence[Fault]",
        tree: Tree,
        settings: TuneConfig,
    ) -> None:
        from wwdc.detect.plan import published

        self.options, self.scorings, self.faults = options, scorings, faults
        self.tree, self.settings = tree, settings
        self.screen = Console(stderr=options.json, highlight=False)
        known = () if options.fresh else [s for s in scorings if published(s)]
        self.due = [scoring for scoring in scorings if scoring not in known]

    def dry(self) -> int:
        """List the embeddings."""
        from wwdc.detect.plan import rows_of

        due = {scoring.name for scoring in self.due}
        rows: list[dict[str, Any]] = [
            {
                "embedding": s.name,
                "sweep": s.embedding.sweep,
                "seed": s.embedding.seed,
                "rows": rows_of(s.embedding, s.detection.splits),
                "detectors": [d.name for d in s.detection.detectors],
                "status": "new" if s.name in due else "done",
            }
            for s in self.scorings
        ]
        if self.options.json:
            print_json({"experiment": self.tree.name, "embeddings": rows})
            return EXIT_OK
        table = Table(title=f"{self.tree.name}: {len(rows)} embeddings to score", box=SIMPLE)
        for name in ("embedding", "sweep", "seed", "rows", "detectors", "status"):
            table.add_column(name, overflow="fold")
        for row in rows:
            shown = {**row, "detectors": ", ".join(row["detectors"])}
            table.add_row(*("–" if v is None else str(v) for v in shown.values()))
        self.screen.print(table)
        self._say_faults()
        self.screen.print("Nothing was started.")
        return EXIT_OK

    def run(self) -> int:
        """Score what is not known, then publish and show; returns the exit code."""
        from wwdc.detect.progress import Told
        from wwdc.detect.run import score_all

        told, stop = Told(self.screen), StopRequest()
        with _alone(self.tree):
            self._announce()
            try:
                with stop.listening():
                    failures = score_all(self.due, settings=self.settings, told=told, stop=stop)
            except Stopped as stopped:
                self._say(f"Stopped. The same command goes on: {again('detect', self.options)}")
                if stopped.code != EXIT_STOPPED:
                    return stopped.code
                return batch_job().stopped(bool(told.blocks))
            failed = {failure.name for failure in failures}
            products = self._finish([s for s in self.scorings if s.name not in failed])
        self._show(products, failures)
        broken = any(fault.broken for fault in self.faults)
        return EXIT_FAILED if failures or broken else EXIT_OK

    def _announce(self) -> None:
        if self.options.fresh:
            for scoring in self.due:
                shutil.rmtree(scoring.work, ignore_errors=True)
        if self.due:
            count = f"{len(self.due)} of {len(self.scorings)} embeddings to score"
            self._say(f"{self.tree.name}: {count}")
        else:
            self._say(f"{self.tree.name}: nothing to score")

    def _finish(self, scorings: "Sequence[Scoring]") -> list[Product]:
        from wwdc.detect.publish import finish

        first: dict[str, Product] = {}
        for product in self.tree.embedded():
            first.setdefault(product.path.parent.name, product)
        return finish(scorings, fresh=self.options.fresh, first=first)

    def _show(self, products: Sequence[Product], failures: Sequence[Any]) -> None:
        from wwdc.detect.shortlist import FITS
        from wwdc.detect.show import document, show_products

        rows = document(self.scorings, products, failures)
        show_products(rows, self.screen)
        self._say_faults()
        if self.options.json:
            print_json({"experiment": self.tree.name, "embeddings": rows})
        lists = [product.path.with_name(FITS) for product in products]
        if lists and not any(path.exists() for path in lists):
            notice("shortlist.fits is not written: pip install 'wwdc[fits]' brings astropy.")
        self._say(f"Scores: {self.tree.anomalies}")
        if products:
            self._say(f"Next: python -m wwdc.label {self.options.experiment}")

    def _say_faults(self) -> None:
        for fault in self.faults:
            self._say(f"not scored: {fault.path}: {fault.reason}")

    def _say(self, text: str) -> None:
        self.screen.print(text, markup=False, soft_wrap=True)


@contextlib.contextmanager
def _alone(tree: Tree) -> Iterator[None]:
    """Let one command at a time score an experiment: they share folders of work."""
    lock = FileLock(_folder(tree) / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ProductError(
            f"{tree.name}: another command is scoring it. Wait for its end; what it has scored "
            "need not be scored again."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _folder(tree: Tree) -> Path:
    folder = tree.multiruns / "anomalies"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProductError(f"cannot write {folder}: {error.strerror}.") from error
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
