"""Data-parallel training of one point: Lightning under Ray Train's TorchTrainer."""

__all__ = ["fit_workers"]

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwdc.errors import ConfigError, WWDCError

if TYPE_CHECKING:
    from wwdc.tune.trial import TrialSpec


def fit_workers(
    spec: "TrialSpec",
    *,
    num_workers: int,
    resources: dict[str, float],
    storage: Path,
    max_failures: int,
) -> dict[str, Any]:
    """Run a TorchTrainer for *spec* inside a Tune trial; the first rank's metrics come back.

    Every epoch's metrics reach Tune through Ray's `TuneReportCallback`. Each worker resumes from
    the point's own last checkpoint, so a restarted worker group goes on where it was.

    Returns:
        ``{"metrics": …}`` or, for a fault that a retry would repeat, ``{"error": message}``.

    Raises:
        ConfigError: what the first epoch showed to be wrong.
    """
    import ray.train
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    gpus = float(resources.get("gpu") or 0)
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"spec": spec},
        scaling_config=ray.train.ScalingConfig(
            num_workers=num_workers,
            use_gpu=gpus > 0,
            resources_per_worker={"CPU": float(resources.get("cpu") or 1)}
            | ({"GPU": gpus} if gpus else {}),
        ),
        run_config=ray.train.RunConfig(
            name=spec.point_id,
            storage_path=str(storage),
            failure_config=ray.train.FailureConfig(max_failures=max_failures),
            callbacks=[TuneReportCallback()],
        ),
    )
    returned = dict(trainer.fit().return_value or {})
    if "refused" in returned:
        raise ConfigError(returned["refused"])
    return returned


def _worker(config: dict[str, Any]) -> dict[str, Any]:
    import ray.train
    from ray.train.lightning import RayDDPStrategy, RayLightningEnvironment, prepare_trainer

    from wwdc.training.loop import Distributed
    from wwdc.tune.trial import complete

    context = ray.train.get_context()
    distributed = Distributed(
        strategy=RayDDPStrategy(),
        plugins=[RayLightningEnvironment()],
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        prepare=prepare_trainer,
    )
    report: Callable[[dict[str, float]], None] = ray.train.report
    try:
        return {"metrics": complete(config["spec"], report, distributed)}
    except ConfigError as error:
        return {"refused": str(error)}
    except WWDCError as error:
        return {"error": str(error)}
