"""Every dataset keeps the same promises; each then has some of its own."""

import pickle

import numpy as np
import pytest
import torch

from tests.data.conftest import write_part
from wwdc.data.colour_mnist import SPLITS
from wwdc.data.digits import Digits
from wwdc.data.rgbmnist import RGBMNIST
from wwdc.errors import DataError


def made_up(tmp_path, **settings):
    if not tmp_path.joinpath("train-images-idx3-ubyte").exists():
        write_part(tmp_path, "train", 400, compress=False)
        write_part(tmp_path, "t10k", 100)
    return RGBMNIST(tmp_path, **settings)


@pytest.fixture(params=["digits", "rgbmnist"])
def make(request, tmp_path):
    """Builds a dataset from keyword arguments."""
    return Digits if request.param == "digits" else lambda **s: made_up(tmp_path, **s)


def test_splits_share_no_object_and_lose_none(make):
    dataset = make(views=2)
    objects = [set(dataset.table(split)["object"].tolist()) for split in SPLITS]
    assert not objects[0] & objects[1] | objects[1] & objects[2] | objects[0] & objects[2]
    assert sorted(set.union(*objects)) == list(range(sum(map(len, objects))))


def test_ids_are_unique_over_splits_and_views(make):
    dataset = make(views=3)
    tables = [dataset.table(split) for split in SPLITS]
    ids = np.concatenate([table["id"] for table in tables])
    assert len(np.unique(ids)) == len(ids)
    n = len(ids) // 3
    for table in tables:
        np.testing.assert_array_equal(table["id"], table["view"] * n + table["object"])


def test_a_view_does_not_depend_on_how_many_there_are(make):
    one, three = make(views=1).table("train"), make(views=3).table("train")
    for name, values in one.items():
        np.testing.assert_array_equal(values, three[name][: len(values)])


def test_views_are_drawn_anew(make):
    table = make(views=2).table("train")
    half = len(table["r"]) // 2
    for name in ("r", "g", "b", "angle", "scale"):
        assert abs(np.corrcoef(table[name][:half], table[name][half:])[0, 1]) < 0.2
    np.testing.assert_array_equal(table["digit"][:half], table["digit"][half:])


def test_same_seed_same_data_other_seed_other_data(make):
    index = torch.arange(16)
    first, again, other = make(seed=5), make(seed=5), make(seed=6)
    assert torch.equal(first.images("val", index), again.images("val", index))
    assert not torch.equal(first.images("val", index), other.images("val", index))
    train = [d.table("train")["object"].tolist() for d in (first, other)]
    assert train[0] != train[1]


def test_factors_follow_their_distributions():
    table = Digits(views=20).table("train")
    for name in ("r", "g", "b"):
        assert table[name].min() >= 0.05 and table[name].max() <= 0.95
        assert abs(table[name].mean() - 0.5) < 0.01
    assert abs(table["angle"].mean()) < 0.3 and abs(table["angle"].std() - 10) < 0.3
    assert abs(table["scale"].mean() - 1) < 0.003 and abs(table["scale"].std() - 0.1) < 0.003


def test_images_are_coloured_strokes_on_black(make):
    dataset = make(views=2)
    index = torch.arange(dataset.rows("test"))
    x = dataset.images("test", index)
    assert x.shape == (len(index), 3, 28, 28)
    assert x.dtype == torch.float32
    assert 0.0 <= float(x.min()) and float(x.max()) <= 0.95
    table = dataset.table("test")
    colour = torch.stack([torch.from_numpy(table[c]) for c in ("r", "g", "b")], dim=1)
    sums = x.sum(dim=(2, 3))
    torch.testing.assert_close(sums / sums.sum(1, keepdim=True), colour / colour.sum(1, True))


def test_an_image_does_not_depend_on_its_batch(make):
    dataset = make(views=2)
    index = torch.tensor([7, 3, 30, 3])
    x = dataset.images("train", index)
    assert torch.equal(x[1], x[3])
    torch.testing.assert_close(dataset.images("train", index[:1]), x[:1])


def test_rows_count_the_table(make):
    dataset = make(views=2)
    for split in SPLITS:
        assert dataset.rows(split) == len(dataset.table(split)["id"])
        assert len(dataset.grey(split)) * 2 == dataset.rows(split)


def test_the_context_follows_the_catalogue(make):
    dataset = make(drop_variables=["scale", "b", "angle"])
    assert dataset.drop_variables == ("b", "angle", "scale")
    assert dataset.kept.width == 12
    table, context = dataset.table("val"), dataset.context("val")
    np.testing.assert_array_equal(context[:, 0], table["r"])
    np.testing.assert_array_equal(context[:, 2:].argmax(axis=1), table["digit"])


def test_the_fingerprint_names_the_data_not_their_use(make):
    base = make().fingerprint
    assert len(base) == 16 and int(base, 16) >= 0
    assert base == make(drop_variables=["b"]).fingerprint
    others = [make(seed=1).fingerprint, make(views=1).fingerprint]
    assert len({base, *others}) == 3


def test_a_used_dataset_can_be_pickled(make):
    dataset = make()
    index = torch.arange(4)
    x = dataset.images("train", index)
    assert torch.equal(pickle.loads(pickle.dumps(dataset)).images("train", index), x)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": [1, 28, 28]}, r"x_ds.size is \[1, 28, 28\]: this dataset's images are \[3, 28"),
        ({"views": 0}, "x_ds.views is 0: it must be an integer ≥ 1"),
        ({"views": 1.5}, "x_ds.views is 1.5"),
        ({"views": True}, "x_ds.views is True"),
        ({"seed": -1}, "x_ds.seed is -1: it must be an integer ≥ 0"),
        ({"drop_variables": ["angel"]}, "drop_variables: .*'angel'. Did you mean 'angle'?"),
        ({"drop_variables": "b"}, r"drop_variables: .*write \[b\]"),
    ],
)
def test_wrong_settings_are_refused(make, settings, message):
    with pytest.raises(DataError, match=message):
        make(**settings)


def test_an_unknown_split_is_refused(make):
    with pytest.raises(DataError, match="no split 'valid'; splits are train, val, test"):
        make().table("valid")


def test_digits_split_seven_one_two():
    assert [Digits(views=1).rows(split) for split in SPLITS] == [1258, 180, 359]


def test_digits_are_written_in_white_with_a_margin():
    grey = Digits().grey("train")
    assert grey.max() == 255
    assert 0.1 < grey.mean() / 255 < 0.25
    assert grey[:, [0, -1]].mean() < 2 and grey[:, :, [0, -1]].mean() < 2


def test_the_published_test_part_is_the_test_split(tmp_path):
    dataset = made_up(tmp_path, views=1)
    assert [dataset.rows(split) for split in SPLITS] == [360, 40, 100]
    assert dataset.table("test")["object"].tolist() == list(range(400, 500))


def test_t10k_alone_is_split_with_a_notice(tmp_path):
    write_part(tmp_path, "t10k", 100)
    dataset = RGBMNIST(tmp_path, views=1)
    said = []
    dataset.prepare(said.append)
    assert [dataset.rows(split) for split in SPLITS] == [70, 10, 20]
    assert len(said) == 1 and "only the t10k images are there" in said[0]


def test_compression_and_place_do_not_change_the_fingerprint(tmp_path):
    write_part(tmp_path / "a", "t10k", 50, compress=True)
    write_part(tmp_path / "b", "t10k", 50, compress=False)
    write_part(tmp_path / "c", "t10k", 60)
    a, b, c = (RGBMNIST(tmp_path / name).fingerprint for name in "abc")
    assert a == b != c


def test_missing_files_are_named(tmp_path):
    dataset = RGBMNIST(tmp_path)
    assert not dataset.available
    assert len(dataset.fingerprint) == 16
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte .*wwdc\.prepare"):
        dataset.table("train")


def test_too_few_images_are_refused(tmp_path):
    write_part(tmp_path, "t10k", 20)
    with pytest.raises(DataError, match="20 images are too few to split"):
        RGBMNIST(tmp_path).table("train")


def test_mnist_itself(mnist_root):
    dataset = RGBMNIST(mnist_root / "MNIST" / "raw", views=1)
    assert [dataset.rows(split) for split in SPLITS] == [7000, 1000, 2000]
    table = dataset.table("train")
    assert table["digit"][np.argmin(table["object"])] == 7  # the first test image is a seven
    assert np.bincount(table["digit"]).min() > 500
