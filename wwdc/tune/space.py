"""From domains to the search spaces of Ray Tune and Optuna."""

__all__ = ["decode", "distribution", "encode", "suggest", "to_tune"]

import json
from typing import TYPE_CHECKING, Any

from wwdc.tune.domains import Domain, Normal, Numbers, Options

if TYPE_CHECKING:
    import optuna


def to_tune(domain: Domain) -> Any:
    """The domain as Ray Tune's, of the same values.

    >>> to_tune(Numbers(1e-5, 1e-2, log=True)).lower
    1e-05
    """
    from ray import tune

    match domain:
        case Options(values=values):
            return tune.choice(list(values))
        case Normal(mean=mean, sd=sd, step=step):
            return tune.qrandn(mean, sd, step) if step else tune.randn(mean, sd)
        case Numbers(low=low, high=high, integer=True, log=log, step=step):
            if step:
                listed = tune.choice(list(domain.values or ()))
                return tune.qlograndint(low, high, step) if log else listed
            return tune.lograndint(low, high + 1) if log else tune.randint(low, high + 1)
        case Numbers(low=low, high=high, log=log, step=step):
            if log:
                return tune.qloguniform(low, high, step) if step else tune.loguniform(low, high)
            if step:
                return tune.choice(list(domain.values or ()))
            return tune.uniform(low, high)
    raise TypeError(f"{domain!r} is no domain")


def distribution(domain: Domain) -> "optuna.distributions.BaseDistribution":
    """The domain as Optuna's; see `encode` for values that Optuna cannot hold.

    A logarithmic domain with a step is continuous here and rounded by `decode`.
    """
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    match domain:
        case Options(values=values):
            return CategoricalDistribution([encode(domain, value) for value in values])
        case Numbers(low=low, high=high, integer=True, log=log, step=step):
            whole = 1 if log else int(step or 1)
            return IntDistribution(int(low), int(high), log=log, step=whole)
        case Numbers(low=low, high=high, log=log, step=step):
            return FloatDistribution(low, high, log=log, step=None if log else step)
    raise TypeError(f"{domain!r} has no bounds")


def suggest(trial: "optuna.Trial", name: str, domain: Domain) -> Any:
    """Let Optuna choose a value of *domain*; called as conditions hold, it is define-by-run."""
    if isinstance(domain, Options):
        return decode(domain, trial.suggest_categorical(name, distribution(domain).choices))
    found = distribution(domain)
    if isinstance(domain, Numbers) and domain.integer:
        return decode(
            domain,
            trial.suggest_int(name, found.low, found.high, step=found.step, log=found.log),
        )
    return decode(
        domain, trial.suggest_float(name, found.low, found.high, step=found.step, log=found.log)
    )


def encode(domain: Domain, value: Any) -> Any:
    """A value as Optuna takes it: lists and mappings as JSON."""
    return json.dumps(value) if isinstance(domain, Options) else value


def decode(domain: Domain, value: Any) -> Any:
    """Undo `encode`."""
    if isinstance(domain, Numbers):
        return domain.settle(value)
    return json.loads(value) if isinstance(domain, Options) else value
