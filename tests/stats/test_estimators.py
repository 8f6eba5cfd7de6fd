"""The perceptrons: interface, determinism, and what a line cannot learn."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.utils import get_tags

from wwdc.errors import ConfigError
from wwdc.stats.estimators import MLPClassifier, MLPRegressor

SMALL = {"hidden": (32, 32), "epochs": 30, "batch_size": 64}


def draw(rows=1_500, seed=0):
    x = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    return x, x[:, 0] * x[:, 1]


def test_a_product_is_learnt_that_a_line_does_not_see():
    (x, y), (x_test, y_test) = draw(), draw(seed=1)
    assert LinearRegression().fit(x, y).score(x_test, y_test) < 0.05
    assert MLPRegressor(**SMALL).fit(x, y).score(x_test, y_test) > 0.8


def test_the_sign_of_a_product_is_learnt():
    (x, y), (x_test, y_test) = draw(), draw(seed=1)
    names = np.array(["different", "same"])
    y, y_test = (names[(column > 0).astype(int)] for column in (y, y_test))
    assert LogisticRegression().fit(x, y).score(x_test, y_test) < 0.6
    assert MLPClassifier(**SMALL).fit(x, y).score(x_test, y_test) > 0.85


def test_shapes_are_those_of_the_targets():
    x, y = draw(200)
    assert MLPRegressor(**SMALL).fit(x, y).predict(x[:7]).shape == (7,)
    assert MLPRegressor(**SMALL).fit(x, x[:, :3]).predict(x[:7]).shape == (7, 3)
    assert MLPRegressor(**SMALL).fit(x, x[:, :1]).predict(x[:7]).shape == (7, 1)
    assert get_tags(MLPRegressor()).target_tags.multi_output


def test_several_numbers_are_each_learnt_whatever_their_unit():
    (x, y), (x_test, y_test) = draw(), draw(seed=1)
    unit = np.array([1e-6, 1.0, 1e6])
    targets, truth = (
        np.stack([rows[:, 0], product, 5.0 + rows[:, 2]], 1) * unit
        for rows, product in ((x, y), (x_test, y_test))
    )
    guess = MLPRegressor(**SMALL).fit(x * 1e3 + 7.0, targets).predict(x_test * 1e3 + 7.0)
    missed = np.square(guess - truth).sum(0) / np.square(truth - truth.mean(0)).sum(0)
    assert (missed < 0.2).all()


def test_probabilities_add_up_and_agree_with_the_classes():
    x, y = draw(400)
    y = np.digitize(y, [-1.0, 1.0]) * 5 - 5
    model = MLPClassifier(**SMALL).fit(x, y)
    probability = model.predict_proba(x)
    assert probability.shape == (400, 3)
    assert np.allclose(probability.sum(1), 1.0, atol=1e-5)
    assert model.classes_.tolist() == [-5, 0, 5]
    assert (model.classes_[probability.argmax(1)] == model.predict(x)).all()


@pytest.mark.parametrize("model", [MLPRegressor(**SMALL), MLPClassifier(**SMALL)])
def test_a_seed_gives_the_same_bytes_and_leaves_the_global_generator(model):
    x, y = draw(300)
    y = (y > 0).astype(int)

    def output(estimator):
        fitted = clone(estimator).fit(x, y)
        return getattr(fitted, "predict_proba", fitted.predict)(x).tobytes()

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = output(model)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert output(model) == first
    assert output(clone(model).set_params(random_state=5)) != first


def test_scikit_learn_can_handle_it():
    x, y = draw(300)
    model = MLPClassifier(hidden=[16], epochs=3)
    assert clone(model).get_params() == model.get_params()
    assert len(cross_val_score(model, x, y > 0, cv=3)) == 3
    fitted = model.fit(x, y > 0)
    assert (pickle.loads(pickle.dumps(fitted)).predict(x) == fitted.predict(x)).all()


def test_what_does_not_vary_does_no_harm():
    x, _ = draw(100)
    x[:, 1] = 3.0
    assert np.allclose(MLPRegressor(**SMALL).fit(x, np.full(100, 4.0)).predict(x), 4.0, atol=0.5)


def test_no_epoch_is_refused():
    with pytest.raises(ConfigError, match="epochs is 0"):
        MLPRegressor(epochs=0).fit(*draw(10))
