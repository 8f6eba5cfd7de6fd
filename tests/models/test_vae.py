"""Contract of every registered VAE: shapes, gradients, determinism, saving, bad settings."""

import pytest
import torch

from wwdc.data.stretch import Stretch
from wwdc.errors import ConfigError
from wwdc.models import convolutional, digits, rgbmnist


class ConvVAE(convolutional.ConvVAE):
    """With a default size, as the others have."""

    def __init__(self, hidden_dim=8, channels=8, width=16, size=(3, 28, 28)):
        super().__init__(size, hidden_dim, max(8, channels), width)


VAES = [digits.VAE, rgbmnist.VAE, ConvVAE]
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


@pytest.mark.parametrize(
    "size", [(1, 16, 16), (4, 17, 33), (8, 45, 64), (2, 128, 100), (3, 256, 256)]
)
def test_any_usual_size_fits(size):
    vae = convolutional.ConvVAE(size, hidden_dim=4, channels=8, width=16)
    x = torch.rand(2, *size)
    x_hat, mean, _ = vae(x, torch.randn(2, 4))
    assert x_hat.shape == x.shape and mean.shape == (2, 4)
    assert torch.isfinite(x_hat).all()


def test_a_size_out_of_range_is_refused():
    for size in ([3, 12, 28], [3, 28, 300], [28, 28]):
        with pytest.raises(ConfigError, match="sides of 16 to 256 pixels"):
            convolutional.ConvVAE(size)


def test_the_stretch_goes_with_the_weights_and_is_undone():
    stretch = Stretch("asinh", (-1.0, 0.0), (99.0, 5.0), (2.0, 0.5))
    vae, other = (convolutional.ConvVAE((2, 16, 16), channels=8, width=16) for _ in range(2))
    vae.set_stretch(stretch)
    other.load_state_dict(vae.state_dict())
    assert other.stretch == stretch
    flux = 5 * torch.rand(2, 2, 16, 16)
    torch.testing.assert_close(other.pixels(stretch.apply(flux)), flux, atol=1e-4, rtol=1e-4)


def test_default_is_compact():
    assert sum(p.numel() for p in rgbmnist.VAE().parameters()) < 1_000_000
