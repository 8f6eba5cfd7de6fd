"""The ports of a cluster's head: from user and job, so that several share a machine."""

__all__ = ["PORTS", "block", "ports"]

import argparse
import socket
import sys
from collections.abc import Callable

PORTS = ("gcs", "dashboard", "client", "autoscaler_metrics", "dashboard_metrics", "agent")
FIRST = 21_000
BLOCK = 10
BLOCKS = 1_100
"""All below 32 768, where Linux begins to give ports to whoever asks."""


def block(job: int, user: int) -> int:
    """Number of the ports' block. Jobs that follow one another have different ones.

    >>> block(5240735, 1000), block(5240736, 1000)
    (1035, 1036)
    """
    return (job + 37 * user) % BLOCKS


def ports(job: int, user: int, free: Callable[[int], bool]) -> dict[str, int]:
    """A port for each of `PORTS`: the first block from the job's own on whose ports are all free.

    Raises:
        OSError: none is free.
    """
    own = block(job, user)
    for number in range(own, own + BLOCKS):
        first = FIRST + BLOCK * (number % BLOCKS)
        if all(free(first + i) for i in range(len(PORTS))):
            return {name: first + i for i, name in enumerate(PORTS)}
    raise OSError(f"every port from {FIRST} to {FIRST + BLOCK * BLOCKS} is used")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", type=int)
    parser.add_argument("user", type=int)
    options = parser.parse_args()
    for name, port in ports(options.job, options.user, _free).items():
        sys.stdout.write(f"{name}={port}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(_main())
