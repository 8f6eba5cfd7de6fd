"""Verdicts: removed needs equivalence and a ceiling, the others more than the margin."""

import itertools
import math
from dataclasses import replace

import pytest

from wwdc.stats.verdicts import VERDICTS, Evidence, Floor, decide, floor_fault

MARGIN, ALPHA = 0.05, 0.05
STRONG = Evidence(0.90, 0.88, 0.92, 0.001, 1.0)
FAINT = Evidence(0.01, -0.01, 0.03, 0.2, 0.001)
CEILING = STRONG


def verdict(found: Evidence, ceiling: Evidence | None = CEILING, conditioned: bool = True) -> str:
    return decide(found, ceiling, conditioned=conditioned, margin=MARGIN, alpha=ALPHA)[0]


def test_what_is_still_there_leaks_when_told_and_is_present_when_dropped():
    assert verdict(STRONG, conditioned=True) == "leaks"
    assert verdict(STRONG, conditioned=False) == "present"


@pytest.mark.parametrize("conditioned", [True, False])
def test_removed_is_an_equivalence_not_an_absence_of_evidence(conditioned):
    assert verdict(FAINT, conditioned=conditioned) == "removed"
    unsure = Evidence(0.01, -0.10, 0.12, 0.6, 0.3)
    assert verdict(unsure, conditioned=conditioned) == "undecided"


def test_a_significant_effect_below_the_margin_is_removed():
    small = Evidence(0.02, 0.015, 0.03, 0.001, 0.001)
    assert verdict(small) == "removed"


def test_an_effect_astride_the_margin_is_undecided():
    astride = Evidence(0.06, 0.04, 0.08, 0.001, 0.9)
    found, reason = decide(astride, CEILING, conditioned=True, margin=MARGIN, alpha=ALPHA)
    assert found == "undecided"
    assert "0.040 and 0.080" in reason and "0.05" in reason


@pytest.mark.parametrize("ceiling", [None, FAINT, Evidence(*[math.nan] * 5, "it is constant")])
def test_removed_needs_probes_that_see_the_variable_in_the_latents(ceiling):
    assert verdict(FAINT, ceiling) == "undecided"
    assert verdict(STRONG, ceiling) == "leaks"


def test_probes_that_always_answer_the_same_remove_nothing():
    assert verdict(replace(FAINT, varies=False)) == "undecided"


def test_what_was_not_tested_says_why():
    lost = Evidence(*[math.nan] * 5, "it is constant (1) in the rows to be fitted on")
    assert decide(lost, CEILING, conditioned=True, margin=MARGIN, alpha=ALPHA) == (
        "not tested",
        lost.reason,
    )


def test_every_verdict_is_one_of_the_five():
    values = (-0.2, 0.0, 0.04, 0.06, 0.9)
    for low, middle, high in itertools.combinations_with_replacement(values, 3):
        for q, equivalence, told in itertools.product((0.01, 0.5), (0.01, 0.5), (True, False)):
            evidence = Evidence(middle, low, high, q, equivalence)
            assert verdict(evidence, conditioned=told) in VERDICTS


def test_a_floor_that_sees_something_is_a_fault():
    quiet = Floor("normal", "r", Evidence(0.0, -0.02, 0.02, 0.6, 0.01), MARGIN)
    trifle = Floor("normal", "g", Evidence(0.002, -0.001, 0.003, 0.006, 0.001), MARGIN)
    assert floor_fault([quiet, trifle]) == ""
    seen = Floor("shuffled", "digit", Evidence(0.03, 0.01, 0.04, 0.001, 0.01), MARGIN)
    assert "digit is read from shuffled" in floor_fault([quiet, seen])
    large = Floor("normal", "g", Evidence(0.30, -0.02, 0.6, 0.4, 0.9), MARGIN)
    assert "g is read from normal" in floor_fault([quiet, large])
