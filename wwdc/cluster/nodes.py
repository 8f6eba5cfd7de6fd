"""Waiting for a cluster's nodes: the head first, then whoever comes in time."""

__all__ = ["Missing", "wait_for_nodes"]

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

HEAD_S = 120.0
ALIVE = 0  # of Ray's GcsNodeInfo


class Missing(Exception):
    """The head does not answer, or a node found out that it cannot take part.

    Attributes:
        code: the exit code of the step, or 1.
    """

    def __init__(self, text: str, code: int = 1) -> None:
        self.code = code
        super().__init__(text)


def wait_for_nodes(
    hosts: Sequence[str],
    steps: Path,
    alive: Callable[[], int],
    patience_s: float,
    pause: Callable[[], None] = lambda: time.sleep(0.5),
    head_s: float = HEAD_S,
) -> Iterator[str]:
    """Wait until all *hosts* have joined; what there is to tell of it.

    The head is *hosts*' first and has to come. Of the others those that end, or do not come within
    *patience_s*, are told and gone without: they still join when they come later.

    Args:
        steps: folder where a node that ends leaves its exit code, in ``HOST.exit``.
        alive: how many nodes the head knows of; raises OSError before it answers.

    Raises:
        Missing: no head; or a node ended with code 2, a mistake that all of them share.
    """
    began = time.monotonic()
    while True:
        ended = {
            host: code for host in hosts if (code := _exit(steps / f"{host}.exit")) is not None
        }
        for host, code in ended.items():
            if code == 2 or host == hosts[0]:
                raise Missing(f"Ray could not start on {host}; its log says why", code or 1)
        try:
            count = alive()
        except OSError:
            count = 0
        waited = time.monotonic() - began
        if not count and waited > head_s:
            raise Missing(f"Ray's head on {hosts[0]} did not answer within {head_s:.0f} s")
        if count >= len(hosts):
            break
        if count and (count + len(ended) >= len(hosts) or waited > patience_s):
            lost = f" ({', '.join(ended)} ended)" if ended else ""
            yield f"{count} of {len(hosts)} nodes joined{lost}; going on with them"
            return
        pause()
    yield "1 node" if len(hosts) == 1 else f"all {len(hosts)} nodes joined"


def _exit(path: Path) -> int | None:
    try:
        return int(path.read_text() or 0)
    except (FileNotFoundError, ValueError):  # not there, or being written
        return None


def _alive(address: str) -> int:
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import RpcError

    try:
        nodes = GcsClient(address=address).get_all_node_info(timeout=5)
    except (RpcError, RuntimeError, TimeoutError) as error:
        raise OSError(str(error)) from error
    return sum(node.state == ALIVE for node in nodes.values())


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("steps", type=Path)
    parser.add_argument("hosts", nargs="+")
    parser.add_argument("--patience", type=float, default=180.0)
    options = parser.parse_args()
    try:
        for text in wait_for_nodes(
            options.hosts, options.steps, lambda: _alive(options.address), options.patience
        ):
            sys.stdout.write(f"{text}\n")
    except Missing as missing:
        sys.stdout.write(f"{missing}\n")
        return missing.code
    return 0


if __name__ == "__main__":
    raise SystemExit(_main())
