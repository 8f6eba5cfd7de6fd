"""Command lines of sbatch, and handing a chain of them to Slurm: all of it, or none."""

__all__ = ["Request", "Submitted", "submit"]

import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from wwdc.errors import ClusterError
from wwdc.terminal import notice

_PARSABLE = re.compile(r"(\d+)(?:;(\S+))?")
_OUTPUT = re.compile(r"(?:--output=|-o(?!$))(.+)")


@dataclass(frozen=True)
class Request:
    """A stage as it goes to sbatch, which takes the later of two options that are the same.

    Attributes:
        stage: what the job runs.
        variables: of its environment.
        options: of sbatch.
        extra: the user's own, which come later.
        command: the batch script with its arguments.
    """

    stage: str
    variables: Mapping[str, str]
    options: tuple[str, ...]
    extra: tuple[str, ...]
    command: tuple[str, ...]

    def argv(self, after: str | None) -> list[str]:
        """The words of the command line; *after* is the job that has to end before."""
        chained = [_dependency(after)] if after else []
        options = [*self.options, *chained, *self.extra, "--export=ALL"]
        return ["sbatch", "--parsable", *options, *self.command]

    def line(self, after: str | None) -> str:
        """The same for a shell, after the variables. *after* may be a shell's ``${variable}``."""
        given = [f"{name}={shlex.quote(value)}" for name, value in self.variables.items()]
        raw = _dependency(after)
        words = [word if word == raw else shlex.quote(word) for word in self.argv(after)]
        return " ".join([*given, *words])

    def log(self, job_id: str | None) -> str:
        """Where Slurm writes what the job prints; ``%j`` stands for a number not known yet."""
        words = [*self.options, *self.extra]
        pattern = ""
        for word, following in pairwise([*words, ""]):
            if word in ("--output", "-o"):
                pattern = following
            elif match := _OUTPUT.fullmatch(word):
                pattern = match[1]
        if job_id is None:
            return pattern
        return re.sub("%[%j]", lambda match: "%" if match[0] == "%%" else job_id, pattern)


@dataclass(frozen=True)
class Submitted:
    """A job that Slurm has taken.

    Attributes:
        cluster: its name, where Slurm serves several.
    """

    stage: str
    job_id: str
    cluster: str | None
    line: str
    log: str


def submit(requests: Sequence[Request], after: str | None = None) -> list[Submitted]:
    """Submit a chain, each job after the end of the one before, however that ends.

    Args:
        requests: the stages, in order.
        after: the job that the first one waits for.

    Raises:
        ClusterError: sbatch is not there or refuses; what was submitted before is cancelled.
    """
    done: list[Submitted] = []
    try:
        for request in requests:
            done.append(_sbatch(request, done[-1].job_id if done else after))
    except ClusterError as error:
        raise ClusterError(" ".join([str(error), *_withdraw(done)])) from None
    except KeyboardInterrupt:
        for text in _withdraw(done):
            notice(text)
        raise
    return done


def _dependency(after: str | None) -> str:
    return f"--dependency=afterany:{after}"


def _sbatch(request: Request, after: str | None) -> Submitted:
    argv = request.argv(after)
    try:
        ended = _run(argv, request.variables)
    except OSError as error:
        raise ClusterError(
            f"there is no sbatch that could be run ({error.strerror}). Submit on a login node of "
            "the cluster, where Slurm's commands are on the PATH; --print shows what would be "
            "submitted."
        ) from None
    if ended.returncode:
        raise ClusterError(
            f"sbatch refuses the {request.stage} job: {_last_line(ended.stderr or ended.stdout)} "
            f"(options: {shlex.join(argv[2 : -len(request.command)])}). Look at the site file and "
            "at --sbatch; `sinfo` lists the partitions with their limits."
        )
    found = [match for line in ended.stdout.split() if (match := _PARSABLE.fullmatch(line))]
    if not found:
        raise ClusterError(
            f"sbatch ended well but named no job: {ended.stdout.strip()!r}. "
            "See `squeue --me` for what it did."
        )
    for line in ended.stderr.splitlines():
        notice(line)
    job_id, cluster = found[-1].groups()
    return Submitted(request.stage, job_id, cluster, request.line(after), request.log(job_id))


def _withdraw(jobs: Iterable[Submitted]) -> list[str]:
    """Cancel the jobs; returns what there is to say of it."""
    said = []
    for job in jobs:
        where = [f"--clusters={job.cluster}"] if job.cluster else []
        argv = ["scancel", *where, job.job_id]
        try:
            failed = _run(argv, {}).returncode != 0
        except OSError:
            failed = True
        outcome = f"could not be cancelled: {shlex.join(argv)}" if failed else "is cancelled."
        said.append(f"Job {job.job_id} ({job.stage}), submitted before, {outcome}")
    return said


def _run(argv: Sequence[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | variables
    return subprocess.run(
        argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines() or ["it gives no reason"]
    return re.sub(r"^sbatch: (?:error|fatal): ", "", lines[-1].strip())
