"""The code of docs/own-model.md and docs/own-detector.md, in a folder as the pages say."""

import re
import sys

import numpy as np
import pytest
import torch
import yaml

from tests.conftest import FLOW, REPOSITORY, flow_experiment
from wwdc.config import instantiate, load
from wwdc.config.stages import load_stage
from wwdc.detect.settings import read_detection
from wwdc.discovery.fitted import fit


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
    for name in ("my_model", "my_detectors"):
        sys.modules.pop(name, None)


def merge(path, node):
    """Add what a page says to a file of the experiment."""
    header, text = re.match(r"(#[^\n]*\n)?(.*)", path.read_text(), re.DOTALL).groups()

    def into(old, new):
        for key, value in new.items():
            old[key] = into(old.get(key) or {}, value) if isinstance(value, dict) else value
        return old

    merged = into(yaml.safe_load(text), node)
    path.write_text((header or "") + yaml.safe_dump(merged, sort_keys=False))


def test_own_model(folder):
    """It is built, inverts, has a density, and its loss has a gradient."""
    (folder / "my_model.py").write_text(written("own-model.md", "my_model.py"))
    for text in listings("own-model.md", "yaml"):
        merge(folder / text.split()[1], yaml.safe_load(text))
    composed = load(folder, trust=True)
    loader = composed.resolve({})["lightning_loader"]
    node = {k: v for k, v in loader["flow"].items() if k not in {*FLOW} - {"features", "_target_"}}
    flow = instantiate(node, allow=composed.allow)
    flow.bind(3)
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    z, c = torch.randn(5, 32), torch.randn(5, 3)
    u, log_det = flow.to_base(z, c)
    torch.testing.assert_close(flow.inverse(u, c), z)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow(x, c[:1]), z[:1]).reshape(32, 32)
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det[0])
    parts = instantiate(loader["loss"], allow=composed.allow)(flow, z, c)
    parts["loss"].backward()
    assert parts["nll"].isfinite() and flow.network[0].weight.grad.abs().sum() > 0
    for name in ("optimizer", "lr_scheduler"):
        assert callable(instantiate(loader[name], allow=composed.allow))


def test_own_detector(folder):
    """It is declared as the page says, and stands the checks of every fit."""
    (folder / "my_detectors.py").write_text(written("own-detector.md", "my_detectors.py"))
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
    (folder / "my_detectors.py").write_text(written("own-detector.md", "my_detectors.py"))
    monkeypatch.syspath_prepend(folder)
    names: dict[str, object] = {}
    exec(listings("own-detector.md", "python")[-1], names)
    assert names["scores"].argmax() == np.abs(names["x"]).max(axis=1).argmax()
