"""Test what is left in the embeddings of an experiment: what was removed, what is still there."""

__all__ = ["main"]

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from wwdc.cluster.job import batch_job
from wwdc.commands import again, print_json, stage_parser
from wwdc.config import TuneConfig, load_stage
from wwdc.errors import ProductError
from wwdc.products import Tree
from wwdc.stats.settings import Suite, read_suite
from wwdc.terminal import EXIT_FAILED, EXIT_OK, EXIT_STOPPED, notice, run_cli
from wwdc.tune.plan import make_plan
from wwdc.tune.stopping import Stopped, StopRequest

if TYPE_CHECKING:
    from wwdc.embed.published import Fault
    from wwdc.stats.evaluate import Tables
    from wwdc.stats.units import Unit

EPILOG = """\
examples:
  python -m wwdc.stats experiments/digits_flow
  python -m wwdc.stats experiments/digits_flow tests=quick
  python -m wwdc.stats experiments/digits_flow +seed=42 ~tests.probes.boosting
  python -m wwdc.stats experiments/digits_flow tests.margin.number=0.02 tests.alpha=0.01

verdicts: removed (surely less than the margin is left), present (dropped, and still there),
leaks (told to the flow, and still there), undecided, not tested

exit codes: 0 tested, 1 an embedding is broken or a test failed (the others are in the tables),
2 a mistake (nothing started), 3 stopped by a signal or the time budget (resumable),
130 interrupted (resumable)
"""

FLAGS = {
    "dry-run": "list the tests, start nothing",
    "json": "print verdicts as one JSON document",
    "all": "every checkpoint of the tree",
    "fresh": "run tests again that were run",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point; returns its exit code."""
    options = stage_parser("stats", __doc__, FLAGS, EPILOG).parse_intermixed_args(argv)
    return run_cli(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    job = batch_job()
    options.fresh = job.fresh(options.fresh)
    staged = load_stage(job.frozen(options.experiment), options.overrides, trust=options.trust)
    job.freeze(options.experiment)
    suite = read_suite(staged.composed)
    meta, root = staged.composed.meta, staged.composed.data_root
    tree = Tree(root, meta.data_name, meta.experiment_name)
    plan = make_plan(staged.training, tree)
    for text in dict.fromkeys((*staged.composed.notices, *plan.notices)):
        notice(text)
    from wwdc.embed.published import find_embeddings  # pyarrow takes half a second to import
    from wwdc.stats.units import plan_units

    finished = tree.finished()
    planned = {p.point_id: finished[p.point_id] for p in plan.points if p.point_id in finished}
    drops = plan.axes.drops if plan.axes else ()
    embeddings, faults = find_embeddings(tree, finished if options.all else planned, drops)
    if not embeddings and not any(fault.broken for fault in faults):
        raise ProductError(
            f"{tree.name}: nothing is embedded yet. Run: python -m wwdc.embed {options.experiment}"
        )
    code = staged.composed.folder if options.trust else None
    units = plan_units(suite, embeddings, allow=staged.composed.allow, code=code)
    run = _Suite(options, suite, units, faults, tree, staged.training.tune)
    return run.dry() if options.dry_run else run.run()


class _Suite:
    """A suite with what it is to run on."""

    def __init__(
        self,
        options: argparse.Namespace,
        suite: Suite,
        units: "Sequence[Unit]",
        faults: "Sequence[Fault]",
        tree: Tree,
        settings: TuneConfig,
    ) -> None:
        from wwdc.stats.store import Store

        self.options, self.suite, self.units, self.faults = options, suite, units, faults
        self.tree, self.settings = tree, settings
        self.screen = Console(stderr=options.json, highlight=False)
        self.store = Store(tree.multiruns / "stats")
        self.known = {} if options.fresh else self.store.loaded(unit.id for unit in units)

    def dry(self) -> int:
        """List the tests."""
        table = Table(title=f"{self.tree.name}: {len(self.units)} tests", box=SIMPLE)
        for name in ("kind", "test", "spaces", "embeddings", "known"):
            table.add_column(name)
        groups: dict[tuple[str, str], list[Unit]] = {}
        for unit in self.units:
            groups.setdefault((unit.kind, unit.name), []).append(unit)
        for (kind, name), group in groups.items():
            spaces = ", ".join(dict.fromkeys(unit.space for unit in group))
            names = {unit.embedding.name for unit in group}
            known = sum(unit.id in self.known for unit in group)
            table.add_row(kind, name, spaces, str(len(names)), f"{known} of {len(group)}")
        if self.options.json:
            rows = [
                {"kind": u.kind, "test": u.name, "space": u.space, "embedding": u.embedding.name}
                for u in self.units
            ]
            print_json({"experiment": self.tree.name, "tests": rows, "num_tests": len(rows)})
        else:
            self.screen.print(table)
            self._say_faults()
            self.screen.print("Nothing was started.")
        return EXIT_OK

    def run(self) -> int:
        """Run what is not known, then write and show the tables; returns the exit code."""
        from wwdc.stats.evaluate import evaluate
        from wwdc.stats.files import write_tables
        from wwdc.stats.show import show_tables
        from wwdc.stats.suite import run_units

        left = [unit for unit in self.units if unit.id not in self.known]
        if left:
            count = f"{len(left)} of {len(self.units)} tests to run"
            self.screen.print(f"{self.tree.name}: {count}", markup=False)
        stop = StopRequest()
        try:
            with stop.listening():
                failures = run_units(
                    left,
                    self.store,
                    settings=self.settings,
                    name=self.tree.name,
                    screen=self.screen,
                    stop=stop,
                )
        except Stopped as stopped:
            text = f"Stopped. The same command goes on: {again('stats', self.options)}"
            self.screen.print(text, markup=False, soft_wrap=True)
            made = self.store.loaded(unit.id for unit in left)
            return batch_job().stopped(bool(made)) if stopped.code == EXIT_STOPPED else stopped.code
        failed = {failure.unit.id for failure in failures}  # an earlier run may have kept them
        fresh = self.store.loaded(unit.id for unit in left if unit.id not in failed)
        outcomes = self.known | fresh
        tables = evaluate(self.suite, self.units, outcomes, self.faults)
        folder = write_tables(self.tree, tables, self.suite, self.units)
        show_tables(tables, self.suite, self.screen)
        for failure in failures:
            text = f"failed: {failure.reason}"
            self.screen.print(text, markup=False, soft_wrap=True)
        if self.options.json:
            print_json(_document(self.tree.name, tables))
        self.screen.print(f"Tables: {folder}", markup=False, soft_wrap=True)
        broken = any(fault.broken for fault in self.faults)
        return EXIT_FAILED if failures or broken else EXIT_OK

    def _say_faults(self) -> None:
        for fault in self.faults:
            text = f"not tested: {fault.path}: {fault.reason}"
            self.screen.print(text, markup=False, soft_wrap=True)


def _document(name: str, tables: "Tables") -> dict[str, Any]:
    rows = json.loads(tables.verdicts.to_json(orient="records"))
    summary = json.loads(tables.summary.to_json(orient="records"))
    return {"experiment": name, "verdicts": rows, "summary": summary, "fault": tables.fault}


if __name__ == "__main__":
    raise SystemExit(main())
