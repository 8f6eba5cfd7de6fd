"""Search spaces: what is read, drawn, refused; Ray Tune and Optuna draw from the same values."""

import warnings

import numpy as np
import optuna
import pytest

from wwdc.errors import ConfigError
from wwdc.tune.domains import Normal, Numbers, Options, parse_domain
from wwdc.tune.space import decode, distribution, encode, suggest, to_tune

WHERE = "sweeps.yaml: sweeps.x.space"
SPACES = {
    "uniform(0, 1)": Numbers(0, 1),
    "uniform(lower=-1, upper=2.5)": Numbers(-1, 2.5),
    "quniform(0, 1, 0.25)": Numbers(0, 1, step=0.25),
    "loguniform(1e-5, 1e-2)": Numbers(1e-5, 1e-2, log=True),
    "qloguniform(1e-3, 1e-1, 1e-3)": Numbers(1e-3, 1e-1, log=True, step=1e-3),
    "randint(1, 9)": Numbers(1, 8, integer=True),
    "qrandint(0, 9, 3)": Numbers(0, 9, integer=True, step=3),
    "qrandint(2, 5)": Numbers(2, 5, integer=True),
    "lograndint(1, 101)": Numbers(1, 100, integer=True, log=True),
    "qlograndint(8, 64, 8)": Numbers(8, 64, integer=True, log=True, step=8),
    "randn(1, 2)": Normal(1, 2),
    "randn()": Normal(0, 1),
    "qrandn(0, 1, 0.5)": Normal(0, 1, 0.5),
    "interval(0, 3)": Numbers(0, 3),
    "int(interval(1, 8))": Numbers(1, 8, integer=True),
    "tag(log, interval(1e-3, 1))": Numbers(1e-3, 1, log=True),
    "tag(log, int(interval(1, 64)))": Numbers(1, 64, integer=True, log=True),
    "range(1, 5)": Numbers(1, 4, integer=True),
    "range(0, 1, 0.25)": Numbers(0, 0.75, step=0.25),
    "range(10, 0, -5)": Numbers(5, 10, integer=True, step=5),
    "shuffle(range(3))": Numbers(0, 2, integer=True),
    "choice(relu, 2, true, null)": Options(("relu", 2, True, None)),
    "choice([64, 64], [128, 128])": Options(([64, 64], [128, 128])),
    "choice({a: 1}, {a: 2, b: [3]})": Options(({"a": 1}, {"a": 2, "b": [3]})),
    "sort(3, 1, 2)": Options((1, 2, 3)),
}
BOUNDED = [text for text, domain in SPACES.items() if not isinstance(domain, Normal)]


@pytest.mark.parametrize("text", SPACES)
def test_spaces_are_read(text):
    assert parse_domain(text, where=WHERE) == SPACES[text]


@pytest.mark.parametrize("text", SPACES)
def test_draws_lie_in_the_domain_and_repeat(text):
    domain = SPACES[text]
    drawn = [domain.sample(np.random.default_rng(i)) for i in range(200)]
    assert all(domain.contains(value) for value in drawn)
    assert drawn == [domain.sample(np.random.default_rng(i)) for i in range(200)]
    if domain.values is not None and len(domain.values) < 12:
        assert all(any(value == other for other in drawn) for value in domain.values)


@pytest.mark.parametrize("text", SPACES)
def test_ray_tune_draws_from_the_same_values(text):
    domain, space = SPACES[text], to_tune(SPACES[text])
    state = np.random.RandomState(0)
    drawn = [space.sample(random_state=state) for _ in range(300)]
    assert all(domain.contains(value) for value in drawn)
    if isinstance(domain, Numbers):
        ours = [domain.sample(np.random.default_rng(i)) for i in range(300)]
        middle = np.median(ours)
        below = sum(value < middle for value in drawn) / 300
        assert 0.25 < below < 0.65


@pytest.mark.parametrize("text", BOUNDED)
def test_optuna_suggests_the_same_values_define_by_run(text):
    domain = SPACES[text]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = [suggest(study.ask(), "x", domain) for _ in range(60)]
    assert all(domain.contains(value) for value in drawn)
    trial = optuna.trial.create_trial(
        value=0.0,
        params={"x": encode(domain, drawn[0])},
        distributions={"x": distribution(domain)},
    )
    study.add_trial(trial)
    assert decode(domain, study.trials[-1].params["x"]) == drawn[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loguniform(0, 1)", "above 0"),
        ("uniform(1, 1)", "below"),
        ("uniform(2, 1)", "below"),
        ("uniform(1)", "needs 2 numbers"),
        ("uniform(1, 2, 3)", "too many"),
        ("uniform(a, b)", "cannot read"),
        ("uniform(1, inf)", "cannot read"),
        ("uniform(1, 1e999)", "no number"),
        ("uniform(1, [2])", "no number"),
        ("randint(0.5, 2)", "whole numbers"),
        ("randint(1, 1)", "below"),
        ("quniform(0, 1, 0.3)", "no multiple"),
        ("quniform(0, 1, -1)", "above 0"),
        ("randn(0, -1)", "sd must be above 0"),
        ("logunifrom(1e-5, 1)", "Did you mean 'loguniform'"),
        ("range(3, 3)", "empty"),
        ("interval(2, 1)", "below"),
        ("__import__('os').system('true')", "sweeps.x.space"),
        ("uniform(__import__('os').getpid(), 3)", "cannot read"),
    ],
)
def test_a_wrong_space_says_what_and_where(text, message):
    with pytest.raises(ConfigError, match=r"sweeps\.x\.space") as caught:
        parse_domain(text, where=WHERE)
    assert message in str(caught.value)


def test_settling_brings_a_number_into_its_domain():
    assert Numbers(0, 1, step=0.25).settle(0.6) == 0.5
    assert Numbers(1, 8, integer=True).settle(99.5) == 8
    assert Numbers(1e-3, 1, log=True).settle(5) == 1
    assert Normal(0, 1, 0.5).settle(0.7) == 0.5


def test_true_is_no_number_and_lists_are_compared_by_value():
    assert not Numbers(0, 1, integer=True).contains(True)
    assert Options(([1, 2],)).contains([1, 2])
    assert not Options((1,)).contains(1.0)
