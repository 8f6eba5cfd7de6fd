"""Leakage and retention while training: what the probes see, and that they change nothing."""

import dataclasses
import random

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from wwdc.data.catalogue import Catalogue, Variable
from wwdc.data.colour_mnist import SPLITS
from wwdc.data.digits import Digits
from wwdc.data.latents import Latents
from wwdc.data.modules import LatentDataModule
from wwdc.errors import ConfigError
from wwdc.models import digits
from wwdc.training.lightning_loaders import LightningFlow, LightningVAE
from wwdc.training.names import is_science
from wwdc.training.probes import ScienceProbe, readability, science_metrics

D = 6
KINDS = Catalogue(
    (
        Variable("number", "continuous"),
        Variable("phase", "circular", 2, "deg", (0.0, 360.0)),
        Variable("type", "categorical", 4),
        Variable("flag", "flag"),
    )
)
every_kind = pytest.mark.parametrize("name", KINDS.names)


def draw(rows, seed, planted=None):
    """Residuals and a catalogue of them; *planted* follows from the first two, others do not."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(rows, D)).astype(np.float32)
    seen, noise = u[:, :2], rng.normal(size=(4, rows, 2))
    a = {name: seen if name == planted else noise[k] for k, name in enumerate(KINDS.names)}
    table = {
        "number": a["number"][:, 0],
        "phase": np.degrees(np.arctan2(*a["phase"].T)) % 360.0,
        "type": (a["type"] > 0) @ np.array([1, 2]),
        "flag": (a["flag"][:, 0] > 0).astype(np.int64),
    }
    return u, table


def read(planted=None, **replaced):
    """Scores of all kinds; *replaced* gives columns from their residuals."""
    (u, table), (u_test, table_test) = draw(3_000, 1, planted), draw(1_500, 2, planted)
    table |= {name: make(u) for name, make in replaced.items()}
    table_test |= {name: make(u_test) for name, make in replaced.items()}
    return readability(u, table, u_test, table_test, KINDS)


@every_kind
def test_what_is_planted_is_read_and_nothing_else(name):
    scores = read(planted=name)
    assert scores.pop(name) > 0.8
    assert scores.keys() == set(KINDS.names) - {name}
    assert all(0.0 <= score < 0.1 for score in scores.values())


def test_a_coordinate_is_read_exactly():
    assert read(planted="number")["number"] > 0.999


def test_neighbours_see_what_a_line_cannot():
    def square(u):
        return np.square(u[:, 0])

    (u, _), (u_test, _) = draw(3_000, 1), draw(1_500, 2)
    assert LinearRegression().fit(u, square(u)).score(u_test, square(u_test)) < 0.05
    assert read(number=square)["number"] > 0.4


def test_a_linear_score_is_that_of_least_squares():
    def noisy(u):
        return u @ np.arange(D) + np.random.default_rng(len(u)).normal(0.0, 8.0, len(u))

    (u, _), (u_test, _) = draw(3_000, 1), draw(1_500, 2)
    expected = LinearRegression().fit(u, noisy(u)).score(u_test, noisy(u_test))
    assert 0.2 < expected < 0.8
    assert read(number=noisy)["number"] == pytest.approx(expected, abs=2e-3)


def test_a_common_class_is_no_skill():
    def rare(u):
        return (np.random.default_rng(len(u)).random(len(u)) < 0.05).astype(np.int64)

    assert read(flag=rare, type=rare) == pytest.approx(read() | {"flag": 0.0, "type": 0.0})


@every_kind
def test_what_does_not_vary_cannot_be_read(name):
    assert read(**{name: lambda u: np.full(len(u), 1 if name != "number" else 0.3)})[name] == 0.0


def test_scale_of_residuals_does_not_matter_and_dead_ones_do_no_harm():
    (u, table), (u_test, table_test) = draw(500, 1, "number"), draw(300, 2, "number")
    plain = readability(u, table, u_test, table_test, KINDS)
    scale, shift = np.array([100, 1, 1e-3, 1, 1, 1]), 7.0
    moved = [np.hstack([rows * scale + shift, np.ones((len(rows), 1))]) for rows in (u, u_test)]
    assert readability(moved[0], table, moved[1], table_test, KINDS) == pytest.approx(plain)


@every_kind
def test_rows_without_a_value_are_left_out_for_it_alone(name):
    variable = next(v for v in KINDS if v.name == name)
    told = dataclasses.replace(variable, width=variable.width + 1, fill=0.0)
    kinds = Catalogue(tuple(told if v.name == name else v for v in KINDS))
    (u, table), (u_test, table_test) = draw(3_000, 1, name), draw(1_500, 2, name)
    for columns in (table, table_test):
        columns[name] = columns[name].astype(float)
        columns[name][::3] = np.nan
    found = readability(u, table, u_test, table_test, kinds)
    assert list(found) == list(KINDS.names)
    assert found[name] > 0.75


def test_residuals_that_are_not_finite_score_nan():
    (u, table), (u_test, table_test) = draw(100, 1), draw(50, 2)
    u_test[3, 2] = np.inf
    scores = readability(u, table, u_test, table_test, KINDS)
    assert scores.keys() == set(KINDS.names)
    assert np.isnan(list(scores.values())).all()


def make_data(drop, seed=3, logvar=-6.0, **ranks):
    """Digits whose latents are r, g, b and three numbers that mean nothing."""
    dataset = Digits(views=1, drop_variables=drop)
    latents = {}
    for split in SPLITS:
        table, rng = dataset.table(split), np.random.default_rng(len(split))
        colours = [(table[name] - 0.5) / 0.26 for name in ("r", "g", "b")]
        rows = len(table["id"])
        mean = np.stack([*colours, *rng.normal(size=(3, rows))], axis=1).astype(np.float32)
        latents[split] = Latents(mean, np.full_like(mean, logvar), table["id"])
    return LatentDataModule(dataset, latents, {"batch_size": 256}, seed, **ranks)


def make_module(data):
    """A flow that has not been trained: u is z."""
    pl.seed_everything(3, verbose=False)
    flow = digits.CouplingFlow(D, hidden_features=[8], transforms=2)
    vae = digits.VAE(hidden_dim=D, channels=4, width=8)
    module = LightningFlow(vae, flow, lr=1e-3, size=D)
    context = data.dataset.context("train")
    module.set_context(context.shape[1], context.mean(axis=0), context.std(axis=0))
    module.seed_streams(data.seed)
    return module


def measure(drop=("b",), **settings):
    data = make_data(drop, **settings)
    return science_metrics(make_module(data), data)


ALL = ("r", "g", "b", "angle", "scale", "digit")


@pytest.mark.parametrize("drop", [(), ("b",), ("b", "angle", "scale"), ALL])
def test_every_variable_is_named(drop):
    kept = [name for name in ALL if name not in drop]
    expected = {f"leakage.{name}" for name in kept} | {f"retention.{name}" for name in drop}
    expected |= {"leakage.max"} if kept else set()
    expected |= {"retention.min"} if drop else set()
    metrics = measure(drop)
    assert metrics.keys() == expected
    assert all(is_science(name) for name in metrics)
    if kept:
        assert metrics["leakage.max"] == max(metrics[f"leakage.{name}"] for name in kept)
    if drop:
        assert metrics["retention.min"] == min(metrics[f"retention.{name}"] for name in drop)


def test_leakage_and_retention_are_what_the_residuals_hold():
    metrics = measure(["b", "scale"])
    for name in ("leakage.r", "leakage.g", "leakage.max", "retention.b"):
        assert metrics[name] > 0.95
    for name in ("leakage.digit", "leakage.angle", "retention.scale", "retention.min"):
        assert metrics[name] < 0.1


def test_the_averaged_flow_is_told_the_standardised_context():
    data = make_data(["b"])
    module = make_module(data)
    column = data.dataset.kept.columns["r"].start
    std = module.context_std[column]

    class WithoutRed(digits.CouplingFlow):
        def to_base(self, z, c):
            red = torch.zeros_like(z)
            red[:, 0] = c[:, column] * std / 0.26
            return z - red, torch.zeros(len(z))

    before = science_metrics(module, data)
    module.ema = WithoutRed(D)
    after = science_metrics(module, data)
    assert before["leakage.r"] > 0.95
    assert after["leakage.r"] < 0.1
    assert after["leakage.g"] == pytest.approx(before["leakage.g"], abs=1e-3)


def test_latents_are_samples_of_the_posterior():
    assert measure(logvar=6.0)["leakage.max"] < 0.1


def test_the_same_on_every_rank_and_every_time():
    data = make_data(["b"])
    module = make_module(data).train()
    first = science_metrics(module, data)
    assert first == science_metrics(module, data)
    assert module.ema.training
    for rank in range(2):
        assert measure(rank=rank, world=2) == first
    assert measure(seed=4) != first


def test_no_global_random_state_is_moved():
    data = make_data(["b"])
    module = make_module(data)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    python_state = random.getstate()
    science_metrics(module, data)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])
    assert python_state == random.getstate()


class Keeper(pl.Callback):
    """Keeps what each epoch logged, and which epoch was the last that *probe* had measured."""

    def __init__(self, probe=None):
        self.probe, self.rows, self.measured = probe, [], []
        self.sane = None

    def on_sanity_check_end(self, trainer, pl_module):
        self.sane = self.probe and self.probe.measured

    def on_train_epoch_end(self, trainer, pl_module):
        self.rows.append({k: v.item() for k, v in trainer.callback_metrics.items()})
        self.measured.append(self.probe and self.probe.measured)


def fit(probe=None, epochs=3, **settings):
    data = make_data(["b"])
    module, keeper = make_module(data), Keeper(probe)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[probe, keeper] if probe else [keeper],
        **settings,
    )
    trainer.fit(module, datamodule=data)
    return module, data, keeper


def test_training_is_the_same_to_the_bit_with_and_without():
    plain, _, without = fit()
    probed, _, seen = fit(ScienceProbe())
    states = plain.state_dict(), probed.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    usual = [{k: v for k, v in row.items() if not is_science(k)} for row in seen.rows]
    assert usual == without.rows
    assert not any(is_science(name) for row in without.rows for name in row)
    assert all("leakage.max" in row and "retention.min" in row for row in seen.rows)


def test_the_last_epoch_is_measured_as_the_published_weights_are():
    module, data, seen = fit(ScienceProbe())
    rows = [{k: v for k, v in row.items() if is_science(k)} for row in seen.rows]
    assert rows[-1] == pytest.approx(science_metrics(module, data), rel=1e-6)
    assert rows[-1] != rows[0]


@pytest.mark.parametrize(
    ("every", "spacing", "expected"),
    [
        (1, 1, [0, 1, 2, 3, 4]),
        (2, 1, [-1, 1, 1, 3, 4]),
        (9, 1, [-1, -1, -1, -1, 4]),
        (1, 2, [-1, 1, 1, 3, 3]),
        (9, 2, [-1, -1, -1, 3, 3]),
    ],
)
def test_every_so_many_epochs_and_at_the_last_validation(every, spacing, expected):
    settings = {"check_val_every_n_epoch": spacing, "num_sanity_val_steps": 1}
    _, _, seen = fit(ScienceProbe(every), epochs=5, **settings)
    assert seen.sane == -1
    assert seen.measured == expected
    assert ["leakage.max" in row for row in seen.rows] == [epoch >= 0 for epoch in expected]


def test_only_a_fit_is_measured():
    data, probe = make_data(["b"]), ScienceProbe()
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[probe],
    )
    trainer.validate(make_module(data), datamodule=data, verbose=False)
    assert probe.measured == -1
    assert "val_loss" in trainer.callback_metrics
    assert not any(is_science(name) for name in trainer.callback_metrics)


def test_a_probe_needs_a_flow_and_a_positive_number():
    with pytest.raises(ConfigError, match=r"ScienceProbe\.every is 0: it must be 1 or more"):
        ScienceProbe(every=0)
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    module = LightningVAE(digits.VAE(hidden_dim=D, channels=4, width=8), lr=1e-3)
    with pytest.raises(ConfigError, match="on cached latents, not a LightningVAE"):
        ScienceProbe().on_fit_start(trainer, module)
