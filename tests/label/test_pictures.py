"""Pictures are the pixels of the image, and drawn once."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from wwdc.errors import DataError
from wwdc.label import pictures
from wwdc.label.pictures import ImageViewer, Pictures, png
from wwdc.models.identity import Identity


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_its_pixels(channels):
    pixels = np.random.default_rng(0).integers(256, size=(5, 7, channels), dtype=np.uint8)
    assert np.array_equal(decoded(png(pixels)).reshape(pixels.shape), pixels)


def test_pixels_stay_squares_and_the_longer_side_is_as_wanted():
    image = np.array([[[0.0, 0.5, 1.0, 2.0], [np.nan, -1.0, 0.2, 0.4]]], np.float32)
    data, media_type = ImageViewer().render({}, image, 16)
    found = decoded(data)
    assert media_type == "image/png"
    assert found.shape == (8, 16)
    assert found[::4, ::4].tolist() == [[0, 128, 255, 255], [0, 0, 51, 102]]
    assert (found[:4, :4] == 0).all()


def test_channels_are_chosen():
    image = np.stack([np.full((2, 2), value, np.float32) for value in (0, 0.2, 0.4, 0.6, 1)])
    assert decoded(ImageViewer().render({}, image, 2)[0])[0, 0].tolist() == [0, 51, 102]
    assert decoded(ImageViewer([4, 3, 0]).render({}, image, 2)[0])[0, 0].tolist() == [255, 153, 0]
    assert decoded(ImageViewer([1]).render({}, image, 2)[0])[0, 0] == 51
    assert decoded(ImageViewer().render({}, image[:2], 2)[0]).shape == (2, 2)
    with pytest.raises(DataError, match="the images have 5"):
        ImageViewer([5]).render({}, image, 2)
    with pytest.raises(DataError):
        ImageViewer([0, 1])


def test_a_vector_is_a_grey_square():
    """−4 standard deviations are black, 4 are white."""
    vector = torch.tensor([[-4.0, 0.0, 4.0, 9.0, 0.8]])
    found = decoded(ImageViewer().render({}, Identity(5).decode(vector)[0].numpy(), 3)[0])
    assert found.tolist() == [[0, 128, 255], [255, 153, 128]]


def test_a_picture_is_drawn_once_while_there_is_room(monkeypatch):
    drawn = []

    def draw(row):
        drawn.append(row)
        return {}, np.zeros((1, 4, 4), np.float32)

    kept = Pictures(draw, ImageViewer(), "x")
    first = kept.get(1, 16)
    assert kept.get(1, 16) == first
    assert drawn == [1]
    kept.get(1, 32)
    assert drawn == [1, 1]
    monkeypatch.setattr(pictures, "CACHED_BYTES", 1)
    kept.get(2, 16)
    kept.get(1, 16)
    assert drawn == [1, 1, 2, 1]
