"""The flow in continuous time: a flow's contract, its solver, what training makes of it."""

import math

import pytest
import torch
from torch.func import jacrev, vmap

from wwdc.errors import ConfigError
from wwdc.models import digits, rgbmnist
from wwdc.models.flow_matching import FlowMatching
from wwdc.models.flows import ConditionalFlow
from wwdc.training.losses import flow_matching

# Lipman et al., Flow Matching for Generative Modeling, https://arxiv.org/abs/2210.02747

FLOWS = {
    "coupling": lambda: rgbmnist.CouplingFlow(4, 3, [16], 3),
    "sheared": lambda: rgbmnist.CouplingFlow(4, 3, [16], 3, rank=2),
    "nsf": lambda: rgbmnist.Flow(4, 3, [16], 3),
    "matching": lambda: rgbmnist.FlowMatching(4, 3, [16, 16], 8),
}
every_flow = pytest.mark.parametrize("name", FLOWS)


def moved(flow):
    """The flow away from its start, as training leaves it."""
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return flow.double()


def made(features=4, context=3, steps=32, **settings):
    torch.manual_seed(0)
    return moved(FlowMatching(features, context, [16, 16], steps, **settings))


def batch(rows=6, features=4, context=3):
    generator = torch.Generator().manual_seed(1)
    z, c = (torch.randn(rows, n, generator=generator).double() for n in (features, context))
    return z, c


def test_shapes():
    flow, (z, c) = made(steps=4), batch()
    u, log_det = flow.to_base(z, c)
    assert u.shape == flow(z, c).shape == flow.inverse(z, c).shape == flow.sample(c).shape == (6, 4)
    assert log_det.shape == flow.log_prob(z, c).shape == (6,)
    assert flow.velocity(z, torch.rand(6).double(), c).shape == (6, 4)


def test_forward_is_the_base_without_the_price_of_the_density(monkeypatch):
    flow, (z, c) = made(steps=4), batch()
    u, _ = flow.to_base(z, c)
    monkeypatch.delattr(FlowMatching, "_with_log_det")
    assert torch.equal(flow(z, c), u)


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_log_determinant_is_the_jacobian_of_autograd(steps):
    flow, (z, c) = made(steps=steps), batch()
    jacobian = torch.stack(
        [jacrev(lambda x, row=row: flow(x[None], c[row, None])[0])(z[row]) for row in range(len(z))]
    )
    expected = torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(flow.to_base(z, c)[1], expected, atol=1e-9, rtol=0)


def test_density_integrates_to_one():
    flow = made(features=2, steps=8)
    axis = torch.linspace(-15, 15, 151, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    c = torch.tensor([[0.5, -1.0, 0.2]], dtype=torch.float64).expand(len(z), -1)
    with torch.no_grad():
        mass = flow.log_prob(z, c).exp().sum() * (axis[1] - axis[0]) ** 2
    assert mass.item() == pytest.approx(1.0, abs=0.01)


def test_rows_in_chunks_are_the_rows(monkeypatch):
    flow, (z, c) = made(steps=4), batch()
    whole = flow.log_prob(z, c)
    monkeypatch.setattr("wwdc.models.flow_matching._TANGENTS", 4 * 4 * 16)
    torch.testing.assert_close(flow.log_prob(z, c), whole)


def test_solver_is_of_fourth_order():
    z, c = batch()
    exact = made(steps=256)(z, c)
    coarse, fine = ((made(steps=n)(z, c) - exact).abs().max().item() for n in (16, 32))
    assert 3.0 < math.log2(coarse / fine) < 5.0
    assert fine < 1e-4


def test_inverse_undoes_the_map():
    flow, (z, c) = made(), batch()
    u = flow(z, c)
    assert (u - z).abs().max() > 1.0
    torch.testing.assert_close(flow.inverse(u, c), z, atol=1e-5, rtol=0)


def test_starts_as_the_identity():
    flow, (z, c) = FlowMatching(4, 3, [16]).double(), batch()
    u, log_det = flow.to_base(z, c)
    assert torch.equal(u, z)
    assert not log_det.any()


def test_time_and_context_move_the_velocity():
    flow, (z, c) = made(), batch()
    t = torch.full((6,), 0.3, dtype=torch.float64)
    v = flow.velocity(z, t, c)
    assert not torch.allclose(v, flow.velocity(z, t + 0.1, c))
    assert not torch.allclose(v, flow.velocity(z, t, c + 0.1))
    assert not torch.allclose(flow.velocity(z, 0.0 * t, c), flow.velocity(z, 0.0 * t + 1.0, c))


@pytest.mark.parametrize("loss", ["flow_matching", "likelihood"])
def test_every_parameter_gets_a_gradient(loss):
    flow, (z, c) = made(steps=4), batch()
    value = flow_matching(flow, z, c)["loss"] if loss == "flow_matching" else flow.log_prob(z, c)
    value.sum().backward()
    assert not [n for n, p in flow.named_parameters() if p.grad is None or not p.grad.any()]


def test_works_without_context():
    flow, (z, _) = made(context=0), batch()
    c = torch.zeros(6, 0).double()
    torch.testing.assert_close(flow.inverse(flow(z, c), c), z, atol=1e-5, rtol=0)


def test_context_can_be_told_later_and_only_once():
    flow = FlowMatching(4, hidden_features=[8])
    assert flow.context is None
    flow.bind(5)
    with pytest.raises(ConfigError, match="context is 5, but the kept variables take 6"):
        flow.bind(6)


def test_saved_weights_give_the_same_density(tmp_path):
    flow, (z, c) = made(), batch()
    torch.save(flow.state_dict(), tmp_path / "flow.pt")
    torch.manual_seed(9)
    other = FlowMatching(4, 3, [16, 16], 32).double()
    other.load_state_dict(torch.load(tmp_path / "flow.pt", weights_only=True))
    assert torch.equal(flow.log_prob(z, c), other.log_prob(z, c))


def test_same_generator_same_samples():
    flow, (_, c) = made(), batch()
    first, second = (flow.sample(c, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)


def test_vmapped_log_prob_agrees():
    flow, (z, c) = made(), batch()
    rows = vmap(lambda a, b: flow.log_prob(a[None], b[None])[0])(z, c)
    torch.testing.assert_close(rows, flow.log_prob(z, c))


def test_layers_may_differ_in_width():
    flow, (z, c) = moved(FlowMatching(4, 3, [8, 8, 16], 32)), batch()
    torch.testing.assert_close(flow.inverse(flow(z, c), c), z, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [{"features": 0}, {"hidden_features": []}, {"steps": 0}, {"frequencies": 0}],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigError, match=r"lightning_loader\.flow"):
        FlowMatching(**{"features": 4, "context": 2, **settings})


def test_datasets_offer_it():
    assert digits.FlowMatching is rgbmnist.FlowMatching is FlowMatching


@every_flow
def test_path_leads_from_the_latents_to_the_base(name):
    torch.manual_seed(0)
    flow, (z, c) = moved(FLOWS[name]()), batch()
    path = flow.path(z, c, [1.0, 0.0, 0.5])
    assert path.shape == (3, 6, 4)
    assert torch.equal(path[0], flow(z, c))
    assert torch.equal(path[1], z)
    assert not torch.allclose(path[2], z)
    assert not torch.allclose(path[2], flow(z, c))


@every_flow
def test_path_at_a_time_does_not_depend_on_the_others(name):
    torch.manual_seed(0)
    flow, (z, c) = moved(FLOWS[name]()), batch()
    times = [0.0, 0.13, 0.4, 0.77, 1.0]
    path = flow.path(z, c, times)
    for state, time in zip(path, times, strict=True):
        assert torch.equal(state, flow.path(z, c, [time])[0])
    assert flow.path(z, c, []).shape == (0, 6, 4)


@every_flow
@pytest.mark.parametrize("time", [-0.01, 1.01, math.nan])
def test_path_refuses_times_outside(name, time):
    flow, (z, c) = FLOWS[name]().double(), batch()
    with pytest.raises(ConfigError, match=r"is no flow time\. Times lie between 0"):
        flow.path(z, c, [0.0, time])


def test_path_of_a_flow_of_one_map_has_its_ends():
    class Shift(ConditionalFlow):
        def _build(self, context):
            pass

        def to_base(self, z, c):
            return z + 1.0, torch.zeros(len(z))

        def inverse(self, u, c):
            return u - 1.0

    z, c = batch()
    path = Shift(4).path(z, c, [0.0, 0.4, 0.6, 1.0])
    assert torch.equal(path, torch.stack([z, z, z + 1.0, z + 1.0]))


@pytest.mark.parametrize("rank", [0, 2])
def test_path_of_couplings_keeps_the_axes_of_the_latents(rank):
    """At its start a coupling flow is the identity: no rotation may be seen on its way."""
    flow, (z, c) = rgbmnist.CouplingFlow(4, 3, [16], 3, rank=rank).double(), batch()
    path = flow.path(z, c, [0.0, 0.33, 0.67, 1.0])
    torch.testing.assert_close(path, z.expand(4, -1, -1), atol=1e-5, rtol=0)


def test_path_of_couplings_goes_one_coupling_at_a_time():
    """The first half of the couplings, on their own, end where the path is half-way."""
    torch.manual_seed(0)
    flow, (z, c) = moved(rgbmnist.CouplingFlow(4, 3, [16], 4)), batch()
    half = rgbmnist.CouplingFlow(4, 3, [16], 2).double()
    state = flow.state_dict()
    for key in half.state_dict():
        value = state[key]
        if key == "mixing" or key.startswith("embed"):
            state[key] = value[: len(half.get_parameter(key) if key != "mixing" else half.mixing)]
    state["unmixing"] = (state["mixing"][0] @ state["mixing"][1]).T
    half.load_state_dict({key: state[key] for key in half.state_dict()})
    torch.testing.assert_close(flow.path(z, c, [0.5])[0], half(z, c))


def test_path_between_nodes_solves_the_equation():
    """The state at a time is that of a flow with a far finer grid, on and off the nodes."""
    z, c = batch()
    times = [0.1, 0.25, 0.6, 0.999]
    coarse, fine = made(steps=32).path(z, c, times), made(steps=200).path(z, c, times)
    torch.testing.assert_close(coarse, fine, atol=1e-4, rtol=0)
    path = made(steps=32).path(z, c, [0.5, 0.5 + 1e-9, 0.5 - 1e-9])
    torch.testing.assert_close(path[1:], path[:1].expand(2, -1, -1), atol=1e-6, rtol=0)


def test_path_changes_at_the_rate_of_the_velocity():
    flow, (z, c) = made(), batch()
    before, now, after = flow.path(z, c, [0.3 - 1e-4, 0.3, 0.3 + 1e-4])
    v = flow.velocity(now, torch.full((6,), 0.3, dtype=torch.float64), c)
    torch.testing.assert_close((after - before) / 2e-4, v, atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def learnt():
    """A flow trained on a correlated conditional normal density, its losses, and fresh data."""
    torch.manual_seed(0)
    flow = FlowMatching(2, 1, [32, 32])
    optimizer = torch.optim.Adam(flow.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1500)
    losses = []
    for _ in range(1500):
        loss = flow_matching(flow, *toy(256))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return flow, losses, toy(5_000)


COVARIANCE = torch.tensor([[1.0, 0.3], [0.3, 0.25]])


def toy(rows):
    """z ~ N((c, −2 c), COVARIANCE) and c ~ N(0, 1)."""
    c = torch.randn(rows, 1)
    noise = torch.randn(rows, 2) @ torch.linalg.cholesky(COVARIANCE).T
    return torch.cat([c, -2.0 * c], dim=1) + noise, c


def test_loss_falls(learnt):
    _, losses, _ = learnt
    assert sum(losses[-50:]) < 0.6 * sum(losses[:50])


@torch.no_grad()
def test_residuals_are_standard_normal_and_know_nothing_of_the_condition(learnt):
    flow, _, (z, c) = learnt
    u = flow(z, c)
    assert torch.corrcoef(torch.cat([z, c], dim=1).T)[2, :2].abs().min() > 0.6
    # Of N = 5 000 rows, a mean and a correlation scatter by 0.014, a variance by 0.02.
    columns = torch.cat([u, c, c.square()], dim=1)
    assert u.mean(0).abs().max() < 0.08
    torch.testing.assert_close(u.T.cov(), torch.eye(2), atol=0.12, rtol=0)
    assert torch.corrcoef(columns.T)[2:, :2].abs().max() < 0.08
    assert torch.corrcoef(torch.cat([u.square(), c.square()], dim=1).T)[2, :2].abs().max() < 0.08


@torch.no_grad()
def test_density_is_learnt(learnt):
    flow, _, (z, c) = learnt
    entropy = 0.5 * torch.logdet(2 * math.pi * math.e * COVARIANCE).item()
    assert -flow.log_prob(z, c).mean().item() == pytest.approx(entropy, abs=0.08)


@torch.no_grad()
def test_samples_follow_the_density(learnt):
    flow, _, _ = learnt
    z = flow.sample(torch.full((5_000, 1), 0.7))
    torch.testing.assert_close(z.mean(0), torch.tensor([0.7, -1.4]), atol=0.08, rtol=0)
    torch.testing.assert_close(z.T.cov(), COVARIANCE, atol=0.12, rtol=0)
