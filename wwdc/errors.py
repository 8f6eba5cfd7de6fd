"""What can go wrong, told so that a user can act on it."""

__all__ = [
    "FAULTS",
    "ClusterError",
    "ConfigError",
    "DataError",
    "Paused",
    "ProductError",
    "TrainingError",
    "WWDCError",
    "closest",
    "last_line",
]

import difflib
from collections.abc import Iterable


class WWDCError(Exception):
    """A mistake or a fault that is reported without a traceback.

    The message says what is wrong, which value, where (``sweeps.yaml: sweeps.lr.space``), what
    would be accepted, and what to do next. Command lines print it and exit with code 2.
    """


class ConfigError(WWDCError):
    """The experiment folder or an override is wrong."""


class DataError(WWDCError):
    """Images, a catalogue or a variable are missing or wrong."""


class ProductError(WWDCError):
    """A checkpoint, embedding or info file is missing, broken or of another shape."""


class TrainingError(WWDCError):
    """A point's training went wrong in a way that a retry would repeat."""


class ClusterError(WWDCError):
    """Ray, Slurm or the machine cannot do what was asked."""


class Paused(Exception):
    """Training was put aside after an epoch; what it had by then is kept to go on from."""


FAULTS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    WWDCError,
)
"""What code that anybody may have written, an estimator or a network, is expected to raise."""


def last_line(error: BaseException) -> str:
    """The last line of an error's message: what is left of a remote traceback.

    >>> last_line(ValueError("in worker 3:\\n  no rows"))
    'no rows'
    """
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def closest(name: str, choices: Iterable[str]) -> str:
    """``" Did you mean 'b'?"`` when one of *choices* resembles *name*, else an empty string.

    >>> closest("angel", ["angle", "scale"])
    " Did you mean 'angle'?"
    """
    matches = difflib.get_close_matches(name, list(choices), n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""
