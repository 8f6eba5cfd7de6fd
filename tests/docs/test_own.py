"""The code of docs/own-*.md, in a folder as the pages say."""

import json
import math
import re
import sys

import numpy as np
import pytest
import torch
import yaml
from scipy.stats import binomtest, spearmanr
from sklearn.base import clone

from tests.conftest import DEFAULTS, FLOW, REPOSITORY, flow_experiment, vae_experiment
from wwdc.config import instantiate, load
from wwdc.config.stages import load_stage
from wwdc.data.catalogue import Variable
from wwdc.data.colour_mnist import SPLITS
from wwdc.detect.settings import read_detection
from wwdc.discovery.fitted import fit
from wwdc.models.flows import CouplingFlow
from wwdc.prepare.__main__ import main as prepare
from wwdc.products import Tree
from wwdc.stats.settings import read_suite
from wwdc.training.loop import build_dataset
from wwdc.training.losses import gaussian_elbo
from wwdc.tune.__main__ import main as tune

ONE_POINT = ("trainer.max_epochs=1", "x_ds.drop_variables=[b]", "tune.engine=inline")


def listings(page, language):
    text = (REPOSITORY / "docs" / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def written(page, name):
    """The listing of a page that says which file it is."""
    return next(text for text in listings(page, "python") if text.startswith(f"# {name}"))


@pytest.fixture
def folder(tmp_path, data_root, monkeypatch):
    """An experiment on digits that the pages' listings are put into."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield flow_experiment(tmp_path / "experiments")
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


def merge(path, node):
    """Add what a page says to a file of the experiment."""
    header, text = re.match(r"(#[^\n]*\n)?(.*)", path.read_text(), re.DOTALL).groups()

    def into(old, new):
        for key, value in new.items():
            old[key] = into(old.get(key) or {}, value) if isinstance(value, dict) else value
        return old

    merged = into(yaml.safe_load(text), node)
    path.write_text((header or "") + yaml.safe_dump(merged, sort_keys=False))


def put(folder, page, *names):
    for name in names:
        (folder / name).write_text(written(page, name))


@pytest.mark.parametrize("target", ["my_model.Shifted", "my_zuko.Bernstein"])
def test_own_model(folder, target):
    """It is built, inverts, has a density, and its loss has a gradient."""
    put(folder, "own-model.md", "my_model.py", "my_zuko.py", "my_losses.py")
    for text in listings("own-model.md", "yaml"):
        merge(folder / text.split()[1], yaml.safe_load(text))
    composed = load(folder, trust=True)
    loader = composed.resolve({})["lightning_loader"]
    node = {k: v for k, v in loader["flow"].items() if k not in {*FLOW} - {"features", "_target_"}}
    flow = instantiate(node | {"_target_": target}, allow=composed.allow)
    flow.bind(3)
    torch.manual_seed(0)
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    z, c = torch.randn(5, 32), torch.randn(5, 3)
    u, log_det = flow.to_base(z, c)
    torch.testing.assert_close(flow.inverse(u, c), z, atol=1e-4, rtol=1e-4)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow(x, c[:1]), z[:1]).reshape(32, 32)
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det[0], atol=1e-4, rtol=1e-4)
    parts = instantiate(loader["loss"], allow=composed.allow)(flow, z, c)
    parts["loss"].backward()
    assert parts["nll"].isfinite() and next(flow.parameters()).grad.abs().sum() > 0
    for name in ("optimizer", "lr_scheduler"):
        assert callable(instantiate(loader[name], allow=composed.allow))


@pytest.mark.ray
@pytest.mark.slow
def test_own_model_trains(vae_root, folder):
    """The flow of zuko takes derivatives in validation, too."""
    put(folder, "own-model.md", "my_zuko.py")
    text = next(t for t in listings("own-model.md", "yaml") if "my_zuko" in t)
    said = yaml.safe_load(text)
    said["lightning_loader"]["flow"]["features"] = FLOW["features"]
    merge(folder / "model.yaml", said)
    model = yaml.safe_load((folder / "model.yaml").read_text())
    model["lightning_loader"]["flow"] = said["lightning_loader"]["flow"]  # no arguments of another
    (folder / "model.yaml").write_text(yaml.safe_dump(model))
    assert tune([str(folder), "--trust", "+seed=1", *ONE_POINT]) == 0
    [product] = Tree(vae_root, "DIGITS", "FLOW").products()
    assert math.isfinite(product.info.metrics["val_loss"])


def test_own_losses(folder):
    """No object counts more than the most; the VAE's is the shipped one's with another error."""
    put(folder, "own-model.md", "my_losses.py")
    meta = next(text for text in listings("own-model.md", "yaml") if text.startswith("# meta.yaml"))
    merge(folder / "meta.yaml", yaml.safe_load(meta))
    allow = load(folder, trust=True).allow

    def built(name, **arguments):
        return instantiate({"_target_": name, "_partial_": True, **arguments}, allow=allow)

    flow = CouplingFlow(2, 1, hidden_features=[4], transforms=1)  # the identity
    z = torch.tensor([[0.0, 0.0], [60.0, 0.0]])
    parts = built("my_losses.clipped", most=500.0)(flow, z, torch.zeros(2, 1))
    near = math.log(2 * math.pi)
    assert parts["loss"].item() == pytest.approx((near + 500) / 2)
    assert parts["nll"].item() == pytest.approx(near + 900)
    x, mean, logvar = torch.rand(3, 1, 4, 4), torch.randn(3, 2), torch.randn(3, 2)
    parts = built("my_losses.laplace_elbo", scale=0.1)(x, x + 0.2, mean, logvar, 0.5)
    shipped = gaussian_elbo(x, x, mean, logvar, 0.5)
    assert parts["reconstruction"].item() == pytest.approx(16 * 2, rel=1e-4)
    torch.testing.assert_close(parts["kl"], shipped["kl"])
    torch.testing.assert_close(parts["loss"] - parts["reconstruction"], shipped["loss"])


@pytest.fixture
def rings(folder, tmp_path):
    """A VAE experiment of the page's dataset."""
    defaults = [name for name in DEFAULTS if name != "/data/digits"]
    rings = vae_experiment(tmp_path / "rings", defaults=defaults, data={})
    model = yaml.safe_load((rings / "model.yaml").read_text())
    del model["lightning_loader"]["vae"]  # the page names another network
    (rings / "model.yaml").write_text(yaml.safe_dump(model))
    put(rings, "own-dataset.md", "my_data.py")
    for text in listings("own-dataset.md", "yaml"):
        merge(rings / text.split()[1].removesuffix(","), yaml.safe_load(text))
    return rings


def test_own_dataset(rings):
    """It keeps what the page asks of a dataset, and shows what its catalogue says."""
    config = load(rings, trust=True).resolve()
    whole = build_dataset(config)
    told = build_dataset(load(rings, ["x_ds.drop_variables=[radius]"], trust=True).resolve())
    assert told.kept.names == ("brightness",) and told.fingerprint == whole.fingerprint
    ids = np.concatenate([whole.table(split)["id"] for split in SPLITS])
    assert len(np.unique(ids)) == len(ids) == sum(whole.rows(split) for split in SPLITS) == 2000
    for split in SPLITS:
        rows = whole.rows(split)
        assert {len(column) for column in whole.table(split).values()} == {rows}
        assert whole.context(split).shape == (rows, 2) and told.context(split).shape == (rows, 1)
    index = torch.tensor([5, 3, 200])
    x, table = whole.images("test", index), whole.table("test")
    assert x.shape == (3, *whole.size) and x.dtype == torch.float32
    assert 0 <= x.min() and x.max() <= 1
    torch.testing.assert_close(x, whole.images("test", index))
    vae = instantiate(config["lightning_loader"]["vae"])
    assert vae.decode(vae.encode(x)[0]).shape == x.shape
    bright = torch.from_numpy(table["brightness"][index]).float()
    assert (x.amax((1, 2, 3)) - bright).abs().max() < 0.05
    area = 2 * np.pi * table["radius"][index] * np.sqrt(2 * np.pi)  # of a Gaussian along a circle
    np.testing.assert_allclose(x.sum((1, 2, 3)) / bright, area, rtol=0.1)


def test_own_dataset_is_prepared_and_planned(rings, data_root, capsys):
    assert prepare([str(rings), "--trust"]) == 0
    assert "train 1,400, val 200, test 400 objects" in capsys.readouterr().out
    assert tune([str(rings), "--trust", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_points"] == 1


def test_a_class_that_is_no_dataset(rings, capsys):
    file = rings / "my_data.py"
    file.write_text(
        file.read_text().replace("def rows", "def _rows").replace("    size,", "    _s,")
    )
    assert prepare([str(rings), "--trust"]) == 2
    assert "data.x_ds: Rings is no dataset: it lacks size, rows." in capsys.readouterr().err


def test_own_test(folder):
    """It is declared as the page says; its size and power are those of its kind."""
    put(folder, "own-test.md", "my_tests.py")
    for text in listings("own-test.md", "yaml"):
        merge(folder / text.split()[1], yaml.safe_load(text))
    composed = load_stage(folder, [], trust=True).composed
    tests = read_suite(composed).tests
    test = instantiate(tests["independence"]["ranks"].test, allow=composed.allow)
    rng = np.random.default_rng(1)
    u, number = rng.normal(size=(300, 6)), Variable("a", "continuous")
    found = test(u, number, np.exp(u[:, 2]), seed=3)
    assert found.p_value == 1 / 200 and found.effect == pytest.approx(1)
    y = rng.normal(size=300)
    wanted = max(abs(spearmanr(u[:, d], y).statistic) for d in range(6))
    assert test(u, number, y).effect == pytest.approx(wanted)
    assert test(u, number, y) == test(u, number, y)
    classes = Variable("c", "categorical", 3)
    assert test(u, classes, rng.integers(0, 3, 300)).status == "not tested"
    probe = tests["probes"]["quadratic"]
    regressor = instantiate(probe.regressor, allow=composed.allow)
    linear = instantiate(tests["probes"]["linear"].regressor)
    scores = [
        clone(r).fit(u, u[:, 0] * u[:, 1]).score(u, u[:, 0] * u[:, 1]) for r in (regressor, linear)
    ]
    assert regressor.alpha == 10 and scores[0] > 0.9 > 0.2 > scores[1]


def test_own_test_on_arrays(folder, monkeypatch):
    """The last listing of the page: size near its level, and what was planted found."""
    put(folder, "own-test.md", "my_tests.py")
    monkeypatch.syspath_prepend(folder)
    names: dict[str, object] = {}
    exec(listings("own-test.md", "python")[-1], names)
    assert binomtest(round(100 * names["size"]), 100, 0.05).pvalue > 0.01
    assert names["planted"].p_value < 0.01


def test_own_detector(folder):
    """It is declared as the page says, and stands the checks of every fit."""
    put(folder, "own-detector.md", "my_detectors.py")
    for text in listings("own-detector.md", "yaml"):
        merge(folder / "embed.yaml", yaml.safe_load(text))
    composed = load_stage(folder, ["detectors.score=largest"], trust=True).composed
    found = {detector.name: detector for detector in read_detection(composed).detectors}
    assert "lof" not in found and found["gmm"].columns == ("u_mean", "log_prob_mean")
    x = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    for name in ("svm", "gmm", "largest"):
        detector = instantiate(found[name].node, allow=composed.allow)
        scores = fit(detector, x, np.arange(500), [f"u{d}" for d in range(8)])(x, 0)
        assert scores.shape == (500,) and np.isfinite(scores).all()


def test_own_detector_on_arrays(folder, monkeypatch):
    """The last listing of the page, with the detector of the first."""
    put(folder, "own-detector.md", "my_detectors.py")
    monkeypatch.syspath_prepend(folder)
    names: dict[str, object] = {}
    exec(listings("own-detector.md", "python")[-1], names)
    assert names["scores"].argmax() == np.abs(names["x"]).max(axis=1).argmax()
