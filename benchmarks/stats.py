"""Seconds of every test of the default suite by the number of rows, and against the usual way.

    python benchmarks/stats.py [--rows 1000 10000 100000] [--rounds 3]

Residuals are N(0, I) in 64 dimensions with a number that depends on two of them and a class that
depends on none. Each test of ``conf/tests/default.yaml`` runs as the suite runs it, with its own
limit of rows (*n used*): a test that compares all pairs of rows takes no more than that. Growth is
the exponent of time between the first and the last number of rows.

The usual ways, in the same run and on the same rows: for a linear probe scikit-learn's
``permutation_test_score``, which fits again for every permutation; dcor's permutation tests for
distance correlation and energy.
"""

import argparse
import dataclasses
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dcor
import numpy as np
from measure import interleaved, machine, table
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import ShuffleSplit, permutation_test_score

from wwdc.config import instantiate, load_stage
from wwdc.data.catalogue import Catalogue, Variable
from wwdc.stats.independence import distance_correlation
from wwdc.stats.probes import Probe, Rows, run_probe
from wwdc.stats.settings import Suite, read_suite
from wwdc.stats.two_sample import energy_two_sample, groups_of

D = 64
NUMBER = Variable("number", "continuous")
CLASS = Variable("class", "categorical", 10)
USUAL_ROWS, USUAL_PERMUTATIONS = 1_000, 199


def rows(n: int, seed: int) -> Rows:
    """N(0, I) with a number that half depends on them and a class that does not."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, D), dtype=np.float32)
    number = x[:, 0] * x[:, 1] + rng.standard_normal(n)
    return Rows(x, {"number": number, "class": rng.integers(10, size=n)}, np.arange(n))


def shifted(found: Rows) -> Rows:
    """The same rows as other objects."""
    return dataclasses.replace(found, groups=found.groups + len(found.groups))


def tasks(suite: Suite, n: int) -> dict[str, Callable[[], Any]]:
    """Every test on *n* rows; probes are fitted on as many as they are scored on."""
    fit, score = rows(n, 0), shifted(rows(n, 1))
    given = np.random.default_rng(2).standard_normal((n, 12)).astype(np.float32)
    found: dict[str, Callable[[], Any]] = {}
    for kind, group in suite.tests.items():
        for name, test in group.items():
            spec = test.model_dump()
            label = f"{kind}.{name}"
            if kind == "probes":
                probe = Probe(instantiate(spec["regressor"]), instantiate(spec["classifier"]))
                for variable in (NUMBER, CLASS):
                    found[f"{label} ({variable.name})"] = _probe(probe, fit, score, variable)
            elif kind != "curves":
                found[label] = _test(kind, instantiate(spec["test"]), fit, given)
    return found


def _probe(probe: Probe, fit: Rows, score: Rows, variable: Variable) -> Callable[[], Any]:
    def run() -> Any:
        return run_probe(probe, fit, score, Catalogue((variable,)))

    return run


def _test(kind: str, test: Any, found: Rows, given: NDArray[np.float32]) -> Callable[[], Any]:
    y = found.table["number"]
    calls: dict[str, Callable[[], Any]] = {
        "independence": lambda: test(found.x, NUMBER, y),
        "two_sample": lambda: test(found.x, groups_of(NUMBER, y)),
        "conditional": lambda: test(found.x, NUMBER, y, given),
        "base": lambda: test(found.x),
    }
    return calls[kind]


def usual_ways(rounds: int) -> list[list[str]]:
    """Ours against what a user would write, on the same rows with as many permutations."""
    n, times = USUAL_ROWS, USUAL_PERMUTATIONS
    fit, score = rows(n, 0), shifted(rows(n, 1))
    x, y = fit.x.astype(np.float64), fit.table["number"]
    both = np.concatenate([fit.x, score.x])
    labels = np.concatenate([y, score.table["number"]])
    halves = ShuffleSplit(1, test_size=0.5, random_state=0)
    low, high = (x[groups_of(NUMBER, y) == k] for k in (0, 1))
    probe, known = Probe(LinearRegression(), None), Catalogue((NUMBER,))
    pairs: dict[str, tuple[str, Callable[[], Any], Callable[[], Any]]] = {
        "linear probe": (
            "scikit-learn permutation_test_score",
            lambda: run_probe(probe, fit, score, known, permutations=times),
            lambda: permutation_test_score(
                LinearRegression(), both, labels, cv=halves, n_permutations=times
            ),
        ),
        "distance correlation": (
            "dcor distance_covariance_test",
            lambda: distance_correlation(fit.x, NUMBER, y, n_max=n, permutations=times),
            lambda: dcor.independence.distance_covariance_test(
                x, y[:, None], num_resamples=times, random_state=0
            ),
        ),
        "energy": (
            "dcor energy_test",
            lambda: energy_two_sample(fit.x, groups_of(NUMBER, y), n_max=n, permutations=times),
            lambda: dcor.homogeneity.energy_test(low, high, num_resamples=times, random_state=0),
        ),
    }
    lines = []
    for name, (usual, ours, theirs) in pairs.items():
        seconds = interleaved({"ours": ours, "usual": theirs}, rounds, warm=True)
        ratio = seconds["usual"] / seconds["ours"]
        cells = [f"{seconds['ours']:.2f}", f"{seconds['usual']:.2f}", f"{ratio:.1f}"]
        lines.append([name, usual, *cells])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--experiment", type=Path, default=Path("experiments/digits_flow"))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    suite = read_suite(load_stage(given.experiment).composed)
    print(machine())
    seconds: dict[str, list[float]] = {}
    used: dict[str, str] = {}
    for n in given.rows:
        for name, task in tasks(suite, n).items():
            seen: list[Any] = []
            rounds = given.rounds if n <= 10_000 else 1
            time = interleaved({name: lambda t=task, s=seen: s.append(t())}, rounds)[name]
            seconds.setdefault(name, []).append(time)
            found = seen[-1][0] if isinstance(seen[-1], list) else seen[-1]
            used[name] = str(found.n)
            print(f"{name}, {n} rows: {time:.2f} s", flush=True)
    header = ["test", *(f"n = {n:g}" for n in given.rows), "n used at the last", "growth"]
    lines = []
    for name, times in seconds.items():
        growth = math.log(times[-1] / times[0]) / math.log(given.rows[-1] / given.rows[0])
        cells = [f"{time:.2f}" for time in times]
        lines.append([name, *cells, used[name], f"n^{growth:.2f}"])
    print(table(header, lines))
    print()
    header = ["test", "the usual way", "ours [s]", "usual [s]", "ratio"]
    print(table(header, usual_ways(given.rounds)))


if __name__ == "__main__":
    main()
