"""Seconds of `python -m wwdc.report` by the number of embedded rows, drawn and kept.

    DATA_ROOT=data python benchmarks/report.py [EXPERIMENT] [--rows 10000 100000] [--rounds 1]

EXPERIMENT, by default ``experiments/digits_flow``, is trained and embedded under DATA_ROOT; tests,
scores and labels are drawn where they are there. Nothing is written there: the tree is copied, and
its embeddings of the test split are published anew with as many rows as wanted, the same ones over
and over. *drawn* is a report in a process of its own, *kept* the same command again, when no input
has changed; *cpu* are the seconds of CPU of the first.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import REPOSITORY, machine, table

from wwdc.config import load
from wwdc.products import Product, Tree
from wwdc.products.publish import publish

TARGET_S = 60
SPLIT = "test"


def enlarge(product: Product, rows: int) -> None:
    """Publish an embedding anew with *rows* rows; ids and objects stay unique."""
    known = pq.read_table(product.path)
    times = -(-rows // len(known))
    larger = pa.concat_tables([known] * times).slice(0, rows).combine_chunks()
    for name in ("id", "object"):
        step = int(np.max(known[name].to_numpy())) + 1
        values = larger[name].to_numpy() + step * (np.arange(rows) // len(known))
        place = larger.schema.get_field_index(name)
        larger = larger.set_column(place, larger.schema.field(name), pa.array(values))
    temporary = product.path.with_suffix(".larger")
    pq.write_table(larger, temporary)
    product.path.unlink()
    product.info_path.unlink()
    info = product.info.model_copy(update={"config": {**product.info.config, "rows": rows}})
    publish(temporary, product.path, info)
    temporary.unlink(missing_ok=True)


def run(experiment: Path, root: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of a report."""
    command = [sys.executable, "-m", "wwdc.report", str(experiment), "--json"]
    environment = {**os.environ, "DATA_ROOT": str(root)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = REPOSITORY / "experiments" / "digits_flow"
    parser.add_argument("experiment", type=Path, nargs="?", default=default)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    composed = load(options.experiment)
    meta = composed.meta
    lines = []
    print(machine(), flush=True)
    for rows in options.rows:
        found = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder) / "root"
                shutil.copytree(composed.data_root, root)
                tree = Tree(root, meta.data_name, meta.experiment_name)
                shutil.rmtree(tree.report, ignore_errors=True)
                embedded = [p for p in tree.embedded() if p.path.stem == SPLIT]
                for product in embedded:
                    enlarge(product, rows)
                drawn, cpu = run(options.experiment, root)
                kept, _ = run(options.experiment, root)
                size = (tree.report / "index.html").stat().st_size
                found.append((drawn, cpu, kept, size))
        drawn, cpu, kept, size = (
            sorted(column)[len(column) // 2] for column in zip(*found, strict=True)
        )
        verdict = "yes" if drawn < TARGET_S else "no"
        cells = (f"{drawn:.1f}", f"{cpu:.1f}", f"{kept:.1f}", f"{size / 1e6:.1f}", verdict)
        lines.append((f"{rows:,} × {len(embedded)}", *cells))
    header = ("rows × embeddings", "drawn s", "cpu s", "kept s", "page MB", f"under {TARGET_S} s")
    print(table(header, lines))


if __name__ == "__main__":
    main()
