"""Ray Tune's schedulers, counted in epochs, that ask a point to stop instead of killing it."""

__all__ = ["Cooperative", "make_scheduler"]

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from wwdc.config.schema import TuneConfig
from wwdc.tune.domains import Normal, Numbers
from wwdc.tune.space import to_tune
from wwdc.tune.sweeps import Searched

EPOCH = "epoch"
STATUS = "wwdc_status"
"""Key of a trial's last report: how its point ended."""

_CONTINUE = str(TrialScheduler.CONTINUE)


def make_scheduler(
    settings: TuneConfig,
    max_epochs: int,
    searched: Mapping[str, Searched],
    ask: Callable[[Trial], None],
) -> TrialScheduler:
    """The scheduler that ``tune.scheduler`` names.

    Args:
        max_epochs: the most epochs a point trains.
        searched: the axes that population-based training may change, by key.
        ask: asks the point of a trial to end.
    """
    common = {"time_attr": EPOCH, "metric": settings.metrics[0], "mode": settings.modes[0]}
    match settings.scheduler:
        case "asha":
            return Cooperative(
                AsyncHyperBandScheduler(
                    **common,
                    max_t=max_epochs,
                    grace_period=settings.grace_period,
                    reduction_factor=settings.reduction_factor,
                    stop_last_trials=False,
                ),
                ask,
            )
        case "hyperband":
            hyperband = HyperBandScheduler(
                **common,
                max_t=max_epochs,
                reduction_factor=settings.reduction_factor,
                stop_last_trials=False,
            )
            return Cooperative(hyperband, ask)
        case "median":
            return Cooperative(
                MedianStoppingRule(
                    **common,
                    grace_period=settings.grace_period,
                    min_time_slice=max_epochs,  # else it pauses points to let others begin
                ),
                ask,
            )
        case "pbt":
            return _Population(
                **common,
                perturbation_interval=settings.perturbation_interval,
                hyperparam_mutations={key: to_tune(axis.domain) for key, axis in searched.items()},
                custom_explore_fn=_Within(searched),
                require_attrs=False,
                log_config=False,
            )
    return FIFOScheduler()


class Cooperative(TrialScheduler):
    """Passes on what another scheduler decides, but never lets Tune kill a running trial.

    A trial that is to stop is asked to, ends after the epoch and publishes what it has. Killed,
    it would publish nothing and, with a TorchTrainer inside, could leave its workers' resources
    taken. Reports that lack the metric are kept from the scheduler.

    Args:
        inner: the scheduler that decides.
        ask: asks the point of a trial to end.
    """

    def __init__(self, inner: TrialScheduler, ask: Callable[[Trial], None]) -> None:
        super().__init__()
        self.inner = inner
        self._ask = ask
        self._metric = inner.metric
        self._supports_buffered_results = inner.supports_buffered_results
        self._last: dict[str, dict[str, Any]] = {}
        self._asked: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        # Tune saves its scheduler to restore a run, which wwdc plans anew instead.
        return {"_metric": self._metric}

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self.inner.on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self.inner.on_trial_error(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        ended = STATUS in result or trial.trial_id in self._asked
        if ended or self._metric not in result or EPOCH not in result:
            return _CONTINUE
        self._last[trial.trial_id] = result
        decision = str(self.inner.on_trial_result(tune_controller, trial, result))
        if decision == TrialScheduler.STOP:
            self._asked.add(trial.trial_id)
            self._ask(trial)
            return _CONTINUE
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        last = self._last.get(trial.trial_id)
        if last is None:
            self.inner.on_trial_remove(tune_controller, trial)
        else:
            self.inner.on_trial_complete(tune_controller, trial, last)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self.inner.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        chosen: Trial | None = self.inner.choose_trial_to_run(tune_controller)
        return chosen

    def debug_string(self) -> str:
        text: str = self.inner.debug_string()
        return text

    def save(self, checkpoint_path: str) -> None:
        """Nothing is restored from a file: a sweep is planned anew from its products."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""


class _Population(PopulationBasedTraining):
    """Population-based training in which a point stays the point it is.

    Jaderberg et al., *Population Based Training of Neural Networks*, arXiv:1711.09846.
    """

    def _get_new_config(
        self, trial: Trial, trial_to_clone: Trial
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        config, operations = super()._get_new_config(trial, trial_to_clone)
        return {**config, "point": trial.config["point"]}, operations

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if STATUS in result or self._metric not in result:
            return _CONTINUE
        return str(super().on_trial_result(tune_controller, trial, result))


class _Within:
    """Brings perturbed values back into their domains."""

    def __init__(self, searched: Mapping[str, Searched]) -> None:
        self.searched = searched

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        for key, axis in self.searched.items():
            if isinstance(axis.domain, Numbers | Normal):
                config[key] = axis.domain.settle(config[key])
        return config
