"""`python -m wwdc.prepare`: a checked catalogue and card, written once and whole."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from tests.conftest import REPOSITORY, vae_experiment
from wwdc.data.colour_mnist import COLOUR_MNIST, SPLITS
from wwdc.data.digits import Digits
from wwdc.errors import ProductError
from wwdc.prepare import read_card, write_catalogue
from wwdc.prepare.__main__ import main


def ignore(text):
    pass


@pytest.fixture
def experiment(tmp_path, data_root):
    return vae_experiment(tmp_path)


@pytest.fixture
def mnist_experiment(experiment):
    path = experiment / "train.yaml"
    path.write_text(path.read_text().replace("/data/digits", "/data/rgbmnist"))
    return experiment


def test_writes_catalogue_and_card(experiment, data_root, capsys):
    assert main([str(experiment)]) == 0
    output = capsys.readouterr().out
    assert "train 1,258, val 180, test 359 objects × 1 views" in output
    assert "angle     continuous   1      deg    -180 … 180" in output
    path = data_root / "DIGITS" / "catalogue" / f"{Digits(views=1).fingerprint}.parquet"
    assert f"Catalogue: {path}" in output
    assert sorted(p.name for p in path.parent.iterdir()) == sorted(
        [path.name, f"{path.stem}_info.yaml"]
    )


def test_the_catalogue_is_the_datasets(tmp_path):
    dataset = Digits(views=2)
    frame = pd.read_parquet(write_catalogue(dataset, tmp_path, ignore))
    assert frame["id"].is_unique
    for split in SPLITS:
        rows = frame[frame["split"] == split]
        for name, values in dataset.table(split).items():
            np.testing.assert_array_equal(rows[name], values)


def test_fields_carry_kind_units_and_range(tmp_path):
    schema = pq.read_schema(write_catalogue(Digits(), tmp_path, ignore))
    angle = schema.field("angle").metadata
    assert angle[b"units"] == b"deg"
    assert angle[b"kind"] == b"continuous"
    assert json.loads(angle[b"range"]) == [-180.0, 180.0]
    assert b"units" not in schema.field("r").metadata
    assert json.loads(schema.metadata[b"wwdc"])["schema"] == 1


def test_the_card_says_what_the_data_are(tmp_path):
    dataset = Digits(views=3, seed=4)
    card = read_card(write_catalogue(dataset, tmp_path, ignore))
    assert card["fingerprint"] == dataset.fingerprint
    assert card["splits"]["val"] == {"objects": 180, "rows": 540}
    assert card["seed"] == 4 and card["views"] == 3
    assert [variable["name"] for variable in card["variables"]] == list(COLOUR_MNIST.names)


def test_same_data_same_bytes_and_nothing_is_written_twice(tmp_path):
    path = write_catalogue(Digits(), tmp_path / "a", ignore)
    before = {p: p.stat().st_mtime_ns for p in path.parent.iterdir()}
    write_catalogue(Digits(), tmp_path / "a", ignore)
    assert before == {p: p.stat().st_mtime_ns for p in path.parent.iterdir()}
    again = write_catalogue(Digits(drop_variables=["b"]), tmp_path / "b", ignore)
    assert again.name == path.name
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("damage", ["catalogue", "card", "no card"])
def test_what_is_damaged_is_written_again(tmp_path, damage):
    path = write_catalogue(Digits(), tmp_path, ignore)
    data, card = path.read_bytes(), path.with_name(f"{path.stem}_info.yaml")
    if damage == "catalogue":
        path.write_bytes(data[:100])
    elif damage == "card":
        card.write_text("{")
    else:
        card.unlink()
    write_catalogue(Digits(), tmp_path, ignore)
    assert path.read_bytes() == data
    assert read_card(path)["bytes"] == len(data)


def test_a_card_of_another_schema_is_refused(tmp_path):
    path = write_catalogue(Digits(), tmp_path, ignore)
    card = path.with_name(f"{path.stem}_info.yaml")
    card.write_text(yaml.safe_dump(yaml.safe_load(card.read_text()) | {"schema": 2}))
    with pytest.raises(ProductError, match="not a dataset card of schema 1"):
        read_card(path)
    with pytest.raises(ProductError, match="no such dataset card"):
        read_card(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.x_ds.drop_variables=[angel]", "no variable 'angel'. Did you mean 'angle'?"),
        ("data.x_ds.size=[1,28,28]", "x_ds.size is [1, 28, 28]"),
        ("data.x_ds.views=0", "views"),
        ("data.x_ds._target_=os.system", "os.system"),
    ],
)
def test_mistakes_exit_2_and_write_nothing(experiment, data_root, capsys, override, message):
    assert main([str(experiment), override]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not data_root.exists()


def test_truncated_data_exit_2_naming_the_file(mnist_experiment, mnist_root, capsys):
    path = mnist_root / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    data = path.read_bytes()[:100_000]
    path.unlink()
    path.write_bytes(data)
    assert main([str(mnist_experiment)]) == 2
    assert f"{path}: cannot be read" in capsys.readouterr().err
    assert not (mnist_root / "DIGITS").exists()


def test_mnist_from_its_test_files(mnist_experiment, mnist_root, capsys):
    assert main([str(mnist_experiment)]) == 0
    output = capsys.readouterr()
    assert "train 7,000, val 1,000, test 2,000 objects" in output.out
    assert "only the t10k images are there" in output.err


def test_the_command_runs_and_imports_no_torch_for_help():
    code = (
        "import sys, wwdc.prepare.__main__ as command\n"
        "try: command.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'lightning'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert "EXPERIMENT" in run.stdout
    assert run.stdout.endswith("[]\n")
