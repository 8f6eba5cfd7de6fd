"""From what a person said about an object to a number that a strategy learns from."""

__all__ = ["GRADES", "LOWEST", "TARGETS", "target"]

from typing import Literal

from wwdc.errors import DataError

GRADES = 5
"""The highest grade; the lowest is 0."""

LOWEST, HIGHEST = -1.0, 1.0

TARGETS = {"anomaly": HIGHEST, "normal": LOWEST}
"""The target of a verdict."""


def target(
    verdict: Literal["anomaly", "normal"] | None = None, grade: float | None = None
) -> float | None:
    """The target in [−1, 1] of one object, positive where more of its kind is wanted.

    A verdict decides. Without one a grade of interest is spread over the same range,
    (grade − 2.5) / 2.5. Without either there is no target.

    Raises:
        DataError: an unknown verdict, or a grade outside 0–5.

    >>> target("anomaly"), target("normal", grade=5), target(grade=5), target(grade=0), target()
    (1.0, -1.0, 1.0, -1.0, None)
    """
    if verdict is not None:
        if verdict not in TARGETS:
            raise DataError(f"verdict: expected one of {', '.join(TARGETS)}, got {verdict!r}")
        return TARGETS[verdict]
    if grade is None:
        return None
    if not 0 <= grade <= GRADES:
        raise DataError(f"grade: expected 0 to {GRADES}, got {grade!r}")
    half = GRADES / 2
    return (grade - half) / half
