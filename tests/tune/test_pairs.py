"""Which searcher, scheduler and engine go together: allowed pairs run, others are refused."""

import json

import pytest

from tests.conftest import flow_experiment
from tests.tune.test_plan import plan_of
from wwdc.errors import ConfigError
from wwdc.products import Tree
from wwdc.products.verify import verify
from wwdc.tune.__main__ import main

LR = "lightning_loader.lr"
LISTED = f"{LR}=1e-3,1e-2"
SEARCHED = f"{LR}=loguniform(1e-4,1e-2)"
ONE = ("data.x_ds.drop_variables=[b]", "seed=1")
SAMPLERS = ("tpe", "gp", "qmc", "nsga2", "cmaes")

ALLOWED = [
    *(("grid", "", scheduler) for scheduler in ("fifo", "asha", "hyperband", "median")),
    *(("random", "", scheduler) for scheduler in ("fifo", "asha", "hyperband", "median", "pbt")),
    *(("optuna", s, scheduler) for s in SAMPLERS for scheduler in ("fifo", "asha", "median")),
]
REFUSED = [
    ((LISTED, "tune.scheduler=pbt"), "nothing is searched"),
    ((LISTED, "tune.searcher=random"), "nothing is searched"),
    ((LISTED, "tune.searcher=optuna"), "nothing is searched"),
    ((LISTED, "tune.num_samples=3"), "nothing is searched"),
    ((SEARCHED, "tune.searcher=grid"), "grid cannot list"),
    ((SEARCHED, "tune.searcher=optuna", "tune.scheduler=hyperband"), "bracket"),
    ((SEARCHED, "tune.searcher=optuna", "tune.scheduler=pbt"), "chooses the values itself"),
    ((SEARCHED, "tune.searcher=optuna", "data.x_ds.drop_variables=[b],[r]"), "has listed values"),
    ((SEARCHED, "tune.scheduler=hyperband", "tune.engine=torch"), "TorchTrainer"),
    ((SEARCHED, "tune.scheduler=pbt", "tune.num_samples=4", "tune.engine=torch"), "TorchTrainer"),
    ((SEARCHED, "tune.scheduler=pbt", "tune.num_samples=4", "tune.num_workers=2"), "TorchTrainer"),
    ((SEARCHED, "tune.scheduler=pbt"), "population"),
    ((SEARCHED, "tune.scheduler=pbt", "tune.num_samples=4", "seed=1,2"), "one seed"),
    (
        (
            "lightning_loader.flow.transforms=randint(1,4)",
            "tune.scheduler=pbt",
            "tune.num_samples=4",
        ),
        "cannot change while a point trains",
    ),
    ((f"{LR}=randn(0.01,0.001)", "tune.searcher=optuna"), "no bounds"),
    (
        (
            SEARCHED,
            "tune.searcher=optuna",
            "tune.metric=[val_loss,train_loss]",
            "tune.sampler=cmaes",
        ),
        "one objective",
    ),
    ((SEARCHED, "tune.metric=[val_loss,train_loss]", "tune.scheduler=asha"), "one metric"),
    ((SEARCHED, "tune.metric=[val_loss,train_loss]", "tune.mode=[min,min,max]"), "as many as"),
    ((LISTED, "tune.scheduler=asha", "tune.grace_period=9"), "tune.grace_period"),
    ((LISTED, "tune.scheduler=asha", "trainer.max_epochs=-1"), "trainer.max_epochs"),
    ((LISTED, "tune.scheduler=hyperbnad"), "Did you mean 'hyperband'"),
]


@pytest.mark.parametrize(("overrides", "reason"), REFUSED)
def test_what_cannot_work_together_is_refused_with_the_reason(
    tmp_path, data_root, overrides, reason
):
    given = [text for text in ONE if not any(o.startswith(text[:5]) for o in overrides)]
    with pytest.raises(ConfigError) as caught:
        plan_of(flow_experiment(tmp_path), *given, *overrides)
    assert reason in str(caught.value)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(("searcher", "sampler", "scheduler"), ALLOWED)
def test_what_can_runs(vae_root, tmp_path, capsys, searcher, sampler, scheduler):
    """Three samples (or two listed values) of a tiny flow, one at a time, three epochs."""
    argv = [
        str(flow_experiment(tmp_path)),
        *ONE,
        LISTED if searcher == "grid" else SEARCHED,
        f"tune.searcher={searcher}",
        f"tune.scheduler={scheduler}",
        *([f"tune.sampler={sampler}"] if sampler else []),
        *(["tune.num_samples=3"] if searcher != "grid" else []),
        "trainer.max_epochs=3",
        "tune.max_concurrent=1",
    ]
    assert main(argv) == 0
    capsys.readouterr()
    assert main([*argv, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["num_points"] == (2 if searcher == "grid" else 3)
    statuses = {point["status"] for point in document["points"]}
    assert statuses <= ({"done"} if scheduler in ("fifo", "pbt") else {"done", "stopped"})
    tree = Tree(vae_root, "DIGITS", "FLOW")
    assert len(tree.products()) == document["num_points"]
    assert not [problem for problem in verify(tree) if problem.broken]
    assert not list(tree.points.glob("*/*.ckpt"))
