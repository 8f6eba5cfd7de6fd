"""Train every point of an experiment that is not trained yet."""

__all__ = ["main"]

import argparse
from collections.abc import Sequence

from rich.console import Console

from wwdc.cluster.job import batch_job
from wwdc.cluster.room import room_of
from wwdc.commands import again, print_json, stage_parser
from wwdc.config import Composed, load
from wwdc.config.schema import TuneConfig
from wwdc.products import Tree
from wwdc.terminal import EXIT_INTERRUPTED, EXIT_OK, EXIT_STOPPED, notice, run_cli
from wwdc.tune.bill import Bill, bill, free_space
from wwdc.tune.plan import Plan, make_plan
from wwdc.tune.progress import plan_table, search_table
from wwdc.tune.status import show_status
from wwdc.tune.sweep import run_sweep, with_gpus

EPILOG = """\
examples:
  python -m wwdc.tune experiments/digits_flow --dry-run
  python -m wwdc.tune experiments/digits_flow
  python -m wwdc.tune experiments/digits_flow --status
  python -m wwdc.tune experiments/digits_flow lightning_loader.lr=1e-3,2e-3 +seed=7
  python -m wwdc.tune experiments/digits_flow 'x_ds.drop_variables=[b]' tune.searcher=optuna \
      tune.scheduler=asha tune.num_samples=30 'lightning_loader.lr=loguniform(1e-4,1e-2)'

exit codes: 0 all points done, 1 some failed, 2 a mistake (nothing started),
3 stopped by a signal or the time budget (resumable), 130 interrupted (resumable)
"""

FLAGS = {
    "dry-run": "print the plan, start nothing",
    "status": "print how far it is, from the tree",
    "json": "print the plan as one JSON document",
    "fresh": "train finished points again",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point; returns its exit code."""
    options = stage_parser("tune", __doc__, FLAGS, EPILOG).parse_intermixed_args(argv)
    return run_cli(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    job = batch_job()
    composed = load(job.frozen(options.experiment), options.overrides, trust=options.trust)
    job.freeze(options.experiment)
    tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
    plan = make_plan(composed, tree, fresh=options.fresh)
    for text in plan.notices:
        notice(text)
    screen = Console(stderr=options.json, highlight=False)
    if options.status:
        show_status(plan, tree, screen, as_json=options.json)
        return EXIT_OK
    if options.dry_run:
        _show_dry(plan, _bill(plan, composed, tree), options, screen)
        return EXIT_OK
    left = len(plan.left) + plan.open
    if left or plan.counts["blocked"] or plan.counts["running"]:
        screen.print(f"{plan.experiment}: {left} of {len(plan.points) + plan.open} to train")
    plan, code = run_sweep(composed, tree, plan, fresh=options.fresh, console=screen)
    if options.json:
        print_json(plan.as_json())
    _show_end(plan, tree, composed.tune, options, code, screen, trained=left > 0)
    return code


def _bill(plan: Plan, composed: Composed, tree: Tree) -> Bill:
    settings = with_gpus(composed.tune, plan)
    infos = [product.info for product in tree.products()]
    room, free = room_of(settings), free_space(tree.path)
    return bill(plan, infos, settings, room, free_bytes=free, open_points=plan.open)


def _show_dry(plan: Plan, cost: Bill, options: argparse.Namespace, screen: Console) -> None:
    if options.json:
        print_json(plan.as_json() | {"bill": cost.as_json()})
        return
    if plan.points:
        screen.print(plan_table(plan))
    if plan.axes and plan.axes.searched:
        screen.print(search_table(plan))
    blocked = [p for p in (*plan.points, *plan.probes) if p.status == "blocked"]
    if blocked:
        screen.print(f"blocked: {blocked[0].detail}", markup=False, soft_wrap=True)
    counts = [f"{count} {status}" for status, count in sorted(plan.counts.items())]
    counts += [f"{plan.to_ask} to be chosen by the searcher"] if plan.to_ask else []
    counts += [f"then {plan.to_replicate} with other seeds"] if plan.to_replicate else []
    for line in cost.lines():
        screen.print(line, markup=False, soft_wrap=True)
    screen.print(f"{', '.join(counts)}. Nothing was started.", highlight=False)


def _show_end(
    plan: Plan,
    tree: Tree,
    settings: TuneConfig,
    options: argparse.Namespace,
    code: int,
    screen: Console,
    trained: bool,
) -> None:
    counts = plan.counts
    finished = counts["done"] + counts["stopped"]
    if not trained and code == 0:
        screen.print(f"All {finished} points are done; nothing to train.")
    else:
        screen.print(f"{finished} of {len(plan.points) + plan.open} done.")
    if finished:
        from wwdc.tune.ending import show_results  # imports pandas

        show_results(plan, tree, settings, screen)
    _show_failures(plan, tree, screen)
    screen.print(f"Products: {tree.path}", markup=False, soft_wrap=True)
    if code in (EXIT_STOPPED, EXIT_INTERRUPTED):
        command = again("tune", options)
        screen.print(f"Stopped. The same command goes on: {command}", markup=False, soft_wrap=True)
    else:
        command = f"python -m wwdc.products ls {options.experiment}"
        screen.print(f"Next: {command}", markup=False, soft_wrap=True)


def _show_failures(plan: Plan, tree: Tree, screen: Console) -> None:
    reasons = {info.point_id: info.reason for info in tree.failed()}
    for point in plan.points:
        if point.status == "failed":
            reason = (reasons.get(point.point_id) or "unknown").strip().splitlines()[-1]
            text = f"failed: #{point.job_num} {point.label}: {reason}"
            screen.print(text, markup=False, soft_wrap=True)
            screen.print(f"        traceback: {point.detail}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    raise SystemExit(main())
