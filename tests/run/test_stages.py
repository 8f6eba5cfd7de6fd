"""The chain of stages, as a pure function of how each stands."""

import pytest

from wwdc.errors import ConfigError
from wwdc.run.stages import CHAIN, NAMES, Fact, choose, outlooks, overrides_of

DONE = Fact(False, "done")
DUE = Fact(True, "work")
NOTHING = Fact(True, "nothing there", missing=True)


def found(chosen=CHAIN, **facts):
    rows = outlooks(chosen, {stage.name: facts.get(stage.name, DONE) for stage in chosen})
    return {row.stage: row.status for row in rows}


def test_the_order_is_that_of_the_workflow():
    assert NAMES == ("prepare", "tune", "embed", "stats", "detect", "report")
    for index, stage in enumerate(CHAIN):
        assert set(stage.needs) <= set(NAMES[:index])


def test_nothing_is_due_when_nothing_changed():
    assert set(found().values()) == {"up to date"}


def test_what_comes_after_a_stage_with_work_hangs_on_it():
    statuses = found(tune=DUE, embed=NOTHING, stats=NOTHING, detect=DUE, report=DUE)
    assert list(statuses.values()) == ["up to date", "due", "later", "later", "due", "due"]


def test_a_stage_does_not_hang_on_one_beside_it():
    assert found(stats=DUE)["detect"] == "up to date"
    assert found(stats=DUE)["report"] == "later"


def test_reasons_name_the_stages_before():
    rows = outlooks(CHAIN, {s.name: DUE if s.name == "stats" else DONE for s in CHAIN})
    assert rows[-1].reason == "after stats"
    assert rows[3].as_json() == {"stage": "stats", "status": "due", "reason": "work"}


@pytest.mark.parametrize(
    ("first", "last", "names"),
    [
        (None, None, NAMES),
        ("embed", None, NAMES[2:]),
        (None, "tune", NAMES[:2]),
        ("stats", "stats", ("stats",)),
    ],
)
def test_from_and_until(first, last, names):
    assert tuple(stage.name for stage in choose(first, last)) == names


def test_until_before_from():
    with pytest.raises(ConfigError, match="embed comes before stats"):
        choose("stats", "embed")


def test_training_is_not_told_what_later_stages_are():
    given = ["+seed=7", "tests=quick", "~tests.probes.mlp", "splits=[test]", "tune.cpus=1"]
    by_name = {stage.name: overrides_of(stage, given) for stage in CHAIN}
    assert by_name["prepare"] == by_name["tune"] == ["+seed=7", "tune.cpus=1"]
    assert by_name["embed"] == by_name["report"] == given
