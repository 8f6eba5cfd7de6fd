"""Rows scored a second on actors against one process and joblib, and memory against N.

    python benchmarks/detect.py [--rows 1000000] [--rounds 3]
    python benchmarks/detect.py --memory [--rows 10000000]

Residuals are N(0, I) in 64 dimensions, 20 000 of them are fitted, by PyOD's isolation forest. *One
process* is the loop over blocks that `wwdc.detect` runs where there is one CPU; *joblib* fits once
and gives the blocks to two processes (loky, which stay warm) that map the same matrix; *actors* are
two actors of `wwdc.detect`, timed from the moment when each has delivered a block, as starting Ray
and importing PyOD are not counted for joblib either. All three write float64 scores block by block,
and the blocks are compared to the bit.

``--memory`` runs the whole command on one embedding, from Parquet to the published table, with the
detectors of ``detectors=quick`` on two actors, and prints the largest private memory (USS) of the
driver, of an actor, and of all.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import joblib
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from measure import REPOSITORY, interleaved, machine, table
from rich.console import Console

from wwdc.config import Resources, TuneConfig, instantiate
from wwdc.data.catalogue import Catalogue
from wwdc.detect.features import Column, Features, save
from wwdc.detect.plan import Scoring
from wwdc.detect.progress import Told
from wwdc.detect.publish import finish
from wwdc.detect.run import score_all
from wwdc.detect.settings import Detection, Detector, Shortlist
from wwdc.detect.work import BLOCK_ROWS, Ready, Task, make_scorer, tasks_of
from wwdc.embed.columns import About, arrow_schema, vectors
from wwdc.embed.published import Embedding
from wwdc.products import Info, Product, Tree, sha256
from wwdc.tune.stopping import StopRequest

D, FITTED, CPUS = 64, 20_000, 2
BARS = {"one process": 1.2, "joblib": 1.0}
FOREST = {"_target_": "pyod.models.iforest.IForest", "random_state": 0}


def matrix(folder: Path, rows: int) -> Features:
    """A work folder as the command prepares it."""
    folder.mkdir(parents=True)
    x = np.lib.format.open_memmap(folder / "features.npy", "w+", np.float32, (rows, D))
    for number, low in enumerate(range(0, rows, BLOCK_ROWS)):
        x[low : low + BLOCK_ROWS] = block(number, min(BLOCK_ROWS, rows - low))
    del x
    fitted = np.arange(min(FITTED, rows))
    save(folder / "fit.npy", fitted)
    save(folder / "fit_object.npy", fitted)
    (folder / "features.json").write_text(
        f'{{"rows": {rows}, "total": {rows}, "splits": {{"test": {rows}}}, '
        f'"columns": [{{"name": "u_mean", "start": 0, "width": {D}}}]}}'
    )
    return Features(folder, rows, rows, {"test": rows}, (Column("u_mean", 0, D),))


def block(number: int, rows: int) -> np.ndarray:
    """Some residuals."""
    return np.random.default_rng(number).standard_normal((rows, D), dtype=np.float32)


def tasks(features: Features, way: str) -> list[Task]:
    """The blocks, with scores in a folder of their own, where nothing is yet."""
    place = Path(tempfile.mkdtemp(prefix=f"{way[:3]}-", dir=features.folder.parent))
    for path in features.folder.iterdir():
        (place / path.name).symlink_to(path)
    labels = tuple(f"u_mean[{i}]" for i in range(D))
    ready = Ready("iforest", FOREST, tuple(range(D)), labels, FITTED, 0)
    return tasks_of(Features(place, features.rows, features.total, {}, ()), ready)


def one_process(features: Features) -> list[Task]:
    """The loop of the command."""
    work, listed = make_scorer(), tasks(features, "one")
    for task in listed:
        work(task)
    return listed


def joblib_two(features: Features) -> list[Task]:
    """What one would write with joblib: the fitted detector travels, the matrix is mapped."""
    listed = tasks(features, "joblib")
    x = np.load(features.folder / "features.npy", mmap_mode="r")
    fitted = np.asarray(x[:FITTED])
    centre, scale = fitted.mean(axis=0, dtype=np.float64), fitted.std(axis=0, dtype=np.float64)
    centre, scale = centre.astype(np.float32), scale.astype(np.float32)
    forest = instantiate(FOREST).fit((fitted - centre) / scale)
    parallel = joblib.Parallel(n_jobs=CPUS)
    parallel(
        joblib.delayed(_score)(forest, features.folder / "features.npy", centre, scale, task)
        for task in listed
    )
    return listed


def _score(forest: object, path: Path, centre: np.ndarray, scale: np.ndarray, task: Task) -> None:
    x = np.load(path, mmap_mode="r")[task.start : task.stop]
    task.path.parent.mkdir(exist_ok=True)
    np.save(task.path, forest.decision_function((x - centre) / scale))


def actors(features: Features) -> tuple[list[Task], float]:
    """The blocks, and seconds of all as if done at the rate of those after each actor's first."""
    from wwdc.cluster.pool import map_on_actors

    listed = tasks(features, "actors")
    ended: list[tuple[float, int]] = []

    def note(task: Task, _nothing: None) -> None:
        ended.append((time.perf_counter(), task.stop - task.start))

    def refuse(_task: Task, error: BaseException) -> None:
        raise error

    map_on_actors(
        make_scorer,
        listed,
        workers=CPUS,
        resources=Resources(cpu=1, gpu=0),
        on_result=note,
        on_failure=refuse,
    )
    if len(ended) <= 2 * CPUS:
        raise SystemExit(f"{len(ended)} blocks are too few to time: give more --rows")
    rows = sum(count for _, count in ended[2 * CPUS :])
    rate = rows / (ended[-1][0] - ended[2 * CPUS - 1][0])
    return listed, features.rows / rate


def speed(rows: int, rounds: int) -> None:
    """Print a table of rows a second, ratios, and whether the scores are the same."""
    from wwdc.cluster import start_local

    last: dict[str, list[Task]] = {}

    def keeping(name: str, way: Callable[[Features], list[Task]]) -> Callable[[], None]:
        def run() -> None:
            last[name] = way(features)

        return run

    def timed_actors() -> float:
        last["actors"], seconds = actors(features)
        return seconds

    local = start_local(CPUS, dashboard=False)
    try:
        with tempfile.TemporaryDirectory(prefix="wwdc-bench-") as name:
            features = matrix(Path(name) / "matrix", rows)
            ways = {
                "one process": keeping("one process", one_process),
                "joblib": keeping("joblib", joblib_two),
                "actors": timed_actors,
            }
            times = interleaved(ways, rounds, warm=True)
            found = {way: _bytes(listed) for way, listed in last.items()}
    finally:
        local.end()
    print(f"{rows} rows × {D}, isolation forest of {min(FITTED, rows)} rows, medians of {rounds}\n")
    lines = [[way, f"{s:.2f}", f"{rows / s:,.0f}"] for way, s in times.items()]
    print(table(["way", "s", "rows/s"], lines))
    for way, bar in BARS.items():
        ratio = times[way] / times["actors"]
        verdict = "met" if ratio >= bar else "missed"
        print(f"\nactors : {way} = {ratio:.2f} (bar {bar:g}: {verdict})", end="")
    same = {way: found[way] == found["actors"] for way in found}
    print(f"\n\nbit-identical to the actors' scores: {same}")


def _bytes(listed: list[Task]) -> bytes:
    return b"".join(np.load(task.path).tobytes() for task in listed)


class Private:
    """The largest private memory [MB] of this process, of a worker of Ray, and of all together."""

    def __init__(self) -> None:
        self.driver = self.actor = self.all = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Private":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(0.5):
            driver = psutil.Process().memory_full_info().uss / 2**20
            workers = [_uss(child) for child in psutil.Process().children(recursive=True)]
            self.driver = max(self.driver, driver)
            self.actor = max([self.actor, *workers])
            self.all = max(self.all, driver + sum(workers))


def _uss(process: psutil.Process) -> float:
    """Of an actor; nothing of Ray's own processes, which serve whatever is run on it."""
    try:
        if not process.cmdline()[0].startswith("ray::_Worker"):
            return 0.0
        return float(process.memory_full_info().uss) / 2**20
    except (psutil.Error, IndexError):
        return 0.0


def memory(rows: int) -> None:
    """Print the memory of the whole command."""
    default = yaml.safe_load((REPOSITORY / "wwdc/conf/detectors/default.yaml").read_text())
    nodes = {
        n: spec for n, spec in default["detectors"].items() if spec and n not in ("knn", "lof")
    }
    there = {name: spec for name, spec in nodes.items() if not spec.get("optional")}
    detectors = tuple(Detector(name, node) for name, node in there.items())
    detection = Detection(
        ("u_mean",), None, "auto", FITTED, FITTED, 0, "iforest", Shortlist(), detectors
    )
    with tempfile.TemporaryDirectory(prefix="wwdc-bench-") as name:
        tree = Tree(Path(name), "BENCH", "FLOW")
        embedding = parquet(tree.embeddings / "1_0" / "test.parquet", rows)
        scoring = Scoring(embedding, detection, tree)
        info = Info(job_id="1", job_num=0, point_id="p" * 12, config_id="c" * 12, status="done")
        screen = Console(stderr=True)
        start = time.perf_counter()
        with Private() as private:
            failures = score_all(
                [scoring],
                settings=TuneConfig(cpus=CPUS),
                told=Told(screen),
                stop=StopRequest(),
            )
            first = {"1_0": Product(embedding.files["test"], info)}
            products = finish([scoring], fresh=False, first=first)
        seconds = time.perf_counter() - start
        about = products[0].info.config
    print(f"{rows} rows × {D}, {', '.join(about['detectors'])}, {seconds:.0f} s")
    print(f"failed: {failures}\n" if failures else "")
    line = [f"{value:,.0f}" for value in (private.driver, private.actor, private.all)]
    print(table(["rows", "driver, MB", "an actor, MB", "all, MB"], [[f"{rows:,}", *line]]))
    print(f"\nbar 3 GB in all: {'met' if private.all < 3 * 1024 else 'missed'}")


def parquet(path: Path, rows: int) -> Embedding:
    """An embedding of the test split with u_mean, written block by block."""
    path.parent.mkdir(parents=True)
    about = About(
        kind="flow",
        point_id="p" * 12,
        split="test",
        fingerprint="f",
        checkpoint="c",
        seed=0,
        kept=[],
        dropped=[],
    )
    empty = {name: np.empty(0, np.int64) for name in ("id", "object")}
    full = arrow_schema(empty, Catalogue(()), about, latent_dim=D)
    kept = [full.field(name) for name in ("id", "object", "u_mean")]
    schema = pa.schema(kept, metadata=full.metadata)
    with pq.ParquetWriter(path, schema) as writer:
        for number, low in enumerate(range(0, rows, BLOCK_ROWS)):
            ids = np.arange(low, min(low + BLOCK_ROWS, rows))
            u = vectors(block(number, len(ids)))
            writer.write_table(pa.table([pa.array(ids), pa.array(ids), u], schema=schema))
    return Embedding(
        name="1_0",
        point_id="p" * 12,
        config_id="c" * 12,
        sweep=None,
        seed=1,
        files={"test": path},
        sha256={"test": sha256(path)},
        family="",
        catalogue=Catalogue(()),
        dropped=(),
        columns=("id", "object", "u_mean", "u"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, help="1 000 000, or 10 000 000 with --memory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="private memory of the command")
    options = parser.parse_args()
    print(machine() + "\n")
    if options.memory:
        memory(options.rows or 10_000_000)
    else:
        speed(options.rows or 1_000_000, options.rounds)


if __name__ == "__main__":
    main()
