"""Which searcher, scheduler, engine and axes go together, and why others do not."""

__all__ = ["check_settings", "searcher_of"]

from typing import Literal

from wwdc.config import Composed
from wwdc.config.schema import TuneConfig
from wwdc.errors import ConfigError
from wwdc.tune.domains import Normal
from wwdc.tune.sweeps import Axes, Searched

_STEPS = ("lightning_loader.", "trainer.gradient_clip_val")
_SHAPES = (
    "lightning_loader.condition_dropout",
    "lightning_loader.vae",
    "lightning_loader.flow",
    "lightning_loader.size",
)


def searcher_of(settings: TuneConfig) -> Literal["random", "optuna"]:
    """Who chooses the values of searched axes."""
    return "optuna" if settings.searcher == "optuna" else "random"


def check_settings(composed: Composed, axes: Axes) -> None:
    """Refuse what cannot work together, saying why and what to use instead.

    Raises:
        ConfigError: names the key to change.
    """
    settings = composed.tune
    reason = (
        _searcher(settings, axes)
        or _objectives(settings)
        or _scheduler(settings, composed)
        or (_population(settings, axes) if settings.scheduler == "pbt" else "")
    )
    if reason:
        key = reason.partition("=")[0].partition(":")[0]
        raise ConfigError(f"{composed.origin(key)}: {reason}")


def _searcher(settings: TuneConfig, axes: Axes) -> str:
    if settings.searcher == "optuna":
        if not axes.searched:
            return (
                "tune.searcher=optuna: nothing is searched. Give an entry of sweeps.yaml a "
                "`space:`, such as loguniform(1e-4, 1e-2), or use tune.searcher=grid."
            )
        several = [axis.key for axis in axes.listed if len(axis.choices) > 1]
        if several:
            return (
                f"tune.searcher=optuna: {', '.join(several)} has listed values, and a model of "
                "the objective cannot serve several problems at once. Search one value at a time "
                f"({several[0]}=…), write it as `space: choice(…)`, or use tune.searcher=random."
            )
        return _sampler(settings, axes)
    if settings.searcher == "random" and not axes.searched:
        return (
            "tune.searcher=random: nothing is searched. Give an entry of sweeps.yaml a `space:`, "
            "such as loguniform(1e-4, 1e-2), or use tune.searcher=grid."
        )
    if not axes.searched and settings.num_samples > 1:
        return (
            f"tune.num_samples={settings.num_samples}: nothing is searched. Give an entry of "
            "sweeps.yaml a `space:`; `seeds:` repeats points."
        )
    return ""


def _sampler(settings: TuneConfig, axes: Axes) -> str:
    normal = [axis for axis in axes.searched if isinstance(axis.domain, Normal)]
    if normal:
        return (
            f"tune.searcher=optuna: {normal[0].text} has no bounds, which optuna needs. Use "
            "uniform(…), or tune.searcher=random."
        )
    if settings.sampler == "cmaes" and len(settings.metrics) > 1:
        return "tune.sampler=cmaes: CMA-ES has one objective. Use tpe, gp or nsga2, or one metric."
    return ""


def _objectives(settings: TuneConfig) -> str:
    if len(settings.metrics) > 1 and settings.scheduler != "fifo":
        return (
            f"tune.scheduler={settings.scheduler}: it compares points by one metric, and "
            f"tune.metric lists {len(settings.metrics)}. Use tune.scheduler=fifo, or one metric."
        )
    return ""


def _scheduler(settings: TuneConfig, composed: Composed) -> str:
    torch_engine = settings.engine == "torch" or settings.num_workers > 1
    name = settings.scheduler
    if name in ("hyperband", "pbt") and torch_engine:
        doing = (
            "pauses points and goes on with them" if name == "hyperband" else "exchanges weights"
        )
        return (
            f"tune.scheduler={name}: it {doing} through checkpoints that Ray Tune holds, and a "
            "TorchTrainer's never reach it. Use tune.engine=inline tune.num_workers=1, or "
            "tune.scheduler=asha."
        )
    if name == "hyperband" and settings.searcher == "optuna":
        return (
            "tune.scheduler=hyperband: it pauses points until a bracket is full, and optuna waits "
            "for results before it fills one. Use tune.scheduler=asha, or tune.searcher=random."
        )
    epochs = composed.resolve({})["trainer"].get("max_epochs")
    if (
        name in ("asha", "hyperband")
        and isinstance(epochs, int)
        and (epochs < settings.grace_period)
    ):
        return (
            f"tune.grace_period: {settings.grace_period} is more than trainer.max_epochs, "
            f"{epochs}: no point would ever be stopped. Lower it."
        )
    if name != "fifo" and (not isinstance(epochs, int) or epochs < 0):
        return f"tune.scheduler={name}: it needs an end: set trainer.max_epochs."
    return ""


def _population(settings: TuneConfig, axes: Axes) -> str:
    if settings.searcher == "optuna":
        return (
            "tune.scheduler=pbt: population-based training chooses the values itself while points "
            "train. Use tune.searcher=random, which draws the first ones, or tune.scheduler=asha."
        )
    if not axes.searched:
        return (
            "tune.scheduler=pbt: nothing is searched, so there is nothing to change while points "
            "train. Give lightning_loader.lr a `space:` in sweeps.yaml."
        )
    if settings.num_samples < 2:
        return "tune.num_samples: pbt needs a population. Set 4 or more."
    if axes.seeds is not None and len(axes.seeds) > 1:
        return (
            "tune.scheduler=pbt: points learn from each other, so a seed does not repeat them. "
            "Give one seed: seed=42."
        )
    for axis in axes.searched:
        if not _may_change(axis):
            return (
                f"tune.scheduler=pbt: {axis.key} decides the network or its data and cannot "
                "change while a point trains. Search the learning rate, optimizer or loss, or use "
                "tune.scheduler=asha."
            )
        if axis.when is not None:
            return f"tune.scheduler=pbt: {axis.key} has a condition (when). Leave it out."
    return ""


def _may_change(axis: Searched) -> bool:
    return axis.key.startswith(_STEPS) and not axis.key.startswith(_SHAPES)
