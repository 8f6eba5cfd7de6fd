"""Contract of every registered VAE: shapes, gradients, determinism, saving, bad settings."""

import pytest
import torch

from wwdc.errors import ConfigError
from wwdc.models import digits, rgbmnist

VAES = [digits.VAE, rgbmnist.VAE]
every_vae = pytest.mark.parametrize("make", VAES, ids=lambda make: make.__module__)


@every_vae
def test_shapes_follow_the_settings(make):
    vae = make(hidden_dim=7, channels=4, width=8, size=(3, 28, 28))
    mean, logvar = vae.encode(torch.rand(5, 3, 28, 28))
    assert mean.shape == logvar.shape == (5, 7)
    assert vae.latent_dim == 7
    assert vae.decode(mean).shape == (5, 3, 28, 28)


@every_vae
def test_images_lie_in_unit_range(make):
    vae = make()
    image = vae.decode(10 * torch.randn(8, vae.latent_dim))
    assert image.min() >= 0
    assert image.max() <= 1


@every_vae
def test_every_parameter_gets_a_gradient(make):
    vae = make()
    x = torch.rand(4, 3, 28, 28)
    x_hat, mean, logvar = vae(x, torch.randn(4, vae.latent_dim))
    (x_hat.sum() + mean.sum() + logvar.sum()).backward()
    missing = [n for n, p in vae.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing


@every_vae
def test_without_noise_decodes_the_mean(make):
    vae = make()
    x = torch.rand(2, 3, 28, 28)
    x_hat, mean, _ = vae(x)
    assert torch.equal(x_hat, vae.decode(mean))


@every_vae
def test_same_seed_same_bytes(make):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(make().state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@every_vae
def test_saved_weights_give_the_same_code(make, tmp_path):
    vae, other = make(), make()
    torch.save(vae.state_dict(), tmp_path / "vae.pt")
    other.load_state_dict(torch.load(tmp_path / "vae.pt", weights_only=True))
    x = torch.rand(2, 3, 28, 28)
    assert torch.equal(vae.encode(x)[0], other.encode(x)[0])


def test_odd_image_is_refused():
    with pytest.raises(ConfigError, match=r"vae\.size is \[3, 30, 28\].*divisible by 4"):
        rgbmnist.VAE(size=(3, 30, 28))


def test_default_is_compact():
    assert sum(p.numel() for p in rgbmnist.VAE().parameters()) < 1_000_000
