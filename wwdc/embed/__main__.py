"""Embed the splits of an experiment with every checkpoint that is published."""

__all__ = ["main"]

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wwdc.cluster.job import batch_job
from wwdc.commands import again, print_json, stage_parser
from wwdc.config import load_stage
from wwdc.embed.jobs import Job, find_jobs
from wwdc.errors import ProductError
from wwdc.products import Tree
from wwdc.terminal import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_STOPPED,
    notice,
    run_cli,
)
from wwdc.tune.plan import make_plan

EPILOG = """\
examples:
  python -m wwdc.embed experiments/digits_flow --dry-run
  python -m wwdc.embed experiments/digits_flow
  python -m wwdc.embed experiments/digits_flow splits=[train,test] +seed=42
  python -m wwdc.embed experiments/digits_flow --all embed.engine=ray

exit codes: 0 all embeddings done, 1 some failed, 2 a mistake (nothing started),
3 stopped by a signal or tune.time_budget_s (resumable), 130 interrupted (resumable)
"""
_STYLES = {"done": "green", "running": "cyan", "failed": "red", "partial": "yellow"}

FLAGS = {
    "dry-run": "print what is due, start nothing",
    "json": "print one JSON document",
    "all": "every finished checkpoint of the tree",
    "fresh": "make finished embeddings again",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point; returns its exit code."""
    options = stage_parser("embed", __doc__, FLAGS, EPILOG).parse_intermixed_args(argv)
    return run_cli(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    job = batch_job()
    options.fresh = job.fresh(options.fresh)
    try:
        staged = load_stage(job.frozen(options.experiment), options.overrides, trust=options.trust)
        job.freeze(options.experiment)
        meta = staged.training.meta
        tree = Tree(staged.training.data_root, meta.data_name, meta.experiment_name)
        plan = make_plan(staged.training, tree)
        for text in dict.fromkeys((*staged.composed.notices, *plan.notices)):
            notice(text)
        jobs, untrained = find_jobs(staged, tree, plan, everything=options.all, fresh=options.fresh)
    except ProductError as error:  # no mistake of the command's: what it builds on is broken
        sys.stderr.write(f"error: {error}\n")
        return EXIT_FAILED
    if not jobs:
        raise ProductError(_nothing(tree, options))
    if untrained:
        notice(
            f"{untrained} of {len(plan.points)} points are not trained yet; this command embeds "
            "them once they are."
        )
    screen = Console(stderr=options.json, highlight=False)
    if options.dry_run:
        _show(tree, jobs, options, screen)
        return EXIT_OK
    due = [job for job in jobs if job.status != "done"]
    code = EXIT_OK
    if due:
        screen.print(f"{tree.name}: {len(due)} of {len(jobs)} to embed", soft_wrap=True)
        from wwdc.embed.progress import Progress
        from wwdc.embed.run import embed  # imports torch

        jobs, code = embed(staged, tree, jobs, Progress(screen), fresh=options.fresh)
    if options.json:
        print_json(_document(tree, jobs))
    _show_end(tree, jobs, options, code, screen, worked=bool(due))
    return code


def _nothing(tree: Tree, options: argparse.Namespace) -> str:
    command = " ".join([f"python -m wwdc.tune {options.experiment}", *_points(options.overrides)])
    which = "" if options.all else " of the points that this command asks for"
    return f"{tree.ckpts} has no finished checkpoint{which}. Train them first: {command}"


def _points(overrides: Sequence[str]) -> list[str]:
    """Those overrides that training takes as well."""
    own = ("embed.", "splits", "tests.")
    return [text for text in overrides if not text.lstrip("+~").startswith(own)]


def _show(tree: Tree, jobs: Sequence[Job], options: argparse.Namespace, screen: Console) -> None:
    if options.json:
        print_json(_document(tree, jobs))
        return
    title = f"{tree.name}: {len(jobs)} embeddings"
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for name in ("checkpoint", "sweep", "seed", "split", "status"):
        table.add_column(name, overflow="fold")
    for job in jobs:
        status = Text(job.status, style=_STYLES.get(job.status, ""))
        seed = "" if job.product.info.seed is None else str(job.product.info.seed)
        table.add_row(*map(Text, (job.name, job.sweep or "–", seed, job.split)), status)
    screen.print(table)
    counts = Counter(job.status for job in jobs)
    told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    screen.print(f"{told}. Nothing was started.")


def _show_end(
    tree: Tree,
    jobs: Sequence[Job],
    options: argparse.Namespace,
    code: int,
    screen: Console,
    worked: bool,
) -> None:
    done = sum(job.status == "done" for job in jobs)
    if not worked:
        screen.print(f"All {done} embeddings are done; nothing to do.")
    else:
        screen.print(f"{done} of {len(jobs)} embeddings done.")
    for job in jobs:
        if job.status == "failed":
            text = f"failed: {job.name}/{job.split}: {job.detail}"
            screen.print(text, markup=False, soft_wrap=True)
    screen.print(f"Embeddings: {tree.embeddings}", markup=False, soft_wrap=True)
    if code in (EXIT_STOPPED, EXIT_INTERRUPTED):
        text = f"Stopped. The same command goes on: {again('embed', options)}"
    else:
        text = f"Next: python -m wwdc.stats {options.experiment}"
    screen.print(text, markup=False, soft_wrap=True)


def _document(tree: Tree, jobs: Sequence[Job]) -> dict[str, Any]:
    return {"experiment": tree.name, "embeddings": [job.as_json() for job in jobs]}


if __name__ == "__main__":
    raise SystemExit(main())
