"""The bill: how many at a time, how long, how much disk, and where the figures come from."""

import datetime
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import flow_experiment, vae_experiment
from wwdc.cluster import Room
from wwdc.config import fill, load
from wwdc.config.schema import TuneConfig
from wwdc.products import Info, Tree
from wwdc.tune.bill import UNKNOWN, bill, free_space
from wwdc.tune.costs import Costs
from wwdc.tune.plan import Plan, make_plan

GB = 1024**3
TWO_CPUS = Room("this machine", ({"CPU": 2, "GPU": 0},))
WIDTH = "lightning_loader.vae.width"


@pytest.fixture
def folder(tmp_path, data_root) -> Path:
    return vae_experiment(tmp_path, seeds=[1, 2, 3, 4, 5])


def plan_of(folder: Path, *overrides: str) -> Plan:
    composed = load(folder, overrides)
    tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
    return make_plan(composed, tree)


def settings(**tune) -> TuneConfig:
    return TuneConfig.model_validate({"resources": {"cpu": 1, "gpu": 0}, **tune})


def trained(point, seconds: float, epochs: int = 2, **changes) -> Info:
    """The info file that training *point* would have left."""
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    known = {
        "job_id": "7",
        "job_num": point.job_num,
        "point_id": point.point_id,
        "config_id": point.config_id,
        "status": "done",
        "config": fill(point.config, job="7_0", data_root=Path("elsewhere")),
        "metrics": {"epochs": epochs},
        "created": start.isoformat(),
        "finished": (start + datetime.timedelta(seconds=seconds)).isoformat(),
        "bytes": 1000,
    }
    return Info(**known | changes)


def billed(plan, infos=(), room=TWO_CPUS, free_bytes=80 * GB, open_points=0, **tune):
    return bill(plan, infos, settings(**tune), room, free_bytes=free_bytes, open_points=open_points)


def test_the_same_model_tells_time_and_disk(folder):
    plan = plan_of(folder)
    infos = [
        trained(point, seconds)
        for point, seconds in zip(plan.points[:3], (60, 90, 3000), strict=True)
    ]
    found = billed(plan, infos)
    assert (found.points, found.at_a_time, found.waves) == (5, 2, 3)
    assert (found.point_seconds, found.seconds, found.at_most) == (90, 270, False)
    assert found.cpu_hours == pytest.approx(5 * 90 / 3600)
    assert found.gpu_hours == 0
    assert found.disk_bytes == 5 * 1000 + 3 * 2 * 1000
    assert found.lines() == [
        "5 points, 2 at a time on this machine: 3 waves, about 4 min of training (from 3 earlier "
        "points of the same model), 0.1 CPU-hours, 10.7 kB of disk (of 80.0 GB free)"
    ]


def test_nothing_known_is_said(folder):
    found = billed(plan_of(folder))
    assert found.seconds is found.disk_bytes is found.cpu_hours is None
    assert found.basis == UNKNOWN
    assert found.fits is True
    assert found.lines() == [
        f"5 points, 2 at a time on this machine: 3 waves; time and disk {UNKNOWN} (80.0 GB free)"
    ]


def test_what_is_done_costs_nothing(folder):
    plan = plan_of(folder)
    done = [replace(point, status="done") for point in plan.points]
    assert billed(replace(plan, points=tuple(done))).lines() == []
    partly = replace(plan, points=(*done[:3], *plan.points[3:]))
    found = billed(partly, [trained(done[0], 10)])
    assert (found.points, found.waves, found.seconds) == (2, 1, 10)


def test_longer_training_is_an_upper_bound(folder):
    short, long = plan_of(folder), plan_of(folder, "trainer.max_epochs=10")
    found = billed(long, [trained(short.points[0], 8, epochs=2)])
    assert (found.point_seconds, found.at_most) == (40, True)
    assert "at most" in found.lines()[0]


def test_runs_of_the_same_length_count_before_others(folder):
    short, long = plan_of(folder), plan_of(folder, "trainer.max_epochs=10")
    infos = [trained(short.points[0], 8), trained(long.points[1], 25, epochs=10)]
    assert billed(long, infos).point_seconds == 25
    stopped = infos[1].model_copy(update={"status": "stopped", "metrics": {"epochs": 5.0}})
    assert billed(long, [stopped]).point_seconds == 50


def test_a_scheduler_makes_it_an_upper_bound(folder):
    plan = plan_of(folder)
    assert billed(plan, [trained(plan.points[0], 8)], scheduler="asha").at_most


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("seed=9", True),
        ("lightning_loader.lr=5e-4", True),
        ("trainer.logger=[]", True),
        (f"{WIDTH}=32", False),
        ("data.loader.batch_size=7", False),
        ("trainer.precision=64-true", False),
        ("tune.resources.cpu=2", False),
    ],
)
def test_what_makes_a_model_the_same(folder, override, same):
    info = trained(plan_of(folder).points[0], 8)
    found = Costs([info]).of(plan_of(folder, override).points[0].config)
    assert found.same is same


def test_dropped_variables_make_no_other_model(tmp_path, data_root):
    plan = plan_of(flow_experiment(tmp_path), "lightning_loader.vae_ckpt_path=x.ckpt")
    one, other = plan.points[0], plan.points[-1]
    assert one.sweep != other.sweep
    assert Costs([trained(one, 8)]).of(other.config).same


def test_other_networks_and_devices_tell_nothing(folder):
    plan = plan_of(folder)
    info = trained(plan.points[0], 8)
    for section, key in (("lightning_loader", "_target_"), ("trainer", "accelerator")):
        config = {**info.config, section: {**info.config[section], key: "another"}}
        assert billed(plan, [info.model_copy(update={"config": config})]).basis == UNKNOWN


def test_similar_models_are_said_to_be_similar(folder):
    plan = plan_of(folder, f"{WIDTH}=16,32", "seed=1")
    found = billed(plan, [trained(plan.points[0], 8)])
    assert found.basis == "from 1 earlier point of similar models"


def test_unknown_points_count_like_the_known(folder):
    plan = plan_of(folder)
    odd = plan.points[0]
    loader = {**odd.config["lightning_loader"], "_target_": "another"}
    odd = replace(odd, config={**odd.config, "lightning_loader": loader})
    found = billed(replace(plan, points=(odd, *plan.points[1:])), [trained(plan.points[1], 8)])
    assert found.point_seconds == 8
    assert found.basis == "from 1 earlier point of the same model; 1 point unlike any of them"


@pytest.mark.parametrize(
    "broken",
    [
        {"finished": "2025-01-01T00:00:00+00:00"},
        {"metrics": {}},
        {"config": {}},
        {"status": "failed"},
    ],
)
def test_infos_that_tell_nothing_are_passed_over(folder, broken):
    plan = plan_of(folder)
    assert billed(plan, [trained(plan.points[0], 8, **broken)]).basis == UNKNOWN


def test_unequal_points_fill_the_gaps(folder):
    plan = plan_of(folder, f"{WIDTH}=16,32", "seed=1,2")
    infos = [trained(plan.points[0], 10), trained(plan.points[2], 100)]
    found = billed(plan, infos)
    assert found.seconds == 110
    assert billed(plan, infos, max_concurrent=1).seconds == 220


def test_points_to_be_chosen_count(folder):
    plan = plan_of(folder)
    info = trained(plan.points[0], 10)
    found = billed(plan, [info], open_points=3)
    assert (found.waves, found.seconds) == (4, 40)
    assert found.lines()[0].startswith("5 points and 3 points to be chosen, 2 at a time")
    searched = replace(plan, points=(), probes=plan.points[:1])
    found = billed(searched, [info], open_points=30)
    assert (found.points, found.waves, found.seconds) == (0, 15, 150)
    assert found.lines()[0].startswith("30 points to be chosen, 2 at a time")


def test_blocked_points_are_on_the_bill(tmp_path, data_root):
    plan = plan_of(flow_experiment(tmp_path))
    assert billed(plan).lines()[0].startswith("4 points (4 blocked), 2 at a time")


def test_what_never_fits_is_said(folder):
    plan = plan_of(folder)
    found = billed(
        plan, [trained(plan.points[0], 10)], resources={"cpu": 1, "gpu": 4}, num_workers=2
    )
    assert found.fits is False
    assert found.seconds is None
    assert found.lines()[1] == (
        "does not fit this machine: a trial needs 8 GPU, this machine has 0; lower "
        "tune.resources.gpu or tune.num_workers, or run it on a cluster"
    )
    assert "10 s of training a point" in found.lines()[0]
    assert found.gpu_hours == pytest.approx(5 * 10 * 8 / 3600)


def test_a_cluster_that_is_not_connected_to(folder):
    plan = plan_of(folder)
    found = billed(plan, [trained(plan.points[0], 10)], room=None, address="10.0.0.1:6379")
    assert found.fits is None
    assert found.seconds is None
    assert found.lines()[1] == (
        "how many at a time is known once the cluster at 10.0.0.1:6379 is connected to"
    )


def test_a_full_disk_is_said(folder):
    plan = plan_of(folder)
    found = billed(plan, [trained(plan.points[0], 10)], free_bytes=2000)
    assert found.disk_fits is False
    assert found.lines()[1].startswith("does not fit the disk: 10.7 kB needed, 2.0 kB free")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("room", [TWO_CPUS, None])
def test_json_has_the_same_keys_always(folder, known, room):
    plan = plan_of(folder)
    document = billed(plan, [trained(plan.points[0], 10)] if known else [], room=room).as_json()
    assert json.loads(json.dumps(document)) == document
    assert set(document) == set(billed(plan).as_json())
    assert (document["seconds"] is None) == (not known or room is None)


def test_free_space_of_a_folder_that_is_not_there_yet(tmp_path):
    assert free_space(tmp_path / "a" / "b") == pytest.approx(free_space(tmp_path), rel=0.01)
