"""Milliseconds from a label to the next object on the page, while the ranking learns beside it.

    SMALL="+seed=42 data.x_ds.views=56 trainer.max_epochs=1"
    E="experiments/digits_flow $SMALL x_ds.drop_variables=[b]"
    python -m wwdc.tune experiments/digits_vae $SMALL
    python -m wwdc.tune $E && python -m wwdc.embed $E 'splits=[train,val,test]'
    python -m wwdc.detect $E detectors=quick
    python benchmarks/label.py $E [--labels 100]

That is 100 632 objects; how good the model is does not matter here. `python -m wwdc.label` runs as
people start it, with a campaign of its own that is removed at the end. A *round trip* is what the
page does at a key: post the label (on the disk when it is answered), ask for the next object, its
details with its neighbours, and its picture. An object is an anomaly if its digit is 4.
"""

import argparse
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from measure import machine, table

from wwdc.config import load_stage
from wwdc.products import Tree

CAMPAIGN = "benchmark"
MEDIAN_MS, MOST_MS = 200, 500
WAIT_S = 300


class Server:
    """The labelling server, and its page's requests."""

    def __init__(self, arguments: list[str]) -> None:
        start = time.perf_counter()
        command = [sys.executable, "-m", "wwdc.label", *arguments, "--name", CAMPAIGN]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"(http://127\.0\.0\.1:\d+)/\?token=(\S+)", line):
                self.client = httpx.Client(
                    base_url=found[1], headers={"X-Token": found[2]}, timeout=WAIT_S
                )
                break
        else:
            raise SystemExit("the server did not start")
        self.get("api/state")
        self.ready_s = time.perf_counter() - start

    def get(self, path: str, **query: Any) -> Any:
        """The JSON answer to a question."""
        return self.client.get(path, params=query).raise_for_status().json()

    def trip(self, item: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """Label an object; the next one, and the milliseconds until it is there."""
        start = time.perf_counter()
        kind = "anomaly" if item["catalogue"]["digit"] == 4 else "normal"
        said = {"uuid": str(uuid.uuid4()), "id": item["id"], "labeller": "ada", "kind": kind}
        self.client.post("api/label", json=said).raise_for_status()
        following = self.get("api/next", labeller="ada")["item"]
        details = self.get("api/object", id=following["id"], labeller="ada")
        self.client.get("api/image", params={"id": following["id"]}).raise_for_status()
        return details, 1000 * (time.perf_counter() - start)

    def end(self) -> None:
        """Stop it as Ctrl-C does."""
        self.process.terminate()
        self.process.wait(WAIT_S)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path, help="folder of a scored experiment")
    parser.add_argument("overrides", nargs="*", help="choose a point: +seed=42")
    parser.add_argument("--labels", type=int, default=100)
    options = parser.parse_intermixed_args()
    print(machine() + "\n")
    training = load_stage(options.experiment, options.overrides).training
    tree = Tree(training.data_root, training.meta.data_name, training.meta.experiment_name)
    server = Server([str(options.experiment), *options.overrides, "label.umap=false"])
    try:
        state = server.get("api/state", labeller="ada")
        item = server.get("api/next", labeller="ada")["item"]
        item = server.get("api/object", id=item["id"], labeller="ada")
        times = []
        for _ in range(options.labels):
            item, spent = server.trip(item)
            times.append(spent)
    finally:
        server.end()
        for path in tree.labels.glob(f"{CAMPAIGN}.*"):
            path.unlink()
    median, most = np.quantile(times, [0.5, 0.95])
    row = [f"{state['total']:,}", str(len(times)), f"{server.ready_s:.1f}"]
    row += [f"{median:.0f}", f"{most:.0f}", f"{max(times):.0f}"]
    header = ["objects", "labels", "ready s", "median ms", "95 % ms", "longest ms"]
    print(table(header, [row]))
    for what, value, bar in (("median", median, MEDIAN_MS), ("95 %", most, MOST_MS)):
        print(f"\n{what} {value:.0f} ms ≤ {bar} ms: {'met' if value <= bar else 'missed'}", end="")
    print()


if __name__ == "__main__":
    main()
