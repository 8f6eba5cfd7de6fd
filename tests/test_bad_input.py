"""Every mistake a user can make, through the real command line: one line, code 2, nothing written.

No test here may start Ray: what is wrong must be found before.
"""

import os
import random
import struct
import subprocess
from pathlib import Path

import pytest
import torch
import yaml

import wwdc.cluster.connection
from tests.conftest import VAE, flow_experiment, vae_experiment
from wwdc.config import fill, instantiate, load
from wwdc.errors import ConfigError, WWDCError
from wwdc.products import Tree
from wwdc.terminal import notice
from wwdc.training.loop import train_point
from wwdc.tune.__main__ import main
from wwdc.tune.plan import make_plan
from wwdc.tune.preflight import preflight

IMAGES = struct.pack(">IIII", 2051, 100, 28, 28) + bytes(100 * 784)
LABELS = struct.pack(">II", 2049, 100) + bytes(100)


class Started(BaseException):
    """Ray would have been started."""


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise Started

    monkeypatch.setattr(wwdc.cluster.connection, "start_local", refuse)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", refuse)
    notice.cache_clear()


def checkpoint(**changes) -> dict:
    """What a trained tiny VAE's file holds, as far as a flow reads it."""
    target = "wwdc.training.lightning_loaders.LightningVAE"
    module = instantiate({"_target_": target, "vae": {**VAE, **changes}, "lr": 1e-3})
    return {"state_dict": module.state_dict()}


@pytest.fixture(scope="module")
def vae_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("vae") / "vae.ckpt"
    torch.save(checkpoint(), path)
    return path


@pytest.fixture
def flow(tmp_path, data_root, vae_file):
    """Builds a flow's command line: its folder and a VAE that fits."""

    def build(*overrides, **train):
        folder = flow_experiment(tmp_path / "experiments", **train)
        return [str(folder), f"lightning_loader.vae_ckpt_path={vae_file}", *overrides]

    return build


def content(folder: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def refused(capsys, tmp_path: Path, argv: list[str], *words: str) -> str:
    """Run the command; it must refuse in one line that has all *words*, and write nothing."""
    before = content(tmp_path)
    assert main(argv) == 2
    output = capsys.readouterr()
    lines = [line for line in output.err.splitlines() if not line.startswith("note: ")]
    if "--json" in argv:
        assert output.out == ""
    assert len(lines) == 1, output.err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in output.err
    for word in words:
        assert word in lines[0]
    assert content(tmp_path) == before
    return lines[0]


OVERRIDES = [
    ("+tune.metrik=x", "command line: tune.metrik", "'metric'"),
    ("+lightning_loader.hiden=3", "model.yaml: lightning_loader", "'hiden'"),
    ("+lightning_loader.vae.hiden_dim=3", "lightning_loader.vae", "'hidden_dim'"),
    ("+trainer.max_epoch=3", "command line: trainer.max_epoch", "'max_epochs'"),
    ("+trainer.plugins=3", "command line: trainer.plugins"),
    ("+data.x_ds.vews=3", "data.x_ds", "'views'"),
    ("+data.loader.batchsize=3", "data.loader.batchsize", "'batch_size'"),
    ("+data.loader.timeout=-3", "data.loader"),
    ("+model_checkpoint.save_topk=3", "trainer.callbacks", "'save_top_k'"),
    ("x_ds.drop_variables=[angel]", "command line: data.x_ds.drop_variables", "'angle'"),
    ("x_ds.drop_variables=b", "command line: data.x_ds.drop_variables", "[b]"),
    ("x_ds.drop_variables=3", "command line: data.x_ds.drop_variables", "list"),
    ("+lightning_loader.flow.context=9", "lightning_loader.flow.context", "= 14"),
    ("lightning_loader.lr=loguniform(1e-5", "lightning_loader.lr"),
    ("lightning_loader.lr=-1", "command line: lightning_loader.lr", "above 0"),
    ("lightning_loader.lr=nan", "command line: lightning_loader.lr"),
    ("lightning_loader.lr=null", "command line: lightning_loader.lr"),
    ("lightning_loader.lr=1e-3,-1", "lightning_loader.lr=1e-3,-1"),
    ("+lightning_loader.beta_init=-1", "lightning_loader.beta_init"),
    ("lightning_loader.vae.width=-1", "lightning_loader.vae.width"),
    ("lightning_loader.flow=null", "lightning_loader"),
    ("data.loader.batch_size=0", "command line: data.loader.batch_size"),
    ("data.loader.batch_size=1000000", "data.loader.batch_size", "1258 rows"),
    ("data.loader.num_workers=-1", "command line: data.loader.num_workers"),
    ("data.x_ds.views=0", "command line: data.x_ds.views"),
    ("data.x_ds.seed=-1", "command line: data.x_ds.seed"),
    ("seed=-1", "command line: seed"),
    ("trainer.max_epochs=0", "command line: trainer.max_epochs"),
    ("trainer.max_epochs=-3", "command line: trainer.max_epochs"),
    ("trainer.gradient_clip_val=-1", "command line: trainer.gradient_clip_val"),
    ("trainer.devices=0", "trainer"),
    ("trainer.devices=4", "tune.num_workers=4"),
    ("trainer.accelerator=tpu", "trainer"),
    ("+trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches"),
    ("trainer.check_val_every_n_epoch=5", "trainer.check_val_every_n_epoch"),
    ("trainer.callbacks=[]", "trainer.callbacks", "model_checkpoint"),
    ("trainer.callbacks=[hello]", "trainer.callbacks", "_target_"),
    ("model_checkpoint.mode=mix", "trainer"),
    ("tune.num_workers=0", "command line: tune.num_workers"),
    ("tune.num_samples=0", "command line: tune.num_samples"),
    ("tune.num_samples=3", "command line: tune.num_samples"),
    ("tune.searcher=optunaa", "command line: tune.searcher"),
    ("tune.resources.cpu=1000", "tune.resources.cpu", "1000 CPU"),
    ("tune.resources.gpu=999", "tune.resources.gpu", "999 GPU"),
    ("tune.address=127.0.0.1:1", "tune.address=127.0.0.1:1", "tune.address=local"),
    ("tune.address=abc", "tune.address=abc", "HOST:PORT"),
    ("lightning_loader.lr", "key=value"),
    ("lightning_loader.lrr=1", "'lightning_loader.lr'"),
    ("lightning_loader.vae_ckpt_path=/no/vae.ckpt", "/no/vae.ckpt", "does not exist"),
    ("lightning_loader.vae_ckpt_path=null", "lightning_loader.vae_ckpt_path"),
    ("lightning_loader.vae_ckpt_path=3", "lightning_loader.vae_ckpt_path"),
    ("trainer_ckpt_path=/no/last.ckpt", "trainer_ckpt_path", "does not exist"),
    ("paths.scratch_data_dir=/proc/x", "paths.scratch_data_dir"),
    ("meta.data_name=../x", "command line: meta.data_name"),
    (
        "+lightning_loader.lr_scheduler={_target_: torch.optim.lr_scheduler.OneCycleLR, "
        "_partial_: true, pct_start: 7}",
        "lightning_loader",
        "pct_start",
    ),
]


@pytest.mark.parametrize("case", OVERRIDES, ids=lambda case: case[0][:60])
def test_mistakes_on_the_command_line(flow, tmp_path, capsys, case):
    override, *words = case
    refused(capsys, tmp_path, flow(override), *words)


TARGETS = [
    "os.system",
    "builtins.eval",
    "subprocess.Popen",
    "torch.load",
    "torch.hub.load",
    "wwdc.training.loop.os.system",
    "wwdc.data.idx.gzip.open",
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("key", ["data.x_ds._target_", "lightning_loader.flow._target_"])
def test_targets_outside_the_list(flow, tmp_path, capsys, key, target):
    refused(capsys, tmp_path, flow(f"{key}={target}"), f"command line: {key}", "allow_targets")


FILES = [
    ("meta.yaml", "data_name", "data_nam", "meta.yaml: meta.data_nam", "'data_name'"),
    ("sweeps.yaml", "param:", "parm:", "sweeps.yaml: sweeps.only_b.parm", "'param'"),
    ("sweeps.yaml", "only_digit", "only_b", "sweeps.yaml, line 6", "only_b"),
    ("sweeps.yaml", "'[\"b\"]'", "'[\"b\"'", "sweeps.yaml: sweeps.only_b.val", "JSON"),
    ("sweeps.yaml", "- digit", "- digti", "sweeps.yaml: sweeps.only_digit.val", "'digit'"),
    ("sweeps.yaml", "val: '[\"b\"]'", "space: lguniform(1", "sweeps.yaml: sweeps.only_b.space"),
    ("model.yaml", "  lr:", "  lrr:", "model.yaml: lightning_loader", "'lr'"),
    ("model.yaml", "max_epochs", "max_epoch", "model.yaml: trainer.max_epoch", "'max_epochs'"),
    ("model.yaml", "  lr: 0.001", "  lr: -0.001", "model.yaml: lightning_loader.lr"),
    ("model.yaml", "model_checkpoint:", "model_checkpont:", "model.yaml", "'model_checkpoint'"),
    ("train.yaml", "/data/digits", "/data/digit", "train.yaml: defaults", "'digits'"),
    ("train.yaml", "data:", "data: {{{", "train.yaml, line"),
]


@pytest.mark.parametrize("case", FILES, ids=lambda case: f"{case[0]} {case[2]}")
def test_mistakes_in_files(flow, tmp_path, capsys, case):
    name, old, new, *words = case
    argv = flow()
    path = Path(argv[0]) / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    refused(capsys, tmp_path, argv, *words)


@pytest.mark.parametrize("name", ["meta", "sweeps", "model", "train"])
def test_missing_files(flow, tmp_path, capsys, name):
    argv = flow()
    (Path(argv[0]) / f"{name}.yaml").unlink()
    refused(capsys, tmp_path, argv, f"{name}.yaml is missing")


@pytest.mark.parametrize(
    ("param", "value", "words"),
    [
        ("x_ds.drop_variables", ["angel"], "sweeps.yaml: sweeps.one.val: data.x_ds.drop_var"),
        ("lightning_loader", "abc", "sweeps.yaml: sweeps.one.val: lightning_loader: expected keys"),
        ("lightning_loader.lr", -1, "sweeps.yaml: sweeps.one.val: lightning_loader.lr"),
        ("x_ds", 3, "sweeps.yaml: sweeps.one.val: data.x_ds: expected keys"),
        ("meta.data_name", "../x", "meta.data_name cannot be swept"),
        ("paths.data_dir", "/etc", "paths.data_dir cannot be swept"),
        ("tune.metric", "x", "tune.metric cannot be swept"),
    ],
)
def test_mistakes_in_a_sweep(flow, tmp_path, capsys, param, value, words):
    argv = flow(sweeps={"one": {"param": param, "val": value}})
    refused(capsys, tmp_path, argv, words)


def test_no_sweeps(tmp_path, data_root, capsys):
    argv = [str(vae_experiment(tmp_path / "e", seeds=None))]
    refused(capsys, tmp_path, argv, "sweeps.yaml: no sweeps", "seeds: [42]")


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (IMAGES[:-5], LABELS, "truncated"),
        (b"\0\0\x0d\x03" + IMAGES[4:], LABELS, "not an IDX file"),
        (struct.pack(">IIII", 2051, 100, 14, 56) + IMAGES[16:], LABELS, "not 28 × 28"),
        (IMAGES, LABELS[:-1], "truncated"),
        (b"", LABELS, "not an IDX file"),
    ],
)
def test_unreadable_data(tmp_path, data_root, capsys, images, labels, words):
    raw = data_root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-images-idx3-ubyte").write_bytes(images)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(labels)
    argv = [str(vae_experiment(tmp_path / "e")), "data=rgbmnist"]
    refused(capsys, tmp_path, argv, "t10k-", words)


def _nan() -> dict:
    return {"state_dict": {k: v * float("nan") for k, v in checkpoint()["state_dict"].items()}}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda data: data[:3000], "truncated"),
        (lambda _: b"hello\nworld", "not a checkpoint"),
        (lambda _: b"", "not a checkpoint"),
        (lambda _: {"a": 1}, "state_dict"),
        (lambda _: checkpoint(hidden_dim=4), "does not fit"),
        (lambda _: _nan(), "nan"),
    ],
)
@pytest.mark.parametrize("key", ["lightning_loader.vae_ckpt_path", "trainer_ckpt_path"])
def test_broken_checkpoints(flow, tmp_path, capsys, vae_file, key, make, words):
    made, path = make(vae_file.read_bytes()), tmp_path / "given.ckpt"
    if isinstance(made, bytes):
        path.write_bytes(made)
    else:
        torch.save(made, path)
    if key == "trainer_ckpt_path" and isinstance(made, dict) and "state_dict" in made:
        words = "cannot be resumed"
    refused(capsys, tmp_path, flow(f"{key}={path}"), words)


def test_data_root_below_a_file(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "file" / "root"))
    refused(capsys, tmp_path, [str(vae_experiment(tmp_path / "e"))], "DATA_ROOT", "is a file")


def test_data_root_on_a_read_only_disk(tmp_path, monkeypatch, capsys):
    mount = tmp_path / "mount"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        monkeypatch.setenv("DATA_ROOT", str(mount / "root"))
        argv = [str(vae_experiment(tmp_path / "e"))]
        refused(capsys, tmp_path, argv, "DATA_ROOT", "cannot be written")
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_experiment_path(tmp_path, data_root, capsys):
    folder = vae_experiment(tmp_path / "e")
    refused(capsys, tmp_path, [str(folder)[:-1]], "'tiny_vae'")
    refused(capsys, tmp_path, [str(folder / "train.yaml")], "is a file")
    refused(capsys, tmp_path, ["a" * 5000], "no experiment folder")


@pytest.mark.parametrize("argv", [[], [""], ["x", "--frsh"]])
def test_argparse_refuses(argv, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_json_prints_nothing_on_stdout_when_it_fails(flow, tmp_path, capsys, more):
    argv = flow("--json", "lightning_loader.lr=-1", *more)
    refused(capsys, tmp_path, argv, "lightning_loader.lr")


@pytest.mark.parametrize("callback", ["ModelCheckpoint", "EarlyStopping"])
def test_monitor_that_is_never_logged(tmp_path, data_root, callback):
    composed = load(vae_experiment(tmp_path / "e"), ["data.loader.batch_size=1258"])
    config = fill(composed.resolve({"seed": 1}), job="0_0", data_root=data_root)
    target = f"lightning.pytorch.callbacks.{callback}"
    config["trainer"]["callbacks"].append({"_target_": target, "monitor": "val_los"})
    with pytest.raises(ConfigError, match=r"'val_los' is never logged.*'val_loss'"):
        train_point(config, keep=tmp_path / "keep", work=tmp_path / "work")


def test_unset_data_root_is_said_once(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = str(vae_experiment(tmp_path / "e"))
    assert main([folder, "--dry-run"]) == 0
    assert main([folder, "--dry-run"]) == 0
    assert capsys.readouterr().err.count(str(tmp_path / "data")) == 1
    assert not (tmp_path / "data").exists()


def test_gpu_that_is_not_there_is_said_once(tmp_path, data_root, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    folder = vae_experiment(tmp_path / "e")
    for _ in range(2):
        assert main([str(folder), "--dry-run", "trainer=gpu"]) == 0
    assert capsys.readouterr().err.count("no GPU") == 1
    assert load(folder, ["trainer=gpu"]).resolve({"seed": 1})["trainer"]["accelerator"] == "cpu"


VALUES = [None, -1, 0, 3, 1e30, float("nan"), "", "abc", "${nope}", "os.system", [], [None], {}]


def mutate(folder: Path, chance: random.Random) -> str:
    """Change, drop or rename one key of one file, or cut the file short."""
    path = folder / f"{chance.choice(['meta', 'sweeps', 'model', 'train'])}.yaml"
    text = path.read_text()
    if chance.random() < 0.1:
        path.write_text(text[: chance.randrange(len(text))])
        return f"{path.name} cut"
    tree = yaml.safe_load(text)
    node, key = tree, None
    while isinstance(node, dict) and node and (key is None or chance.random() < 0.7):
        parent, key = node, chance.choice(list(node))
        node = node[key]
    action = chance.choice(["set", "set", "drop", "rename"])
    value = parent.pop(key)
    if action == "set":
        parent[key] = chance.choice(VALUES)
    elif action == "rename":
        parent[f"{key}x"] = value
    header = "# @package _global_\n" if path.name == "train.yaml" else ""
    path.write_text(header + yaml.safe_dump(tree, sort_keys=False))
    return f"{path.name} {action} {key} {parent.get(key)!r}"


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_is_a_mistake_or_harmless(tmp_path, data_root, vae_file, seed):
    """Whatever is done to the files: no exception but a WWDCError, and nothing written."""
    folder = flow_experiment(tmp_path / "e")
    loader = folder / "model.yaml"
    loader.write_text(loader.read_text().replace("${product:DIGITS/VAE}", str(vae_file)))
    done = mutate(folder, random.Random(seed))
    try:
        composed = load(folder)
        tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
        preflight(make_plan(composed, tree), composed, lambda text: None)
    except WWDCError as error:
        assert str(error), done
    assert not data_root.exists()
