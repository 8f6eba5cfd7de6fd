"""What several labellers' events come to."""

import itertools

import pytest

from wwdc.errors import ConfigError, DataError
from wwdc.label.events import Posted
from wwdc.label.log import LabelLog, read_log
from wwdc.products import Tree
from wwdc.promote.labels import read_labels


@pytest.fixture
def tree(data_root):
    return Tree(data_root, "DIGITS", "FLOW")


def say(tree, *said, name="default"):
    """Write (labeller, id, kind, value) events."""
    log = LabelLog(tree.labels / f"{name}.sqlite", fingerprint="f" * 16, embedding="1_0")
    numbers = itertools.count(log.since(0)[1])
    for labeller, id, kind, *value in said:
        uuid = f"{labeller}-{next(numbers):08d}"
        log.add(
            Posted(
                uuid=uuid, id=id, labeller=labeller, kind=kind, value=value[0] if value else None
            )
        )
    log.close()


def test_the_majority_decides_and_ties_are_left_out(tree):
    say(
        tree,
        *(("ada", 1, "anomaly"), ("bea", 1, "normal"), ("cid", 1, "anomaly")),
        *(("ada", 2, "anomaly"), ("bea", 2, "normal")),
        *(("ada", 7, "normal"), ("bea", 7, "normal"), ("cid", 7, "anomaly")),
        *(("ada", 3, "normal"), ("ada", 3, "anomaly"), ("bea", 4, "normal")),
        *(("ada", 5, "skip"), ("ada", 6, "anomaly"), ("ada", None, "undo")),
    )
    labels = read_labels(tree, "default")
    assert labels.verdicts == {1: 1.0, 3: 1.0, 4: 0.0, 7: 0.0}
    assert labels.ties == (2,) and labels.labellers == 3
    assert (labels.embedding, labels.fingerprint) == ("1_0", "f" * 16)


def test_grades_are_averaged(tree):
    say(tree, ("ada", 1, "grade", 5), ("bea", 1, "grade", 2), ("ada", 2, "normal"))
    labels = read_labels(tree, "default")
    assert labels.grades == {1: 3.5} and labels.verdicts == {2: 0.0}


def test_the_digest_is_of_the_events_whatever_their_order(tree):
    say(tree, ("ada", 1, "anomaly"), ("bea", 2, "normal"), name="one")
    _, events = read_log(tree.labels / "one.sqlite")
    other = LabelLog(tree.labels / "two.sqlite", fingerprint="f" * 16, embedding="1_0")
    other.merge(reversed(events))
    other.close()
    one, two = read_labels(tree, "one"), read_labels(tree, "two")
    assert one.sha256 == two.sha256
    say(tree, ("ada", 3, "normal"), name="one")
    assert read_labels(tree, "one").sha256 != two.sha256


def test_a_campaign_that_is_not_there(tree):
    say(tree, ("ada", 1, "anomaly"), name="sevens")
    with pytest.raises(DataError, match=r"Did you mean 'sevens'\? There are sevens\."):
        read_labels(tree, "seven")
    with pytest.raises(ConfigError, match="name a campaign"):
        read_labels(tree, "../FLOW/labels/sevens")
