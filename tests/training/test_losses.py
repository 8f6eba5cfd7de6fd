"""Losses against distributions of torch."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from wwdc.models.flows import CouplingFlow
from wwdc.training.losses import gaussian_elbo, negative_log_likelihood


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
