"""Run all stages of an experiment: only what is missing or out of date."""

__all__ = ["main"]

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wwdc.cluster.job import BatchJob, batch_job
from wwdc.commands import again, print_json, stage_parser
from wwdc.products import Tree
from wwdc.run.stages import NAMES, choose
from wwdc.terminal import EXIT_INTERRUPTED, EXIT_OK, EXIT_STOPPED, notice, run_cli
from wwdc.tune.stopping import Stopped

if TYPE_CHECKING:
    from wwdc.run.drive import Driver
    from wwdc.run.stages import Fact, Outlook
    from wwdc.run.survey import Survey
    from wwdc.run.whole import Whole

EPILOG = """\
examples:
  python -m wwdc.run experiments/digits_flow --dry-run
  python -m wwdc.run experiments/digits_flow
  python -m wwdc.run experiments/digits_flow tests=quick --until stats
  python -m wwdc.run experiments/digits_flow +seed=42 --from embed

An experiment that builds on another, as a flow does on a VAE, has that one trained first where it
is missing and its folder lies beside this one.

exit codes: 0 all done, 1 something failed (the rest is done), 2 a mistake,
3 stopped by a signal or the time budget (resumable), 130 interrupted (resumable)
"""

FLAGS = {
    "dry-run": "say what each stage would do, start nothing",
    "json": "print what was done as one JSON document",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point; returns its exit code."""
    options = _parser().parse_intermixed_args(argv)
    return run_cli(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = stage_parser("run", __doc__, FLAGS, EPILOG)
    for flag, name, text in (("from", "first", "begin with"), ("until", "last", "end after")):
        parser.add_argument(
            f"--{flag}", dest=name, metavar="STAGE", choices=NAMES, help=f"{text} this stage"
        )
    parser.epilog = f"stages: {' '.join(NAMES)}\n\n{EPILOG}"
    return parser


def _run(options: argparse.Namespace) -> int:
    from wwdc.run.whole import find_whole  # composing takes half a second to import

    job = batch_job()
    chosen = choose(options.first, options.last)
    whole = find_whole(options.experiment, options.overrides, chosen, job, trust=options.trust)
    for text in whole.notices:
        notice(text)
    screen = Console(stderr=options.json, highlight=False)
    facts = whole.facts()
    expected = whole.outlooks(facts)
    if options.dry_run:
        _show_dry(list(zip(whole.surveys, expected, strict=True)), options, screen)
        return EXIT_OK
    whole.freeze(job)
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        driver, code = _drive(whole, facts, screen, job)
    if options.json:
        print_json(_document(whole, driver))
    _show_end(whole, options, code, screen)
    return code


def _drive(
    whole: "Whole", facts: "Sequence[Mapping[str, Fact]]", screen: Console, job: BatchJob
) -> "tuple[Driver, int]":
    """Run it; what became of each stage, and the exit code."""
    from wwdc.run.drive import Driver
    from wwdc.run.receipts import kept

    trees = [survey.tree for survey in whole.surveys]
    before = kept(trees) if job.restarts else frozenset()
    driver = Driver(screen, job.deadline(whole.survey.composed.tune.time_budget_s))
    try:
        with driver:
            whole.run(driver, facts)
            code = driver.worst
    except Stopped as stopped:
        code = stopped.code
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    if code == EXIT_STOPPED:
        code = job.stopped(bool(kept(trees) - before))
    return driver, code


def _show_dry(
    expected: "Sequence[tuple[Survey, list[Outlook]]]",
    options: argparse.Namespace,
    screen: Console,
) -> None:
    if options.json:
        *first, (survey, own) = expected
        before = [{"experiment": s.tree.name, "stages": _rows(rows)} for s, rows in first]
        own_rows = {"experiment": survey.tree.name, "stages": _rows(own)}
        print_json(own_rows | {"first": before, "report": str(_page(survey.tree))})
        return
    for survey, rows in expected:
        table = Table(
            title=f"{survey.tree.name}: {survey.folder}", title_justify="left", box=SIMPLE
        )
        for name in ("stage", "status", "why"):
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, (row.stage, row.status, row.reason)))
        screen.print(table)
    screen.print("Nothing was started.")


def _rows(outlooks: "Sequence[Outlook]") -> list[dict[str, str]]:
    return [outlook.as_json() for outlook in outlooks]


def _document(whole: "Whole", driver: "Driver") -> dict[str, Any]:
    page = _page(whole.survey.tree)
    return {
        "experiment": whole.survey.tree.name,
        "stages": [ended.as_json() for ended in driver.ended],
        "report": str(page) if page.is_file() else None,
    }


def _show_end(whole: "Whole", options: argparse.Namespace, code: int, screen: Console) -> None:
    tree = whole.survey.tree
    if code in (EXIT_STOPPED, EXIT_INTERRUPTED):
        flags = [f"--{n}={v}" for n, v in (("from", options.first), ("until", options.last)) if v]
        command = " ".join([again("run", options), *flags])
        screen.print(f"Stopped. The same command goes on: {command}", markup=False, soft_wrap=True)
    elif _page(tree).is_file():
        screen.print(f"Report: {_page(tree)}", markup=False, soft_wrap=True)
    else:
        screen.print(f"Products: {tree.path}", markup=False, soft_wrap=True)


def _page(tree: Tree) -> Path:
    return tree.report / "index.html"


if __name__ == "__main__":
    raise SystemExit(main())
