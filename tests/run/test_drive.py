"""The driver, with stages that do nothing: exit codes, signals, time, progress."""

import os
import signal
import sys
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from wwdc.config.schema import TuneConfig
from wwdc.products import Tree
from wwdc.run.drive import Driver
from wwdc.run.receipts import Receipt, read_receipt
from wwdc.run.stages import CHAIN, Fact
from wwdc.tune.stopping import WARNING, Stopped


class Survey:
    """An experiment whose stages all have work, until told otherwise."""

    folder = "experiments/x"
    overrides = ("+seed=7", "tests=quick", "tune.time_budget_s=9")

    def __init__(self, tree, **facts):
        self.tree = tree
        self.composed = SimpleNamespace(tune=TuneConfig(), trust=False)
        self.facts = facts

    def fact(self, stage):
        return self.facts.get(stage.name, Fact(True, "work"))

    def receipt(self, stage, before=None):
        return before or Receipt("a", "b", "c")


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path, "D", "E")


@pytest.fixture
def calls(monkeypatch):
    """What each stage was called with; `calls.does[stage]` is what it then does."""
    found = SimpleNamespace(given={}, does={})
    for stage in CHAIN:

        def main(argv, name=stage.name):
            found.given[name] = argv
            return found.does.get(name, lambda: 0)()

        monkeypatch.setitem(sys.modules, f"wwdc.{stage.name}.__main__", SimpleNamespace(main=main))
    monkeypatch.setattr(Driver, "_give_ray", lambda *_: None)
    monkeypatch.setattr("wwdc.run.follow.follower_of", lambda *_: None)
    return found


def drive(tree, end=float("inf"), **facts):
    with Driver(Console(quiet=True), end) as driver:
        try:
            driver.run(Survey(tree, **facts), CHAIN)
        except Stopped as stopped:
            return driver, stopped.code
    return driver, driver.worst


def test_each_stage_gets_what_it_takes(tree, calls):
    driver, code = drive(tree)
    assert code == 0 and {ended.status for ended in driver.ended} == {"done"}
    own = ["experiments/x", "+seed=7", "tune.time_budget_s=9"]
    assert calls.given["prepare"] == calls.given["tune"] == own
    assert calls.given["stats"] == [*own[:2], "tests=quick", own[2]]


def test_what_is_up_to_date_is_not_called(tree, calls):
    driver, code = drive(tree, tune=Fact(False, "all there"))
    assert "tune" not in calls.given and code == 0
    assert (driver.ended[1].status, driver.ended[1].reason) == ("up to date", "all there")


def test_a_stage_that_fails_in_part_does_not_stop_the_others(tree, calls):
    calls.does["tune"] = lambda: 1
    driver, code = drive(tree)
    assert code == 1 and "report" in calls.given
    assert [ended.code for ended in driver.ended] == [0, 1, 0, 0, 0, 0]


def test_after_a_failure_what_has_no_input_is_left_out(tree, calls):
    calls.does["tune"] = lambda: 1
    driver, code = drive(tree, embed=Fact(True, "no point is trained", missing=True))
    assert code == 1 and "embed" not in calls.given
    assert driver.ended[2].status == "left out"


def test_what_was_seen_before_counts_until_something_was_done(tree, calls):
    old = {"prepare": Fact(False, "old"), "stats": Fact(False, "old")}
    with Driver(Console(quiet=True), float("inf")) as driver:
        driver.run(Survey(tree), CHAIN, old)
    assert "prepare" not in calls.given and "stats" in calls.given


@pytest.mark.parametrize("code", [2, 3, 130])
def test_these_codes_stop_the_run(tree, calls, code):
    calls.does["embed"] = lambda: code
    driver, found = drive(tree)
    assert found == code and "stats" not in calls.given
    assert driver.ended[-1].status == "stopped"


def test_only_what_ended_well_has_a_receipt(tree, calls):
    calls.does["stats"] = lambda: 1
    drive(tree)
    receipts = {stage.name: read_receipt(stage, tree) is not None for stage in CHAIN}
    assert receipts == dict.fromkeys(("prepare", "tune", "embed", "stats"), False) | dict.fromkeys(
        ("detect", "report"), True
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, WARNING])
def test_a_signal_in_a_stage_that_does_not_listen(tree, calls, number):
    before = signal.getsignal(number)
    calls.does["prepare"] = lambda: os.kill(os.getpid(), number) or time.sleep(5) or 0
    _, code = drive(tree)
    assert code == 3 and "tune" not in calls.given
    assert signal.getsignal(number) is before


def test_ctrl_c_in_a_stage_that_does_not_listen(tree, calls):
    calls.does["prepare"] = lambda: os.kill(os.getpid(), signal.SIGINT) or time.sleep(5) or 0
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            drive(tree)
    finally:
        signal.signal(signal.SIGINT, before)


def test_when_the_time_is_over_no_stage_begins(tree, calls):
    _, code = drive(tree, end=time.time() - 1)
    assert code == 3 and not calls.given


def test_the_budget_is_that_of_the_whole_run(tree, calls, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    monkeypatch.setattr(
        Survey,
        "composed",
        property(
            lambda _: SimpleNamespace(tune=TuneConfig(time_budget_s=9.0), trust=True),
            lambda *_: None,
        ),
        raising=False,
    )
    drive(tree, end=1005.0)
    assert calls.given["tune"] == ["experiments/x", "+seed=7", "tune.time_budget_s=5", "--trust"]


def test_a_stage_does_not_judge_the_progress_of_a_job_that_was_started_again(
    tree, calls, monkeypatch
):
    monkeypatch.setenv("WWDC_RESTARTS", "2")
    seen = []
    calls.does["tune"] = lambda: seen.append(os.environ["WWDC_RESTARTS"]) or 0
    drive(tree)
    assert seen == ["0"] and os.environ["WWDC_RESTARTS"] == "2"
