"""Labels leave a campaign with what is known, and events come back from others."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from tests.label.scored import FINGERPRINT, campaign_in, said
from wwdc.errors import ConfigError, DataError, ProductError
from wwdc.label.export import export, parse_lines, read_events, write_export


@pytest.fixture
def labelled(campaign):
    """Two labellers, three objects."""
    campaign.say(said(1, 70))
    campaign.say(said(2, 3, "normal"))
    campaign.say(said(3, 3, "grade", value=4, labeller="bob"))
    campaign.say(said(4, 9, "flag"))
    return campaign


def read(suffix: str, data: bytes) -> pd.DataFrame:
    if suffix == "fits":
        from astropy.table import Table

        return Table.read(io.BytesIO(data), format="fits").to_pandas()
    return {"csv": pd.read_csv, "parquet": pd.read_parquet}[suffix](io.BytesIO(data))


@pytest.mark.parametrize("suffix", ["csv", "parquet", "fits"])
def test_a_table_has_labels_scores_and_the_catalogue(labelled, suffix):
    if suffix == "fits":
        pytest.importorskip("astropy")
    table = read(suffix, export(labelled, suffix))
    assert table["id"].tolist() == [3, 3, 9, 70]
    assert list(table["labeller"].astype(str).str.strip()) == ["ada", "bob", "ada", "ada"]
    assert list(table["split"].astype(str).str.strip()) == ["train", "train", "train", "test"]
    assert table["verdict"].astype("string").fillna("").tolist()[::3] == ["normal", "anomaly"]
    assert table["grade"].tolist()[1] == 4
    assert table["flagged"].astype(bool).tolist() == [False, False, True, False]
    rows = [labelled.objects.row(id) for id in (3, 3, 9, 70)]
    assert np.allclose(table["size"], labelled.objects.table["size"][rows])
    assert np.allclose(table["iforest"], labelled.objects.detectors["iforest"][rows])
    assert table["rank"].tolist() == labelled.objects.rank[rows].tolist()


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_campaign_without_labels_can_be_exported(campaign, suffix):
    data = export(campaign, suffix)
    assert data == b"" if suffix == "jsonl" else len(read(suffix, data)) == 0


def test_the_log_goes_out_and_comes_back_the_same(labelled, tmp_path):
    labelled.say(said(5, None, "undo"))
    path = tmp_path / "log.jsonl"
    assert write_export(labelled, path) == 2
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["uuid"] for line in lines] == [f"event-{number:04d}" for number in range(1, 6)]
    folder = tmp_path / "other"
    other = campaign_in(folder, labelled.objects)
    events = read_events(path, FINGERPRINT)
    assert other.merge(events) == (5, 0)
    assert other.merge(read_events(labelled.log.path, FINGERPRINT)) == (0, 5)
    assert other.state().labels == labelled.state().labels
    assert export(other, "jsonl") == export(labelled, "jsonl")


def test_what_cannot_be_read_is_told(labelled, tmp_path):
    with pytest.raises(ConfigError, match=r"\.csv.*\.jsonl.*Did you mean 'csv'"):
        write_export(labelled, tmp_path / "x.csw")
    with pytest.raises(ProductError, match="no such file"):
        read_events(tmp_path / "none.jsonl", FINGERPRINT)
    with pytest.raises(ProductError, match="other data"):
        read_events(labelled.log.path, "0" * 16)
    good = export(labelled, "jsonl").splitlines()[0]
    for bad, text in ((b"{", "not JSON"), (json.dumps({"a": 1}).encode(), "line 2")):
        with pytest.raises(DataError, match=text):
            parse_lines(good + b"\n" + bad, "x")
