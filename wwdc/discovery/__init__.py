"""Which rows are odd, and which to show a person next: arrays in, arrays out.

`simulate` hides the module of its name, which is imported here for that reason: a later import
would put the module in the function's place. Nothing here imports more than numpy.
"""

__all__ = ["simulate"]

from wwdc.discovery.simulate import simulate
