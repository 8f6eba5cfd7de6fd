"""What is left in a residual: one verdict for each variable, from tests, controls and a margin."""

__all__ = ["VERDICTS", "Evidence", "Floor", "decide", "floor_fault"]

from collections.abc import Iterable
from dataclasses import dataclass

VERDICTS = ("removed", "present", "leaks", "undecided", "not tested")

FLOOR_ALPHA, FLOOR_SHARE = 0.01, 0.2
"""A control that must see nothing fails when this share of the margin is read at this adjusted
p-value: by chance alone, a trifle is significant in one suite of a hundred."""


@dataclass(frozen=True)
class Evidence:
    """What the strongest probe reads of a variable in one space.

    Attributes:
        effect: R² of a number, skill of a class: 0 is nothing, 1 everything.
        ci_low, ci_high: its confidence interval.
        q_value: adjusted p-value of "nothing can be read".
        q_equivalence: adjusted p-value of "the margin or more can be read".
        reason: why it was not tested; empty when it was.
        varies: whether the probes ever answer differently. Those that always guess the commonest
            class would not see a rare one.
    """

    effect: float
    ci_low: float
    ci_high: float
    q_value: float
    q_equivalence: float
    reason: str = ""
    varies: bool = True


@dataclass(frozen=True)
class Floor:
    """What a control must not read."""

    space: str
    variable: str
    evidence: Evidence
    margin: float


def floor_fault(floor: Iterable[Floor]) -> str:
    """Why the suite cannot be trusted: it reads a variable where there is none; else empty."""
    for item in floor:
        found = item.evidence
        if found.reason:
            continue
        significant = found.q_value <= FLOOR_ALPHA and found.effect > FLOOR_SHARE * item.margin
        if significant or found.effect > item.margin:
            return (
                f"controls failed: {item.variable} is read from {item.space}, where there is "
                f"nothing (effect {found.effect:.3f}, adjusted p {found.q_value:.3g})"
            )
    return ""


def decide(
    found: Evidence, ceiling: Evidence | None, *, conditioned: bool, margin: float, alpha: float
) -> tuple[str, str]:
    """The verdict and the reason for it.

    *removed* is an equivalence test: the strongest probe surely reads less than the margin, and
    the same probes do read the variable from the latents. *leaks* (the flow was told the variable)
    and *present* (it was not) say that more than the margin surely is there. All else is
    *undecided*.

    Args:
        found: in the residual.
        ceiling: in the raw latents.
        conditioned: whether the flow was told the variable.
        margin: effect that is too small to matter.
        alpha: level of the adjusted p-values.
    """
    if found.reason:
        return "not tested", found.reason
    if found.q_value <= alpha and found.ci_low > margin:
        return ("leaks" if conditioned else "present"), ""
    if not found.varies:
        return "undecided", "the probes always answer the same, and would not see what is rare"
    if found.q_equivalence <= alpha and found.effect < margin:
        if ceiling is None or ceiling.reason:
            return "undecided", "the latents z were not tested, so the probes may be blind to it"
        if not (ceiling.q_value <= alpha and ceiling.ci_low > margin):
            return "undecided", "the probes do not read it from the latents z either"
        return "removed", ""
    return (
        "undecided",
        f"between {found.ci_low:.3f} and {found.ci_high:.3f}, the margin is {margin:g}",
    )
