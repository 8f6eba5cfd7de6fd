"""Losses against distributions of torch."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from wwdc.config import instantiate
from wwdc.errors import ConfigError
from wwdc.models.flow_matching import FlowMatching
from wwdc.models.flows import CouplingFlow
from wwdc.training.losses import flow_matching, gaussian_elbo, negative_log_likelihood


def test_elbo_agrees_with_torch():
    x, x_hat = torch.rand(2, 4, 3, 8, 8)
    mean, logvar = torch.randn(2, 4, 5)
    parts = gaussian_elbo(x, x_hat, mean, logvar, 2.0, sigma=0.1)
    kl = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum() / 4
    pixels = (Normal(x, 0.1).log_prob(x) - Normal(x_hat, 0.1).log_prob(x)).sum() / 4
    torch.testing.assert_close(parts["kl"], kl)
    torch.testing.assert_close(parts["reconstruction"], pixels)
    torch.testing.assert_close(parts["loss"], pixels + 2.0 * kl)


def test_likelihood_is_that_of_the_flow():
    flow = CouplingFlow(4, 2, [8], 2)
    z, c = torch.randn(5, 4), torch.randn(5, 2)
    parts = negative_log_likelihood(flow, z, c)
    assert set(parts) == {"loss"}
    torch.testing.assert_close(parts["loss"], -flow.log_prob(z, c).mean())


def test_transport_adds_the_path():
    flow = CouplingFlow(4, 2, [8], 2)
    z, c = torch.randn(5, 4), torch.randn(5, 2)
    parts = negative_log_likelihood(flow, z, c, transport=0.3)
    path = 0.5 * (flow(z, c) - z).square().sum(-1).mean()
    assert parts["loss"].item() == pytest.approx((parts["nll"] + 0.3 * path).item())


class Recorder(FlowMatching):
    """Keeps what it is asked, and says that nothing moves."""

    def velocity(self, x, t, c):
        self.asked = x, t
        return torch.zeros_like(x)


def recorded(z, **settings):
    """The loss of a flow that moves nothing, with the base u (B, D) and times t (B,) it drew."""
    flow = Recorder(z.shape[1], hidden_features=[8])
    loss = flow_matching(flow, z, torch.zeros(len(z), 2), **settings)["loss"]
    x, t = flow.asked
    return loss, (x - (1.0 - t[:, None]) * z) / t[:, None], t


def test_matching_is_the_mean_square_of_straight_lines():
    z = 3.0 + torch.randn(4_000, 2, generator=torch.Generator().manual_seed(0)).double()
    loss, u, t = recorded(z)
    torch.testing.assert_close(loss, (u - z).square().mean())
    # One u has u^2 = 1 and u^4 = 3 on average: means of 8 000 scatter by 0.011, 0.016 and 0.11.
    for power, moment, scatter in ((1, 0.0, 0.011), (2, 1.0, 0.016), (4, 3.0, 0.11)):
        assert u.pow(power).mean().item() == pytest.approx(moment, abs=4 * scatter)
    assert abs(torch.corrcoef(torch.stack([u[:, 0], t]))[0, 1]) < 4 / 4_000**0.5
    assert abs(torch.corrcoef(torch.stack([u[:, 0], z[:, 0]]))[0, 1]) < 4 / 4_000**0.5


def test_matching_spreads_its_times_evenly():
    starts = []
    for seed in range(200):
        z = torch.randn(10, 2, generator=torch.Generator().manual_seed(seed)).double()
        t = recorded(z)[2].sort().values
        torch.testing.assert_close(t.diff(), torch.full((9,), 0.1, dtype=torch.float64))
        assert 0.0 <= t[0] < 0.1
        starts.append(10.0 * t[0].item())
    assert sum(starts) / 200 == pytest.approx(0.5, abs=4 * 12**-0.5 * 200**-0.5)


def test_matching_draws_follow_the_latents_and_nothing_else():
    z = torch.randn(8, 4)
    state = torch.random.get_rng_state()
    first = recorded(z)
    assert torch.equal(state, torch.random.get_rng_state())
    torch.manual_seed(7)
    again, other = recorded(z.clone()), recorded(torch.nextafter(z, z + 1))
    assert all(map(torch.equal, first, again))
    assert not torch.allclose(first[1], other[1], atol=0.1)


def test_matching_takes_a_generator():
    z = torch.randn(8, 4)
    first, second = (recorded(z, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    other = recorded(z, generator=torch.Generator().manual_seed(4))
    assert all(map(torch.equal, first, second))
    assert not torch.equal(first[0], other[0])


def test_matching_wants_a_flow_in_continuous_time():
    flow = CouplingFlow(4, 2, [8], 2)
    with pytest.raises(ConfigError, match="trains a FlowMatching, not a CouplingFlow"):
        flow_matching(flow, torch.zeros(3, 4), torch.zeros(3, 2))


def test_matching_is_built_from_yaml():
    loss = instantiate({"_target_": "wwdc.training.losses.flow_matching", "_partial_": True})
    node = {"_target_": "wwdc.models.rgbmnist.FlowMatching", "features": 4, "context": 2}
    parts = loss(instantiate(node), torch.zeros(5, 4), torch.zeros(5, 2))
    assert set(parts) == {"loss"}
    assert parts["loss"].requires_grad
