"""A point from claim to product, without Ray."""

import contextlib
from pathlib import Path

from wwdc.tune.trial import TrialSpec, complete


def spec_in(root: Path, scratch: Path) -> TrialSpec:
    return TrialSpec(
        point_id="0a1b2c3d4e5f",
        job_id="1",
        job_num=0,
        data_root=root,
        data_name="DIGITS",
        experiment_name="VAE",
        config={"paths": {"scratch_data_dir": str(scratch)}},
        record={},
        lineage={},
    )


def test_a_point_that_two_trees_train_at_once_keeps_its_scratch(tmp_path, monkeypatch):
    """The same science has the same id: what one tree's trial wrote is not another's to remove."""
    one, two = (spec_in(tmp_path / name, tmp_path / "scratch") for name in ("one", "two"))
    there: list[bool] = []

    def train_point(_config: object, *, work: Path, **_: object) -> None:
        if not there:
            there.append(work.is_dir())
            with contextlib.suppress(KeyboardInterrupt):
                complete(two, lambda row: None)
        there.append(work.is_dir())
        raise KeyboardInterrupt

    monkeypatch.setattr("wwdc.training.loop.train_point", train_point)
    with contextlib.suppress(KeyboardInterrupt):
        complete(one, lambda row: None)
    assert there == [True, True, True]
    assert not list((tmp_path / "scratch").iterdir())
