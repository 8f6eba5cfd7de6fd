"""The outline's files compose verbatim, and what plain Hydra refuses works."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wwdc.config import JOB, JOB_NUM, ROOT, fill, load, missing_products
from wwdc.errors import ConfigError

DROPS = [["b", "angle", "scale"], ["g", "angle", "scale"], ["r", "angle", "scale"], ["r", "g", "b"]]


def test_outline_composes(outline):
    composed = load(outline)
    assert [(axis.key, axis.values) for axis in composed.sweeper] == [
        ("data.x_ds.drop_variables", DROPS),
        ("seed", [42, 43, 44]),
    ]
    assert composed.meta.data_name == "COLOUR_MNIST"
    assert [entry.val for entry in composed.sweeps.values()] == DROPS
    assert composed.sweeps["sweep_1"].description == "Drop b, scale and angle"
    config = composed.resolve({"data.x_ds.drop_variables": ["b"], "seed": 43})
    assert config["data"]["x_ds"]["drop_variables"] == ["b"]
    assert config["seed"] == 43
    assert config["lightning_loader"]["flow"] == {
        "_target_": "wwdc.models.rgbmnist.Flow",
        "features": 64,
        "context": 12,
        "hidden_features": [64, 64],
        "transforms": 2,
    }
    assert config["lightning_loader"]["batch_size"] == config["data"]["loader"]["batch_size"]
    assert config["lightning_loader"]["vae_ckpt_path"] == (
        f"{ROOT}/COLOUR_MNIST/VAE/ckpts/5239514.ckpt"
    )
    assert config["trainer"]["callbacks"] == [config["model_checkpoint"]]
    assert config["model_checkpoint"]["filename"] == JOB
    assert config["trainer_ckpt_path"] is None
    assert "hydra" not in config


def test_resolved_config_is_the_same_wherever_it_is_run(outline, monkeypatch, tmp_path):
    here = load(outline)
    elsewhere = tmp_path / "elsewhere" / "my copy"
    shutil.copytree(outline, elsewhere)
    monkeypatch.setenv("DATA_ROOT", "/somewhere/else")
    there = load(elsewhere)
    assert there.resolve({}) == here.resolve({})
    assert here.data_root == tmp_path / "data"
    assert there.data_root == Path("/somewhere/else")
    assert os.environ["DATA_ROOT"] == "/somewhere/else"


def test_fill_puts_job_and_data_root(outline, edit):
    edit("model.yaml", "save_top_k: 1", "save_top_k: 1\n  note: ${hydra:job.num}")
    config = load(outline).resolve({})
    assert config["model_checkpoint"]["note"] == JOB_NUM
    filled = fill(config, job="5240735_2", data_root=Path("/data"))
    assert filled["model_checkpoint"]["filename"] == "5240735_2"
    assert filled["model_checkpoint"]["note"] == "2"
    assert filled["model_checkpoint"]["dirpath"] == "/data/COLOUR_MNIST/FLOW/ckpts/"
    assert config["model_checkpoint"]["filename"] == JOB


@pytest.mark.parametrize("name", ["with-dashes", "with.dots", "with spaces", "ünïcode", "1_2"])
def test_folder_names(outline, name):
    folder = outline.with_name(name)
    outline.rename(folder)
    assert len(load(folder).sweeper) == 2


def test_relative_folder(outline, monkeypatch):
    monkeypatch.chdir(outline.parent)
    assert load(Path(outline.name)).folder == outline
    monkeypatch.chdir(outline)
    assert load(Path()).meta.experiment_name == "FLOW"


def test_data_root_unset_is_said_once(outline, monkeypatch, tmp_path):
    monkeypatch.delenv("DATA_ROOT")
    monkeypatch.chdir(tmp_path)
    composed = load(outline)
    assert composed.data_root == tmp_path / "data"
    assert len([n for n in composed.notices if "DATA_ROOT" in n]) == 1
    assert "DATA_ROOT" not in os.environ


def test_literal_path_stays(outline):
    composed = load(outline, ["paths.vae_ckpt_path=/abs/vae.ckpt"])
    assert composed.resolve({})["lightning_loader"]["vae_ckpt_path"] == "/abs/vae.ckpt"


def test_data_dir_replaces_data_root(outline):
    composed = load(outline, ["paths.data_dir=/abs/data"])
    assert composed.data_root == Path("/abs/data")
    assert composed.resolve({})["meta"]["experiment_path"] == f"{ROOT}/COLOUR_MNIST/FLOW/"


def test_group_override_of_an_absolute_entry(outline):
    trainer = load(outline, ["trainer=cpu"]).resolve({})["trainer"]
    assert trainer["accelerator"] == "cpu"
    data = load(outline, ["data=digits"]).resolve({})["data"]
    assert data["x_ds"]["_target_"] == "wwdc.data.digits.Digits"


def test_gpu_without_a_gpu_is_cpu_said_once(outline, monkeypatch):
    monkeypatch.setattr("wwdc.config.arrange.has_gpu", lambda: False)
    composed = load(outline)
    assert composed.resolve({})["trainer"]["accelerator"] == "cpu"
    assert len([n for n in composed.notices if "GPU" in n]) == 1
    assert not [n for n in load(outline, ["trainer=cpu"]).notices if "GPU" in n]
    monkeypatch.setattr("wwdc.config.arrange.has_gpu", lambda: True)
    composed = load(outline)
    assert composed.resolve({})["trainer"]["accelerator"] == "gpu"
    assert not [n for n in composed.notices if "GPU" in n]


def test_deleted_logger_leaves_nothing_dangling(outline, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    kept = load(outline).resolve({})["trainer"]["logger"]
    assert [logger["_target_"] for logger in kept] == ["lightning.pytorch.loggers.WandbLogger"]
    assert kept[0]["offline"] is True
    composed = load(outline, ["~logger.wandb"])
    assert composed.resolve({})["trainer"]["logger"] == []
    assert load(outline, ["~logger"]).resolve({})["trainer"]["logger"] == []
    assert load(outline, ["logger=csv"]).resolve({})["trainer"]["logger"] == []


def test_wandb_absent_is_one_line(outline, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    composed = load(outline)
    assert composed.resolve({})["trainer"]["logger"] == []
    assert len([n for n in composed.notices if "wandb" in n]) == 1


def test_unknown_logger_is_an_error(edit):
    folder = edit("model.yaml", "${logger.wandb}", "${logger.wandbb}")
    with pytest.raises(ConfigError, match=r"model.yaml: trainer.logger.0: .*'wandbb'"):
        load(folder)


@pytest.mark.parametrize("name", ["embed.yaml", "embedding.yaml"])
def test_embed_composes(outline, name):
    (outline / "embed.yaml").rename(outline / name)
    composed = load(outline, stage="embed")
    config = composed.resolve({})
    assert config["splits"] == ["test"]
    assert config["lightning_loader"]["vae_ckpt_path"] == (
        f"{ROOT}/COLOUR_MNIST/VAE/ckpts/5239514.ckpt"
    )
    assert [axis.values for axis in composed.sweeper] == [DROPS, [42, 43, 44]]
    assert load(outline, ["splits=[train]"], stage="embed").resolve({})["splits"] == ["train"]


def test_embed_wins_over_the_train_it_includes(edit):
    edit("embed.yaml", "/data/rgbmnist", "/data/digits")
    folder = edit("embed.yaml", "/trainer/gpu", "/trainer/cpu")
    config = load(folder, stage="embed").resolve({})
    assert config["data"]["x_ds"]["_target_"] == "wwdc.data.digits.Digits"
    assert config["trainer"]["accelerator"] == "cpu"
    assert load(folder).resolve({})["data"]["x_ds"]["_target_"] == "wwdc.data.rgbmnist.RGBMNIST"
    overridden = load(folder, ["data=rgbmnist"], stage="embed").resolve({})
    assert overridden["data"]["x_ds"]["_target_"] == "wwdc.data.rgbmnist.RGBMNIST"


def test_both_embed_files_is_an_error(outline):
    shutil.copy(outline / "embed.yaml", outline / "embedding.yaml")
    with pytest.raises(ConfigError, match=r"both embed.yaml and embedding.yaml"):
        load(outline, stage="embed")


def test_vae_aliases_either_way(edit):
    folder = edit("model.yaml", "${paths.vae_ckpt_dir}", "${paths.vae_ckpt_path}")
    expected = f"{ROOT}/COLOUR_MNIST/VAE/ckpts/5239514.ckpt"
    config = load(folder).resolve({})
    assert config["lightning_loader"]["vae_ckpt_path"] == expected
    edit("train.yaml", "vae_ckpt_dir", "vae_ckpt_path")
    edit("model.yaml", "${paths.vae_ckpt_path}", "${paths.vae_ckpt_dir}")
    config = load(folder).resolve({})
    assert config["lightning_loader"]["vae_ckpt_path"] == expected
    assert config["paths"]["vae_ckpt_dir"] == config["paths"]["vae_ckpt_path"] == expected


def test_vae_aliases_that_refer_to_each_other(edit):
    folder = edit(
        "train.yaml", "  vae_ckpt_dir:", "  vae_ckpt_path: ${paths.vae_ckpt_dir}\n  vae_ckpt_dir:"
    )
    assert load(folder).resolve({})["paths"]["vae_ckpt_path"].endswith("5239514.ckpt")


def test_vae_aliases_that_differ(edit):
    folder = edit("train.yaml", "  vae_ckpt_dir:", "  vae_ckpt_path: /other\n  vae_ckpt_dir:")
    with pytest.raises(ConfigError, match=r"train.yaml: paths.vae_ckpt_dir .* differ"):
        load(folder)
    config = load(folder, ["paths.vae_ckpt_path=/mine"]).resolve({})
    assert config["lightning_loader"]["vae_ckpt_path"] == "/mine"


@pytest.mark.parametrize("key", ["paths.vae_ckpt_dir", "paths.vae_ckpt_path"])
def test_vae_alias_overridden_and_swept(outline, key):
    config = load(outline, [f"{key}=/mine"]).resolve({})
    assert config["lightning_loader"]["vae_ckpt_path"] == "/mine"
    config = load(outline).resolve({key: "/swept"})
    assert config["lightning_loader"]["vae_ckpt_path"] == "/swept"


@pytest.mark.parametrize("launcher, site", [("arc", " --site arc"), ("submitit_slurm", "")])
def test_launcher_prints_the_line_that_submits(outline, launcher, site):
    with pytest.raises(ConfigError) as error:
        load(outline, [f"hydra/launcher={launcher}", "trainer=cpu", "lightning_loader.lr=1e-3"])
    words = f"{outline} trainer=cpu lightning_loader.lr=1e-3"
    assert f": python -m wwdc.submit {words}{site} (" in str(error.value)
    assert f": sbatch cluster/ray_head.sh {words})" in str(error.value)


def test_launcher_of_a_later_stage_submits_that_stage(outline):
    with pytest.raises(ConfigError, match=r"--site arc --stages embed .*ray_head\.sh embed "):
        load(outline, ["hydra/launcher=arc"], stage="embed")


def test_launcher_in_the_folder_is_left_out(edit):
    folder = edit("train.yaml", "- _self_", "- override hydra/launcher: arc\n- _self_")
    assert any("hydra/launcher" in notice for notice in load(folder).notices)


def test_hydra_runs_nothing(edit, tmp_path):
    marker = tmp_path / "marker"
    callback = f"{{_target_: os.system, command: 'touch {marker}'}}"
    folder = edit("train.yaml", "hydra:\n", f"hydra:\n  callbacks: {{x: {callback}}}\n")
    assert any("hydra.callbacks" in notice for notice in load(folder).notices)
    assert not marker.exists()
    edit("train.yaml", "hydra:\n", "hydra:\n  searchpath: ['pkg://this']\n")
    with pytest.raises(ConfigError, match=r"train.yaml: hydra.searchpath: .*'pkg://this'"):
        load(folder)


def test_folders_added_to_the_search_path(edit, tmp_path):
    shared = tmp_path / "shared" / "data"
    shared.mkdir(parents=True)
    (shared / "ours.yaml").write_text("defaults: [digits, _self_]\nloader: {batch_size: 16}\n")
    path = f"hydra:\n  searchpath: ['file://{tmp_path}/shared']\n"
    folder = edit("train.yaml", "hydra:\n", path)
    assert load(folder, ["data=ours"]).resolve({})["lightning_loader"]["batch_size"] == 16


def test_job_id_stays_text(outline):
    assert load(outline, ["hydra.job.id=5240735_2"]).job == "5240735_2"
    assert load(outline, ["hydra.job.id=0012"]).job == "0012"
    assert load(outline).job is None
    config = load(outline, ["meta.experiment_id=5240735_2"]).resolve({})
    assert config["meta"]["experiment_id"] == "5240735_2"


def test_product_is_found_or_marked(edit, monkeypatch, tmp_path):
    asked = []

    class Product:
        path = tmp_path / "data" / "COLOUR_MNIST" / "VAE" / "ckpts" / "1_0.ckpt"

    def best(data_root, name):
        asked.append((data_root, name))
        return Product() if name.endswith("VAE") else None

    monkeypatch.setattr("wwdc.products.best", best)
    path = "${oc.env:DATA_ROOT}/${meta.data_name}/VAE/ckpts/5239514.ckpt"
    folder = edit("train.yaml", path, "${product:${meta.data_name}/VAE}")
    composed = load(folder)
    config = composed.resolve({})
    assert config["lightning_loader"]["vae_ckpt_path"] == f"{ROOT}/COLOUR_MNIST/VAE/ckpts/1_0.ckpt"
    assert missing_products(config) == []
    composed.resolve({"seed": 1})
    assert asked == [(tmp_path / "data", "COLOUR_MNIST/VAE")]
    edit("train.yaml", "/VAE}", "/OTHER}")
    config = load(folder).resolve({})
    assert config["paths"]["vae_ckpt_path"] == "@MISSING_PRODUCT:COLOUR_MNIST/OTHER@"
    assert missing_products(config) == ["COLOUR_MNIST/OTHER"]


def test_tune_group_is_always_there(outline):
    assert load(outline).tune.engine == "auto"
    assert load(outline, ["~tune"]).tune.engine == "auto"
    composed = load(outline, ["tune.engine=inline", "tune.resources.gpu=0.25"])
    assert composed.tune.engine == "inline"
    assert composed.tune.resources.gpu == 0.25
    assert composed.resolve({})["tune"]["engine"] == "inline"


def test_groups_of_the_folder_itself(outline, edit):
    (outline / "data").mkdir()
    (outline / "data" / "mine.yaml").write_text(
        "defaults: [rgbmnist, _self_]\nloader: {batch_size: 32}\n"
    )
    edit("train.yaml", "/data/rgbmnist", "/data/mine")
    config = load(outline).resolve({})
    assert config["lightning_loader"]["batch_size"] == 32
    assert load(outline, ["data=rgbmnist"]).resolve({})["lightning_loader"]["batch_size"] == 256


def test_override_keyword_in_a_defaults_list(edit):
    folder = edit("train.yaml", "- _self_", "- _self_\n- override /trainer: cpu")
    assert load(folder).resolve({})["trainer"]["accelerator"] == "cpu"
    edit("train.yaml", "override /trainer: cpu", "override /trainers: cpu")
    with pytest.raises(ConfigError, match="nothing to override"):
        load(folder)


def test_resolving_keeps_up_with_interpolations(outline):
    composed = load(outline)
    config = composed.resolve({"data.loader.batch_size": 8, "model_checkpoint.monitor": "x"})
    assert config["lightning_loader"]["batch_size"] == 8
    assert config["trainer"]["callbacks"][0]["monitor"] == "x"
    config = composed.resolve({"lightning_loader.lr": "${lightning_loader.beta_init}"})
    assert config["lightning_loader"]["lr"] == 1.0
    assert composed.resolve({})["lightning_loader"]["batch_size"] == 256


def test_resolved_points_share_nothing(outline):
    composed = load(outline)
    first = composed.resolve({})
    first["data"]["x_ds"]["size"].append(1)
    assert composed.resolve({})["data"]["x_ds"]["size"] == [3, 28, 28]
    drop = ["b"]
    composed.resolve({"data.x_ds.drop_variables": drop})["data"]["x_ds"]["drop_variables"].clear()
    assert drop == ["b"]


def test_a_thousand_points_resolve_quickly(outline):
    composed = load(outline)
    start = time.perf_counter()
    for seed in range(1000):
        composed.resolve({"seed": seed, "data.x_ds.drop_variables": ["b"]})
    assert time.perf_counter() - start < 9


def test_trust_puts_the_folder_on_the_path(outline, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (outline / "my_nets.py").write_text("class Net: ...\n")
    assert "my_nets" not in load(outline).allow
    assert str(outline) not in sys.path
    assert "my_nets" in load(outline, trust=True).allow
    assert str(outline) in sys.path


def test_allow_targets_is_said(edit):
    folder = edit("meta.yaml", "  version:", "  allow_targets: [my_package.Net]\n  version:")
    composed = load(folder)
    assert composed.allow == ("my_package.Net",)
    assert any("my_package.Net" in notice for notice in composed.notices)


def test_config_imports_nothing_heavy():
    code = (
        "import sys, wwdc.config; "
        "print([m for m in ('torch', 'ray', 'lightning', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
