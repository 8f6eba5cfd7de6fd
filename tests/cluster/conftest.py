"""One Slurm of three hosts for all tests of the cluster, and experiments to run on it."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from tests.cluster.slurm import Job, Slurm
from tests.conftest import REPOSITORY, flow_experiment
from wwdc.products import Product, Tree
from wwdc.products.verify import verify

SCRIPT = REPOSITORY / "cluster" / "ray_head.sh"
MINUTES = 10


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Three hosts with two CPUs each; every test leaves them running and idle."""
    with Slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


class Case:
    """A tiny flow, a DATA_ROOT that holds its VAE, and jobs that train it."""

    def __init__(self, slurm: Slurm, folder: Path, trained_vae: Path) -> None:
        self.slurm = slurm
        self.folder = folder
        self.root = folder / "root"
        shutil.copytree(trained_vae, self.root)
        self.jobs: list[Job] = []

    @property
    def tree(self) -> Tree:
        return Tree(self.root, "DIGITS", "FLOW")

    def experiment(self, *callbacks: dict[str, object], **train: object) -> Path:
        """A tiny flow's folder with more callbacks; *train* adds to train.yaml."""
        listed = ["${...model_checkpoint}", *callbacks]
        trainer = {"callbacks": listed} if callbacks else {}
        path = flow_experiment(self.folder, **({"trainer": trainer} | train))
        meta = yaml.safe_load((path / "meta.yaml").read_text())
        meta["meta"]["allow_targets"] = ["tests.cluster.pace"]
        (path / "meta.yaml").write_text(yaml.safe_dump(meta))
        return path

    def submit(
        self,
        *arguments: object,
        nodes: int = 1,
        cpus: int = 2,
        options: Sequence[str] = (),
        **environment: str,
    ) -> Job:
        """`sbatch cluster/ray_head.sh ARGUMENTS`; capitals are environment variables."""
        job = self.slurm.submit(
            SCRIPT,
            *map(str, arguments),
            options=[
                f"--nodes={nodes}",
                f"--cpus-per-task={cpus}",
                f"--time={MINUTES}",
                f"--output={self.folder}/%j.out",
                *options,
            ],
            environment=self.environment() | environment,
            cwd=self.folder,
        )
        self.jobs.append(job)
        return job

    def environment(self) -> dict[str, str]:
        """What a job needs besides: data, and the tests' own callbacks on the path."""
        path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]).rstrip(":")
        return {"DATA_ROOT": str(self.root), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def products(self) -> dict[str, Product]:
        """The flow's products by point, all of them sound."""
        faults = [fault for fault in verify(self.tree) if fault.broken]
        assert not faults
        return {product.info.point_id: product for product in self.tree.products()}

    def claims(self) -> dict[str, str]:
        """Host by point, of the points that are being trained and have been saved."""
        found = {}
        for claim in self.tree.points.glob("*/claim.json"):
            if (claim.parent / "last.ckpt").is_file():
                found[claim.parent.name] = json.loads(claim.read_text())["host"]
        return found

    def until(self, ask: Callable[[], object], timeout: float) -> None:
        """Wait until *ask* says yes; the last job's output is shown if it never does."""
        end = time.monotonic() + timeout
        while not ask():
            assert time.monotonic() < end, self.jobs[-1].text()
            time.sleep(0.2)

    def leftovers(self) -> dict[str, list[str]]:
        """What the jobs left on the hosts and the shared disk: processes, files."""
        found = {}
        for host in self.slurm.hosts:
            processes = [process.command for process in self.slurm.processes(host)]
            found[host] = processes + self.slurm.local(host)
        found["shared"] = [path.name for path in self.root.glob(".wwdc-*")]
        return {place: what for place, what in found.items() if what}


@pytest.fixture
def case(slurm: Slurm, tmp_path: Path, trained_vae: Path) -> Iterator[Case]:
    """A case of its own; its jobs are cancelled and its hosts started again afterwards."""
    tmp_path.chmod(0o755)
    made = Case(slurm, tmp_path, trained_vae)
    yield made
    slurm.run("scancel", "--partition=short")
    for job in made.jobs:
        job.wait(120)
