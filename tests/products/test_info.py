"""The info file: its keys, its types through any YAML reader, and what is refused."""

import re

import numpy
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from wwdc.errors import ProductError
from wwdc.products import Info, dump_info, git_state, read_info
from wwdc.products.text import dump_yaml, load_yaml

KEYS = (
    "param val description job_id job_num vae_fp model_fp point_id config_id seed overrides "
    "metrics status created finished config sha256 bytes schema wwdc_version git host device"
).split()


def test_keys_in_order(make_info):
    assert list(yaml.safe_load(dump_info(make_info()))) == KEYS
    extra = make_info(sweep="sweep_1", lineage={"vae": "a" * 64}, reason="stopped by asha")
    assert list(yaml.safe_load(dump_info(extra))) == [*KEYS, "sweep", "lineage", "reason"]


def test_round_trip(make_info, tmp_path):
    info = make_info(
        lineage={"vae": {"point_id": "0" * 12, "sha256": "a" * 64}, "data": "0123456789abcdef"},
        metrics={"val_loss": 1e-5, "test_loss": float("inf"), "best": numpy.float32(0.5)},
        overrides={"lightning_loader.lr": 1e-7, "flow": [[1, 2], {"a": None}]},
        traceback="Traceback:\n  line\n\n  'quoted' \ttab\n",
    )
    path = tmp_path / "x_info.yaml"
    path.write_text(dump_info(info))
    again = read_info(path)
    assert dump_info(again) == dump_info(info)
    assert again.metrics == info.metrics
    assert again.traceback == info.traceback
    assert again.parents["vae"].sha256 == "a" * 64
    assert again.parents["data"].fingerprint == "0123456789abcdef"


@pytest.mark.parametrize("job_id", ["52407352", "5240735_2", "20261124020211123", "1e5", "0x1f"])
def test_ids_are_quoted_strings(make_info, job_id):
    text = dump_info(make_info(job_id=job_id, point_id="12e456789012"))
    assert f'job_id: "{job_id}"\n' in text
    assert 'point_id: "12e456789012"\n' in text
    assert yaml.safe_load(text)["job_id"] == job_id


def test_dates_and_outline_val_read_back_as_strings(make_info):
    text = dump_info(make_info())
    data = yaml.safe_load(text)
    assert """val: '["b", "angle", "scale"]'\n""" in text
    assert isinstance(data["created"], str)
    assert "data.x_ds.drop_variables: [b, angle, scale]" in text


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=6,
        ),
    )
)
def test_any_plain_data_round_trips(data):
    assert yaml.safe_load(dump_yaml(data)) == data


@pytest.mark.parametrize("word", ["no", "on", "y", "null", "~", "", "1e5", "1_000", "0o17", ".5"])
def test_what_some_reader_takes_for_something_else_is_quoted(word):
    assert dump_yaml({"key": word}) == f'key: "{word}"\n'


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("metrics:", "metrcs:"), r"unknown key 'metrcs'. Did you mean 'metrics'\?"),
        (("schema: 1", "schema: 2"), "schema: this wwdc reads schema 1, the file has 2"),
        (('job_id: "5240735"', "job_id: 5240735"), "job_id: .*got 5240735. Put it in quotes"),
        (("status: done", "status: finished"), "status: .*'done', 'stopped' or 'failed'"),
        (("seed: 42\noverrides", "seed: x\noverrides"), "seed: .*integer.*got 'x'"),
        (("host:", "device_:"), "unknown key 'device_'"),
        (("description:", "description: ["), r"x_info.yaml:\d+: broken YAML"),
        (("job_num: 2\n", ""), "missing job_num"),
        (("val_loss: 1.5", "val_loss: low"), "metrics.val_loss: .*got 'low'"),
    ],
)
def test_broken_files_are_explained(make_info, tmp_path, edit, message):
    path = tmp_path / "x_info.yaml"
    text = dump_info(make_info())
    assert edit[0] in text
    path.write_text(text.replace(*edit, 1))
    with pytest.raises(ProductError, match=message) as caught:
        read_info(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"- a\n", b"\xff\xfe\x00", b"\x00" * 40])
def test_what_is_no_mapping_is_refused(tmp_path, content):
    path = tmp_path / "x_info.yaml"
    path.write_bytes(content)
    with pytest.raises(ProductError, match=re.escape(str(path))):
        read_info(path)


def test_objects_do_not_load(tmp_path):
    path = tmp_path / "x_info.yaml"
    path.write_text("!!python/object/apply:os.getpid []\n")
    with pytest.raises(ProductError, match="broken YAML"):
        load_yaml(path)


def test_objects_do_not_dump(make_info):
    with pytest.raises(ProductError, match="not plain data"):
        dump_info(make_info(config={"callback": object()}))


def test_git_state_is_a_commit_or_nothing():
    state = git_state()
    assert state is None or re.fullmatch("[0-9a-f]{40}", state["commit"])


def test_negative_job_num_is_refused(make_info):
    with pytest.raises(ValueError, match="job_num"):
        make_info(job_num=-1)
    assert Info.model_fields["status"].is_required()
