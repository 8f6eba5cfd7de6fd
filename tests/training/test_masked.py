"""A flow with condition_dropout: what it sees of a context, how it is trained, saved and read."""

import numpy as np
import pytest
import torch

from wwdc.data.catalogue import Catalogue, Variable
from wwdc.errors import ConfigError, ProductError
from wwdc.models import digits
from wwdc.models.context import check_context, context_groups, is_masked
from wwdc.training.lightning_loaders import LightningFlow
from wwdc.training.load import load_flow

D = 6
KNOWN = Catalogue(
    (
        Variable("number", "continuous"),
        Variable("phase", "circular", 2, range=(0.0, 360.0)),
        Variable("kind", "categorical", 3),
        Variable("flag", "flag"),
    )
)
W, V = KNOWN.width, len(KNOWN)
GROUPS = [0, 1, 1, 2, 2, 2, 3]
VAE = {"hidden_dim": D, "channels": 4, "width": 8}
FLOW = {"features": D, "hidden_features": [16], "transforms": 2}


def make(condition_dropout=0.5, catalogue=KNOWN, seed=3):
    torch.manual_seed(seed)
    module = LightningFlow(
        digits.VAE(**VAE),
        digits.CouplingFlow(**FLOW),
        lr=1e-3,
        condition_dropout=condition_dropout,
    )
    width = catalogue.width
    mean, std = np.linspace(-1, 1, width), np.linspace(1, 3, width)
    module.set_context(width, mean, std, context_groups(catalogue))
    module.seed_streams(11)
    return module


def stirred(module):
    """Weights that are not those of an identity."""
    with torch.no_grad():
        for parameter in module.flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    module.add_average()
    return module


def encoded(rows=8, seed=0):
    rng = np.random.default_rng(seed)
    table = {
        "number": rng.normal(size=rows),
        "phase": rng.uniform(0, 360, rows),
        "kind": rng.integers(0, 3, rows),
        "flag": rng.integers(0, 2, rows),
    }
    return torch.from_numpy(KNOWN.encode(table))


def masks(module, rows, train, seed=0):
    return module._draw_given(rows, torch.Generator().manual_seed(seed), train)


def test_groups_follow_the_columns_of_every_kind():
    assert context_groups(KNOWN) == GROUPS
    for number, columns in enumerate(KNOWN.columns.values()):
        assert GROUPS[columns] == [number] * (columns.stop - columns.start)
    assert make().context_groups.tolist() == GROUPS
    assert make().flow.context == W + V


@pytest.mark.parametrize("dropped", range(V))
def test_a_dropped_variable_loses_its_columns_and_its_bit(dropped):
    module, context = make(), encoded()
    given = torch.tensor([k != dropped for k in range(V)])
    seen = module.condition(context, given)
    columns = list(KNOWN.columns.values())[dropped]
    assert (seen[:, columns] == 0).all()
    kept = [k for k in range(W) if not columns.start <= k < columns.stop]
    assert torch.equal(seen[:, kept], module.standardise(context)[:, kept])
    assert torch.equal(seen[:, W:], given.float().expand(len(context), V))


def test_without_a_mask_everything_is_given():
    module, context = make(), encoded()
    seen = module.condition(context)
    assert torch.equal(seen[:, :W], module.standardise(context))
    assert (seen[:, W:] == 1).all()
    assert torch.equal(seen, module.condition(context, torch.ones(V, dtype=torch.bool)))


def test_each_row_may_have_a_mask_of_its_own():
    module, context = make(), encoded()
    given = masks(module, len(context), train=True)
    rows = [module.condition(context[k : k + 1], given[k]) for k in range(len(context))]
    assert torch.equal(module.condition(context, given), torch.cat(rows))


def test_what_a_missing_variable_holds_does_not_matter():
    module, context = make(), encoded()
    unknown = context.clone()
    unknown[:, KNOWN.columns["kind"]] = float("nan")
    given = torch.tensor([True, True, False, True])
    assert torch.equal(module.condition(unknown, given), module.condition(context, given))


@pytest.mark.parametrize(
    "given",
    [
        torch.ones(V),
        torch.ones(V, dtype=torch.int64),
        torch.ones(V + 1, dtype=torch.bool),
        torch.ones(W, dtype=torch.bool),
        torch.ones(3, V, dtype=torch.bool),
        torch.ones(8, 1, dtype=torch.bool),
    ],
)
def test_a_mask_of_another_shape_or_type_is_refused(given):
    with pytest.raises(ValueError, match=r"given: expected bool \(8, 4\) or \(4,\)"):
        make().condition(encoded(), given)


def test_an_ordinary_flow_sees_the_columns_and_takes_no_mask():
    module, context = make(0.0), encoded()
    assert not module.masked
    assert module.flow.context == W
    assert torch.equal(module.condition(context), module.standardise(context))
    assert "context_groups" not in module.state_dict()
    with pytest.raises(ValueError, match="trained without condition_dropout"):
        module.condition(context, torch.ones(V, dtype=torch.bool))


@pytest.mark.parametrize(
    "groups",
    [None, GROUPS[:-1], [0, 1, 1, 2, 2, 2, 4], [1, 1, 1, 2, 2, 2, 3], [0, 2, 1, 1, 2, 2, 3]],
)
def test_groups_that_do_not_fit_are_refused(groups):
    module = LightningFlow(
        digits.VAE(**VAE), digits.CouplingFlow(**FLOW), lr=1e-3, condition_dropout=0.5
    )
    with pytest.raises(ValueError, match="groups"):
        module.set_context(W, np.zeros(W), np.ones(W), groups)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ConfigError, match=r"lightning_loader\.condition_dropout is .* \[0, 1\)"):
        make(rate)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_training_drops_at_its_rate_and_some_rows_entirely(rate):
    rows = 40_000
    given = masks(make(rate), rows, train=True)
    expected = 0.95 * (1 - rate)
    error = 5 * np.sqrt(0.25 / rows)
    assert np.abs(given.float().mean(0).numpy() - expected).max() < error
    alone = 0.05 + 0.95 * rate**V
    assert abs((~given).all(1).float().mean().item() - alone) < error


def test_training_drops_variables_independently():
    given = masks(make(0.3), 40_000, train=True)
    told = given[given.any(1)].float().T.numpy()
    assert np.abs(np.corrcoef(told) - np.eye(V)).max() < 0.03


def test_validation_meets_every_subset_alike_whatever_the_training_does():
    given = masks(make(0.1), 32_000, train=False)
    assert torch.equal(given, masks(make(0.9), 32_000, train=False))
    _, counts = given.unique(dim=0, return_counts=True)
    assert len(counts) == 2**V
    assert (counts - 2_000).abs().max() < 5 * 2_000**0.5


def test_validation_is_the_same_each_time_and_training_is_not():
    module = stirred(make())
    rows = 16
    batch = {
        "mean": torch.randn(rows, D),
        "logvar": torch.full((rows, D), -3.0),
        "context": encoded(rows),
        "index": torch.arange(rows),
    }

    def loss(train, start):
        start()
        noise = module._noise["train" if train else "val"]
        return module.losses(module.flow, batch, noise, train)["loss"].item()

    val = [loss(False, module.on_validation_epoch_start) for _ in range(2)]
    assert val[0] == val[1]
    noise = torch.Generator().manual_seed(1)
    train = [module.losses(module.flow, batch, noise, False)["loss"].item() for _ in range(2)]
    assert train[0] != train[1]


def test_gradients_reach_the_network_and_stop_at_missing_columns():
    module = stirred(make())
    context = encoded().requires_grad_()
    given = torch.tensor([True, False, True, False])
    module.flow.log_prob(torch.randn(8, D), module.condition(context, given)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.flow.parameters())
    reached = context.grad.abs().sum(0) > 0
    assert reached.tolist() == [bool(given[group]) for group in GROUPS]


def test_the_unconditional_density_depends_on_no_context():
    module, z = stirred(make()), torch.randn(8, D)
    nothing = torch.zeros(V, dtype=torch.bool)
    one, other = (module.condition(encoded(seed=seed), nothing) for seed in (0, 1))
    assert torch.equal(module.ema.log_prob(z, one), module.ema.log_prob(z, other))
    full = [module.condition(encoded(seed=seed)) for seed in (0, 1)]
    assert not torch.equal(*(module.ema.log_prob(z, c) for c in full))


def test_one_training_learns_every_drop_set():
    """Two latents are two variables with noise: told, they leave u; not told, they stay in it."""
    known = Catalogue((Variable("a", "continuous"), Variable("b", "continuous")))
    module = make(0.5, known)
    module.set_context(2, np.zeros(2), np.ones(2), [0, 1])
    chance = torch.Generator().manual_seed(0)

    def draw(rows):
        context = torch.randn(rows, 2, generator=chance)
        z = torch.randn(rows, D, generator=chance)
        z[:, :2] = context + 0.3 * z[:, :2]
        return z, context

    optimizer = torch.optim.Adam(module.flow.parameters(), lr=5e-3)
    for _ in range(300):
        z, context = draw(256)
        batch = {"mean": z, "logvar": torch.full_like(z, -20.0), "context": context}
        optimizer.zero_grad()
        module.losses(module.flow, batch, chance, train=True)["loss"].backward()
        optimizer.step()
    z, context = draw(4_000)
    truth = {0: 1 + 0.3**2, 1: 0.3**2}  # variance of a latent given nothing, or its variable
    for told in ((True, True), (True, False), (False, True), (False, False)):
        with torch.no_grad():
            c = module.condition(context, torch.tensor(told))
            u, log_prob = module.flow(z, c), module.flow.log_prob(z, c)
        for number, given in enumerate(told):
            read = np.corrcoef(np.hstack([u, context[:, number : number + 1]]).T)[-1, :-1]
            assert (np.square(read).sum() < 0.05) == given
        variances = torch.tensor([truth[given] for given in told])
        best = -0.5 * (D * np.log(2 * np.pi) + D + variances.log().sum())
        assert log_prob.mean().item() == pytest.approx(best.item(), abs=0.25)


LOADER = {
    "_target_": "wwdc.training.lightning_loaders.LightningFlow",
    "vae": {"_target_": "wwdc.models.digits.VAE", **VAE},
    "flow": {"_target_": "wwdc.models.digits.CouplingFlow", **FLOW},
    "lr": 1e-3,
}


@pytest.fixture
def saved(tmp_path):
    """A module whose checkpoint and VAE are saved; how to load them with another rate."""

    def save(rate):
        module = stirred(make(rate))
        torch.save({"state_dict": module.state_dict()}, tmp_path / "flow.ckpt")
        vae = {f"vae.{name}": value for name, value in module.vae.state_dict().items()}
        torch.save({"state_dict": vae}, tmp_path / "vae.ckpt")

        def load(other):
            loader = {**LOADER, "condition_dropout": other}
            return load_flow(tmp_path / "flow.ckpt", loader, tmp_path / "vae.ckpt")

        return module, load

    return save


def test_a_checkpoint_brings_the_masks_back(saved):
    module, load = saved(0.5)
    loaded = load(0.25)  # the rate is training's alone
    assert loaded.masked
    assert loaded.context_groups.tolist() == GROUPS
    z, given = torch.randn(8, D), masks(module, 8, train=True)
    seen = module.condition(encoded(), given)
    assert torch.equal(loaded.condition(encoded(), given), seen)
    assert torch.equal(loaded.ema(z, seen), module.ema(z, seen))


@pytest.mark.parametrize(
    ("trained", "asked", "how"), [(0.5, 0.0, "with condition"), (0.0, 0.5, "without condition")]
)
def test_a_checkpoint_of_the_other_kind_is_refused(saved, trained, asked, how):
    _, load = saved(trained)
    with pytest.raises(ProductError, match=f"trained {how}_dropout, and lightning_loader has"):
        load(asked)


def test_bits_count_to_the_width_of_the_context():
    assert check_context(None, KNOWN, masked=True) == check_context(11, KNOWN, masked=True) == 11
    with pytest.raises(ConfigError) as caught:
        check_context(7, KNOWN, masked=True)
    assert str(caught.value) == (
        "model.yaml: lightning_loader.flow.context is 7, but the kept variables take number 1 + "
        "phase 2 + kind 3 + flag 1 + bits 4 (condition_dropout: which of them are given) = 11. "
        "Write `context: 11`, or leave it out to have it computed."
    )


@pytest.mark.parametrize(
    ("rate", "masked"),
    [(0, False), (0.0, False), (None, False), ("0.5", False), (0.5, True)],
)
def test_a_positive_rate_makes_a_flow_masked(rate, masked):
    assert is_masked({"condition_dropout": rate}) is masked
    assert not is_masked({})
