"""Turn labels into a variable of the catalogue, and write the experiment that conditions on it."""

__all__ = ["main"]

import argparse
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from wwdc.commands import print_json, stage_parser
from wwdc.config import Staged, load_stage
from wwdc.errors import ConfigError, DataError, ProductError
from wwdc.products import Tree
from wwdc.terminal import EXIT_FAILED, EXIT_OK, counted, notice, run_cli
from wwdc.tune.plan import make_plan

if TYPE_CHECKING:
    from wwdc.embed.published import Embedding
    from wwdc.promote.labels import Labels
    from wwdc.promote.table import Promotion
    from wwdc.tune.plan import Plan

EPILOG = """\
examples:
  python -m wwdc.promote experiments/digits_flow --labels sevens --dry-run
  python -m wwdc.promote experiments/digits_flow --labels sevens --variable seven
  python -m wwdc.promote experiments/digits_flow --labels sevens --out experiments/next

A classifier of the labels gives every object of every split a value: the log-odds of an anomaly,
or the grade where there are grades only. The quality that is shown is that on labelled objects,
which were chosen for being odd: among all objects it may be another.

exit codes: 0 written, 1 the labels are told no better than chance (--force goes on), 2 a mistake
"""

FLAGS = {
    "force": "go on with labels that are told no better than chance",
    "dry-run": "show how well the labels are told, write nothing",
    "json": "print one JSON document",
}

SEED = 0

_VARIABLE = re.compile(r"(?!u_t)[A-Za-z][A-Za-z0-9_]*")
_TAKEN = ("split", "id", "object", "view")
"""Names of other columns of catalogues and embeddings."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point; returns its exit code."""
    options = _parser().parse_intermixed_args(argv)
    return run_cli(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = stage_parser("promote", __doc__, FLAGS, EPILOG)
    add = parser.add_argument
    add("--labels", metavar="NAME", default="default", help="the campaign (default: default)")
    add("--variable", metavar="VAR", help="name of the new variable (default: label_NAME)")
    add("--out", metavar="FOLDER", type=Path, help="new experiment (default: EXPERIMENT_VAR)")
    return parser


def _run(options: argparse.Namespace) -> int:
    staged = load_stage(options.experiment, options.overrides, trust=options.trust)
    meta = staged.training.meta
    tree = Tree(staged.training.data_root, meta.data_name, meta.experiment_name)
    from wwdc.promote.classify import choose, measure  # scipy takes a second to import
    from wwdc.promote.labels import read_labels
    from wwdc.promote.rows import labelled_rows
    from wwdc.promote.table import Promotion

    labels = read_labels(tree, options.labels)
    embedding = _embedding(staged, tree, labels, options)
    name = _name(options, embedding)
    out = options.out or Path(f"{Path(options.experiment).absolute()}_{name}")
    if out.exists():
        raise ConfigError(f"{out} exists and is not overwritten. Give another folder with --out.")
    labelled = labelled_rows(labels, embedding, str(options.experiment))
    if labels.ties:
        notice(f"{counted(len(labels.ties), 'object')} left out: the labellers are divided")
    quality = measure(labelled, SEED)
    promotion = Promotion(
        experiment=tree.name,
        variable=_variable(name, labelled.kind, labels),
        labels=labels,
        embedding=embedding,
        candidate=choose(labelled, SEED),
        quality=quality,
        seed=SEED,
        forced=not quality.better_than_chance,
    )
    screen = Console(stderr=options.json, highlight=False)
    _show(promotion, screen)
    document: dict[str, Any] = promotion.as_dict()
    if not quality.better_than_chance and not options.force:
        document |= {"written": False}
        code = EXIT_FAILED
    elif options.dry_run:
        screen.print(f"Would write {out}. Nothing was written.", markup=False, soft_wrap=True)
        document |= {"written": False, "folder": str(out)}
        code = EXIT_OK
    else:
        document |= {"written": True, **_write(staged, tree, promotion, labelled, out, screen)}
        code = EXIT_OK
    if options.json:
        print_json(json.loads(json.dumps(document)))
    return code


def _embedding(
    staged: Staged, tree: Tree, labels: "Labels", options: argparse.Namespace
) -> "Embedding":
    """The embedding that was labelled; of the points that overrides choose, if they choose one."""
    from wwdc.embed.published import find_embeddings  # pyarrow takes half a second to import

    plan = make_plan(staged.training, tree)
    for text in dict.fromkeys((*staged.composed.notices, *plan.notices)):
        notice(text)
    finished = tree.finished()
    planned = {p.point_id: finished[p.point_id] for p in plan.points if p.point_id in finished}
    found, faults = find_embeddings(tree, planned, plan.axes.drops if plan.axes else ())
    named = next((one for one in found if one.name == labels.embedding), None)
    if named is not None:
        return named
    broken = [fault for fault in faults if fault.path.name == labels.embedding or fault.broken]
    if len(found) == 1:
        notice(f"labels {labels.name} were given on {labels.embedding}; {found[0].name} is taken")
        return found[0]
    why = f": {broken[0].reason}" if broken else ""
    raise ProductError(
        f"{tree.name}: the embedding that was labelled, {labels.embedding}, cannot be used{why}. "
        f"Run: python -m wwdc.embed {options.experiment} 'splits=[train,val,test]', or choose "
        "another point with overrides."
    )


def _name(options: argparse.Namespace, embedding: "Embedding") -> str:
    name = options.variable or f"label_{options.labels.replace('-', '_')}"
    if not _VARIABLE.fullmatch(name):
        raise ConfigError(
            f"--variable {name!r}: a letter, then letters, digits and '_' name a variable; it "
            "cannot begin with u_t."
        )
    if name in (*_TAKEN, *embedding.columns, *embedding.catalogue.names):
        raise DataError(
            f"--variable {name}: there is a column {name!r} already. Give another name."
        )
    return str(name)


def _variable(name: str, kind: Any, labels: "Labels") -> Any:
    from wwdc.data.catalogue import Variable
    from wwdc.promote.classify import TASKS

    task = TASKS[kind]
    text = f"promoted from labels {labels.name}: {task.meaning}"
    return Variable(name, "continuous", range=task.range, description=text)


def _write(
    staged: Staged, tree: Tree, promotion: "Promotion", labelled: Any, out: Path, screen: Console
) -> dict[str, Any]:
    from wwdc.promote.classify import fit
    from wwdc.promote.folder import next_experiment
    from wwdc.promote.rows import all_values
    from wwdc.promote.table import publish_table

    model = fit(promotion.candidate, labelled, promotion.seed)
    ids, found = all_values(model, promotion.candidate, labelled.kind, promotion.embedding)
    folder = tree.promoted
    path, digest = publish_table(promotion, ids, found, folder)
    plan = next_experiment(
        staged.training,
        out,
        variable=promotion.variable.name,
        table=path,
        sha256=digest,
        origin=_origin(promotion, path),
        notice=notice,
    )
    _show_end(path, out, plan, screen)
    return {"table": str(path), "sha256": digest, "rows": len(ids), "folder": str(out)}


def _origin(promotion: "Promotion", path: Path) -> list[str]:
    labels, quality = promotion.labels, promotion.quality
    main = quality.scores[0]
    return [
        f"From {promotion.experiment}: labels {labels.name} ({quality.objects} objects, events "
        f"{labels.sha256[:12]})",
        f"of embedding {promotion.embedding.name} became the variable {promotion.variable.name}, "
        f"{promotion.candidate.name}.",
        f"On labelled objects {main.name} {main.value:.3f} [{main.ci_low:.3f}, "
        f"{main.ci_high:.3f}], p = {quality.p_value:.3g}.",
        f"See {path.parent.parent.name}/{path.parent.name}/{path.stem}_info.yaml under DATA_ROOT.",
    ]


def _show(promotion: "Promotion", screen: Console) -> None:
    quality, labels = promotion.quality, promotion.labels
    title = (
        f"{promotion.experiment}: labels {labels.name}, {quality.objects} objects, "
        f"{quality.positives} of {quality.rows} rows positive"
    )
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for column in ("on held-out labelled objects", "value", "95 % interval", "chance p"):
        table.add_column(column)
    for number, score in enumerate(quality.scores):
        interval = f"{score.ci_low:.3f} – {score.ci_high:.3f}"
        p = "" if number else f"{quality.p_value:.3g}"
        table.add_row(score.name, f"{score.value:.3f}", interval, p)
    screen.print(table)
    text = f"{promotion.variable.name}: {promotion.candidate.name}"
    screen.print(f"{text}, of embedding {promotion.embedding.name}", markup=False, soft_wrap=True)
    if not quality.better_than_chance:
        screen.print(
            "WARNING: the labels are told no better than chance: a flow that is told this "
            "variable is told noise. Label more objects; --force goes on all the same.",
            markup=False,
            soft_wrap=True,
        )


def _show_end(path: Path, out: Path, plan: "Plan", screen: Console) -> None:
    screen.print(f"Table: {path}", markup=False, soft_wrap=True)
    screen.print(
        f"Experiment: {out}, {counted(len(plan.points), 'point')}", markup=False, soft_wrap=True
    )
    command = shlex.join(["python", "-m", "wwdc.tune", str(out)])
    screen.print(f"Next: {command}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    raise SystemExit(main())
