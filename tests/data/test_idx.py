"""IDX files and pairs of them: what is read, and what is refused by name."""

import gzip

import numpy as np
import pytest

from tests.data.conftest import idx, write_part
from wwdc.data.idx import parse_idx, read_content
from wwdc.data.mnist import find, read_part
from wwdc.errors import DataError

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


@pytest.mark.parametrize("compress", [True, False])
def test_reads_compressed_and_plain_files(tmp_path, compress):
    write_part(tmp_path, "t10k", 40, compress=compress)
    part = read_part(find(tmp_path, IMAGES), find(tmp_path, LABELS))
    grey, digit = part.grey, part.digit
    assert grey.shape == (40, 28, 28)
    assert grey.dtype == np.uint8
    assert digit.tolist() == [i % 10 for i in range(40)]


BROKEN = {
    "truncated": (IMAGES, idx(np.zeros((40, 28, 28)))[:-100], "truncated: the header announces"),
    "too long": (IMAGES, idx(np.zeros((40, 28, 28))) + b"x", "too long"),
    "header only": (IMAGES, bytes([0, 0, 8, 3, 0]), "shorter than its header"),
    "empty": (IMAGES, b"", "not an IDX file"),
    "another type": (IMAGES, b"\0\0\x0d\3" + bytes(12), "0x00000d03, expected 0x00000803"),
    "labels for images": (IMAGES, idx(np.zeros(40)), "not an IDX file of 3-dimensional bytes"),
    "small images": (IMAGES, idx(np.zeros((40, 20, 28))), "images of 20 × 28, not 28 × 28"),
    "other count": (LABELS, idx(np.zeros(39)), "39 labels for the 40 images"),
    "no digit": (LABELS, idx(np.full(40, 10)), "label 10 of image 0 is no digit 0–9"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_named(tmp_path, case):
    name, data, message = BROKEN[case]
    write_part(tmp_path, "t10k", 40, compress=False)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message) as raised:
        read_part(tmp_path / IMAGES, tmp_path / LABELS)
    assert str(tmp_path / name) in str(raised.value)


@pytest.mark.parametrize(
    "data", [b"no gzip", gzip.compress(bytes(1000))[:-12], gzip.compress(b"x")[:10] + bytes(9)]
)
def test_broken_compression_is_named(tmp_path, data):
    path = tmp_path / "x.gz"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"x\.gz: cannot be read"):
        read_content(path)


def test_an_unreadable_file_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="folder: cannot be read"):
        read_content(tmp_path / "folder")


def test_a_file_that_changed_is_read_again(tmp_path):
    write_part(tmp_path, "t10k", 40, compress=False)
    first = read_part(tmp_path / IMAGES, tmp_path / LABELS)
    assert read_part(tmp_path / IMAGES, tmp_path / LABELS) is first
    write_part(tmp_path, "t10k", 50, compress=False)
    assert len(read_part(tmp_path / IMAGES, tmp_path / LABELS).grey) == 50


def test_an_empty_array_parses(tmp_path):
    assert parse_idx(idx(np.zeros((0, 28, 28))), tmp_path, ndim=3).shape == (0, 28, 28)
