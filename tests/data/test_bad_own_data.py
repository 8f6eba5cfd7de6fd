"""What is wrong with a user's data is told with its count and examples, and nothing is written."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tests.data.own import catalogue, names, pixels, prepared, write, write_array, write_files
from wwdc.data.colour_mnist import SPLITS
from wwdc.data.tabled import TabledImages
from wwdc.errors import DataError


@pytest.fixture
def settings(tmp_path):
    return write(tmp_path, "files.npy")


def refused(settings, message, **changes):
    with pytest.raises(DataError, match=message):
        prepared(settings, **changes)
    cache = settings["cache"]
    assert not cache.exists() or not [p for p in cache.iterdir() if p.name.endswith(".tmp")]


def rows_of(dataset):
    return sum(dataset.rows(split) for split in SPLITS)


def rewrite(settings, change):
    """The table, changed."""
    table = change(pd.read_csv(settings["table"]))
    table.to_csv(settings["table"], index=False)


def test_duplicate_ids(settings):
    rewrite(settings, lambda t: pd.concat([t, t.iloc[:7]]))
    refused(settings, r"7 ids stand in several rows of .*: J0000, J0001, J0002, J0003, J0004, …\.")


def test_two_files_of_one_id(settings):
    Image.fromarray(pixels(1)[0]).save(settings["images"] / "J0001.PNG")
    with pytest.raises(DataError, match="1 ids belong to several files: J0001"):
        prepared(settings)


def test_rows_without_images_and_images_without_rows(settings):
    for name in names(60)[:6]:
        (settings["images"] / f"{name}.npy").unlink()
    rewrite(settings, lambda t: t.iloc[:-2])
    text = r"2 images without a row: J0058, J0059; 6 rows without an image: J0000, .*J0004, …"
    refused(settings, text + ".*unmatched: drop")
    said = []
    dataset = TabledImages(**settings, unmatched="drop")
    dataset.prepare(said.append)
    assert rows_of(dataset) == 52
    assert "2 images without a row: J0058, J0059; left out." in said


def test_no_id_in_common(settings):
    rewrite(settings, lambda t: t.assign(name=t["name"].str.lower()))
    refused(settings, "no image has the id of a row .*: 60 images without a row: J0000", id="name")


def test_an_array_of_another_length_than_the_table(tmp_path):
    settings = write(tmp_path, "npy")
    rewrite(settings, lambda t: t.iloc[:-1])
    refused(settings, "60 images and 59 rows of .*no x_ds.id")


def test_mixed_shapes(settings):
    for name in names(60)[10:18]:
        np.save(settings["images"] / f"{name}.npy", pixels(1, (3, 14, 20))[0])
    text = (
        r"8 of 60 images are not \[3, 12, 16\] .*: J0010 \(shape 14 × 20 × 3\), .*…\. .*fit: crop"
    )
    refused(settings, text)
    for fit in ("crop", "resize"):
        dataset = prepared(settings, fit=fit)
        assert rows_of(dataset) == 60
    refused(settings, r"J0000 \(12 × 16 pixels are too few to crop\)", fit="crop", size=[3, 14, 18])


def test_cropping_keeps_the_middle(settings):
    dataset = prepared(settings, fit="crop", size=[3, 8, 10])
    row = names(60).index(dataset.table("val")["name"][0])
    wanted = torch.from_numpy(pixels(60)[row][2:10, 3:13]).permute(2, 0, 1) / 255
    torch.testing.assert_close(dataset.images("val", torch.arange(1))[0], wanted)


def test_resizing_keeps_the_mean(settings):
    dataset = prepared(settings, fit="resize", size=[3, 24, 32])
    row = names(60).index(dataset.table("val")["name"][0])
    x = dataset.images("val", torch.arange(1))[0]
    assert abs(float(x.mean()) - pixels(60)[row].mean() / 255) < 0.02


def test_mixed_types(settings):
    np.save(settings["images"] / "J0030.npy", pixels(1)[0].astype(np.float32))
    refused(settings, "several types: uint8, float32; the first of another is J0030")


def test_one_channel_declared_as_three(tmp_path, settings):
    grey = write_files(tmp_path / "grey", pixels(60)[..., 0], "png", names(60))
    message = r"none of the first 60 images is one of 3 × 12 × 16 .*J0000 \(shape 12 × 16\)"
    refused(settings, message, images=grey)
    assert rows_of(prepared(settings, images=grey, size=[1, 12, 16])) == 60


def test_an_opaque_alpha_channel_is_no_channel(tmp_path, settings):
    images = np.concatenate([pixels(60), np.full((60, 12, 16, 1), 255, np.uint8)], axis=3)
    opaque = write_files(tmp_path / "opaque", images, "png", names(60))
    assert rows_of(prepared(settings, images=opaque)) == 60
    images[7, 0, 0, 3] = 0
    glass = write_files(tmp_path / "glass", images, "png", names(60))
    refused(settings, r"1 of 60 images are not .*: J0007 \(shape 12 × 16 × 4\)", images=glass)


@pytest.mark.parametrize("ending", ["png", "npy", "fits"])
def test_truncated_files(tmp_path, settings, ending):
    folder = write_files(tmp_path / "cut", pixels(60), ending, names(60))
    for name in names(60)[:3]:
        file = folder / f"{name}.{ending}"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (folder / f"J0003.{ending}").write_bytes(b"")
    refused(
        settings, r"4 of 60 images cannot be decoded: J0000 \(.*unreadable: drop", images=folder
    )
    said = []
    dataset = TabledImages(**(settings | {"images": folder}), unreadable="drop")
    dataset.prepare(said.append)
    assert rows_of(dataset) == 56
    assert any("4 of 60 images cannot be decoded" in text for text in said)


@pytest.mark.parametrize("kind", ["npy", "npz", "h5", "fits"])
def test_truncated_arrays(tmp_path, kind):
    settings = write(tmp_path, kind)
    path = settings["images"]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(settings, rf"images\.{kind}: (cannot be read as an array|damaged at image)")


def test_nan_and_infinite_pixels(tmp_path, settings):
    images = pixels(60).astype(np.float32)
    images[3, 0, 0, 0], images[5, 1, 1] = np.nan, np.inf
    settings |= {"images": write_array(tmp_path / "x.npz", images, names(60))}
    settings |= {"stretch": {"low": 10.0, "high": 255.0}}
    message = r"2 of 60 images hold NaN or infinite pixels: J0003 \(1 of 576 pixels\), J0005 \(3 of"
    refused(settings, message + ".*bad_pixels: drop or fill")
    assert rows_of(prepared(settings, bad_pixels="drop")) == 58
    filled = prepared(settings, bad_pixels="fill")
    [split] = [name for name in SPLITS if "J0003" in filled.table(name)["name"]]
    place = filled.table(split)["name"].tolist().index("J0003")
    assert filled.images(split, torch.tensor([place]))[0, 0, 0, 0] == 0.0


def test_floating_pixels_need_a_stretch(tmp_path, settings):
    images = pixels(60).astype(np.float32)
    settings |= {"images": write_array(tmp_path / "x.npz", images, names(60))}
    refused(settings, r"x_ds.stretch: .*From 0.1 % to 99.9 % of them reach: low: \[0.0, 0.0, 0.0\]")


def test_constant_and_all_missing_columns(settings):
    rewrite(settings, lambda t: t.assign(m_r=3.0, angle=np.nan))
    refused(
        settings, r"variables.mag \(column 'm_r'\): constant: all of the 60 known values are 3.0"
    )
    refused(settings, "angle.*: all 60 values are missing", variables={"angle": "continuous"})


def test_missing_values_are_refused_unless_it_is_said_what_to_do(settings):
    gone = int(catalogue(60)["shape"].isna().sum())
    message = rf"shape.*: {gone} of 60 values are missing: J0.*missing: drop .*missing: indicator"
    refused(settings, message, variables={"shape": "categorical"})


def test_a_class_seen_only_in_test(settings):
    splits = np.where(np.arange(60) < 40, "train", np.where(np.arange(60) < 50, "val", "test"))
    shape = np.where(np.arange(60) < 58, np.where(np.arange(60) % 2, "a", "b"), "c")
    rewrite(settings, lambda t: t.assign(part=splits, shape=shape))
    settings |= {"split": {"column": "part"}, "variables": {"shape": "categorical"}}
    refused(
        settings, r"shape: 2 objects .* no object of train has \(c\): J0058, J0059.*unseen: drop"
    )
    assert rows_of(prepared(settings, unseen="drop")) == 58


def test_ten_objects(tmp_path):
    refused(write(tmp_path, "npz", 10), "10 objects are too few to split: 30 are needed")


def test_values_of_the_wrong_kind(settings):
    rewrite(settings, lambda t: t.assign(m_r=["bright" if i < 6 else "3.1" for i in range(60)]))
    refused(settings, r"6 of 60 values are no finite number: J0000 \(bright\), .*, …")
    changed = {"angle": {"kind": "circular", "range": [0, 10]}}
    refused(settings, r"of 60 values are outside the range \[0, 10\]: J0", variables=changed)
    changed = {"survey": {"kind": "categorical", "classes": list("abcdefg")}}
    refused(settings, r"are none of the classes a, b, c, d, e, …: J0.* \(h\)", variables=changed)
    named = {"survey": {"kind": "categorical", "classes": {"a": "deep", "b": "wide"}}}
    refused(settings, r"are none of the classes a, b: J0.* \(", variables=named)
    named["survey"]["classes"]["b"] = "deep"
    refused(settings, r"survey\.classes: deep stands there twice", variables=named)
    listed = {"survey": {"kind": "categorical", "classes": ["a", "b", "a"]}}
    refused(settings, r"survey\.classes: a stands there twice", variables=listed)
    refused(settings, r"53 of 60 values are no yes or no: .*", variables={"survey": "flag"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"variables": {"mag": {"kind": "continous"}}},
            "x_ds.variables.mag.kind: 'continous' is no",
        ),
        (
            {"variables": {"m_r": {"kind": "flag", "unit": 1}}},
            "unit: unknown key. Did you mean 'units",
        ),
        ({"variables": {"z": "flag"}}, "x_ds.variables.z: this name is taken"),
        ({"variables": {"mr": "continuous"}}, "no column 'mr'. Did you mean 'm_r'"),
        ({"variables": {"angle": "circular"}}, "angle.range: a circular variable needs its period"),
        ({"variables": []}, "x_ds.variables: expected the variables by name"),
        ({"id": "nam"}, "x_ds.id: .* no column 'nam'. Did you mean 'name'"),
        ({"id": None}, "x_ds.id: name the column"),
        ({"size": [3, 12]}, r"x_ds.size is \[3, 12\]: it is \[channels, height, width\]"),
        ({"fit": "squeeze"}, "x_ds.fit: 'squeeze' is none of refuse, crop, resize"),
        ({"unmatched": "keep"}, "x_ds.unmatched: 'keep': refuse or drop"),
        ({"bad_pixels": "keep"}, "x_ds.bad_pixels: 'keep'"),
        ({"views": 2}, "x_ds.views is 2: views of an image differ by x_ds.augment"),
        ({"views": 2, "augment": ["zoom"]}, r"x_ds.augment: \['zoom'\]: a list of flip, rotate"),
        ({"stretch": {"hi": 3}}, "x_ds.stretch.hi: unknown key. Did you mean 'high'"),
        ({"stretch": {"high": [1, 2]}}, r"x_ds.stretch.high is \[1, 2\]: one number, or one for"),
        ({"split": {"by": "x"}}, "x_ds.split.by: unknown key"),
        ({"split": {"fractions": [0.5, 0.5]}}, "x_ds.split.fractions"),
        ({"split": {"group": "a", "column": "b"}}, "group and column are given"),
        ({"split": {"column": "survey"}}, "says neither train, val nor test of 60 objects: J0000"),
        ({"drop_variables": ["mags"]}, "x_ds.drop_variables: .*Did you mean 'mag'"),
        ({"key": "x"}, "x_ds.key: .* is a folder"),
        ({"images": "nowhere"}, "x_ds: nowhere: no such file or folder"),
        ({"table": "nowhere.csv"}, "x_ds: nowhere.csv: no such file or folder"),
        ({"table": __file__}, "a table is one of .csv"),
    ],
)
def test_wrong_settings(settings, changes, message):
    with pytest.raises(DataError, match=message):
        prepared(settings, **changes)


def test_an_image_of_a_palette_or_grey(tmp_path, settings):
    """A palette is no pixel value: it is looked up."""
    folder = tmp_path / "palette"
    folder.mkdir()
    for name, image in zip(names(60), pixels(60), strict=True):
        Image.fromarray(image).convert("P", palette=Image.Palette.ADAPTIVE).save(
            folder / f"{name}.png"
        )
    dataset = prepared(settings, images=folder)
    row = names(60).index(dataset.table("val")["name"][0])
    x = dataset.images("val", torch.arange(1))[0]
    assert abs(float(x.mean()) - pixels(60)[row].mean() / 255) < 0.05
