"""A stretch maps low to 0 and high to 1, is monotonic, and can be undone."""

import numpy as np
import pytest
import torch

from wwdc.data.stretch import Stretch
from wwdc.errors import DataError


@pytest.mark.parametrize("kind", ["linear", "asinh", "log"])
def test_a_stretch_and_back(kind):
    stretch = Stretch(kind, (-1.0, 0.0), (99.0, 5.0), (2.0, 0.1))
    x = torch.stack([torch.linspace(-1, 99, 50), torch.linspace(0, 5, 50)]).view(1, 2, 5, 10)
    y = stretch.apply(x)
    torch.testing.assert_close(y.amin((2, 3)), torch.zeros(1, 2))
    torch.testing.assert_close(y.amax((2, 3)), torch.ones(1, 2))
    assert (y.flatten(2).diff(dim=2) > 0).all()
    torch.testing.assert_close(stretch.undo(y), x, atol=1e-3, rtol=1e-4)
    assert stretch.apply(x + 1e4).max() == 1 and stretch.apply(x - 1e4).min() == 0


@pytest.mark.parametrize("kind", ["linear", "asinh"])
@pytest.mark.parametrize("low", [0.0, 2.0])
def test_in_place_is_the_same(kind, low):
    stretch, x = Stretch(kind, (low,), (50.0,), (1.0,)), torch.linspace(-1, 60, 24).view(2, 1, 3, 4)
    before = x.clone()
    y = stretch.apply(x)
    assert torch.equal(x, before)
    assert torch.equal(stretch.apply(x, in_place=True), y)


def test_faint_pixels_gain():
    x = torch.full((1, 1, 1, 1), 1.0)
    linear, asinh = (
        Stretch(k, (0.0,), (100.0,), (1.0,)).apply(x).item() for k in ("linear", "asinh")
    )
    assert linear == pytest.approx(0.01) and asinh > 0.15


def test_whole_numbers_have_their_range():
    assert Stretch.of(None, 2, np.dtype("uint8")).high == (255.0, 255.0)
    assert Stretch.of({"high": 4000}, 1, np.dtype("uint16")).high == (4000.0,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"low": 3, "high": 3}, "not above low"),
        ({"low": 0, "high": 1, "softening": 0}, "softening"),
        ({"low": 0}, "stretch.high: these pixels are no whole numbers"),
        ({"low": 0, "high": "1"}, "stretch.high is '1'"),
        ({"kind": "sqrt"}, "'sqrt' is none of linear, asinh, log"),
    ],
)
def test_what_is_no_stretch(given, message):
    with pytest.raises(DataError, match=message):
        Stretch.of(given, 1, np.dtype("float32"))
