"""What a colleague's YAML may build, and what it may not."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import yaml

import wwdc.conf
from wwdc.config import check_targets, instantiate
from wwdc.errors import ConfigError

REFUSED = [
    "os.system",
    "posix.system",
    "builtins.eval",
    "subprocess.run",
    "functools.partial",
    "operator.methodcaller",
    "pickle.load",
    "torch.load",
    "torch.save",
    "torch.hub.load",
    "torch.utils.cpp_extension.load",
    "torch.jit.load",
    "torch.nn.modules.module.torch.load",
    "torch.nn.modules.module.torch.hub.load",
    "torch.nn.functional.importlib.import_module",
    "torch.nn.functional.warnings.warn",
    "torch.nn.functional.boolean_dispatch",
    "torch.nn.utils.clip_grad_norm_",
    "torch.nn.Module.load_state_dict",
    "torch.optim.Optimizer.__init__",
    "torch.distributions.kl_divergence",
    "hydra.utils.call",
    "hydra.utils.get_method",
    "hydra._internal.instantiate._instantiate2.instantiate",
    "omegaconf.OmegaConf.load",
    "lightning.pytorch.Trainer",
    "lightning.pytorch.cli.LightningCLI",
    "lightning.pytorch.LightningModule.load_from_checkpoint",
    "lightning.pytorch.callbacks.model_checkpoint.shutil.rmtree",
    "lightning.pytorch.callbacks.model_checkpoint.os.remove",
    "wwdc.training.lightning_loaders.LightningFlow.load_from_checkpoint",
    "wwdc.config.compose.os.system",
    "wwdc.config.load",
    "wwdc.config.instantiate",
    "wwdc.products.atomic_write",
    "wwdc.training.loop.train_point",
    "wwdc.models.weights.load_vae",
    "sklearn.datasets.load_digits",
    "sklearn.datasets.fetch_openml",
    "sklearn.utils.parallel.joblib.load",
    "sklearn.base.clone",
    "sklearn.pipeline",
    "pyod.utils.persistence.load",
    "pyod.models.base.joblib.load",
    "numpy.load",
    "pandas.read_pickle",
    "joblib.load",
    "zuko.flows.torch.load",
    "zuko.utils.odeint",
    "optuna.storages.RDBStorage",
    "optuna.create_study",
    "torch.nn",
    "torch.nn.__class__",
    "sys",
    "",
    "torch.nn.",
    "torch.nn.Linear()",
    "torch nn Linear",
]


@pytest.mark.parametrize("target", REFUSED)
@pytest.mark.parametrize("partial", [False, True])
def test_refused(target, partial):
    node = {"_target_": target, "_partial_": partial}
    with pytest.raises(ConfigError, match="_target_"):
        instantiate(node)
    with pytest.raises(ConfigError, match=r"inner.0.*_target_"):
        instantiate({"_target_": "torch.nn.Sequential", "inner": [node]})
    with pytest.raises(ConfigError, match=r"_args_.0._target_"):
        instantiate({"_target_": "torch.nn.Sequential", "_args_": [node]})
    with pytest.raises(ConfigError, match=r"a.b._target_"):
        check_targets({"a": {"b": node}}, resolve=True)


@pytest.mark.parametrize("target", [5, None, ["os.system"], {"_target_": "os.getcwd"}])
def test_target_that_is_no_name(target):
    with pytest.raises(ConfigError, match="expected a dotted name"):
        instantiate({"_target_": target})


@pytest.mark.parametrize("allow", [["os.system"], ["os"], ["*"], [""], ["builtins", "posix"]])
def test_allow_targets_cannot_add_the_standard_library(allow, tmp_path):
    marker = tmp_path / "marker"
    with pytest.raises(ConfigError, match=r"os.system"):
        instantiate({"_target_": "os.system", "command": f"touch {marker}"}, allow=allow)
    assert not marker.exists()


@pytest.mark.parametrize(
    "target", ["torch.load", "joblib.load", "numpy.load", "yaml.unsafe_load", "hydra.utils.call"]
)
def test_allow_targets_cannot_add_what_unpickles(target):
    with pytest.raises(ConfigError, match="_target_"):
        instantiate({"_target_": target, "_partial_": True}, allow=[target, target.split(".")[0]])


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package of a colleague."""
    folder = tmp_path / "colleague_package"
    folder.mkdir()
    (folder / "impl.py").write_text(
        "import os\nclass Net:\n    def __init__(self, width): self.width = width\n"
        "def loss(x): return x\ndef other(x): return x\n"
    )
    (folder / "__init__.py").write_text("from .impl import Net, loss, other\nimport os\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_allow_targets_adds_classes_and_named_functions(package):
    node = {"_target_": "colleague_package.Net", "width": 3}
    with pytest.raises(ConfigError, match="allow_targets"):
        instantiate(node)
    assert instantiate(node, allow=["colleague_package.Net"]).width == 3
    assert instantiate(node, allow=["colleague_package"]).width == 3
    assert instantiate(node, allow=["colleague_package.*"]).width == 3
    loss = {"_target_": "colleague_package.loss", "_partial_": True}
    assert instantiate(loss, allow=["colleague_package.loss"])(2) == 2
    with pytest.raises(ConfigError):
        instantiate(loss, allow=["colleague_package"])
    for target in ("colleague_package.os.system", "colleague_package.impl.os.system"):
        with pytest.raises(ConfigError):
            node = {"_target_": target, "_partial_": True}
            instantiate(node, allow=["colleague_package", target])


def test_builds_what_the_outline_and_science_need():
    layer = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}
    assert isinstance(instantiate(layer), torch.nn.Linear)
    optimizer = instantiate({"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.1})
    assert optimizer(torch.nn.Linear(1, 1).parameters()).defaults["lr"] == 0.1
    schedule = {"_target_": "torch.optim.lr_scheduler.OneCycleLR", "_partial_": True, "max_lr": 1.0}
    assert callable(instantiate(schedule))
    for name in ("mse_loss", "gelu", "silu", "softplus"):
        assert callable(instantiate({"_target_": f"torch.nn.functional.{name}", "_partial_": True}))
    init = {"_target_": "torch.nn.init.zeros_", "_partial_": True}
    assert callable(instantiate(init))
    checkpoint = {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "monitor": "val_loss"}
    assert instantiate(checkpoint).monitor == "val_loss"
    assert instantiate({"_target_": "zuko.flows.NSF", "features": 2}) is not None
    forest = instantiate({"_target_": "sklearn.ensemble.IsolationForest", "random_state": 1})
    assert forest.random_state == 1
    assert instantiate({"_target_": "pyod.models.ecod.ECOD"}) is not None
    assert instantiate({"_target_": "optuna.samplers.TPESampler", "seed": 1}) is not None
    assert instantiate({"_target_": "torch.distributions.Normal", "loc": 0.0, "scale": 1.0})


def test_outline_model_is_built():
    node = {
        "_target_": "wwdc.models.rgbmnist.Flow",
        "features": 4,
        "context": 2,
        "hidden_features": [8, 8],
        "transforms": 1,
    }
    assert isinstance(instantiate(node), torch.nn.Module)


def test_structure_is_kept():
    node = {"a": [{"_target_": "torch.nn.ReLU"}, 1, None], "b": {"c": "text"}}
    built = instantiate(node)
    assert isinstance(built["a"][0], torch.nn.ReLU)
    assert built["a"][1:] == [1, None]
    assert built["b"] == {"c": "text"}
    assert node["a"][0] == {"_target_": "torch.nn.ReLU"}


def test_args_and_nested_partials():
    node = {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.ReLU"}]}
    assert len(instantiate(node)) == 1
    node = {"_target_": "torch.nn.Linear", "_partial_": True, "in_features": 2}
    assert instantiate(node, out_features=4)().out_features == 4
    assert instantiate({**node, "_partial_": False}, out_features=4, in_features=3).in_features == 3


def test_messages_help():
    with pytest.raises(ConfigError, match=r"model._target_.*'Linaer'. Did you mean 'Linear'"):
        instantiate({"_target_": "torch.nn.Linaer"}, key="model")
    with pytest.raises(ConfigError, match=r"model: torch.nn.Linear.*in_featurs.*'in_features'"):
        instantiate({"_target_": "torch.nn.Linear", "in_featurs": 1}, key="model")
    with pytest.raises(ConfigError, match=r"Linear.*missing.*'out_features'"):
        instantiate({"_target_": "torch.nn.Linear", "in_features": 1})
    with pytest.raises(ConfigError, match="probability"):
        instantiate({"_target_": "torch.nn.Dropout", "p": 7})
    with pytest.raises(ConfigError, match=r"'no_such_package' is not installed"):
        instantiate({"_target_": "no_such_package.Net"}, allow=["no_such_package"])
    with pytest.raises(ConfigError, match=r"does not exist: .*torch.nn.*no 'nothere'"):
        instantiate({"_target_": "torch.nn.nothere.Net"})
    with pytest.raises(ConfigError, match=r"_partal_: unknown.*'_partial_'"):
        instantiate({"_target_": "torch.nn.ReLU", "_partal_": True})
    with pytest.raises(ConfigError, match=r"_args_: expected a list"):
        instantiate({"_target_": "torch.nn.ReLU", "_args_": "abc"})


def test_caches_are_not_unpickled():
    node = {"_target_": "sklearn.pipeline.Pipeline", "steps": [], "memory": "somewhere"}
    with pytest.raises(ConfigError, match="memory"):
        instantiate(node)


def test_check_by_name_imports_nothing_and_refuses():
    check_targets({"a": {"_target_": "coniferest.isoforest.IsolationForest"}})
    with pytest.raises(ConfigError, match=r"^x.1._target_: 'os.system'"):
        check_targets(OrderedDict(x=[1, {"_target_": "os.system"}]))
    check_targets({"a": {"_target_": "my.Net"}}, allow=["my.Net"])


def test_shipped_targets_exist():
    for path in Path(wwdc.conf.__path__[0]).rglob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        if path.stem == "wandb":
            continue
        check_targets(content, resolve=True)
