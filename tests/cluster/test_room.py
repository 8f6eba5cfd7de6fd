"""What a machine or a Slurm job holds, and what does not fit it."""

import subprocess
import sys

import pytest

from wwdc.cluster import Room, needed, own_cpus, room_of
from wwdc.config.schema import TuneConfig

SLURM = {"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "8", "SLURM_GPUS_ON_NODE": "2"}


def settings(cpu=1, gpu=None, **tune) -> TuneConfig:
    return TuneConfig.model_validate({"resources": {"cpu": cpu, "gpu": gpu}, **tune})


def room(*nodes) -> Room:
    return Room("this machine", tuple({"CPU": cpu, "GPU": gpu} for cpu, gpu in nodes))


@pytest.mark.parametrize(
    ("nodes", "wanted", "trials"),
    [
        ([(8, 0)], settings(), 8),
        ([(8, 0)], settings(cpu=3), 2),
        ([(8, 0)], settings(cpu=0.1), 80),
        ([(8, 2)], settings(gpu=1), 2),
        ([(8, 2)], settings(gpu=0.25), 8),
        ([(9, 2)], settings(gpu=0.4), 4),  # a card holds two such shares, not two and a half
        ([(64, 1)], settings(gpu=0.1), 10),
        ([(8, 4)], settings(gpu=1, num_workers=2), 2),
        ([(4, 2), (4, 2)], settings(gpu=1, num_workers=4), 1),
        ([(4, 0), (4, 0)], settings(cpu=3), 2),  # one each, although eight would hold two and more
        ([(8, 0)], settings(gpu=1), 0),
    ],
)
def test_trials_at_a_time(nodes, wanted, trials):
    assert room(*nodes).holds(wanted) == trials
    assert bool(room(*nodes).misfit(wanted)) == (trials == 0)


def test_what_does_not_fit_is_named():
    found = room((8, 0)).misfit(settings(gpu=4, num_workers=2))
    assert found.reason == "a trial needs 8 GPU, this machine has 0"
    assert found.remedy == "lower tune.resources.gpu or tune.num_workers"


def test_a_worker_is_not_spread_over_machines():
    found = room((4, 4), (4, 2)).misfit(settings(gpu=3, num_workers=2))
    assert "2 × (1 CPU and 3 GPU)" in found.reason
    assert needed(settings(gpu=3, num_workers=2)) == {"CPU": 2, "GPU": 6}


def test_this_machine(monkeypatch):
    monkeypatch.setattr("wwdc.cluster.room.gpu_count", lambda: 3)
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: range(6))
    assert room_of(settings(), {}).nodes == ({"CPU": 6, "GPU": 3},)
    assert room_of(settings(cpus=2), {}).total == {"CPU": 2, "GPU": 3}
    assert room_of(settings(), {"SLURM_CPUS_ON_NODE": "4"}).total["CPU"] == 4
    assert own_cpus(SLURM) == 6
    assert room_of(settings(), {"SLURM_GPUS_ON_NODE": "1"}).total["GPU"] == 1


def test_a_slurm_job():
    anywhere = settings(address="auto")
    listed = room_of(anywhere, {**SLURM, "SLURM_JOB_CPUS_PER_NODE": "8(x2),4"})
    assert [node["CPU"] for node in listed.nodes] == [8, 8, 4]
    assert listed.total == {"CPU": 20, "GPU": 6}
    assert room_of(anywhere, {**SLURM, "SLURM_JOB_NUM_NODES": "3"}).total == {"CPU": 24, "GPU": 6}


def test_a_cluster_elsewhere_is_not_known():
    assert room_of(settings(address="10.0.0.1:6379"), {}) is None


def test_it_is_told_without_ray_and_torch():
    code = (
        "import sys; from wwdc.cluster import engine_for, needed, room_of;"
        "heavy = {'ray', 'torch', 'lightning'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_connecting_is_imported_when_asked_for():
    import wwdc.cluster.connection as connection
    from wwdc.cluster import cluster, start_local

    assert (cluster, start_local) == (connection.cluster, connection.start_local)
    with pytest.raises(ImportError, match="stop_local"):
        from wwdc.cluster import stop_local  # noqa: F401
