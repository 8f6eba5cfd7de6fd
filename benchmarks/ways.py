"""The ways to run one sweep that ``sweeps.py`` compares, each a command of its own.

    python benchmarks/ways.py WAY POINTS

Apart from wwdc itself, which is run by its own command, a way trains the points of
``$SWEEPS_POINTS`` (written by *prepare*: their resolved configurations) with ``train_point``, and
writes what it has to write under ``$SWEEPS_FOLDER``. Points are resolved beforehand, so that none
of them pays for wwdc's planning. Ray is started just as wwdc starts it, which is kind to the raw
ways: the difference is what runs on it.
"""

__all__ = ["EXPERIMENTS", "overrides"]

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
CPUS = 2


def overrides(points: int, epochs: int) -> list[str]:
    """What makes ``experiments/digits_flow`` a sweep of so many points that train equally long."""
    return [
        "data.x_ds.views=2",
        "data.x_ds.drop_variables=[b]",
        "early_stopping.patience=1000000",
        f"trainer.max_epochs={epochs}",
        f"seed=range(0,{points})",
        f"tune.cpus={CPUS}",
    ]


def prepare(points: int, seconds: float) -> dict[str, Any]:
    """Choose the epochs with which a point trains so long alone, and write ``$SWEEPS_POINTS``.

    It trains a few points, so the latents are cached afterwards.
    """
    from wwdc.config import fill, load
    from wwdc.products import Tree
    from wwdc.tune.plan import make_plan

    def resolved(epochs: int) -> list[Any]:
        composed = load(EXPERIMENTS / "digits_flow", overrides(points, epochs))
        tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
        return [
            (
                fill(point.config, job=f"0_{point.job_num}", data_root=composed.data_root),
                point.lineage["vae"]["point_id"],
            )
            for point in make_plan(composed, tree).points
        ]

    def trained(epochs: int) -> float:
        start = time.perf_counter()
        train(resolved_once(*first, epochs))
        return time.perf_counter() - start

    def resolved_once(config: dict[str, Any], vae_id: str, epochs: int) -> tuple[Any, str]:
        return {**config, "trainer": {**config["trainer"], "max_epochs": epochs}}, vae_id

    first = resolved(1)[0]
    trained(1)
    few, many = 1, 4
    least = trained(few)
    while (longer := trained(many)) - least < min(seconds / 2, 2.0) and many < 1024:
        many *= 2
    epoch = (longer - least) / (many - few)
    epochs = max(1, round((seconds - least) / epoch) + few)
    Path(os.environ["SWEEPS_POINTS"]).write_text(json.dumps(resolved(epochs)))
    return {"epochs": epochs, "epoch_s": epoch, "alone_s": least + (epochs - few) * epoch}


def point(number: int) -> tuple[dict[str, Any], str]:
    """A point's configuration and the id of its VAE."""
    config, vae_id = json.loads(Path(os.environ["SWEEPS_POINTS"]).read_text())[number]
    return config, vae_id


def train(this: tuple[dict[str, Any], str], distributed: Any = None) -> None:
    """Train one point in a folder of its own."""
    from wwdc.training.loop import train_point

    config, vae_id = this
    with tempfile.TemporaryDirectory() as folder:
        keep = Path(folder, "keep")
        keep.mkdir()
        work = Path(folder, "work")
        train_point(config, keep=keep, work=work, vae_id=vae_id, distributed=distributed)


def train_number(number: int) -> None:
    """Train one of the points."""
    train(point(number))


def run_hydra(points: int, *launcher: str) -> None:
    """Hydra's multirun of an app that trains ``+point``."""
    import hydra

    def task(config: Any) -> None:
        train(point(config.point))

    folder = os.environ["SWEEPS_FOLDER"]
    sweep = f"+point={','.join(map(str, range(points)))}"
    sys.argv[1:] = ["--multirun", sweep, f"hydra.sweep.dir={folder}", *launcher]
    hydra.main(version_base="1.3", config_path=None)(task)()


def run_joblib(points: int) -> None:
    """The same with the joblib launcher."""
    run_hydra(points, "hydra/launcher=joblib", f"hydra.launcher.n_jobs={CPUS}")


def run_optuna(points: int) -> None:
    """An Optuna study over the grid, in threads; queued, as its grid sampler draws at random."""
    import optuna

    def objective(trial: optuna.Trial) -> float:
        train(point(trial.suggest_categorical("point", range(points))))
        return 0.0

    study = optuna.create_study()
    for number in range(points):
        study.enqueue_trial({"point": number})
    study.optimize(objective, n_trials=points, n_jobs=CPUS)


def run_raw(points: int) -> None:
    """A Ray Tune function trainable, a process a trial, as Tune does by default."""
    from ray import tune

    def trainable(config: dict[str, Any]) -> None:
        train(point(config["point"]))
        tune.report({"trained": True})

    tune_over(points, tune.with_resources(trainable, {"cpu": 1}), dashboard=False)


def run_nested(points: int) -> None:
    """A TorchTrainer of one worker inside each trial, as Ray's documentation tells.

    A trial asks for no CPU, as its worker could not be placed beside it; so its number is bounded.
    """
    import ray.train
    from ray import tune

    storage = os.environ["SWEEPS_FOLDER"]

    def worker(config: dict[str, Any]) -> None:
        from ray.train.lightning import RayDDPStrategy, RayLightningEnvironment, prepare_trainer

        from wwdc.training.loop import Distributed

        engine = Distributed(
            strategy=RayDDPStrategy(),
            plugins=[RayLightningEnvironment()],
            rank=0,
            world_size=1,
            prepare=prepare_trainer,
            share=str,
        )
        train(point(config["point"]), engine)
        ray.train.report({"trained": True})

    def trainable(config: dict[str, Any]) -> None:
        from ray.train.torch import TorchTrainer
        from ray.tune.integration.ray_train import TuneReportCallback

        context = tune.get_context()
        TorchTrainer(
            worker,
            train_loop_config=config,
            scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
            run_config=ray.train.RunConfig(
                name=f"{context.get_experiment_name()}-{context.get_trial_id()}",
                storage_path=storage,
                callbacks=[TuneReportCallback()],
            ),
        ).fit()

    resources = tune.PlacementGroupFactory([{"node:__internal_head__": 0.001}])
    tune_over(points, tune.with_resources(trainable, resources), dashboard=True, at_once=CPUS)


def tune_over(points: int, trainable: Any, *, dashboard: bool, at_once: int | None = None) -> None:
    """Run a grid of trials on a Ray of our own."""
    from ray import tune

    with local_ray(dashboard):
        results = tune.Tuner(
            trainable,
            param_space={"point": tune.grid_search(list(range(points)))},
            tune_config=tune.TuneConfig(max_concurrent_trials=at_once),
            run_config=tune.RunConfig(storage_path=os.environ["SWEEPS_FOLDER"], verbose=0),
        ).fit()
        if results.errors:
            raise SystemExit(f"Ray Tune: {results.errors[0]}")


@contextmanager
def local_ray(dashboard: bool) -> Iterator[None]:
    """Ray with its address in the environment of every process, ended afterwards."""
    from wwdc.cluster import start_local

    local = start_local(CPUS, dashboard=dashboard)
    try:
        yield
    finally:
        local.end()


def run_pool(points: int) -> None:
    """A pool of two processes."""
    with multiprocessing.get_context("spawn").Pool(CPUS) as pool:
        for _ in pool.imap_unordered(train_number, range(points)):
            pass


def run_loop(points: int) -> None:
    """One process, one point after the other."""
    for number in range(points):
        train_number(number)


WAYS: dict[str, Callable[[int], None]] = {
    "hydra": run_hydra,
    "joblib": run_joblib,
    "optuna": run_optuna,
    "raw": run_raw,
    "nested": run_nested,
    "pool": run_pool,
    "loop": run_loop,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("way", choices=["prepare", *WAYS])
    parser.add_argument("points", type=int)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a point, to prepare for")
    options = parser.parse_args()
    if options.way == "prepare":
        print(json.dumps(prepare(options.points, options.seconds)))
    else:
        WAYS[options.way](options.points)


if __name__ == "__main__":
    main()
