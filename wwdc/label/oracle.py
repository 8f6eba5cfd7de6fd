"""A campaign with a known answer: how soon would a strategy have found what there is?"""

__all__ = ["oracle", "simulated"]

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwdc.errors import ConfigError, closest
from wwdc.label.objects import Objects

if TYPE_CHECKING:
    import pandas as pd

_QUESTION = re.compile(r"(?P<column>\w+?)(?:(?P<sign>[=<>])(?P<value>[-+.\deE]+))?")
_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
PASSIVE = ("top", "random")
"""What a strategy is held against."""


def oracle(question: str, objects: Objects) -> NDArray[np.bool_]:
    """Which objects (N,) *question* takes for anomalies.

    Args:
        question: a flag's name, or ``COLUMN=VALUE``, ``COLUMN<VALUE``, ``COLUMN>VALUE``.

    Raises:
        ConfigError: it is not such a question, or all objects or none have that answer.
    """
    parts = _QUESTION.fullmatch(question.replace(" ", ""))
    if parts is None:
        raise ConfigError(
            f"--simulate {question}: expected COLUMN of a flag, COLUMN=VALUE, COLUMN<VALUE or "
            "COLUMN>VALUE"
        )
    name, sign, value = parts["column"], parts["sign"], parts["value"]
    if name not in objects.table:
        raise ConfigError(
            f"--simulate {question}: there is no column {name!r}.{closest(name, objects.table)} "
            f"There are {', '.join(objects.table)}."
        )
    flags = [variable.name for variable in objects.catalogue if variable.kind == "flag"]
    if sign is None and name not in flags:
        raise ConfigError(f"--simulate {question}: {name} is no flag; ask for {name}=VALUE.")
    try:
        number = 0.5 if sign is None else float(value)
    except ValueError:
        raise ConfigError(f"--simulate {question}: {value!r} is no number") from None
    answers: NDArray[np.bool_] = _SIGNS[sign or ">"](objects.table[name], number)
    if not 0 < answers.sum() < len(answers):
        raise ConfigError(
            f"--simulate {question}: {int(answers.sum())} of {len(answers)} objects are; a search "
            "needs some that are and some that are not."
        )
    return answers


def simulated(
    features: NDArray[np.float32],
    answers: NDArray[np.bool_],
    strategy: str,
    *,
    budget: int,
    seeds: Sequence[int],
) -> "pd.DataFrame":
    """Anomalies found after each label, by the strategy and by two that do not learn.

    Args:
        features: (N, D).
        answers: which objects are anomalies, (N,).
        budget: labels of a campaign, at most N.

    Returns:
        As `wwdc.discovery.replay.discovery_curve` does.
    """
    from wwdc.discovery.replay import discovery_curve

    strategies = list(dict.fromkeys((strategy, *PASSIVE)))
    if budget > len(answers):
        raise ConfigError(f"label.budget: {budget} labels, there are {len(answers)} objects.")
    return discovery_curve(features, answers.astype(np.int64), strategies, seeds, budget)
