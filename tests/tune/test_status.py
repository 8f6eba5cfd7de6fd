"""How far points are, read from the tree while nobody, or somebody else, trains them."""

import io
import json
import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.conftest import flow_experiment, vae_experiment
from wwdc.config import load
from wwdc.products import Info, Tree, claim, publish_point, record_failure
from wwdc.tune.plan import Plan, make_plan
from wwdc.tune.status import (
    Objective,
    show_status,
    status_counts,
    status_json,
    status_lines,
    status_rows,
    status_table,
)

CSV = "epoch,train_loss,val_loss\n0,9,3.5\n1,8,3.25\n2,7,\n"
REASON = "epoch 3: train_loss = nan.\nLower the learning rate [or clip]."


class Sweep:
    """An experiment of five seeds and its tree."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.composed = load(folder, overrides)
        meta = self.composed.meta
        self.tree = Tree(self.composed.data_root, meta.data_name, meta.experiment_name)

    @property
    def plan(self) -> Plan:
        return make_plan(self.composed, self.tree)

    def work(self, number: int, **files: str) -> Path:
        """A point's work folder with files in it."""
        folder = self.tree.point(self.plan.points[number].point_id)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("_", ".")).write_text(text)
        return folder

    def info(self, number: int, **changes) -> Info:
        point = self.plan.points[number]
        known = {"job_id": "7", "job_num": number, "point_id": point.point_id, "config_id": "c"}
        return Info(**known | {"status": "done"} | changes)

    def publish(self, number: int, **changes) -> None:
        folder = self.work(number, last_ckpt="weights", metrics_csv=CSV)
        info = self.info(number, **changes)
        publish_point(self.tree, folder / "last.ckpt", info, folder / "metrics.csv")
        for path in folder.iterdir():
            path.unlink()

    def rows(self):
        return status_rows(self.plan, self.tree)


@pytest.fixture
def folder(tmp_path, data_root) -> Path:
    return vae_experiment(tmp_path, seeds=[1, 2, 3, 4, 5])


@pytest.fixture
def sweep(folder):
    """A point in every state: done, running, failed, partial, new."""
    sweep = Sweep(folder, "trainer.max_epochs=9")
    metrics = {"val_loss": 3.125, "epochs": 3}
    sweep.publish(0, metrics=metrics, finished="2026-02-03T04:05:06+00:00")
    sweep.work(1, metrics_csv=CSV)
    failed = {"status": "failed", "reason": REASON, "finished": "2026-02-03T05:05:06+00:00"}
    record_failure(sweep.tree, sweep.info(2, **failed))
    sweep.work(3, metrics_csv=CSV, last_ckpt="")
    with claim(sweep.tree, sweep.plan.points[1].point_id):
        yield sweep


def shown(sweep, width: int, terminal: bool = True) -> str:
    text = io.StringIO()
    screen = Console(file=text, width=width, force_terminal=terminal, color_system=None)
    show_status(sweep.plan, sweep.tree, screen, as_json=False)
    return text.getvalue()


def test_every_state(sweep):
    rows = sweep.rows()
    assert [row.status for row in rows] == ["done", "running", "failed", "partial", "new"]
    assert [row.epochs for row in rows] == [3, 3, None, 3, None]
    assert {row.max_epochs for row in rows} == {9}
    done, running, failed, partial, new = rows
    assert done.objectives == {"val_loss": Objective(last=3.25, best=3.125)}
    assert (done.job, done.finished) == ("7_0", "2026-02-03T04:05:06+00:00")
    assert (running.host, running.pid) == (socket.gethostname(), os.getpid())
    assert running.heartbeat_s < 60
    assert failed.reason == "Lower the learning rate [or clip]."
    assert failed.traceback.endswith("failed.yaml")
    assert partial.objectives == {"val_loss": Objective(last=3.25, best=3.25)}
    assert new.objectives == {"val_loss": Objective(None, None)}
    assert {row.pid for row in (done, failed, partial, new)} == {None}


def test_a_running_point_has_trained_at_least_so_much(sweep):
    assert [line.split("\t")[4] for line in status_lines(sweep.rows())[1:]] == [
        "3/9",
        "≥3/9",
        "",
        "3/9",
        "",
    ]
    (sweep.work(1) / "metrics.csv").unlink()
    assert sweep.rows()[1].epochs == 0


def test_a_silent_heart_is_seen(sweep):
    path = sweep.work(1) / "claim.json"
    then = time.time() - 30
    os.utime(path, (then, then))
    assert 29 < sweep.rows()[1].heartbeat_s < 45


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_is_readable(sweep, width):
    lines = shown(sweep, width).splitlines()
    assert lines[0] == "DIGITS/VAE: 1 of 5 done, 1 failed, 1 new, 1 partial, 1 running"
    assert lines[2].split() == "# point status epoch val_loss best held by / ended".split()
    assert lines[3].split() == "0 seed=1 done 3/9 3.25 3.125 03 Feb 04:05".split()
    assert f"{socket.gethostname()} {os.getpid()}" in lines[4]
    assert len(lines) == 10  # title, gap, header, five rows, a reason and its file
    assert lines[8] == "failed #2: Lower the learning rate [or clip]."


def test_a_long_label_is_folded_and_nothing_is_cut(tmp_path, data_root):
    drops = ["b", "angle", "scale", "digit"]
    sweeps = {"all": {"param": "x_ds.drop_variables", "val": drops, "description": "all"}}
    folder = flow_experiment(tmp_path, sweeps=sweeps)
    text = shown(
        Sweep(folder, "lightning_loader.lr=1e-3,1e-4", "lightning_loader.size=8"), width=80
    )
    assert "…" not in text
    assert max(map(len, text.splitlines()[:-1])) <= 80


def test_reasons_that_are_shared_are_said_once(tmp_path, data_root):
    lines = shown(Sweep(flow_experiment(tmp_path, seeds=[1, 2, 3, 4])), width=80).splitlines()
    blocked = [line for line in lines if line.startswith("blocked #")]
    assert len(blocked) == 1
    assert blocked[0].startswith("blocked #0, #1, #2, #3, #4 and 3 more: ")
    assert "wwdc.tune" in blocked[0]


def test_off_a_terminal_lines_are_tables(sweep, capsys):
    shown(sweep, 80, terminal=False)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 6
    assert {len(line) for line in lines} == {9}
    point = sweep.plan.points[0]
    when = "2026-02-03 04:05"
    assert lines[1] == ["0", point.point_id, "seed=1", "done", "3/9", "3.25", "3.125", when, ""]
    assert lines[3][-1] == "Lower the learning rate [or clip]."


def test_json(sweep, capsys):
    show_status(sweep.plan, sweep.tree, Console(), as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document == status_json(sweep.plan, sweep.rows()) | {"points": document["points"]}
    assert document["num_points"] == 5
    assert document["counts"]["done"] == 1
    first = document["points"][0]
    assert first["objectives"] == {"val_loss": {"last": 3.25, "best": 3.125}}


def test_a_value_that_is_not_finite_is_none(folder):
    sweep = Sweep(folder)
    sweep.publish(0, metrics={"val_loss": float("nan")})
    text = json.dumps(status_json(sweep.plan, sweep.rows()), allow_nan=False)
    assert json.loads(text)["points"][0]["objectives"]["val_loss"] == {"last": 3.25, "best": None}


def test_the_best_follows_the_mode(folder):
    sweep = Sweep(folder, "tune.mode=max")
    sweep.work(0, metrics_csv=CSV, last_ckpt="")
    assert sweep.rows()[0].objectives["val_loss"] == Objective(last=3.25, best=3.5)


def test_several_objectives_are_of_one_epoch(folder):
    sweep = Sweep(folder, "tune.metric=[val_loss,train_loss]")
    sweep.work(0, metrics_csv=CSV, last_ckpt="")
    sweep.publish(1, metrics={"val_loss": 1.5, "train_loss": 2.5})
    lines = [line.split("\t") for line in status_lines(sweep.rows())]
    assert lines[0][5:7] == ["val_loss", "train_loss"]
    assert lines[1][5:7] == ["3.25", "7"]
    assert lines[2][5:7] == ["1.5", "2.5"]


def test_points_that_will_follow_are_counted(folder):
    plan = replace(Sweep(folder).plan, to_ask=7)
    assert status_counts(plan) == "DIGITS/VAE: 0 of 12 done, 5 new, 7 to be chosen"


def test_an_empty_plan_has_a_table():
    Console(file=io.StringIO()).print(status_table([]))


def test_nothing_is_written(folder, data_root):
    Sweep(folder).rows()
    assert not data_root.exists()
