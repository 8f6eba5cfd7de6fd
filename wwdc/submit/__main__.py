"""Send stages of an experiment to a Slurm cluster, a job each, once they are checked here."""

__all__ = ["main"]

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from wwdc.commands import print_json, stage_parser
from wwdc.errors import ClusterError, ConfigError
from wwdc.submit.check import CLUSTER_STAGES, Checked, check_experiment, read_stages
from wwdc.submit.sbatch import Request, Submitted, submit
from wwdc.submit.site import Site, find_site, scripts, sites
from wwdc.terminal import EXIT_OK, notice, run_cli

EPILOG = """\
examples:
  python -m wwdc.submit experiments/digits_flow --site arc --print
  python -m wwdc.submit experiments/digits_flow --site arc --nodes 2 --stages tune,embed,stats
  python -m wwdc.submit experiments/digits_flow +seed=7 --sbatch='--time=60 --mem=8G'

DATA_ROOT has to be set, to a folder that all nodes share. A stage that is submitted checks by
itself what is there: the same line again goes on where the last one ended.

exit codes: 0 submitted, or nothing to do, 2 a mistake, or Slurm refuses (nothing is submitted)
"""

FLAGS = {
    "print": "show the command lines and the batch script, submit nothing",
    "json": "print the jobs as one JSON document",
}

SCRIPT = "ray_head.sh"

_JOB_ID = re.compile(r"\d+(_\d+)?")


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point; returns its exit code."""
    options = _parser().parse_intermixed_args(argv)
    return run_cli(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = stage_parser("submit", __doc__, FLAGS, EPILOG)
    add = parser.add_argument
    add("--site", metavar="NAME|FILE", help=f"the cluster: {', '.join(sites())}, or a file")
    add("--nodes", metavar="N", type=_count, help="nodes of each job (default 1)")
    add(
        "--stages",
        metavar="STAGE,…",
        default="tune",
        help=f"of {', '.join(CLUSTER_STAGES)} (default tune)",
    )
    add("--after", metavar="JOBID", type=_job_id, help="start when this job has ended")
    add("--sbatch", metavar="'OPTION …'", default="", help="more options of sbatch, after the site")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of nodes, got {text!r}")
    return int(text)


def _job_id(text: str) -> str:
    if not _JOB_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected the number of a job, got {text!r}")
    return text


def _run(options: argparse.Namespace) -> int:
    site = find_site(options.site) if options.site else None
    extra = _words(options.sbatch)
    checked = check_experiment(
        options.experiment,
        options.overrides,
        read_stages(options.stages),
        after=options.after,
        trust=options.trust,
    )
    for text in checked.notices:
        notice(text)
    screen = Console(stderr=options.json, highlight=False)
    if "tune" not in checked.stages and "tune" in checked.overrides:
        screen.print(f"All {checked.finished} points are done: no training is submitted.")
    requests = [_request(stage, checked, site, extra, options) for stage in checked.stages]
    if options.print:
        _show(requests, options)
        return EXIT_OK
    if requests:
        _make_log_folder(checked)
    jobs = submit(requests, options.after)
    if options.json:
        rows = [_document(j.stage, j.job_id, j.cluster, j.line, j.log) for j in jobs]
        print_json({"jobs": rows})
    if jobs:
        _show_end(jobs, checked, screen)
    return EXIT_OK


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"--sbatch={text!r}: {error}") from None


def _request(
    stage: str,
    checked: Checked,
    site: Site | None,
    extra: tuple[str, ...],
    options: argparse.Namespace,
) -> Request:
    folder = str(checked.tree.multiruns / "slurm").replace("%", "%%")
    name = re.sub(r"[^\w.-]", "-", checked.folder.name)
    nodes = () if options.nodes is None else (f"--nodes={options.nodes}",)
    trust = ("--trust",) if options.trust else ()
    return Request(
        stage=stage,
        variables={
            "WWDC_CLUSTER": str(scripts()),
            "WWDC_SITE": str(site.path) if site else "",
            "WWDC_PYTHON": (site.python if site else None) or sys.executable,
            "DATA_ROOT": str(checked.tree.data_root),
        },
        options=(
            f"--job-name=wwdc-{name}",
            f"--output={folder}/%j.out",
            *(() if nodes else ("--nodes=1",)),
            *(site.options if site else ()),
            *nodes,
        ),
        extra=extra,
        command=(
            str(scripts() / SCRIPT),
            stage,
            str(checked.folder),
            *checked.overrides[stage],
            *trust,
        ),
    )


def _make_log_folder(checked: Checked) -> None:
    folder = checked.tree.multiruns / "slurm"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClusterError(
            f"{folder} cannot be made, where the jobs' logs go ({error.strerror}). "
            "Set DATA_ROOT to a folder of yours."
        ) from None


def _show(requests: Sequence[Request], options: argparse.Namespace) -> None:
    """The command lines as they would be, each but the last keeping its job's number."""
    afters = [options.after, *(f"${{{request.stage}%%;*}}" for request in requests)]
    chain = list(zip(requests, afters, strict=False))
    if options.json:
        rows = [
            _document(request.stage, None, None, request.line(after), request.log(None))
            for request, after in chain
        ]
        print_json({"jobs": rows})
        return
    for request, after in chain:
        line = request.line(after)
        last = request is requests[-1]
        sys.stdout.write(f"{line}\n" if last else f"{request.stage}=$({line})\n")
    if requests:
        sys.stdout.write(f"\n{(scripts() / SCRIPT).read_text(encoding='utf-8')}")


def _document(
    stage: str, job_id: str | None, cluster: str | None, command: str, log: str
) -> dict[str, Any]:
    return {"stage": stage, "job_id": job_id, "cluster": cluster, "command": command, "log": log}


def _show_end(jobs: Sequence[Submitted], checked: Checked, screen: Console) -> None:
    cluster = next((f"--clusters={job.cluster} " for job in jobs if job.cluster), "")
    numbers = [job.job_id for job in jobs]
    lines = [f"job {job.job_id}: {job.stage}, log {job.log}" for job in jobs]
    lines += [
        "",
        f"its place in the queue:  squeue {cluster}--jobs={','.join(numbers)}",
        f"what it prints:          tail -F {shlex.quote(jobs[0].log)}",
    ]
    if "tune" in checked.stages:
        words = ["python", "-m", "wwdc.tune", str(checked.folder), *checked.overrides["tune"]]
        lines.append(f"how far it is:           {shlex.join(words)} --status")
    lines.append(f"its end:                 scancel {cluster}{' '.join(numbers)}")
    for line in lines:
        screen.print(line, markup=False, soft_wrap=True)


if __name__ == "__main__":
    raise SystemExit(main())
