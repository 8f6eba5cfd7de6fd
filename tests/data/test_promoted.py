"""A promoted dataset is its base with one more column, and says so when it is not."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from wwdc.data.catalogue import Variable
from wwdc.data.colour_mnist import SPLITS
from wwdc.data.dataset import images_fingerprint
from wwdc.data.digits import Digits
from wwdc.data.latents import latent_cache
from wwdc.data.promoted import Promoted, dump_table
from wwdc.errors import DataError

ODD = Variable("odd", "continuous", range=(-6.0, 6.0), description="log-odds")


def every_id(dataset):
    return np.concatenate([dataset.table(split)["id"] for split in SPLITS])


def write(path, dataset, variable=ODD, ids=None, fingerprint=None):
    """A table whose value of each row is a function of its id."""
    ids = every_id(dataset) if ids is None else ids
    values = np.sin(ids).astype(np.float32)
    path.write_bytes(dump_table(ids, values, variable, fingerprint or dataset.fingerprint))
    return path


@pytest.fixture
def base():
    return Digits(views=2)


@pytest.fixture
def table(tmp_path, base):
    return write(tmp_path / "odd.parquet", base)


def test_every_row_has_the_value_of_its_id(base, table):
    dataset = Promoted(base, table)
    for split in SPLITS:
        rows = dataset.table(split)
        assert list(rows) == [*base.table(split), "odd"]
        np.testing.assert_array_equal(rows["odd"], np.sin(rows["id"]).astype(np.float32))
        context = dataset.context(split)
        np.testing.assert_array_equal(context[:, :-1], base.context(split))
        np.testing.assert_array_equal(context[:, -1], rows["odd"])


def test_slices_are_the_whole(base, table):
    dataset = Promoted(base, table)
    whole, part = dataset.table("val"), dataset.table_rows("val", 7, 11)
    assert list(part) == list(whole)
    for name, column in part.items():
        np.testing.assert_array_equal(column, whole[name][7:11])


def test_all_else_is_the_bases(base, table):
    dataset, index = Promoted(base, table), torch.arange(5)
    assert torch.equal(dataset.images("val", index), base.images("val", index))
    for name in ("seed", "views", "size", "split_rule", "available"):
        assert getattr(dataset, name) == getattr(base, name)
    assert [dataset.rows(split) for split in SPLITS] == [base.rows(split) for split in SPLITS]
    assert dataset.content().items() > base.content().items()
    assert dataset.catalogue.names == (*base.catalogue.names, "odd")
    assert dataset.catalogue[-1] == ODD


def test_dropping(base, table):
    assert Promoted(base, table, drop_variables=["odd", "b"]).drop_variables == ("b", "odd")
    with pytest.raises(DataError, match=r"x_ds.drop_variables: .*Did you mean 'odd'\?"):
        Promoted(base, table, drop_variables=["odds"])
    with pytest.raises(DataError, match=r"x_ds\.dataset.drop_variables"):
        Promoted(Digits(views=2, drop_variables=["b"]), table)


def test_the_fingerprint_is_that_of_data_and_table(base, table, tmp_path):
    dataset = Promoted(base, table)
    assert dataset.fingerprint == Promoted(base, table, drop_variables=["odd"]).fingerprint
    moved = table.rename(tmp_path / "elsewhere.parquet")
    assert Promoted(base, moved).fingerprint == dataset.fingerprint
    ids = every_id(base)
    moved.write_bytes(dump_table(ids, np.cos(ids), ODD, base.fingerprint))
    assert Promoted(base, moved).fingerprint != dataset.fingerprint
    other = Digits(views=2, seed=1)
    assert Promoted(other, write(tmp_path / "o", other)).fingerprint != dataset.fingerprint


def test_the_latents_of_the_base_are_used(base, table, tmp_path):
    class Encoder(torch.nn.Module):
        calls = 0

        def encode(self, x):
            Encoder.calls += 1
            return x.mean((2, 3)), x.mean((2, 3))

    dataset = Promoted(base, table)
    assert images_fingerprint(dataset) == images_fingerprint(base) == base.fingerprint
    assert dataset.fingerprint != base.fingerprint
    first = latent_cache(tmp_path / "latents", Encoder(), "v", base, "val")
    calls = Encoder.calls
    again = latent_cache(tmp_path / "latents", Encoder(), "v", dataset, "val")
    assert Encoder.calls == calls
    np.testing.assert_array_equal(first.mean, again.mean)


def test_tables_are_stacked(base, table, tmp_path):
    once = Promoted(base, table)
    more = write(tmp_path / "more", once, Variable("more", "continuous"))
    twice = Promoted(once, more, drop_variables=["odd"])
    assert twice.catalogue.names[-2:] == ("odd", "more") and twice.kept.names[-1] == "more"
    assert list(twice.table("test"))[-2:] == ["odd", "more"]
    assert images_fingerprint(twice) == base.fingerprint
    with pytest.raises(DataError, match="has a variable 'odd' already"):
        Promoted(once, write(tmp_path / "again", once))


def test_the_same_values_give_the_same_bytes(base):
    ids = every_id(base)
    shuffled = np.random.default_rng(0).permutation(ids)
    tables = [dump_table(i, np.sin(i), ODD, base.fingerprint) for i in (ids, shuffled)]
    assert tables[0] == tables[1]


def test_what_is_wrong_is_told(base, table, tmp_path):
    ids = every_id(base)
    with pytest.raises(DataError, match=r"odd.parquet: its SHA-256 is .*, x_ds.sha256 is 0000"):
        Promoted(base, table, sha256="0" * 64)
    with pytest.raises(DataError, match=r"no-such.* cannot be read"):
        Promoted(base, tmp_path / "no-such")
    with pytest.raises(DataError, match="made for data with the fingerprint"):
        Promoted(Digits(views=2, seed=3), table)
    few = Promoted(base, write(tmp_path / "few", base, ids=ids[:-3]))
    with pytest.raises(DataError, match="3 of 718 rows of the test split have no odd, the first"):
        few.prepare(lambda text: None)
    with pytest.raises(DataError, match="not ascending, each once"):
        Promoted(base, write(tmp_path / "double", base, ids=np.r_[ids, ids[:1]]))
    with pytest.raises(DataError, match="nan in row 1 is not a continuous value"):
        dump_table(ids[:2], np.array([0.0, np.nan]), ODD, "f")
    (tmp_path / "text").write_text("no table")
    with pytest.raises(DataError, match="text: not Parquet"):
        Promoted(base, tmp_path / "text")


def test_it_travels_to_a_worker(base, table):
    dataset = Promoted(base, table)
    dataset.prepare(lambda text: None)
    before = len(pickle.dumps(dataset))
    dataset.table_rows("train", 0, 1)
    assert len(pickle.dumps(dataset)) == before
    again = pickle.loads(pickle.dumps(dataset))
    assert again.fingerprint == dataset.fingerprint
    np.testing.assert_array_equal(again.context("val"), dataset.context("val"))


def test_building_one_imports_no_torch(table):
    code = (
        "import sys; from wwdc.data.digits import Digits; from wwdc.data.promoted import Promoted\n"
        f"Promoted(Digits(views=2), {str(table)!r}, drop_variables=['odd']).fingerprint\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
