"""A simulated campaign asks the catalogue."""

import numpy as np
import pytest

from wwdc.errors import ConfigError
from wwdc.label.oracle import oracle, simulated


@pytest.mark.parametrize("question", ["kind=2", "size>1.0", "size < -0.5", "colour<2e-1", "view=0"])
def test_a_question_is_about_a_column(objects, question):
    if question == "view=0":
        with pytest.raises(ConfigError, match="80 of 80"):
            oracle(question, objects)
        return
    table = objects.table
    expected = {
        "kind=2": table["kind"] == 2,
        "size>1.0": table["size"] > 1.0,
        "size < -0.5": table["size"] < -0.5,
        "colour<2e-1": table["colour"] < 0.2,
    }[question]
    assert np.array_equal(oracle(question, objects), expected)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("knd=2", "Did you mean 'kind'"),
        ("kind", "kind is no flag"),
        ("kind=x", "expected COLUMN"),
        ("kind=1.2.3", "is no number"),
        ("kind=7", "0 of 80"),
        ("kind!=2", "expected COLUMN"),
        ("", "expected COLUMN"),
        ("../x=1", "expected COLUMN"),
    ],
)
def test_other_questions_are_refused(objects, question, text):
    with pytest.raises(ConfigError, match=text):
        oracle(question, objects)


def test_a_simulated_campaign_is_held_against_two_that_do_not_learn():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 4)).astype(np.float32)
    answers = np.zeros(120, bool)
    answers[:15] = True
    features[:15, 0] += 3  # a cluster that is not far out
    curve = simulated(features, answers, "gp", budget=30, seeds=range(3))
    assert set(curve["strategy"]) == {"gp", "top", "random"}
    found = curve[curve["label"] == 30].groupby("strategy")["found"].mean()
    assert found["gp"] > found["random"] + 2
    with pytest.raises(ConfigError, match="121 labels"):
        simulated(features, answers, "gp", budget=121, seeds=[0])
