"""Train one point with Lightning. Knows nothing of Ray, sweeps or the product tree."""

__all__ = [
    "Distributed",
    "Result",
    "build_dataset",
    "build_module",
    "check_objectives",
    "check_trainer",
    "train_point",
]

import inspect
import logging
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger

from wwdc.config import instantiate
from wwdc.data.colour_mnist import SPLITS
from wwdc.data.dataset import Stretched
from wwdc.data.latents import latent_cache
from wwdc.data.modules import ImageDataModule, LatentDataModule
from wwdc.errors import ConfigError, Paused, closest
from wwdc.models.context import check_context, context_groups, context_moments, is_masked
from wwdc.models.convolutional import ConvVAE
from wwdc.models.weights import read_checkpoint
from wwdc.products import atomic_copy
from wwdc.training.callbacks import EpochRecorder, Report, Row, best_checkpoint, read_metrics
from wwdc.training.lightning_loaders import load_vae
from wwdc.training.names import RETENTION, is_science, metrics_of
from wwdc.training.probes import ScienceProbe, science_metrics
from wwdc.training.retune import retune


@dataclass(frozen=True)
class Distributed:
    """How this process takes part in data-parallel training.

    Attributes:
        share: the first rank's value, on every rank; for values of a few bytes.
    """

    strategy: Any
    plugins: Sequence[Any]
    rank: int
    world_size: int
    prepare: Callable[[pl.Trainer], pl.Trainer]
    share: Callable[[str], str]


@dataclass(frozen=True)
class Result:
    """What training a point came to.

    Attributes:
        checkpoint: the best checkpoint, in the working folder.
        metrics: validation metrics of the best epoch and ``test_*`` of its weights.
        rows: one mapping of metrics an epoch.
        stopped: whether training was ended before its time.
    """

    checkpoint: Path
    metrics: dict[str, float]
    rows: list[Row] = field(repr=False)
    stopped: bool = False


def train_point(
    config: Mapping[str, Any],
    *,
    keep: Path,
    work: Path,
    vae_id: str = "",
    report: Report = lambda row: None,
    distributed: Distributed | None = None,
    changes: Mapping[str, tuple[Any, Any]] | None = None,
    finish: bool = False,
) -> Result:
    """Fit the point *config* describes, from its last checkpoint in *keep* if there is one.

    The same configuration on the same machine and device gives the same metrics to the bit,
    resumed or not: every random stream derives from the seed and the epoch.

    Args:
        config: resolved configuration, placeholders filled.
        keep: folder that survives the process: ``last.ckpt``, ``best.ckpt``, ``metrics.csv``.
        work: node-local scratch folder.
        vae_id: identity of the VAE, the key of its cached latents.
        report: called with a row of metrics after each epoch, on every rank; training ends there
            when it returns a wish on the first.
        distributed: the engine's data-parallel setup; one process without it.
        changes: dotted key → the value that the last checkpoint was trained with and the one to go
            on with.
        finish: train no further; test the best checkpoint so far.

    Raises:
        Paused: *report* wished for it, and this was not the last epoch.
        TrainingError: a metric became NaN or infinite.
        ConfigError: the tuned metric is never logged.
        ProductError: the VAE's checkpoint or the resume checkpoint cannot be read.
    """
    rank, world_size = (distributed.rank, distributed.world_size) if distributed else (0, 1)
    _settle_process(config)
    work.mkdir(parents=True, exist_ok=True)
    dataset = build_dataset(config)
    module = build_module(config, dataset)
    module.seed_streams(int(config.get("seed") or 0), rank)
    if _wants_science(config) and module.stage != "flow":
        raise ConfigError(
            "tune.metric: leakage and retention are measured on the residuals of a flow, and this "
            "experiment trains none. Choose another metric, or another monitor."
        )
    check_objectives(config)
    data = _data_module(config, dataset, module, vae_id, rank, world_size)
    first = Path(distributed.share(str(work))) if distributed else work
    resume = _resume(config, keep, work, first, changes or {}, finish)
    epoch = resume.epoch + 1 if resume else 0
    rows = read_metrics(keep / "metrics.csv", before=epoch)
    settings = config["tune"]
    always = settings["scheduler"] in _EXCHANGING
    recorder = EpochRecorder(keep, work, report, metrics_of(settings), rows, always)
    trainer = _trainer(config, work, recorder, distributed)
    if not (resume and resume.finished):
        _fit(trainer, module, data, resume)
    if recorder.ended == "pause":
        _end_loggers(trainer)
        raise Paused
    best = best_checkpoint(trainer) or (resume.best if resume else None)
    if best is None:
        raise ConfigError(
            "model_checkpoint: no checkpoint was written. Check its `monitor` and `save_top_k`."
        )
    state = read_checkpoint(best) if rank == 0 else {}  # it lies on the first rank's own disk
    _load_weights(module, trainer.strategy.broadcast(state))
    tested = trainer.test(module, datamodule=data, verbose=False)[0]
    _end_loggers(trainer)
    metrics = _summary(config, rows, tested) | _science(config, module, data)
    return Result(best, metrics, rows, stopped=recorder.ended == "stop" or finish)


def check_objectives(config: Mapping[str, Any]) -> None:
    """Refuse retention as an objective of a masked flow: it is told every variable.

    Raises:
        ConfigError: naming the metric.
    """
    if not is_masked(config["lightning_loader"]):
        return
    for name in _watched(config):
        if name.startswith(RETENTION):
            raise ConfigError(
                f"tune.metric: {name}: a flow with condition_dropout is measured with every "
                "variable given, so none is dropped and retained. Use leakage.max or val_loss, "
                "and measure retention on embeddings."
            )


def _watched(config: Mapping[str, Any]) -> list[str]:
    """The metrics that are objectives or decide which checkpoint is kept."""
    callbacks = config["trainer"].get("callbacks") or []
    monitors = [item.get("monitor") for item in callbacks if isinstance(item, Mapping)]
    return [str(name) for name in [*metrics_of(config["tune"]), *monitors]]


def _wants_science(config: Mapping[str, Any]) -> bool:
    return any(is_science(name) for name in _watched(config))


def _science(
    config: Mapping[str, Any], module: Any, data: pl.LightningDataModule
) -> dict[str, float]:
    """Leakage and retention of the published weights, where they are an objective."""
    if not _wants_science(config) or not isinstance(data, LatentDataModule):
        return {}
    return science_metrics(module, data)


def _end_loggers(trainer: pl.Trainer) -> None:
    """End every mirror's run, or the next point of this process would be logged into it."""
    for logger in trainer.loggers:
        logger.finalize("success")
        finish = getattr(getattr(logger, "experiment", None), "finish", None)
        if callable(finish):
            finish()


def build_dataset(config: Mapping[str, Any]) -> Any:
    """The dataset ``data.x_ds`` names."""
    return instantiate(config["data"]["x_ds"], allow=_allowed(config), key="data.x_ds")


def build_module(config: Mapping[str, Any], dataset: Any) -> Any:
    """The Lightning module of a point: seeded weights, context set, frozen VAE loaded.

    Raises:
        ConfigError: the flow's context does not match the kept variables, or no VAE is named.
        ProductError: the VAE's checkpoint is missing, truncated or of another shape.
    """
    node = dict(config["lightning_loader"])
    is_flow = isinstance(node.get("flow"), Mapping)
    if is_flow:
        width = check_context(None, dataset.kept, masked=is_masked(node))
        node["flow"] = {**node["flow"], "context": width}
        if node.get("vae") is not None and not node.get("vae_ckpt_path"):
            raise ConfigError(
                "model.yaml: lightning_loader.vae_ckpt_path is empty. Give a checkpoint, or "
                "${product:DATA_NAME/EXPERIMENT} for the best one of an experiment."
            )
    pl.seed_everything(int(config.get("seed") or 0), workers=True, verbose=False)
    module = instantiate(node, allow=_allowed(config), key="lightning_loader")
    if is_flow:
        if node.get("vae") is not None:
            load_vae(Path(node["vae_ckpt_path"]), module.vae)
    elif isinstance(dataset, Stretched) and isinstance(module.network, ConvVAE):
        for network in (module.network, module.ema):
            network.set_stretch(dataset.stretch)
    return module


def _allowed(config: Mapping[str, Any]) -> list[str]:
    return list(config["meta"].get("allow_targets") or [])


def _settle_process(config: Mapping[str, Any]) -> None:
    """Make a process that may have trained other points behave like a new one."""
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        del os.environ[name]  # Lightning would take ranks and requeueing from them
    torch.set_num_threads(max(1, int(config["tune"]["resources"].get("cpu") or 1)))


def _data_module(
    config: Mapping[str, Any], dataset: Any, module: Any, vae_id: str, rank: int, world_size: int
) -> pl.LightningDataModule:
    loader, seed = config["data"]["loader"], int(config.get("seed") or 0)
    if module.stage == "vae":
        return ImageDataModule(dataset, loader, seed, rank=rank, world=world_size)
    module.vae.to("cuda" if config["trainer"].get("accelerator") == "gpu" else "cpu")
    root = Path(config["paths"]["data_dir"]) / config["meta"]["data_name"] / "latents"
    latents = {split: latent_cache(root, module.vae, vae_id, dataset, split) for split in SPLITS}
    context = dataset.context("train")
    groups = context_groups(dataset.kept)
    module.set_context(context.shape[1], *context_moments(context), groups)
    return LatentDataModule(dataset, latents, loader, seed, rank=rank, world=world_size)


def check_trainer(config: Mapping[str, Any]) -> None:
    """Build the point's trainer and callbacks and throw them away.

    Raises:
        ConfigError: a key that Lightning does not know or that is not the user's to set, or no
            callback keeps the best checkpoint.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    work = Path(tempfile.gettempdir())
    devices = config["trainer"].get("devices")
    if isinstance(devices, int) and devices > 1 and not isinstance(devices, bool):
        raise ConfigError(
            f"trainer.devices: {devices}: a worker trains on one device. Write trainer.devices=1 "
            f"tune.num_workers={devices}."
        )
    recorder = EpochRecorder(work, work, lambda row: None, [], [])
    trainer = _trainer(config, work, recorder, None)
    every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
    if every is not None and epochs is not None and 0 <= epochs < every:
        raise ConfigError(
            f"trainer.check_val_every_n_epoch: {every} is more than trainer.max_epochs, {epochs}: "
            "nothing would ever be validated. Lower it."
        )
    every = config["tune"]["probe_every"]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        monitor = str(getattr(callback, "monitor", ""))
        if is_science(monitor) and every > 1:
            raise ConfigError(
                f"tune.probe_every: {every}, but {type(callback).__name__} looks at {monitor} "
                "after every epoch. Write tune.probe_every=1."
            )
    kept = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
    if not kept or kept[0].save_top_k == 0:
        raise ConfigError(
            "trainer.callbacks: none keeps the best checkpoint, so nothing could be published. "
            "List ${...model_checkpoint}, with save_top_k: 1."
        )


def _trainer(
    config: Mapping[str, Any], work: Path, recorder: EpochRecorder, distributed: Distributed | None
) -> pl.Trainer:
    node = {key: value for key, value in config["trainer"].items() if key != "_target_"}
    _check_keys(node)
    callbacks = [_callback(item, config, work) for item in _listed(node, "callbacks")]
    if _wants_science(config):
        callbacks.append(ScienceProbe(config["tune"]["probe_every"]))
    loggers = [
        instantiate(item, allow=_allowed(config), key="trainer.logger")
        for item in _listed(node, "logger")
    ]
    _check_types(callbacks, "callbacks", pl.Callback)
    _check_types(loggers, "logger", Logger)
    engine: dict[str, Any] = {"plugins": [LightningEnvironment()]}
    if distributed:
        engine = {"plugins": list(distributed.plugins), "strategy": distributed.strategy}
        node.pop("strategy", None)
        node["devices"] = "auto" if node.get("accelerator") != "cpu" else 1
    settings = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    trainer = pl.Trainer(
        **(settings | node | engine),
        logger=loggers or False,
        callbacks=[*callbacks, recorder],
        default_root_dir=work,
        use_distributed_sampler=False,
    )
    return distributed.prepare(trainer) if distributed else trainer


_EXCHANGING = ("hyperband", "pbt")
"""Schedulers that take a point up again from what it saved at its last report."""

_OURS = (
    "default_root_dir",
    "enable_checkpointing",
    "fast_dev_run",
    "plugins",
    "use_distributed_sampler",
)


def _check_keys(node: Mapping[str, Any]) -> None:
    known = [name for name in inspect.signature(pl.Trainer).parameters if name not in _OURS]
    for name in node:
        if name in _OURS:
            raise ConfigError(f"trainer.{name}: wwdc sets this itself. Leave it out.")
        if name not in known:
            raise ConfigError(
                f"trainer.{name}: Lightning's Trainer has no such argument."
                f"{closest(name, known)} It has {', '.join(known)}."
            )


def _listed(node: dict[str, Any], name: str) -> list[Any]:
    """Take the list *name* out of the trainer's section; each entry describes an object."""
    listed = node.pop(name, None) or []
    if not isinstance(listed, list) or not all(
        isinstance(item, Mapping) and "_target_" in item for item in listed
    ):
        raise ConfigError(
            f"trainer.{name}: expected a list of entries with a _target_, got {listed!r}."
        )
    return listed


def _check_types(built: Sequence[Any], name: str, kind: type) -> None:
    for index, item in enumerate(built):
        if not isinstance(item, kind):
            raise ConfigError(
                f"trainer.{name}.{index}: {type(item).__name__} is no {kind.__name__} of Lightning."
            )


def _callback(node: Mapping[str, Any], config: Mapping[str, Any], work: Path) -> Any:
    if "dirpath" in node:
        node = {**node, "dirpath": str(work / "best")}
    return instantiate(node, allow=_allowed(config), key="trainer.callbacks")


def _fit(
    trainer: pl.Trainer, module: Any, data: pl.LightningDataModule, resume: "_Resume | None"
) -> None:
    path, safe = (resume.path, True) if resume else (None, None)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=safe)
    except (RuntimeError, MisconfigurationException) as error:
        logged = trainer.callback_metrics
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            monitor = getattr(callback, "monitor", None)
            if monitor and monitor not in logged and monitor in str(error):
                raise ConfigError(
                    f"{type(callback).__name__}: monitor: {monitor!r} is never logged."
                    f"{closest(monitor, logged)} Logged: {', '.join(sorted(logged))}."
                ) from error
        raise


@dataclass(frozen=True)
class _Resume:
    path: Path
    epoch: int
    finished: bool
    best: Path | None


def _resume(
    config: Mapping[str, Any],
    keep: Path,
    work: Path,
    first: Path,
    changes: Mapping[str, tuple[Any, Any]],
    finish: bool,
) -> _Resume | None:
    """Where to go on: the point's own last checkpoint, else ``trainer_ckpt_path``.

    Args:
        first: the first rank's *work*, which Lightning takes for every rank's.
    """
    own, given = keep / "last.ckpt", config.get("trainer_ckpt_path")
    source = own if own.is_file() else Path(given) if given else None
    if source is None:
        return None
    state = read_checkpoint(source)
    best = None
    if source == own and (keep / "best.ckpt").is_file():
        best = work / "best" / "best.ckpt"
        atomic_copy(keep / "best.ckpt", best)
    stopped = False
    for name, callback in state.get("callbacks", {}).items():
        if name.startswith("ModelCheckpoint"):
            _relocate(callback, first / "best" / best.name if best else None, first)
        if name.startswith("EarlyStopping"):
            stopped |= callback["wait_count"] >= callback["patience"]
    retune(state, changes)
    path = work / "resume.ckpt"
    torch.save(state, path)
    max_epochs = config["trainer"].get("max_epochs") or math.inf
    finished = best is not None and (finish or stopped or state["epoch"] + 1 >= max_epochs)
    return _Resume(path, int(state["epoch"]), finished, best)


def _relocate(callback: dict[str, Any], best: Path | None, work: Path) -> None:
    """Point a ModelCheckpoint's state at this run's copy of the best checkpoint.

    Lightning drops the best scores of a state that names another folder than the callback. If it
    did so on some ranks only, they would disagree on what to save and wait for each other.
    """
    text = str(best) if best else ""
    score = callback["best_model_score"]
    callback["dirpath"] = str(work / "best")
    callback["best_model_path"] = callback["kth_best_model_path"] = text
    callback["best_k_models"] = {text: score} if best else {}
    callback["last_model_path"] = ""


def _load_weights(module: Any, state: dict[str, Any]) -> None:
    module.on_load_checkpoint(state)
    module.load_state_dict(state["state_dict"], strict=True)


def _summary(
    config: Mapping[str, Any], rows: list[Row], tested: Mapping[str, float]
) -> dict[str, float]:
    node = config.get("model_checkpoint") or {}
    monitor, mode = node.get("monitor") or "val_loss", node.get("mode") or "min"
    scored = [row for row in rows if monitor in row]
    best = (min if mode == "min" else max)(scored, key=lambda row: row[monitor]) if scored else {}
    return {
        **{name: value for name, value in best.items() if name != "epoch"},
        **({"best_epoch": best["epoch"]} if best else {}),
        **({"epochs": len(rows)} if rows else {}),
        **{name: float(value) for name, value in tested.items()},
    }
