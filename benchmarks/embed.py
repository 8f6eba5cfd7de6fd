"""Objects embedded a second against a plain loop over the same networks, and memory against N.

    python benchmarks/embed.py [--rounds 3] [--rows 40000] [--flows 1]
    python benchmarks/embed.py --memory

The *loop* is what one would write without wwdc: batches of images through the VAE and the flow
under ``no_grad``, results appended to lists, one Parquet file in the end; with one thread of torch,
and with as many as there are cores. Against it, *in process* is `wwdc.embed` with all cores in this
process, and *actors* is `wwdc.embed` on Ray with an actor a core: both write parts, flush them to
the disk and join them. Loading networks and starting Ray are not counted: actors are timed from the
moment when each has delivered a piece. Networks have random weights, as weights change no timing,
and the images cost next to nothing to make, which is hard on what is not networks.

``--memory`` embeds 10⁴, 10⁵ and 10⁶ objects with small networks, each in a process of its own, and
prints the largest resident memory of each.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from measure import interleaved, machine, table
from synthetic import make_pass

from wwdc.config import Resources
from wwdc.embed.embedder import Done, Embedder, Piece, make_embedder
from wwdc.embed.parts import Parts
from wwdc.embed.shards import Models, Pass, shards_of

SIZES = (10_000, 100_000, 1_000_000)
SMALL = {"dim": 8, "channels": 4, "hidden": 16, "transforms": 2}
TARGETS = {"loop, 1 thread": 1.3, "loop, all cores": 0.95}
SHARD_ROWS = 4096


def loop(work: Pass, folder: Path, threads: int) -> float:
    """Seconds of a plain loop over every flow."""
    torch.set_num_threads(threads)
    models = Models(work)
    flows = [models.flow(target) for target in work.targets]
    dataset = models.dataset
    start = time.perf_counter()
    columns = dataset.table("test")
    context = torch.from_numpy(dataset.catalogue.keep(["b"]).encode(columns))
    for number, module in enumerate(flows):
        results: dict[str, list[torch.Tensor]] = {}
        with torch.no_grad():
            for index in torch.arange(work.rows).split(work.batch_size):
                mean, logvar = models.vae.encode(dataset.images("test", index))
                noise = torch.randn_like(mean)
                z, c = mean + torch.exp(0.5 * logvar) * noise, module.standardise(context[index])
                found = {"z": z, "z_mean": mean}
                for name, latent in (("", z), ("_mean", mean)):
                    u, log_det = module.ema.to_base(latent, c)
                    found |= {f"u{name}": u}
                    found |= {f"log_prob{name}": module.ema.log_density(u, log_det)}
                for name, values in found.items():
                    results.setdefault(name, []).append(values)
        arrays = {name: torch.cat(values).numpy() for name, values in results.items()}
        vectors = {
            name: pa.FixedSizeListArray.from_arrays(values.reshape(-1), values.shape[1])
            if values.ndim == 2
            else pa.array(values)
            for name, values in arrays.items()
        }
        pq.write_table(pa.table({**columns, **vectors}), folder / f"loop{number}.parquet")
    return time.perf_counter() - start


def inline(work: Pass, folder: Path, threads: int, shard_rows: int = SHARD_ROWS) -> float:
    """Seconds of wwdc in this process."""
    torch.set_num_threads(threads)
    parts, pieces = _plan(work, folder, shard_rows)
    embedder = Embedder([work], {key: part.path for key, part in parts.items()})
    models = embedder._models(0)
    for target in work.targets:
        models.flow(target)
    start = time.perf_counter()
    for piece in pieces:
        _raise(embedder(piece))
    _join(parts, folder)
    return time.perf_counter() - start


def actors(work: Pass, folder: Path, cpus: int) -> float:
    """Seconds of wwdc on *cpus* actors, as if all the work was done at the rate of most of it."""
    from wwdc.cluster.pool import map_on_actors

    parts, pieces = _plan(work, folder, min(SHARD_ROWS, max(1, work.rows // (8 * cpus))))
    ended: list[tuple[float, int]] = []

    def note(piece: Piece, done: Done) -> None:
        _raise(done)
        ended.append((time.perf_counter(), piece.shard.stop - piece.shard.start))

    def refuse(_piece: Piece, error: BaseException) -> None:
        raise error

    folders = {key: part.path for key, part in parts.items()}
    map_on_actors(
        partial(make_embedder, (work,), folders, Path(__file__).parent),
        pieces,
        workers=cpus,
        resources=Resources(cpu=1, gpu=0),
        on_result=note,
        on_failure=refuse,
    )
    warm = 2 * cpus
    rows = sum(count for _, count in ended[warm:])
    rate = rows / (ended[-1][0] - ended[warm - 1][0])
    start = time.perf_counter()
    _join(parts, folder)
    return work.rows / rate + time.perf_counter() - start


def _plan(work: Pass, folder: Path, shard_rows: int) -> tuple[dict[str, Parts], list[Piece]]:
    place = Path(tempfile.mkdtemp(dir=folder))
    shards = shards_of(work.rows, shard_rows)
    keys = tuple(target.key for target in work.targets)
    parts = {key: Parts(place / key, "benchmark", len(shards)) for key in keys}
    return parts, [Piece(0, shard, keys) for shard in shards]


def _join(parts: dict[str, Parts], folder: Path) -> None:
    for key, part in parts.items():
        part.join(folder / f"{key}.parquet")


def _raise(done: Done) -> None:
    if done.errors:
        raise RuntimeError(done.errors)


def speed(rows: int, flows: int, rounds: int) -> None:
    """Print a table of objects a second, and ratios."""
    from wwdc.cluster import own_cpus, start_local

    cpus = own_cpus()
    local = start_local(cpus, dashboard=False)
    try:
        with tempfile.TemporaryDirectory(prefix="wwdc-bench-") as name:
            folder = Path(name)
            work = make_pass(folder, rows, flows=flows)
            seconds = interleaved(
                {
                    "loop, 1 thread": lambda: loop(work, folder, 1),
                    "loop, all cores": lambda: loop(work, folder, cpus),
                    "in process": lambda: inline(work, folder, cpus),
                    "actors": lambda: actors(work, folder, cpus),
                },
                rounds,
                warm=True,
            )
    finally:
        local.end()
    lines = []
    for name, value in seconds.items():
        ratios = [f"{seconds[other] / value:.2f}" for other in TARGETS]
        lines.append([name, f"{value:.2f}", f"{rows * flows / value:.0f}", *ratios])
    print(table(["way", "s", "objects/s", *(f"× {name}" for name in TARGETS)], lines))
    print()
    for other, target in TARGETS.items():
        best = min(seconds["in process"], seconds["actors"])
        verdict = "met" if seconds[other] / best >= target else "missed"
        print(f"best / {other}: {seconds[other] / best:.2f}, ≥ {target:g}: {verdict}")


def memory() -> None:
    """Print the peak memory of runs of several sizes."""
    rows = []
    for size in SIZES:
        command = [sys.executable, __file__, "--child", str(size)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        rows.append([f"{size}", told[0], f"{size / float(told[1]):.0f}", told[2]])
    print(table(["objects", "peak MB", "objects/s", "file MB"], rows))
    print(f"\nlargest / smallest: {float(rows[-1][1]) / float(rows[0][1]):.2f}")


def child(rows: int, shard_rows: int, limit_mb: int) -> None:
    """Embed *rows* objects in this process, under a limit on its data where one is given."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="wwdc-bench-") as name:
        work = make_pass(Path(name), rows, **SMALL)
        inline(make_pass(Path(name), 1000, **SMALL), Path(name), 1)  # what is loaded once
        if limit_mb:
            used = int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
            limit = used + limit_mb * 1024**2
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        seconds = inline(work, Path(name), 1, shard_rows)
        size = (Path(name) / "flow0.parquet").stat().st_size / 1024**2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{peak:.0f} {seconds:.2f} {size:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each figure (default: 3)")
    parser.add_argument("--rows", type=int, default=40_000, help="objects (default: 40000)")
    parser.add_argument("--flows", type=int, default=1, help="checkpoints of one VAE (default: 1)")
    parser.add_argument("--memory", action="store_true", help="memory instead of speed")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--shard-rows", type=int, default=8192, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.shard_rows, options.limit)
        return
    print(f"{machine()}\n", flush=True)
    if options.memory:
        memory()
    else:
        speed(options.rows, options.flows, options.rounds)


if __name__ == "__main__":
    main()
