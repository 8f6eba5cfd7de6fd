"""Samples that Optuna chooses, one after the other, from what is known by then."""

__all__ = ["JOURNAL", "OptunaPoints"]

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ray.tune.search import Searcher

from wwdc.config.schema import TuneConfig
from wwdc.errors import ConfigError
from wwdc.products import Info, Tree, claimed
from wwdc.tune.identity import digest, scientific
from wwdc.tune.plan import Plan
from wwdc.tune.points import Builder, Point
from wwdc.tune.schedulers import EPOCH, STATUS
from wwdc.tune.search import Known, known, objectives
from wwdc.tune.space import distribution, encode, suggest
from wwdc.tune.sweeps import Axes, Searched

if TYPE_CHECKING:
    import optuna

JOURNAL = "optuna.journal"
_POINT = "point_id"
_PATIENCE = 100
_MISTAKES = 10


class OptunaPoints(Searcher):
    """Gives Ray Tune the points that are left and then those that an Optuna study asks for.

    The study lies in a journal file beside the runs, where optuna-dashboard opens it; what the
    product tree knows and the study does not is added to it first, so the tree stays the truth.

    Args:
        plan: says how many samples to ask for.
        first: points that an earlier run left; they come before those that are asked for.
        launch: makes what Ray needs to train a point: the trial's configuration.
        note: tells the user something.
    """

    def __init__(
        self,
        plan: Plan,
        first: Sequence[Point],
        tree: Tree,
        settings: TuneConfig,
        launch: Callable[[Point], dict[str, Any]],
        note: Callable[[str], None],
    ) -> None:
        super().__init__()
        if plan.axes is None:
            raise TypeError("the plan has no axes")
        self.axes: Axes = plan.axes
        self.tree = tree
        self.settings = settings
        self._launch = launch
        self._note = note
        self._builder = Builder(self.axes.composed)
        (self._combination,) = self.axes.combinations()
        self._seed = self.axes.seed_settings()[0]
        self._searched = {axis.key: axis for axis in self.axes.searched}
        self._waiting = list(first)
        self._number = len(plan.points)
        self._to_ask = plan.to_ask
        self._asked: dict[str, optuna.Trial] = {}
        self._points: dict[str, Point] = {}
        self.study = self._open_study(plan)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune saves its searcher; ours is made anew from the tree

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], **spec: Any
    ) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        """The configuration of the next trial, or that there is none."""
        if self._waiting:
            point = self._waiting.pop(0)
        elif self._to_ask > 0:
            asked = self._ask(trial_id)
            if asked is None:
                return Searcher.FINISHED
            point = asked
            self._to_ask -= 1
        else:
            return Searcher.FINISHED
        self._points[trial_id] = point
        return self._launch(point)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        trial = self._asked.get(trial_id)
        if trial is None or len(self.settings.metrics) > 1 or STATUS in result:
            return
        value = result.get(self.settings.metrics[0])
        if value is not None and result.get(EPOCH) is not None:
            trial.report(float(value), int(result[EPOCH]))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        trial = self._asked.pop(trial_id, None)
        point = self._points.pop(trial_id, None)
        product = self.tree.find(point.point_id) if point is not None else None
        values = objectives(product.info, self.settings) if product else None
        if trial is None:
            return  # a point of an earlier run: read from the tree the next time
        from optuna.trial import TrialState

        if product is None or values is None:
            self.study.tell(trial, state=TrialState.FAIL)
        elif self._pruned(product.info):
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, values)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""

    def _ask(self, trial_id: str) -> Point | None:
        """A point that nobody trained yet; None when the study keeps naming known ones."""
        mistakes = 0
        for _ in range(_PATIENCE):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # experimental features of Optuna's samplers
                trial = self.study.ask()
                drawn = self.axes.draw(self._combination, _suggester(trial))
            try:
                point = self._builder.build(self._number, (*drawn, *self._seed))
            except ConfigError as error:
                self.study.tell(trial, state=_state("FAIL"))
                mistakes += 1
                if mistakes >= _MISTAKES:
                    raise
                self._note(f"a sample is left out: {error}")
                continue
            trial.set_user_attr(_POINT, point.point_id)
            product = self.tree.find(point.point_id)
            if product is None:
                self._number += 1
                self._asked[trial_id] = trial
                return point
            values = objectives(product.info, self.settings)
            if values is None:
                self.study.tell(trial, state=_state("FAIL"))
            else:
                self.study.tell(trial, values)
        self._note("the searched space seems to hold no more samples that are not trained yet.")
        return None

    def _pruned(self, info: Info) -> bool:
        """TPE ranks what was stopped by how far it came; others take its best value so far."""
        one = len(self.settings.metrics) == 1
        return info.status == "stopped" and one and self.settings.sampler == "tpe"

    def _open_study(self, plan: Plan) -> "optuna.Study":
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        path = self.tree.multiruns / JOURNAL
        path.parent.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            study_name=self._study_name(plan),
            storage=JournalStorage(JournalFileBackend(str(path))),
            directions=[
                "maximize" if mode == "max" else "minimize" for mode in self.settings.modes
            ],
            load_if_exists=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental
            study.set_metric_names(self.settings.metrics)
        self._close_abandoned(study)
        there = {trial.user_attrs.get(_POINT) for trial in study.get_trials(deepcopy=False)}
        found = known(self._builder, self.axes, self._combination, self._seed, self.tree)
        for item in found:
            if item.sample.point.point_id not in there:
                self._add(study, item)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study.sampler = _sampler(self.settings, len(study.get_trials(deepcopy=False)))
        return study

    def _study_name(self, plan: Plan) -> str:
        """The same for the same question: what is searched, for which objectives, else what."""
        corner = plan.probes[0]
        science = scientific(corner.config, {})
        for key in self._searched:
            *parents, last = key.split(".")
            node: Any = science
            for name in parents:
                node = node[name]
            node.pop(last, None)
        spaces = sorted((a.key, a.text, a.when.text if a.when else "") for a in self.axes.searched)
        question = [spaces, self.settings.metrics, self.settings.modes, science]
        return f"{plan.experiment} {digest(json.loads(json.dumps(question)))}"

    def _close_abandoned(self, study: "optuna.Study") -> None:
        """Fail what a killed run left open, so that a sampler does not wait for it."""
        for trial in study.get_trials(deepcopy=False, states=(_state("RUNNING"),)):
            point = trial.user_attrs.get(_POINT)
            if point is None or not claimed(self.tree, point):
                study.tell(trial.number, state=_state("FAIL"))

    def _add(self, study: "optuna.Study", item: Known) -> None:
        from optuna.trial import create_trial

        values = objectives(item.info, self.settings) if item.info else None
        if item.info is None or values is None:
            return
        axes = [(self._searched[s.key], s) for s in item.sample.settings if s.key in self._searched]
        pruned = self._pruned(item.info)
        epochs = int(item.info.metrics.get("epochs", 1))
        study.add_trial(
            create_trial(
                state=_state("PRUNED" if pruned else "COMPLETE"),
                values=None if pruned else values,
                intermediate_values={epochs: values[0]} if pruned else {},
                params={axis.key: encode(axis.domain, s.value) for axis, s in axes},
                distributions={axis.key: distribution(axis.domain) for axis, _ in axes},
                user_attrs={_POINT: item.sample.point.point_id},
            )
        )


def _suggester(trial: "optuna.Trial") -> Callable[[Searched], Any]:
    return lambda axis: suggest(trial, axis.key, axis.domain)


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _sampler(settings: TuneConfig, trials: int) -> "optuna.samplers.BaseSampler":
    """The sampler; its seed moves on with the study, or a second run would draw the first again."""
    from optuna import samplers

    seed = (settings.seed * 1_000_003 + trials) % 2**32
    match settings.sampler:
        case "gp":
            return samplers.GPSampler(seed=seed, warn_independent_sampling=False)
        case "qmc":
            return samplers.QMCSampler(
                seed=settings.seed, scramble=True, warn_independent_sampling=False
            )
        case "nsga2":
            return samplers.NSGAIISampler(seed=seed)
        case "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return samplers.TPESampler(seed=seed, multivariate=True, group=True)
