"""The hash of a point's scientific part."""

import pytest

from wwdc.tune.identity import canonical, digest, scientific

CONFIG = {
    "seed": 1,
    "data": {
        "x_ds": {"root": "/a", "drop_variables": ["b"], "views": 2},
        "loader": {"batch_size": 4},
    },
    "lightning_loader": {"lr": 1e-3, "vae_ckpt_path": "/a/vae.ckpt"},
    "trainer": {
        "max_epochs": 3,
        "accelerator": "cpu",
        "callbacks": [{"_target_": "C", "dirpath": "/a", "filename": "x", "monitor": "val_loss"}],
    },
    "paths": {"data_dir": "/a"},
    "tune": {"engine": "inline"},
}


def changed(key: str, value: object) -> dict:
    *parents, last = key.split(".")
    copy = __import__("copy").deepcopy(CONFIG)
    node = copy
    for name in parents:
        node = node[int(name)] if name.isdigit() else node[name]
    node[last] = value
    return copy


@pytest.mark.parametrize(
    "key, value",
    [
        ("data.x_ds.root", "/b"),
        ("data.loader.num_workers", 2),
        ("lightning_loader.vae_ckpt_path", "/b/vae.ckpt"),
        ("trainer.accelerator", "gpu"),
        ("trainer.callbacks.0.dirpath", "/b"),
        ("trainer.callbacks.0.filename", "y"),
        ("trainer.logger", ["wandb"]),
        ("paths.data_dir", "/b"),
        ("tune.engine", "torch"),
        ("tune.resources", {"cpu": 2}),
        ("meta", {"description": "other"}),
        ("sweeps", {"a": 1}),
        ("lightning_loader.lr", 0.001),
    ],
)
def test_where_and_how_fast_is_not_science(key, value):
    assert digest(scientific(changed(key, value), {})) == digest(scientific(CONFIG, {}))


@pytest.mark.parametrize(
    "key, value",
    [
        ("seed", 2),
        ("data.x_ds.views", 3),
        ("data.loader.batch_size", 8),
        ("lightning_loader.lr", 2e-3),
        ("trainer.max_epochs", 4),
        ("trainer.precision", "bf16-mixed"),
        ("trainer.callbacks.0.monitor", "train_loss"),
    ],
)
def test_what_changes_the_result_changes_the_id(key, value):
    assert digest(scientific(changed(key, value), {})) != digest(scientific(CONFIG, {}))


def test_what_a_point_builds_on_takes_part():
    ids = {digest(scientific(CONFIG, {"vae": vae})) for vae in ("abc", "abd")}
    assert len(ids) == 2


def test_canonical_json_knows_one_number_and_one_order():
    assert canonical({"b": 1.0, "a": 1e-3}) == canonical({"a": 0.001, "b": 1})


def test_digest_is_twelve_hex_digits():
    assert len(digest({})) == 12
    assert int(digest({}), 16) >= 0
