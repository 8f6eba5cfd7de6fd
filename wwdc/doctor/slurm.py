"""Slurm: its commands, its controller, its partitions, and the job around this process."""

__all__ = [
    "JobFacts",
    "Partition",
    "SlurmFacts",
    "check_controller",
    "check_job",
    "check_partitions",
    "check_programs",
    "check_requeue",
    "job_facts",
    "slurm_facts",
]

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wwdc.doctor.ask import Answer, ask
from wwdc.doctor.check import Check

PROGRAMS = ("sbatch", "srun", "scontrol", "squeue", "scancel", "sinfo")
_NO_CLUSTER = re.compile(r"configuration source|fetch.?config|slurm\.conf", re.IGNORECASE)
_OF_A_JOB = re.compile(
    r"SLURM_(JOB_?ID|JOB_CPUS_PER_NODE|JOB_NUM_NODES|CPUS_ON_NODE|CPUS_PER_TASK|GPUS_ON_NODE"
    r"|NTASKS|NPROCS|NNODES|PROCID|LOCALID|NODEID|STEP_ID|TASKS_PER_NODE|MEM_PER_\w+|\w*NODELIST)"
)


@dataclass(frozen=True)
class Partition:
    """A queue of the cluster, in Slurm's own words."""

    name: str
    limit: str
    nodes: str
    cpus: str
    memory: str
    gres: str
    state: str


@dataclass(frozen=True)
class SlurmFacts:
    """What Slurm says of itself.

    Attributes:
        missing: commands that cannot be found.
        version: of the commands: ``slurm 22.05.8``.
        ping: the controller's lines of ``scontrol ping``.
        fault: why there is no answer.
        partitions: none where there was no answer.
        settings: of ``scontrol show config``.
        named: whether SLURM_CONF names a configuration.
    """

    missing: tuple[str, ...] = ()
    version: str = ""
    ping: tuple[str, ...] = ()
    fault: str = ""
    partitions: tuple[Partition, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    named: bool = False

    @property
    def answers(self) -> bool:
        """Whether a controller is up."""
        return any(line.endswith("UP") for line in self.ping)

    @property
    def configured(self) -> bool:
        """Whether this machine belongs to a cluster; commands alone do not make it one."""
        return self.named or not _NO_CLUSTER.search(self.fault)


@dataclass(frozen=True)
class JobFacts:
    """The job that the environment speaks of.

    Attributes:
        id: its number; None without one.
        state: as the controller knows it; None if it does not know the job.
        left: time that is left, in Slurm's words.
        fault: why the controller does not say.
        variables: SLURM_* that are set.
    """

    id: str | None
    state: str | None = None
    left: str = ""
    fault: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


def check_programs(facts: SlurmFacts) -> Check:
    """Slurm's commands; without sbatch this is no machine to submit from."""
    if not facts.missing:
        listed = ", ".join(PROGRAMS)
        return Check("Slurm", "ok", f"{facts.version}: {listed}" if facts.version else listed)
    if len(facts.missing) == len(PROGRAMS):
        return Check("Slurm", "not here", "no Slurm on this machine")
    fix = "Load the cluster's module, or install the rest of its client (Debian: slurm-client)."
    command = "module load slurm"
    return Check("Slurm", "fails", f"no {', '.join(facts.missing)}", fix, command)


def check_controller(facts: SlurmFacts, in_job: bool) -> Check:
    """Whether Slurm answers."""
    if facts.answers:
        return Check("controller", "ok", "; ".join(facts.ping))
    said = facts.fault or "; ".join(facts.ping) or "no answer"
    if not facts.configured and not in_job:
        return Check("controller", "not here", "no slurm.conf: this machine belongs to no cluster")
    if not facts.configured:
        fix = "In a container, bind /etc/slurm and /run/munge; else set SLURM_CONF to the file."
        command = "export SLURM_CONF=/etc/slurm/slurm.conf"
        return Check("controller", "fails", said, fix, command)
    if facts.named and _NO_CLUSTER.search(said):
        fix = "SLURM_CONF names no file that can be used. Without it, Slurm looks for its own."
        return Check("controller", "fails", said, fix, "unset SLURM_CONF")
    fix = "Wait for it, or tell the cluster's support. Is munge running here, and the clock right?"
    return Check("controller", "fails", said, fix, "scontrol ping")


def check_partitions(facts: SlurmFacts) -> Check:
    """The queues: time limit, nodes, and CPUs, memory and GPUs of a node."""
    details = tuple(_line(partition) for partition in facts.partitions)
    up = sum(partition.state == "up" for partition in facts.partitions)
    if up:
        count = "1 is up" if up == 1 else f"{up} are up"
        return Check("partitions", "ok", count, details=details)
    fix = "Nothing can run before one is up: ask the cluster's support."
    return Check("partitions", "note", "none is up", fix, "sinfo", details)


def check_requeue(facts: SlurmFacts) -> Check:
    """Whether jobs that the time limit ends can go back to the queue under their number."""
    names = ("JobRequeue", "KillWait")
    found = ", ".join(f"{name}={facts.settings[name]}" for name in names if name in facts.settings)
    if facts.settings.get("JobRequeue", "1") != "0":
        return Check("requeueing", "ok", found or "not told")
    fix = "Nothing to do: a job that needs more time submits itself again, under a new number."
    return Check("requeueing", "note", found, fix)


def check_job(facts: JobFacts) -> Check:
    """The job around this process, or variables of one that is not there."""
    listed = sorted(name for name in facts.variables if _OF_A_JOB.fullmatch(name))
    unset = f"unset {' '.join(listed)}"
    if facts.id is None:
        if not listed:
            return Check("job", "not here", "not inside of one")
        fix = "They look like a job's, and Ray and Lightning would believe them. Unset them."
        return Check("job", "note", f"no job, but {', '.join(listed)} set", fix, unset)
    if facts.fault:
        fix = "What the job was given is known by its variables only; see the controller."
        return Check("job", "note", f"{facts.id}: {facts.fault}", fix)
    if facts.state is None or facts.state not in ("RUNNING", "COMPLETING", "SUSPENDED"):
        state = facts.state or "unknown to Slurm"
        fix = "The variables are of a job that does not run. Unset them, or open a new shell."
        return Check("job", "note", f"{facts.id}: {state}", fix, unset)
    left = "no time limit" if facts.left == "UNLIMITED" else f"{facts.left} left"
    found = f"{facts.id}: {_given(facts.variables)}, {left}"
    if "SLURMD_NODENAME" not in facts.variables:
        fix = "This is not one of the job's nodes. Start commands on them with srun."
        return Check("job", "note", found, fix, "srun --pty python -m wwdc.doctor")
    return Check("job", "ok", found)


def slurm_facts(environment: Mapping[str, str]) -> SlurmFacts:
    """Ask Slurm, each question with a time limit."""
    named = "SLURM_CONF" in environment
    missing = tuple(program for program in PROGRAMS if shutil.which(program) is None)
    if "scontrol" in missing or "sinfo" in missing:
        return SlurmFacts(missing, named=named)
    version = ask("sinfo", "--version").out.strip()
    ping = ask("scontrol", "ping")
    lines = tuple(line.strip() for line in ping.out.splitlines() if line.strip())
    facts = SlurmFacts(missing, version, lines, ping.fault, named=named)
    if not facts.answers:
        return facts
    listed = ask("sinfo", "--noheader", "--format=%P|%l|%D|%c|%m|%G|%a")
    settings = dict(_settings(ask("scontrol", "show", "config")))
    return replace(facts, partitions=_partitions(listed), settings=settings)


def job_facts(environment: Mapping[str, str]) -> JobFacts:
    """Of the job that *environment* speaks of, as far as the controller knows it."""
    variables = {n: value for n, value in environment.items() if n.startswith("SLURM")}
    job = environment.get("SLURM_JOB_ID")
    if job is None:
        return JobFacts(None, variables=variables)
    answer = ask("squeue", "--noheader", f"--jobs={job}", "--format=%T|%L")
    state, _, left = answer.out.strip().partition("|")
    unknown = answer.ok or "Invalid job id" in answer.fault
    return JobFacts(job, state or None, left, "" if unknown else answer.fault, variables)


def _line(partition: Partition) -> str:
    node = [f"{partition.cpus} CPUs", f"{partition.memory} MB"]
    if partition.gres != "(null)":
        node.append(partition.gres)
    state = "" if partition.state == "up" else f", {partition.state}"
    return f"{partition.name}: {partition.limit}, {partition.nodes} × ({', '.join(node)}){state}"


def _partitions(answer: Answer) -> tuple[Partition, ...]:
    rows = [line.strip().split("|") for line in answer.out.splitlines()]
    return tuple(Partition(*row) for row in rows if len(row) == len(Partition.__annotations__))


def _settings(answer: Answer) -> list[tuple[str, str]]:
    return re.findall(r"^(\w+)\s+= (.*?)\s*$", answer.out, re.MULTILINE)


def _given(variables: Mapping[str, str]) -> str:
    """What the job was given; of CPUs and GPUs, on this node."""
    nodes = variables.get("SLURM_JOB_NUM_NODES") or variables.get("SLURM_NNODES") or "1"
    parts = ["1 node" if nodes == "1" else f"{nodes} nodes"]
    if "SLURM_CPUS_ON_NODE" in variables:
        parts.append(f"{variables['SLURM_CPUS_ON_NODE']} CPUs here")
    parts.append(f"{variables.get('SLURM_GPUS_ON_NODE') or 0} GPUs here")
    for name, what in (("SLURM_MEM_PER_NODE", "a node"), ("SLURM_MEM_PER_CPU", "a CPU")):
        if name in variables:
            parts.append(f"{variables[name]} MB {what}")
    return ", ".join(parts)
