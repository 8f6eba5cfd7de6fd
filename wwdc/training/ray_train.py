"""Data-parallel training of one point: Lightning under Ray Train's TorchTrainer."""

__all__ = ["fit_workers"]

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwdc.errors import ConfigError, Paused, WWDCError

if TYPE_CHECKING:
    from wwdc.training.callbacks import Wish
    from wwdc.tune.trial import TrialSpec

POLL = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"
POLL_S = "0.2"
"""A report waits until Ray looks for it: by its default of 2 s no epoch would be shorter."""


def fit_workers(
    spec: "TrialSpec",
    *,
    num_workers: int,
    resources: dict[str, float],
    storage: Path,
    max_failures: int,
    watch: bool,
) -> dict[str, Any]:
    """Run a TorchTrainer for *spec* inside a Tune trial; the first rank's metrics come back.

    Every epoch's metrics reach Tune through Ray's `TuneReportCallback`. Each worker resumes from
    the point's own last checkpoint, so a restarted worker group goes on where it was.

    Args:
        watch: whether a scheduler may ask the point to end early.

    Returns:
        ``{"status": …, "metrics": …}`` or, for a fault that a retry would repeat,
        ``{"error": message}``.

    Raises:
        Paused: the point was put aside.
        ConfigError: what the first epoch showed to be wrong.
    """
    import ray.train
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    os.environ.setdefault(POLL, POLL_S)  # Ray reads it here and hands it on
    gpus = float(resources.get("gpu") or 0)
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"spec": spec, "watch": watch},
        scaling_config=ray.train.ScalingConfig(
            num_workers=num_workers,
            use_gpu=gpus > 0,
            resources_per_worker={"CPU": float(resources.get("cpu") or 1)}
            | ({"GPU": gpus} if gpus else {}),
        ),
        run_config=ray.train.RunConfig(
            name=f"{spec.data_name} {spec.experiment_name} {spec.point_id}",
            storage_path=str(storage),
            failure_config=ray.train.FailureConfig(max_failures=max_failures),
            callbacks=[TuneReportCallback()],
        ),
    )
    returned = dict(trainer.fit().return_value or {})
    if "refused" in returned:
        raise ConfigError(returned["refused"])
    if "paused" in returned:
        raise Paused
    return returned


def _worker(config: dict[str, Any]) -> dict[str, Any]:
    import ray.train
    from ray.train.collective import broadcast_from_rank_zero
    from ray.train.lightning import RayDDPStrategy, RayLightningEnvironment, prepare_trainer

    from wwdc.training.loop import Distributed
    from wwdc.tune.trial import complete
    from wwdc.tune.wishes import Wishes

    context = ray.train.get_context()
    distributed = Distributed(
        strategy=RayDDPStrategy(),
        plugins=[RayLightningEnvironment()],
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        prepare=prepare_trainer,
        share=broadcast_from_rank_zero,
    )
    spec: TrialSpec = config["spec"]
    wishes = Wishes(spec, watched=config["watch"])

    def report(row: dict[str, float]) -> "Wish | None":
        ray.train.report(row | {"epoch": row["epoch"] + 1})
        return wishes() if distributed.rank == 0 else None

    try:
        ended = complete(spec, report, distributed)
        return {"status": ended.status, "metrics": ended.metrics}
    except Paused:
        return {"paused": True}
    except ConfigError as error:
        return {"refused": str(error)}
    except WWDCError as error:
        return {"error": str(error)}
