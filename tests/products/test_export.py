"""An exported model stands on its own: bits, settings, safety and whole folders."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import wwdc
from tests.conftest import flow_experiment, vae_experiment
from wwdc.data.digits import Digits
from wwdc.errors import ConfigError, ProductError, WWDCError
from wwdc.models.weights import read_checkpoint
from wwdc.products import Product, Tree
from wwdc.products import export as exports
from wwdc.products.__main__ import main
from wwdc.products.best import best_of
from wwdc.products.export import read_export
from wwdc.training.lightning_loaders import LightningFlow, LightningVAE
from wwdc.training.load import load_flow

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, trained_vae: Path) -> Path:
    """A folder with both experiments and a DATA_ROOT in which both are trained."""
    from wwdc.tune.__main__ import main as tune

    parent = tmp_path_factory.mktemp("flow")
    shutil.copytree(trained_vae, parent / "root")
    vae_experiment(parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(parent / "root"))
        assert tune([str(flow_experiment(parent)), "seed=1"]) == 0
    return parent


@pytest.fixture
def home(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder of the test's own."""
    shutil.copytree(trained, tmp_path / "home")
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "home" / "root"))
    return tmp_path / "home"


def _best(home: Path, name: str) -> Product:
    product = best_of(Tree(home / "root", "DIGITS", name))
    assert product is not None
    return product


def _export(home: Path, name: str = "flow") -> Path:
    folder = home / f"{name}_export"
    assert main(["best", str(home / f"tiny_{name}"), "--export", str(folder)]) == 0
    return folder


def _same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


def test_flow_is_the_published_one_to_the_bit(home):
    folder, product = _export(home), _best(home, "FLOW")
    state = read_checkpoint(product.path)["state_dict"]
    averaged = {k.removeprefix("ema."): v for k, v in state.items() if k.startswith("ema.")}
    context = {name: state[name] for name in ("context_mean", "context_std")}
    stored = {f"flow.{name}": value for name, value in averaged.items()} | context
    _same(load_file(folder / "model.safetensors"), stored)
    module = wwdc.load(folder)
    assert isinstance(module, LightningFlow)
    _same(dict(module.flow.state_dict()), averaged)
    _same(dict(module.ema.state_dict()), averaged)
    modules = [*module.modules(), *module.vae.modules()]
    assert not any(part.training for part in modules)
    assert not any(p.requires_grad for part in modules for p in part.parameters())


def test_flow_computes_what_the_checkpoint_does(home):
    product = _best(home, "FLOW")
    config = product.info.config
    other = load_flow(product.path, config["lightning_loader"], _best(home, "VAE").path)
    module = wwdc.load(_export(home))
    dataset = Digits(views=1, drop_variables=config["data"]["x_ds"]["drop_variables"])
    x = dataset.images("test", torch.arange(8))
    context = torch.from_numpy(dataset.context("test")[:8])
    residuals = [m.ema(m.vae.encode(x)[0], m.standardise(context)) for m in (other, module)]
    assert torch.equal(*residuals)
    described = read_export(str(home / "flow_export"))
    encoded = described.catalogue.encode(dataset.table("test"))
    assert torch.equal(torch.from_numpy(encoded[:8]), context)


def test_vae_is_the_published_one_to_the_bit(home):
    folder = _export(home, "vae")
    state = read_checkpoint(_best(home, "VAE").path)["state_dict"]
    averaged = {k.removeprefix("ema."): v for k, v in state.items() if k.startswith("ema.")}
    module = wwdc.load(str(folder))
    assert isinstance(module, LightningVAE)
    _same(dict(module.vae.state_dict()), averaged)
    assert not module.training
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "model.safetensors"]
    flow = _export(home)
    _same(load_file(flow / "vae.safetensors"), load_file(folder / "model.safetensors"))
    _same(dict(wwdc.load(flow).vae.state_dict()), averaged)


def test_config_says_what_it_is(home):
    folder, info = _export(home), _best(home, "FLOW").info
    text = (folder / "config.yaml").read_text()
    config = yaml.safe_load(text)
    assert str(home) not in text
    assert "vae_ckpt_path" not in text
    dropped = info.overrides["data.x_ds.drop_variables"]
    assert config["dropped"] == dropped
    names = [n for n in ("r", "g", "b", "angle", "scale", "digit") if n not in dropped]
    assert [known["name"] for known in config["kept"]] == names
    widths = {known["name"]: known["width"] for known in config["kept"]}
    assert sum(widths.values()) == config["lightning_loader"]["flow"]["context"]
    units = {known["name"]: known["units"] for known in config["kept"]}
    assert units["angle"] == "deg"
    assert config["metrics"] == info.metrics
    assert (config["point_id"], config["config_id"]) == (info.point_id, info.config_id)
    assert config["lineage"]["vae"]["sha256"] == _best(home, "VAE").info.sha256
    assert (config["schema"], config["wwdc_version"]) == (1, wwdc.__version__)
    assert (config["kind"], config["experiment"]) == ("flow", "DIGITS/FLOW")


def test_it_needs_neither_data_root_nor_experiment(home, tmp_path, monkeypatch):
    folder = _export(home).rename(tmp_path / "elsewhere")
    shutil.rmtree(home)
    code = f"import wwdc; print(type(wwdc.load({str(folder)!r})).__name__)"
    environment = {**os.environ, "DATA_ROOT": str(tmp_path / "absent")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "LightningFlow"


def test_json_is_one_document(home, capsys):
    folder = home / "out" / "deep"
    arguments = ["best", str(home / "tiny_flow"), "--json", "--export", str(folder), "seed=1"]
    assert main(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == str(_best(home, "FLOW").path)
    assert sorted(document["exported"]) == sorted(str(path) for path in folder.iterdir())


def test_a_folder_with_something_in_it_is_left_alone(home, capsys):
    folder = _export(home)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    assert main(["best", str(home / "tiny_flow"), "--export", str(folder)]) == 2
    captured = capsys.readouterr()
    assert "is not empty" in captured.err
    assert captured.out == ""
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    a_file = home / "file"
    a_file.write_text("mine")
    assert main(["best", str(home / "tiny_flow"), "--export", str(a_file)]) == 2
    assert a_file.read_text() == "mine"


def test_an_empty_folder_is_taken(home):
    (home / "flow_export").mkdir()
    assert len(list(_export(home).iterdir())) == 3


def test_a_failure_leaves_nothing(home, monkeypatch):
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    before = sorted(home.iterdir())
    arguments = ["best", str(home / "tiny_flow"), "--export", str(home / "flow_export")]
    assert main(arguments) == 2
    assert sorted(home.iterdir()) == before
    monkeypatch.undo()


def test_somebody_elses_files_win_a_race(home, monkeypatch):
    """The folder fills between the check and the end: nothing of it is replaced."""
    folder = home / "flow_export"
    real = exports.load

    def late(temporary: Path, **more: object) -> object:
        folder.mkdir()
        (folder / "theirs").write_text("theirs")
        return real(temporary, **more)

    monkeypatch.setattr(exports, "load", late)
    product = _best(home, "FLOW")
    with pytest.raises(ProductError, match="not empty"):
        exports.export(product, folder, Tree(home / "root", "DIGITS", "FLOW"))
    assert [path.name for path in folder.iterdir()] == ["theirs"]
    assert not list(home.glob(".flow_export*"))


def test_a_moved_vae_is_found_by_content_and_a_lost_one_is_named(home, capsys):
    tree = Tree(home / "root", "DIGITS", "FLOW")
    (home / "root" / "DIGITS" / "VAE").rename(home / "root" / "DIGITS" / "VAE_OLD")
    product = _best(home, "FLOW")
    moved = Product(product.path, product.info.model_copy(update={"vae_fp": "/gone/1_0.ckpt"}))
    assert len(exports.export(moved, home / "a", tree)) == 3
    shutil.rmtree(home / "root" / "DIGITS" / "VAE_OLD")
    with pytest.raises(ProductError, match=r"trained on a VAE \(SHA-256 .* /gone/1_0\.ckpt"):
        exports.export(moved, home / "b", tree)
    assert not (home / "b").exists()


def test_a_path_of_this_machine_is_refused(home):
    product = _best(home, "VAE")
    loader = product.info.config["lightning_loader"]
    odd = {**loader, "vae": {**loader["vae"], "table": "/home/me/table.npy"}}
    info = product.info.model_copy(
        update={"config": {**product.info.config, "lightning_loader": odd}}
    )
    tree = Tree(home / "root", "DIGITS", "VAE")
    with pytest.raises(ConfigError, match=r"lightning_loader\.vae\.table: '/home/me/table\.npy'"):
        exports.export(Product(product.path, info), home / "a", tree)


def _rewrite(folder: Path, **changes: object) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))
    return folder


def _without_std(folder: Path) -> Path:
    path = folder / "model.safetensors"
    tensors = {k: v for k, v in load_file(path).items() if k != "context_std"}
    save_file(tensors, path)
    return folder


def _truncated(name: str):
    def change(folder: Path) -> Path:
        (folder / name).write_bytes((folder / name).read_bytes()[:-5])
        return folder

    return change


def _smaller(folder: Path) -> Path:
    loader = yaml.safe_load((folder / "config.yaml").read_text())["lightning_loader"]
    loader["vae"]["width"] = 8
    return _rewrite(folder, lightning_loader=loader)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: _rewrite(f, lightning_loader={"_target_": "os.system"}), "os.system"),
        (lambda f: _rewrite(f, lightning_loader={"_target_": "mine.Model"}), "mine.Model"),
        (lambda f: _rewrite(f, lightning_loader={"_target_": "torch.nn.ReLU"}), "LightningFlow"),
        (lambda f: _rewrite(f, schema=2), "this wwdc reads schema 1, the file has 2"),
        (lambda f: _rewrite(f, mine=1), "mine"),
        (lambda f: _rewrite(f, allow_targets=["mine.*"]), "allow_targets"),
        (lambda f: f / "absent", "--export"),
        (_truncated("model.safetensors"), "model.safetensors"),
        (_truncated("vae.safetensors"), "vae.safetensors"),
        (_without_std, "context_std is missing"),
        (_smaller, "vae.safetensors"),
    ],
)
def test_what_does_not_load_says_why(home, change, message):
    with pytest.raises(WWDCError, match=message.replace(".", r"\.")):
        wwdc.load(change(_export(home)))
