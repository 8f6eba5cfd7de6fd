"""Contract of every registered flow: an invertible map with the density it claims."""

import math

import pytest
import torch
from torch.func import jacrev, vmap

from wwdc.errors import ConfigError
from wwdc.models import digits, rgbmnist


def sheared(*arguments, **settings):
    """A coupling flow whose affine map is not diagonal."""
    return rgbmnist.CouplingFlow(*arguments, rank=2, **settings)


def matched(*arguments, transforms, **settings):
    """A flow in continuous time, of steps so small that the solver goes back to where it was."""
    return rgbmnist.FlowMatching(*arguments, steps=8 * transforms, **settings)


FLOWS = [digits.CouplingFlow, rgbmnist.CouplingFlow, digits.Flow, rgbmnist.Flow, sheared, matched]
FLOWS = list(dict.fromkeys(FLOWS))
every_flow = pytest.mark.parametrize("make", FLOWS, ids=lambda make: make.__name__)


def trained(make, features=4, context=3, **settings):
    """A flow away from its start, as training leaves it."""
    torch.manual_seed(0)
    flow = make(features, context, hidden_features=[16, 16], transforms=3, **settings).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return flow


def batch(rows=6, features=4, context=3):
    generator = torch.Generator().manual_seed(1)
    z, c = (torch.randn(rows, n, generator=generator).double() for n in (features, context))
    return z, c


@every_flow
def test_shapes(make):
    flow, (z, c) = trained(make), batch()
    u, log_det = flow.to_base(z, c)
    assert u.shape == flow(z, c).shape == flow.inverse(z, c).shape == flow.sample(c).shape == (6, 4)
    assert log_det.shape == flow.log_prob(z, c).shape == (6,)


@every_flow
def test_inverse_undoes_the_map(make):
    flow, (z, c) = trained(make), batch()
    torch.testing.assert_close(flow.inverse(flow(z, c), c), z, atol=1e-4, rtol=0)


@every_flow
def test_log_determinant_is_the_jacobian_of_autograd(make):
    flow, (z, c) = trained(make), batch()
    jacobian = torch.stack(
        [jacrev(lambda x, row=row: flow(x[None], c[row, None])[0])(z[row]) for row in range(len(z))]
    )
    expected = torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(flow.to_base(z, c)[1], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("make", FLOWS[:-1], ids=lambda make: make.__name__)
def test_density_integrates_to_one(make):
    flow = trained(make, features=2)
    axis = torch.linspace(-25, 25, 801, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    c = torch.tensor([[0.5, -1.0, 0.2]], dtype=torch.float64).expand(len(z), -1)
    with torch.no_grad():
        mass = flow.log_prob(z, c).exp().sum() * (axis[1] - axis[0]) ** 2
    assert mass.item() == pytest.approx(1.0, abs=0.01)


@every_flow
def test_context_moves_the_residual(make):
    flow, (z, c) = trained(make), batch()
    assert not torch.allclose(flow(z, c), flow(z, c + 1.0))


@every_flow
def test_every_parameter_gets_a_gradient(make):
    flow, (z, c) = trained(make), batch()
    flow.log_prob(z, c).sum().backward()
    assert not [n for n, p in flow.named_parameters() if p.grad is None or not p.grad.any()]


@every_flow
def test_works_without_context(make):
    flow, (z, _) = trained(make, context=0), batch()
    c = torch.zeros(6, 0).double()
    torch.testing.assert_close(flow.inverse(flow(z, c), c), z, atol=1e-4, rtol=0)


@every_flow
def test_context_can_be_told_later_and_only_once(make):
    flow = make(4, hidden_features=[8], transforms=2)
    assert flow.context is None
    flow.bind(5)
    flow.bind(5)
    assert flow.context == 5
    with pytest.raises(ConfigError, match="context is 5, but the kept variables take 6"):
        flow.bind(6)


@every_flow
def test_saved_weights_give_the_same_density(make, tmp_path):
    flow, (z, c) = trained(make), batch()
    torch.save(flow.state_dict(), tmp_path / "flow.pt")
    torch.manual_seed(9)
    other = make(4, 3, hidden_features=[16, 16], transforms=3).double()
    other.load_state_dict(torch.load(tmp_path / "flow.pt", weights_only=True))
    assert torch.equal(flow.log_prob(z, c), other.log_prob(z, c))


@every_flow
def test_same_generator_same_samples(make):
    flow, (_, c) = trained(make), batch()
    first, second = (flow.sample(c, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("rank", [0, 4])
def test_coupling_starts_as_the_identity(rank):
    flow, (z, c) = rgbmnist.CouplingFlow(4, 3, [16], 3, rank=rank).double(), batch()
    u, log_det = flow.to_base(z, c)
    torch.testing.assert_close(u, z, atol=1e-5, rtol=0)
    assert not log_det.any()


def test_coupling_scales_are_bounded():
    flow, (z, c) = trained(rgbmnist.CouplingFlow, bound=0.5), batch()
    assert flow.to_base(100 * z, 100 * c)[1].abs().max() <= 0.5 * (4 + 3 * 2)


def test_mixing_follows_its_seed_and_nothing_else():
    torch.manual_seed(1)
    first = rgbmnist.CouplingFlow(4, 3, mixing_seed=0).mixing
    torch.manual_seed(2)
    assert torch.equal(first, rgbmnist.CouplingFlow(4, 3, mixing_seed=0).mixing)
    assert not torch.equal(first, rgbmnist.CouplingFlow(4, 3, mixing_seed=1).mixing)


def test_standard_normal_at_the_start():
    flow = rgbmnist.CouplingFlow(2, 1)
    expected = -math.log(2 * math.pi)
    assert flow.log_prob(torch.zeros(1, 2), torch.zeros(1, 1)).item() == pytest.approx(expected)


def test_density_is_learnt():
    """A conditional Gaussian N(c, 0.5²): the flow must come near its entropy."""
    torch.manual_seed(0)
    flow = rgbmnist.CouplingFlow(2, 1, [16], 2)
    optimizer = torch.optim.Adam(flow.parameters(), 1e-2)
    for _ in range(300):
        c = torch.randn(256, 1)
        loss = -flow.log_prob(c + 0.5 * torch.randn(256, 2), c).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    entropy = 2 * (0.5 * math.log(2 * math.pi * math.e) + math.log(0.5))
    assert loss.item() == pytest.approx(entropy, abs=0.2)


@pytest.mark.parametrize(
    "settings",
    [
        {"features": 1},
        {"transforms": 0},
        {"hidden_features": []},
        {"bound": 0.0},
        {"features": 0},
        {"rank": -1},
        {"rank": 5},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigError, match=r"lightning_loader\.flow"):
        rgbmnist.CouplingFlow(**{"features": 4, "context": 2, **settings})


def test_vmapped_log_prob_agrees():
    flow, (z, c) = trained(sheared), batch()
    rows = vmap(lambda a, b: flow.log_prob(a[None], b[None])[0])(z, c)
    torch.testing.assert_close(rows, flow.log_prob(z, c))
