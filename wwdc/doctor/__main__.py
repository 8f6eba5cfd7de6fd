"""Check this machine: Python, DATA_ROOT, Ray, Slurm, GPUs; and say how to mend what fails."""

__all__ = ["main"]

import argparse
import socket
from collections.abc import Sequence

from rich.console import Console

from wwdc import __version__
from wwdc.commands import print_json
from wwdc.doctor.examine import Machine, examine
from wwdc.doctor.show import document, show
from wwdc.terminal import EXIT_FAILED, EXIT_OK, console, run_cli

EPILOG = """\
examples:
  python -m wwdc.doctor
  srun --pty python -m wwdc.doctor            on a node of the cluster, which may differ

Files are tried in DATA_ROOT and in the folders for temporary files, and removed again.

exit codes: 0 nothing fails, 1 a check fails
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point; returns its exit code."""
    options = _parser().parse_args(argv)
    return run_cli(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wwdc.doctor",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--json", action="store_true", help="print one JSON document")
    add("--quick", action="store_true", help="start no Ray")
    add(
        "--early-stop",
        action="store_true",
        help="also see that a trial that ends early gives back its CPUs (a minute or two)",
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.quick and options.early_stop:
        _parser().error("--early-stop needs a Ray, which --quick does not start")
    machine = Machine(quick=options.quick, early_stop=options.early_stop)
    with console().status("looking at this machine") as status:
        groups = list(examine(machine, lambda name: status.update(f"looking at {name}")))
    if options.json:
        print_json(document(groups, host=socket.gethostname(), wwdc_version=__version__))
    else:
        show(groups, Console(highlight=False))
    failed = any(check.state == "fails" for group in groups for check in group.checks)
    return EXIT_FAILED if failed else EXIT_OK


if __name__ == "__main__":
    raise SystemExit(main())
