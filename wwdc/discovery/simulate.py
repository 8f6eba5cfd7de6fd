"""Active search with an oracle that knows all answers."""

__all__ = ["ask", "simulate"]

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wwdc.discovery.pool import Pool, Rows, make_pool
from wwdc.discovery.strategies import Strategy, make_strategy
from wwdc.errors import DataError


def simulate(
    X: ArrayLike,
    y: ArrayLike,
    strategy: str | Strategy = "aadgp",
    budget: int = 50,
    seed: int = 0,
    *,
    batches: Sequence[int] | None = None,
) -> Rows:
    """The rows that a strategy asks about, in that order, when *y* answers.

    Features are standardised, and an isolation forest orders them before the first answer.

    Args:
        X: features (N, D), numbers of any type.
        y: the answers (N,): 1 for an anomaly, 0 for a normal row.
        strategy: a name of `wwdc.discovery.strategies.STRATEGIES`, or one that has seen no label.
        budget: how many rows to ask about, at most N.
        seed: of all that is drawn; the same seed gives the same rows.
        batches: how many rows to ask about before the answers are learnt from, the last goes on;
            the strategy's own where left out.

    Returns:
        Different row numbers, (budget,).

    Raises:
        DataError: *X* is no finite table, *y* does not fit it, or the budget exceeds it.
        ConfigError: no strategy has that name.
    """
    chosen = make_strategy(strategy, seed) if isinstance(strategy, str) else strategy
    answers = np.asarray(y)
    pool = make_pool(X, seed=seed)
    if answers.shape != (len(pool),) or not np.isin(answers, (0, 1)).all():
        raise DataError(f"y: expected {len(pool)} zeros and ones, got shape {answers.shape}")
    targets = np.where(answers == 1, 1.0, -1.0)
    return ask(pool, chosen, lambda rows: targets[rows], budget, batches)


def ask(
    pool: Pool,
    strategy: Strategy,
    oracle: Callable[[Rows], NDArray[np.float64]],
    budget: int,
    batches: Sequence[int] | None = None,
    banned: Rows | None = None,
) -> Rows:
    """Ask *oracle* for the targets of one batch of rows after another, *budget* rows in all.

    *banned* rows are never asked.

    Raises:
        DataError: the budget is negative or more than the rows there are, or a batch is empty.
    """
    out = np.empty(0, np.intp) if banned is None else banned
    if not 0 <= budget <= len(pool) - len(out):
        raise DataError(f"budget: expected 0 to {len(pool) - len(out)} rows, got {budget}")
    rows, targets = np.empty(0, np.intp), np.empty(0)
    sizes = _sizes(strategy.batches if batches is None else batches)
    while len(rows) < budget:
        acquisition = strategy.rank(pool, rows, targets)
        size = min(next(sizes), budget - len(rows))
        new = strategy.batch(pool, acquisition, np.concatenate([out, rows]), size)
        rows = np.concatenate([rows, new])
        targets = np.concatenate([targets, oracle(new)])
    return rows


def _sizes(batches: Sequence[int]) -> Iterator[int]:
    if not batches or min(batches) < 1:
        raise DataError(f"batches: expected sizes from 1, got {list(batches)}")
    return itertools.chain(batches, itertools.repeat(batches[-1]))
