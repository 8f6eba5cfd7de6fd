"""Waiting for a cluster's nodes."""

from pathlib import Path

import pytest

from wwdc.cluster.nodes import Missing, wait_for_nodes

HOSTS = ["a", "b", "c"]


class Growing:
    """A cluster that has one more node each time it is asked, up to a number."""

    def __init__(self, most: int, silent: int = 0) -> None:
        self.most, self.silent, self.count = most, silent, 0

    def __call__(self) -> int:
        if self.silent:
            self.silent -= 1
            raise OSError("nobody there")
        self.count = min(self.most, self.count + 1)
        return self.count


def wait(steps: Path, alive: Growing, patience: float = 60, **more: float) -> list[str]:
    return list(wait_for_nodes(HOSTS, steps, alive, patience, pause=lambda: None, **more))


def test_all_join(tmp_path):
    assert wait(tmp_path, Growing(3, silent=4)) == ["all 3 nodes joined"]


def test_one_that_never_comes_is_not_waited_for_for_ever(tmp_path):
    told = wait(tmp_path, Growing(2), patience=0.05)
    assert told == ["2 of 3 nodes joined; going on with them"]


def test_one_that_ended_is_not_waited_for(tmp_path):
    (tmp_path / "c.exit").write_text("1\n")
    assert wait(tmp_path, Growing(2)) == ["2 of 3 nodes joined (c ended); going on with them"]


def test_a_mistake_of_any_node_ends_the_job(tmp_path):
    (tmp_path / "b.exit").write_text("2\n")
    with pytest.raises(Missing, match="on b") as caught:
        wait(tmp_path, Growing(2))
    assert caught.value.code == 2


@pytest.mark.parametrize("told, code", [("7", 7), ("0", 1)])
def test_without_a_head_there_is_nothing(tmp_path, told, code):
    (tmp_path / "a.exit").write_text(told)
    with pytest.raises(Missing, match="on a") as caught:
        wait(tmp_path, Growing(0, silent=9))
    assert caught.value.code == code


def test_a_head_that_stays_silent(tmp_path):
    with pytest.raises(Missing, match="did not answer"):
        wait(tmp_path, Growing(0, silent=10**6), head_s=0.05)
