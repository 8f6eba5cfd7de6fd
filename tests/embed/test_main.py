"""`python -m wwdc.embed` on trained flows: what it writes, and what it refuses."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.conftest import vae_experiment
from tests.embed.conftest import contents, stacked
from wwdc.data.digits import Digits
from wwdc.embed import posterior_noise
from wwdc.embed.__main__ import main
from wwdc.embed.columns import read_about, read_catalogue
from wwdc.products import Tree, info_path
from wwdc.products.export import vae_of
from wwdc.products.verify import verify
from wwdc.training.load import load_flow

pytestmark = pytest.mark.ray

TABLE = ["id", "object", "view", "r", "g", "b", "angle", "scale", "digit"]
FLOW_COLUMNS = [*TABLE, "z", "u", "z_mean", "u_mean", "log_prob", "log_prob_mean"]
INLINE = ("embed.engine=inline", "tune.cpus=1")


def test_embeddings_are_products_of_their_checkpoints(flow, tree, capsys):
    assert main([str(flow), *INLINE]) == 0
    said = capsys.readouterr().out
    assert f"Embeddings: {tree.embeddings}" in said
    assert f"Next: python -m wwdc.stats {flow}" in said.splitlines()[-1]
    assert not [problem for problem in verify(tree) if problem.broken]
    checkpoints = {product.info.job: product for product in tree.products()}
    embedded = tree.embedded()
    assert sorted(p.path.parent.name for p in embedded) == sorted(checkpoints)
    for product in embedded:
        source, info = checkpoints[product.path.parent.name], product.info
        assert product.path.name == "test.parquet"
        assert product.info_path.name == "test_info.yaml"
        for name in ("param", "val", "description", "job", "vae_fp", "point_id", "config_id"):
            assert getattr(info, name) == getattr(source.info, name)
        assert (info.seed, info.overrides, info.sweep) == (
            source.info.seed,
            source.info.overrides,
            source.info.sweep,
        )
        assert info.model_fp == str(source.path)
        assert info.kind == "embedding" and info.status == "done" and info.metrics == {}
        assert info.parents["flow"].sha256 == source.info.sha256
        assert info.parents["vae"] == source.info.parents["vae"]
        assert info.parents["data"] == source.info.parents["data"]
        assert info.config["embed"] == {"seed": 0, "times": [], "log_prob": True}
        assert (info.config["split"], info.config["rows"]) == ("test", 359)
    assert not list(tree.points.glob("embed-*")), "work is left behind"


def test_columns_and_metadata(flow, tree):
    assert main([str(flow), *INLINE, "+seed=1", "embed.times=[0,0.5,1]"]) == 0
    for product in tree.embedded():
        schema = pq.read_schema(product.path)
        assert schema.names == [*FLOW_COLUMNS, "u_t0", "u_t0.5", "u_t1"]
        for name in ("z", "u", "z_mean", "u_mean", "u_t0.5"):
            assert schema.field(name).type == pa.list_(pa.float32(), 8)
        table = pq.read_table(product.path)
        assert all(column.null_count == 0 for column in table.columns)
        assert read_catalogue(schema) == Digits.catalogue
        about = read_about(schema)
        dropped = product.info.overrides["data.x_ds.drop_variables"]
        assert about.dropped == dropped
        assert about.kept == [name for name in Digits.catalogue.names if name not in dropped]
        assert about.fingerprint == product.info.parents["data"].fingerprint
        assert about.checkpoint == product.info.parents["flow"].sha256
        np.testing.assert_array_equal(stacked(product.path, "u_t0"), stacked(product.path, "z"))
        np.testing.assert_allclose(
            stacked(product.path, "u_t1"), stacked(product.path, "u"), atol=1e-5
        )


def test_densities_can_be_left_out(flow, tree):
    assert main([str(flow), *INLINE, "+seed=1", "x_ds.drop_variables=[b]"]) == 0
    (with_densities,) = tree.embedded()
    u = stacked(with_densities.path, "u")
    short = [*INLINE, "+seed=1", "x_ds.drop_variables=[b]", "embed.log_prob=false"]
    assert main([str(flow), *short]) == 0
    (without,) = tree.embedded()
    assert pq.read_schema(without.path).names == FLOW_COLUMNS[:-2]
    np.testing.assert_allclose(stacked(without.path, "u"), u, atol=1e-5)


def test_values_are_those_of_a_direct_computation(flow, tree, data_root):
    assert main([str(flow), *INLINE]) == 0
    embedded = {product.info.job: product for product in tree.embedded()}
    for source in tree.products():
        product = embedded.pop(source.info.job)
        config = source.info.config
        dataset = Digits(views=1, drop_variables=config["data"]["x_ds"]["drop_variables"])
        vae = vae_of(source, data_root)
        module = load_flow(source.path, config["lightning_loader"], vae)
        table = dataset.table("test")
        with torch.no_grad():
            mean, logvar = module.vae.encode(dataset.images("test", torch.arange(359)))
            noise = torch.from_numpy(posterior_noise(table["id"], 8, 0))
            z = mean + torch.exp(0.5 * logvar) * noise
            c = module.standardise(torch.from_numpy(dataset.context("test")))
            expected = {
                "z": z,
                "z_mean": mean,
                "u": module.ema(z, c),
                "u_mean": module.ema(mean, c),
                "log_prob": module.ema.log_prob(z, c),
                "log_prob_mean": module.ema.log_prob(mean, c),
            }
        for name, values in expected.items():
            np.testing.assert_allclose(
                stacked(product.path, name), values, rtol=1e-4, atol=1e-4, err_msg=name
            )
        for name in TABLE:
            np.testing.assert_array_equal(stacked(product.path, name), table[name])
    assert not embedded


def test_pandas_reads_it(flow, tree):
    assert main([str(flow), *INLINE, "+seed=1"]) == 0
    frame = pd.read_parquet(tree.embedded()[0].path)
    assert list(frame.columns) == FLOW_COLUMNS
    assert np.stack(frame["u"]).shape == (359, 8)
    assert frame["id"].is_unique


def test_a_vae_is_embedded_without_residuals(vae_root, tmp_path):
    experiment = vae_experiment(tmp_path)
    assert main([str(experiment), *INLINE, "splits=[val,test]"]) == 0
    tree = Tree(vae_root, "DIGITS", "VAE")
    embedded = {product.path.stem: product for product in tree.embedded()}
    assert sorted(embedded) == ["test", "val"]
    for split, product in embedded.items():
        assert pq.read_schema(product.path).names == [*TABLE, "z", "z_mean"]
        assert product.info.parents["vae"].sha256 == tree.products()[0].info.sha256
        np.testing.assert_array_equal(
            stacked(product.path, "id"), Digits(views=1).table(split)["id"]
        )
    assert not [problem for problem in verify(tree) if problem.broken]


def test_ids_and_z_are_the_same_to_the_bit_however_it_is_cut(flow, tree, data_root):
    assert main([str(flow), *INLINE, "+seed=1"]) == 0
    first = {p.info.job: (p.path.read_bytes(), columns_of(p.path)) for p in tree.embedded()}
    shutil.rmtree(data_root / "DIGITS" / "latents")  # encode the images, too
    again = (*INLINE, "+seed=1", "embed.batch_size=37", "embed.shard_rows=100", "--fresh")
    assert main([str(flow), *again]) == 0
    for product in tree.embedded():
        assert pq.ParquetFile(product.path).metadata.num_row_groups == 4
        before, now = first[product.info.job][1], columns_of(product.path)
        for name in (*TABLE, "z", "z_mean"):
            np.testing.assert_array_equal(before[name], now[name], err_msg=name)
        for name in ("u", "u_mean", "log_prob", "log_prob_mean"):
            np.testing.assert_allclose(before[name], now[name], rtol=1e-5, atol=1e-5)


def test_the_same_command_writes_the_same_bytes(flow, tree):
    assert main([str(flow), *INLINE]) == 0
    first = contents(tree)
    assert main([str(flow), *INLINE, "--fresh"]) == 0
    assert contents(tree) == first


def test_actors_give_what_one_process_gives(flow, tree, ray_session):
    assert main([str(flow), *INLINE, "embed.shard_rows=64"]) == 0
    first = {p.info.job: columns_of(p.path) for p in tree.embedded()}
    assert main([str(flow), "embed.engine=ray", "embed.shard_rows=64", "--fresh"]) == 0
    for product in tree.embedded():
        now = columns_of(product.path)
        for name, values in first[product.info.job].items():
            if name in (*TABLE, "z", "z_mean"):
                np.testing.assert_array_equal(values, now[name], err_msg=name)
            else:
                np.testing.assert_allclose(values, now[name], rtol=1e-5, atol=1e-5)


def test_every_flow_of_a_vae_sees_the_same_z(flow, tree):
    assert main([str(flow), *INLINE]) == 0
    latents = {stacked(product.path, "z").tobytes() for product in tree.embedded()}
    assert len(latents) == 1


def test_a_second_run_has_nothing_to_do_and_another_seed_is_made_anew(flow, tree, capsys):
    assert main([str(flow), *INLINE]) == 0
    first = {p.path: p.path.stat().st_mtime_ns for p in tree.embedded()}
    assert main([str(flow), *INLINE]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert {p.path: p.path.stat().st_mtime_ns for p in tree.embedded()} == first
    assert main([str(flow), *INLINE, "embed.seed=1", "+seed=1"]) == 0
    changed = [p for p in tree.embedded() if p.path.stat().st_mtime_ns != first[p.path]]
    assert {p.info.seed for p in changed} == {1}
    assert {p.info.config["embed"]["seed"] for p in changed} == {1}


def test_an_embedding_of_another_checkpoint_under_the_name_is_made_anew(flow, tree):
    assert main([str(flow), *INLINE]) == 0
    first, second = tree.embedded()[:2]
    shutil.copy(first.path, second.path)
    text = first.info_path.read_text()
    info_path(second.path).write_text(text)
    assert main([str(flow), *INLINE]) == 0
    point = {p.path.parent.name: p.info.point_id for p in tree.embedded()}
    assert point == {p.info.job: p.info.point_id for p in tree.products()}
    assert not [problem for problem in verify(tree) if problem.broken]


def test_json_is_one_document(flow, tree, capsys):
    assert main([str(flow), *INLINE, "--json", "--dry-run"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert {entry["status"] for entry in planned["embeddings"]} == {"new"}
    assert not tree.embeddings.exists()
    assert main([str(flow), *INLINE, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["experiment"] == "DIGITS/FLOW"
    assert len(document["embeddings"]) == 4
    for entry in document["embeddings"]:
        assert list(entry) == [
            *("job", "point_id", "sweep", "seed", "split", "path", "rows", "status"),
        ]
        assert (entry["rows"], entry["status"], entry["split"]) == (359, "done", "test")
        assert pq.read_metadata(entry["path"]).num_rows == 359


def test_all_takes_what_the_plan_has_no_more(flow, tree):
    assert main([str(flow), *INLINE, "+seed=1"]) == 0
    assert {p.info.seed for p in tree.embedded()} == {1}
    assert main([str(flow), *INLINE, "+seed=1", "--all"]) == 0
    assert len(tree.embedded()) == 4


@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
def test_a_broken_checkpoint_fails_and_the_others_are_embedded(flow, tree, capsys, harm):
    broken = tree.products()[1].path
    data = broken.read_bytes()
    if harm == "changed":
        broken.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif harm == "cut":
        broken.write_bytes(data[: len(data) // 2])
    else:
        broken.unlink()
    assert main([str(flow), *INLINE, "--json"]) == 1
    streams = capsys.readouterr()
    found = {e["job"]: e["status"] for e in json.loads(streams.out)["embeddings"]}
    assert sorted(found.values()) == ["done", "done", "done", "failed"]
    assert found[broken.stem] == "failed"
    assert str(broken) in streams.err
    assert len(tree.embedded()) == 3
    assert not (tree.embeddings / broken.stem).exists()


def test_a_flow_that_gives_nan_fails_alone(flow, tree, capsys):
    from wwdc.products import sha256

    victim = tree.products()[0]
    state = torch.load(victim.path, weights_only=True)
    name = next(key for key in state["state_dict"] if key.startswith("ema.") and "bias" in key)
    state["state_dict"][name].fill_(float("nan"))
    torch.save(state, victim.path)
    note = victim.info_path.read_text()
    note = note.replace(victim.info.sha256, sha256(victim.path))
    note = note.replace(f"bytes: {victim.info.bytes}", f"bytes: {victim.path.stat().st_size}")
    victim.info_path.write_text(note)
    assert main([str(flow), *INLINE]) == 1
    said = capsys.readouterr().out
    assert "is NaN or infinite" in said and victim.path.name in said
    assert len(tree.embedded()) == 3


def test_a_broken_vae_fails_all(flow, tree, data_root, capsys):
    (vae,) = (data_root / "DIGITS" / "VAE" / "ckpts").glob("*.ckpt")
    vae.write_bytes(vae.read_bytes()[:-1] + b"x")
    assert main([str(flow), *INLINE]) == 1
    assert "is not the file that was published" in capsys.readouterr().err
    assert not tree.embeddings.exists()


def test_a_broken_info_file_exits_1(flow, tree, capsys):
    tree.products()[0].info_path.write_text("job_id: [")
    assert main([str(flow), *INLINE]) == 1
    assert "broken YAML" in capsys.readouterr().err
    assert not tree.embeddings.exists()


def test_without_checkpoints_it_says_how_to_train(vae_root, flow_folder, capsys):
    assert main([str(flow_folder), "+seed=7", "embed.seed=3"]) == 2
    error = capsys.readouterr().err
    assert f"python -m wwdc.tune {flow_folder} +seed=7" in error
    assert "embed.seed" not in error


@pytest.fixture
def flow_folder(tmp_path):
    from tests.conftest import flow_experiment

    return flow_experiment(tmp_path)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("splits=[tset]", ["splits", "'tset'", "Did you mean 'test'?"]),
        ("embed.shard_rows=0", ["embed.shard_rows", "0"]),
        ("embed.sede=3", ["sede", "seed"]),
        ("embed.times=[2]", ["embed.times", "2"]),
        ("embed.engine=rya", ["embed.engine", "rya"]),
    ],
)
def test_a_mistake_exits_2_and_names_the_key(flow, tree, capsys, override, words):
    assert main([str(flow), override]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert "Traceback" not in error
    assert not tree.embeddings.exists()


def test_a_missing_folder_exits_2(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_cached_latents_are_used_and_not_made(flow, tree, data_root, monkeypatch):
    cache = data_root / "DIGITS" / "latents"
    shutil.rmtree(cache)
    assert main([str(flow), *INLINE, "+seed=1"]) == 0
    assert not cache.exists()


def columns_of(path):
    return {name: stacked(path, name) for name in pq.read_schema(path).names}
