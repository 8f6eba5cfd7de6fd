"""What the command lines of the stages share: the parser and the one JSON document."""

__all__ = ["again", "print_json", "stage_parser"]

import argparse
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def stage_parser(
    stage: str, description: str | None, flags: Mapping[str, str], epilog: str = ""
) -> argparse.ArgumentParser:
    """A parser of ``EXPERIMENT [OVERRIDE ...]`` with *flags*, name → help, and ``--trust``."""
    parser = argparse.ArgumentParser(
        prog=f"python -m wwdc.{stage}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "experiment", metavar="EXPERIMENT", type=_folder, help="path of the experiment folder"
    )
    parser.add_argument(
        "overrides", metavar="OVERRIDE", nargs="*", help="key=value, +key=value, ~key, group=choice"
    )
    for name, text in flags.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument("--trust", action="store_true", help="run Python of the experiment folder")
    return parser


def again(stage: str, options: argparse.Namespace) -> str:
    """The command line that goes on with what was stopped: all but the address of a Ray."""
    overrides = [text for text in options.overrides if not text.startswith("tune.address=")]
    trust = ["--trust"] if options.trust else []
    return shlex.join(
        ["python", "-m", f"wwdc.{stage}", str(options.experiment), *overrides, *trust]
    )


def print_json(document: Mapping[str, Any]) -> None:
    """The one document of ``--json``, on standard output."""
    sys.stdout.write(json.dumps(document, indent=1) + "\n")


def _folder(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; give the path of an experiment folder")
    return Path(text)
