"""Weights load strictly, or the error says what differs."""

import pytest
import torch

from wwdc.errors import ProductError
from wwdc.models.rgbmnist import VAE
from wwdc.models.weights import load_vae


@pytest.fixture
def checkpoint(tmp_path):
    def save(vae, prefixes=("vae.", "ema."), **extra):
        state = {
            f"{prefix}{name}": tensor + (prefix == "ema.")
            for prefix in prefixes
            for name, tensor in vae.state_dict().items()
        }
        path = tmp_path / "vae.ckpt"
        torch.save({"state_dict": {**state, **extra}}, path)
        return path

    return save


def test_averaged_weights_are_preferred(checkpoint):
    source, target = VAE(8), VAE(8)
    load_vae(checkpoint(source), target)
    expected = {name: tensor + 1 for name, tensor in source.state_dict().items()}
    assert all(torch.equal(target.state_dict()[name], expected[name]) for name in expected)


def test_plain_weights_do_too(checkpoint):
    source, target = VAE(8), VAE(8)
    load_vae(checkpoint(source, ["vae."]), target)
    assert torch.equal(source.encoder[0].weight, target.encoder[0].weight)


def test_other_shape_names_the_first_difference(checkpoint):
    message = r"vae\.ckpt: does not fit .*encoder\.7\.weight is \(16, 128\).*makes \(24, 128\)"
    with pytest.raises(ProductError, match=message):
        load_vae(checkpoint(VAE(8)), VAE(12))


def test_missing_and_unknown_keys_are_named(checkpoint):
    path = checkpoint(VAE(8), ["vae."], **{"vae.extra": torch.zeros(1)})
    with pytest.raises(ProductError, match="extra is unknown"):
        load_vae(path, VAE(8))
    path = checkpoint(VAE(8), [], **{"vae.extra": torch.zeros(1)})
    with pytest.raises(ProductError, match=r"encoder\.0\.weight is missing.*and \d+ more"):
        load_vae(path, VAE(8))


def test_checkpoint_of_something_else(checkpoint):
    path = checkpoint(VAE(8), [], **{"flow.mixing": torch.zeros(1)})
    with pytest.raises(ProductError, match=r"holds no VAE; its keys begin flow\.mixing"):
        load_vae(path, VAE(8))


def test_missing_file(tmp_path):
    with pytest.raises(ProductError, match=r"gone\.ckpt: no such checkpoint"):
        load_vae(tmp_path / "gone.ckpt", VAE(8))


@pytest.mark.parametrize("kept", [0, 10, 5_000])
def test_truncated_file(checkpoint, kept):
    path = checkpoint(VAE(8))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ProductError, match="truncated or not a checkpoint"):
        load_vae(path, VAE(8))


def test_file_that_is_no_checkpoint(tmp_path):
    path = tmp_path / "vae.ckpt"
    torch.save([1, 2], path)
    with pytest.raises(ProductError, match="not a Lightning checkpoint"):
        load_vae(path, VAE(8))
