"""Each mistake is one ConfigError that names the place; no other exception leaves."""

import re

import pytest

from wwdc.config import load
from wwdc.errors import ConfigError

NUMBERS = [
    ("lightning_loader.lr=abc", "lightning_loader.lr: expected a finite number above 0, got 'abc'"),
    ("lightning_loader.lr=-1", "lightning_loader.lr"),
    ("lightning_loader.lr=0", "lightning_loader.lr"),
    ("lightning_loader.lr=nan", "lightning_loader.lr"),
    ("lightning_loader.lr=inf", "lightning_loader.lr"),
    ("lightning_loader.lr=true", "lightning_loader.lr"),
    ("data.loader.batch_size=-4", "data.loader.batch_size"),
    ("data.loader.batch_size=2.5", "data.loader.batch_size"),
    ("data.loader.num_workers=-1", "data.loader.num_workers"),
    ("data.x_ds.views=0", "data.x_ds.views"),
    ("data.x_ds.seed=-1", "data.x_ds.seed"),
    ("trainer.max_epochs=0", "trainer.max_epochs"),
    ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val"),
    ("lightning_loader.flow.transforms=0", "lightning_loader.flow.transforms"),
    ("lightning_loader.flow.hidden_features=[64,-1]", "lightning_loader.flow.hidden_features.1"),
    ("lightning_loader.vae.hidden_dim=1.5", "lightning_loader.vae.hidden_dim"),
    ("lightning_loader.beta_floor=-0.1", "lightning_loader.beta_floor"),
    ("+lightning_loader.anything=nan", "lightning_loader.anything"),
    ("seed=-1", "seed"),
    ("seed=1.5", "seed"),
    ("seed=null", "seed"),
]


@pytest.mark.parametrize(("override", "message"), NUMBERS)
def test_impossible_numbers(outline, override, message):
    composed = load(outline, [override])
    with pytest.raises(ConfigError, match=re.escape(f"command line: {message}")):
        composed.resolve({})


def test_impossible_number_in_a_file_or_sweep(edit):
    folder = edit("model.yaml", "lr: 0.0005", "lr: -0.0005")
    with pytest.raises(ConfigError, match=r"^model.yaml: lightning_loader.lr: .* got -0.0005"):
        load(folder).resolve({})
    with pytest.raises(ConfigError, match=r"^sweep: seed: "):
        load(folder).resolve({"seed": -3, "lightning_loader.lr": 1e-3})


FILES = [
    ("meta.yaml", "data_name", "data_nam", r"meta.yaml: meta.data_nam: .*'data_name'"),
    ("meta.yaml", "  data_name: COLOUR_MNIST\n", "", r"meta.yaml: meta.data_name: .* missing"),
    ("meta.yaml", "COLOUR_MNIST", "../up", r"meta.yaml: meta.data_name: '../up' cannot name"),
    ("meta.yaml", "experiment_name: FLOW", "experiment_name: [1]", r"meta.yaml: meta.experiment_n"),
    ("meta.yaml", "meta:", "metta:", r"meta.yaml: metta: unknown key. Did you mean 'meta'"),
    ("meta.yaml", "meta:", "meta: 3\nx:", r"meta.yaml: x: unknown key"),
    ("meta.yaml", "  version", " version", r"meta.yaml, line \d+"),
    ("meta.yaml", "authors:\n  - BR", "authors: {{{", r"meta.yaml, line \d+"),
    ("meta.yaml", "0.1.0", "!!python/object/apply:os.system [true]", r"meta.yaml, line \d+"),
    ("meta.yaml", "0.1.0", "${paths.nowhere}", r"meta.yaml: meta.version: .*'paths.nowhere'"),
    ("meta.yaml", "0.1.0", "${unclosed", r"meta.yaml"),
    ("sweeps.yaml", "sweeps:", "sweep:", r"sweeps.yaml: sweep: unknown key.*'sweeps'"),
    ("sweeps.yaml", "sweep_2:", "sweep_1:", r"sweeps.yaml, line \d+: .*duplicate key sweep_1"),
    (
        "sweeps.yaml",
        '    val: \'["b"',
        '    value: \'["b"',
        r"sweeps.yaml: sweeps.sweep_1.value: .*'val'",
    ),
    (
        "sweeps.yaml",
        '["b", "angle", "scale"]',
        '["b", "angle"',
        r"sweeps.yaml: sweeps.sweep_1.val: ",
    ),
    ("sweeps.yaml", '["b", "angle", "scale"]', "b, angle", r"sweeps.sweep_1.val: .* is a list"),
    (
        "sweeps.yaml",
        "x_ds.drop_variables",
        "x_ds.drop_variable",
        r"sweep_1.param: .*drop_variables'",
    ),
    ("sweeps.yaml", "    param: 'x_ds.drop_variables'\n", "", r"sweeps.sweep_1.param: .* missing"),
    (
        "sweeps.yaml",
        "  sweep_1:\n",
        "  sweep_1: ...\n  sweep_0:\n",
        r"sweeps.sweep_1: expected keys",
    ),
    ("sweeps.yaml", '    val: \'["b"', '    space: choice(1, 2)\n    val: \'["b"', r"either val"),
    (
        "train.yaml",
        "sweep_4",
        "sweep_5",
        r"train.yaml: hydra.sweeper.params.*no sweep 'sweep_5'.*sweep_1",
    ),
    (
        "train.yaml",
        "+seed: 42, 43, 44",
        "+seed: 42, [43",
        r"train.yaml: hydra.sweeper.params.\+seed",
    ),
    ("train.yaml", "+data.x_ds.drop_variables", "data.x_ds.drops", r"train.yaml: hydra.*drops"),
    ("train.yaml", "/data/rgbmnist", "/data/rgbmnst", r"train.yaml: .*'rgbmnist'.*digits"),
    ("train.yaml", "- model", "- modle", r"train.yaml: defaults: there is no file modle.yaml"),
    ("train.yaml", "- model\n", "", r"train.yaml: lightning_loader is missing.*- model"),
    ("train.yaml", "- /data/rgbmnist\n", "", r"train.yaml: data is missing.*- /data/rgbmnist"),
    ("train.yaml", "- meta\n", "", r"train.yaml"),
    ("train.yaml", "defaults:\n", "defaults: 3\nd:\n", r"train.yaml: defaults: expected a list"),
    ("train.yaml", "- model", "- [1, 2]", r"train.yaml: defaults: cannot read"),
    ("train.yaml", "hydra:\n  sweeper", "hydra:\n  sweper", r"train.yaml: .*sweper"),
    (
        "train.yaml",
        "vae_ckpt_dir: ${oc.env:DATA_ROOT}",
        "vae_ckpt_dir: ${oc.env:NO_SUCH}",
        r"NO_SUCH",
    ),
    (
        "model.yaml",
        "lightning_loader:",
        "lightning_loder:",
        r"unknown key 'lightning_loder'.*loader'",
    ),
    (
        "model.yaml",
        "${data.loader.batch_size}",
        "${data.loader.batchsize}",
        r"model.yaml: lightning_loader.batch_size: .*'data.loader.batch_size'",
    ),
    (
        "model.yaml",
        "${paths.vae_ckpt_dir}",
        "${nope:1}",
        r"model.yaml: lightning_loader.vae_ckpt_path",
    ),
    ("model.yaml", "${hydra:job.id}", "${hydra:job.idd}", r"hydra:job.idd"),
    ("model.yaml", "${hydra:job.id}", "${now:%Y}", r"now"),
    (
        "model.yaml",
        "lr: 0.0005",
        "lr: ???",
        r"model.yaml: lightning_loader.lr: this key needs a value",
    ),
    ("model.yaml", "lr: 0.0005", "lr: ${lightning_loader.lr}", r"circle|ecursi"),
    ("model.yaml", "trainer:\n", "trainer: 3\nt:\n", r"trainer"),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), FILES)
def test_broken_files(edit, name, old, new, message):
    folder = edit(name, old, new)
    with pytest.raises(ConfigError, match=message):
        load(folder).resolve({})


OVERRIDES = [
    ("lightning_loader.lrr=1", r"'lightning_loader.lrr'.*'lightning_loader.lr'.*\+lightning_load"),
    ("lr", r"expected key=value"),
    ("+=3", r"'\+=3': expected key=value"),
    ("++=3", r"'\+\+=3': expected key=value"),
    (
        "lightning_loader.lr=range(0,1e9)",
        r"more than 10,000 values.*range\(0, 1000000000.0, STEP\)",
    ),
    ("seed=range(1000000000)", r"more than 10,000 values.*randint"),
    ("lightning_loader.lr=", r"lightning_loader.lr"),
    ("lightning_loader.lr=[1", r"override 'lightning_loader.lr=\[1'"),
    ("lightning_loader.lr=logunform(1,2)", r"Did you mean 'loguniform'"),
    ("lightning_loader.lr=range(1,2,0)", r"range"),
    ("lightning_loader.lr=range(2,1)", r"empty"),
    ("lightning_loader.lr=glob(*)", r"glob"),
    ("lightning_loader.lr.x=1", r"lightning_loader.lr.x"),
    ("+lightning_loader.lr.x=1", r"lightning_loader.lr.x cannot be set"),
    ("trainer=gpuu", r"there is no trainer=gpuu. Did you mean 'gpu'. Choices: .*cpu"),
    ("trainer=cpu,gpu", r"cannot be swept"),
    ("trainr=cpu", r"'trainr'.*'trainer'"),
    ("nogroup/x=cpu", r"there is no group"),
    ("trainer@x=cpu", r"there is no group|trainer"),
    ("~nothing", r"nothing"),
    ("hydra/sweeper=optuna", r"tune.searcher"),
    ("hydra.mode=MULTIRUN", r"only hydra.job.id"),
    ("tune.engine=warp", r"tune.engine: 'warp' is not one of 'auto', 'inline' or 'torch'"),
    ("tune.engine=inlin", r"Did you mean 'inline'"),
    ("+tune.engin=x", r"tune.engin: unknown key. Did you mean 'engine'"),
    ("+tune.resources.cpus=1", r"tune.resources.cpus: unknown key. Did you mean 'cpu'"),
    ("tune.num_samples=0", r"tune.num_samples"),
    ("tune.resources.cpu=-1", r"tune.resources.cpu"),
    ("+seeds=[1,1]", r"twice"),
    ("+seeds=5", r"sweeps.yaml: seeds|seeds: expected"),
    ("paths.data_dir=null", None),
    ("data=null", r"data is missing"),
    ("=3", r"override"),
    ("", r"expected key=value"),
    ("~", r"override"),
]


@pytest.mark.parametrize(("override", "message"), OVERRIDES)
def test_broken_overrides(outline, override, message):
    if message is None:
        load(outline, [override]).resolve({})
        return
    with pytest.raises(ConfigError, match=message):
        load(outline, [override]).resolve({})


@pytest.mark.parametrize("name", ["meta.yaml", "sweeps.yaml", "model.yaml", "train.yaml"])
def test_missing_files(outline, name):
    (outline / name).unlink()
    with pytest.raises(ConfigError, match=f"{name} is missing"):
        load(outline)


def test_missing_embed_file(outline):
    (outline / "embed.yaml").rename(outline / "embedd.yaml")
    with pytest.raises(ConfigError, match=r"embed.yaml is missing .*Did you mean 'embedd.yaml'"):
        load(outline, stage="embed")
    load(outline)


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"just text\n", b"\xff\xfe\x00", b"a: b: c\n"])
@pytest.mark.parametrize("name", ["meta.yaml", "sweeps.yaml", "model.yaml", "train.yaml"])
def test_files_of_another_kind(outline, name, content):
    (outline / name).write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(name.removesuffix(".yaml"))):
        load(outline).resolve({})


def test_broken_group_file(outline, edit):
    (outline / "data").mkdir()
    (outline / "data" / "mine.yaml").write_text("loader: {{\n")
    edit("train.yaml", "/data/rgbmnist", "/data/mine")
    with pytest.raises(ConfigError, match=r"mine.yaml"):
        load(outline)


def test_folder_is_missing_or_a_file(outline):
    with pytest.raises(ConfigError, match=r"no experiment folder .*Did you mean 'RGBMNIST_FLOW'"):
        load(outline.with_name("RGBMNIST_FLO"))
    with pytest.raises(ConfigError, match=r"is a file; give the experiment folder"):
        load(outline / "train.yaml")
    with pytest.raises(ConfigError, match=r"no experiment folder"):
        load(outline / "a" / "b")


def test_no_sweeps(outline):
    (outline / "sweeps.yaml").write_text("sweeps:\n")
    with pytest.raises(ConfigError, match=r"sweeps.yaml: sweeps: .* missing"):
        load(outline)


def test_composition_includes_itself(outline, edit):
    edit("train.yaml", "- model", "- model\n- train")
    with pytest.raises(ConfigError, match="includes itself"):
        load(outline)


def test_nothing_is_written(outline, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError):
        load(outline, ["nope=1"])
    load(outline).resolve({})
    assert sorted(tmp_path.rglob("*")) == before
