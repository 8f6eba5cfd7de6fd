"""`python -m wwdc.products`: list, choose, check and tidy an experiment's products."""

__all__ = ["main"]

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from wwdc.errors import ProductError
from wwdc.products import report
from wwdc.products.best import best_of
from wwdc.products.gc import gc
from wwdc.products.tree import Tree
from wwdc.products.verify import verify
from wwdc.terminal import EXIT_FAILED, EXIT_OK, notice, run_cli

_COMMANDS = {
    "ls": "list the checkpoints, with sweep, seed, status and metric",
    "best": "print the path of the best checkpoint by model_checkpoint.monitor; --export copies it",
    "verify": "check every product's hash, schema, contents and lineage; exit 1 if one is broken",
    "gc": "list what killed or finished runs left behind; --delete removes it",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = _parse(sys.argv[1:] if argv is None else list(argv))
    return run_cli(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from wwdc.config import load

    composed = load(Path(arguments.experiment), arguments.overrides, trust=arguments.trust)
    for line in composed.notices:
        notice(line)
    tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
    if arguments.command == "ls":
        report.show_products(tree, as_json=arguments.json)
    elif arguments.command == "best":
        product = best_of(tree)
        if product is None:
            raise ProductError(
                f"{tree.path} has no finished checkpoint yet. "
                f"Train one: python -m wwdc.tune {arguments.experiment}"
            )
        files = None
        if arguments.export is not None:
            from wwdc.products.export import export  # reads weights, which takes torch

            files = export(product, arguments.export, tree, allow=composed.allow)
        report.show_best(product, files, as_json=arguments.json)
    elif arguments.command == "verify":
        problems = verify(tree)
        report.show_problems(tree, problems, as_json=arguments.json)
        return EXIT_FAILED if any(problem.broken for problem in problems) else EXIT_OK
    else:
        garbage = gc(tree, delete=arguments.delete)
        report.show_garbage(tree, garbage, deleted=arguments.delete, as_json=arguments.json)
    return EXIT_OK


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m wwdc.products", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("experiment", metavar="EXPERIMENT", help="an experiment's folder")
        command.add_argument(
            "overrides", metavar="OVERRIDE", nargs="*", help="such as meta.experiment_name=VAE_2"
        )
        command.add_argument("--json", action="store_true", help="print one JSON document")
        command.add_argument(
            "--trust", action="store_true", help="let the folder's own Python be imported"
        )
        if name == "best":
            command.add_argument(
                "--export",
                metavar="DIR",
                type=Path,
                help="write weights and settings into a new folder for wwdc.load(DIR)",
            )
        if name == "gc":
            command.add_argument("--delete", action="store_true", help="remove what is listed")
    arguments, rest = parser.parse_known_args(argv)
    flags = [text for text in rest if text.startswith("-")]
    if flags:
        parser.error(f"unrecognized arguments: {' '.join(flags)}")
    arguments.overrides += rest  # what follows a flag
    return arguments


if __name__ == "__main__":
    sys.exit(main())
