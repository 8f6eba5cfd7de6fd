"""Rotation, scaling and colour do to an image what their names say."""

import pytest
import torch

from wwdc.data.render import affine


def spot(row, column, side=29):
    image = torch.zeros(1, 1, side, side)
    image[..., row, column] = 1.0
    return image


def test_nothing_to_do_changes_nothing():
    images = torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(affine(images, torch.zeros(3), torch.ones(3)), images)


def test_positive_angles_turn_anticlockwise():
    # A spot to the right of the centre goes up, which is a smaller row.
    turned = affine(spot(14, 24), torch.tensor([torch.pi / 2]), torch.ones(1))
    assert float(turned[0, 0, 4, 14]) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4])
def test_area_grows_with_the_square_of_the_scale(scale):
    image = torch.zeros(1, 1, 28, 28)
    image[..., 9:19, 9:19] = 1.0
    area = affine(image, torch.zeros(1), torch.tensor([scale])).sum() / image.sum()
    assert float(area) == pytest.approx(scale**2, rel=0.03)


def test_what_comes_in_from_outside_is_black():
    small = affine(torch.ones(1, 1, 28, 28), torch.zeros(1), torch.tensor([0.5]))
    assert float(small[..., :6, :].max()) == 0.0
    assert float(small[..., 14, 14]) == 1.0
