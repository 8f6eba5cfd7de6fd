"""What the terminal shows of verdicts."""

import io

import pandas as pd
from rich.console import Console

from wwdc.stats.evaluate import Tables
from wwdc.stats.settings import Margin, Suite
from wwdc.stats.show import show_tables


def test_many_variables_fit_into_80_columns():
    row = {"config_id": "c", "sweep": "drop_thick", "seeds": 3, "space": "u", "conditioned": True}
    row |= {"verdict": "undecided", "effect": -0.02, "ci_low": -0.15, "ci_high": -0.01}
    names = [f"variable{number}" for number in range(14)]
    summary = pd.DataFrame([{**row, "variable": name, "reason": ""} for name in names])
    verdicts = pd.DataFrame(
        [{"point_id": None, "space": "shuffled", "variable": n, "effect": 0.0} for n in names]
    )
    out = io.StringIO()
    empty = pd.DataFrame()
    tables = Tables(tests=empty, verdicts=verdicts, summary=summary, curves=empty, fault="")
    suite = Suite(0.05, 0.95, "bh", Margin(), {}, {})
    show_tables(tables, suite, Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert sum("drop_thick" in line for line in lines) == 3
    assert max(map(len, lines)) <= 80
    assert out.getvalue().count("undecided") == len(names)
    assert all(name in out.getvalue() for name in names)
