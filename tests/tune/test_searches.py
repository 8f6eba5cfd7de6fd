"""Searches on a real Ray: they grow, resume, learn from the tree, replicate, stop and exchange."""

import json

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import wwdc
from tests.conftest import flow_experiment
from wwdc.products import Tree
from wwdc.products.verify import verify
from wwdc.tune.__main__ import main
from wwdc.tune.asking import JOURNAL

pytestmark = pytest.mark.ray
slow = pytest.mark.slow

LR = "lightning_loader.lr"
ONE = "data.x_ds.drop_variables=[b]"
SEARCH = f"{LR}=loguniform(1e-4,1e-2)"
SLOTS = "tune.max_concurrent=1"


def tree_of(root) -> Tree:
    return Tree(root, "DIGITS", "FLOW")


def study_of(root) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(tree_of(root).multiruns / JOURNAL)))
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def clean(root) -> bool:
    return not [problem for problem in verify(tree_of(root)) if problem.broken]


def test_an_optuna_search_grows_and_learns_from_the_tree(vae_root, tmp_path, capsys):
    folder = flow_experiment(tmp_path)
    assert main([str(folder), ONE, "seed=1", f"{LR}=2e-3,3e-3"]) == 0  # lies in the space
    argv = [str(folder), ONE, "seed=1", SEARCH, "tune.searcher=optuna", SLOTS]
    assert main([*argv, "tune.num_samples=2"]) == 0
    assert len(tree_of(vae_root).products()) == 2  # swept over the same key, they are samples
    assert main([*argv, "tune.num_samples=3"]) == 0
    assert main([*argv, "tune.num_samples=4"]) == 0
    assert len(tree_of(vae_root).products()) == 4
    trials = study_of(vae_root).get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    assert {2e-3, 3e-3} < {trial.params[LR] for trial in trials}
    by_point = {p.info.point_id: p.info.metrics["val_loss"] for p in tree_of(vae_root).products()}
    assert {t.user_attrs["point_id"]: t.value for t in trials} == by_point
    capsys.readouterr()
    assert main([*argv, "tune.num_samples=4"]) == 0
    assert "All 4 points are done; nothing to train" in capsys.readouterr().out
    figures = tree_of(vae_root).path / "figures" / "sweep"
    assert {"importance.svg", "parallel.svg", "sweep.csv"} <= {p.name for p in figures.iterdir()}
    assert clean(vae_root)


@slow
def test_a_point_of_the_space_that_was_not_swept_is_known_but_no_sample(vae_root, tmp_path, capsys):
    folder = flow_experiment(tmp_path)
    assert main([str(folder), ONE, "seed=1"]) == 0  # lr as model.yaml has it, 1e-3
    argv = [str(folder), ONE, "seed=1", SEARCH, "tune.searcher=optuna", SLOTS]
    assert main([*argv, "tune.num_samples=1"]) == 0
    assert len(tree_of(vae_root).products()) == 2
    assert 1e-3 in [trial.params[LR] for trial in study_of(vae_root).get_trials()]


def test_the_best_is_replicated_on_the_other_seeds(vae_root, tmp_path, capsys):
    folder = flow_experiment(tmp_path, seeds=[1, 2, 3])
    argv = [str(folder), ONE, SEARCH, "tune.num_samples=3", SLOTS]
    assert main([*argv, "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["num_points"], document["open"]) == (3, 2)
    assert main(argv) == 0
    frame = wwdc.results(folder, argv[1:])
    assert len(frame) == 5
    first = frame[frame.seed == 1]
    best = first.loc[first.val_loss.idxmin(), "config_id"]
    assert set(frame[frame.seed != 1].config_id) == {best}
    means = wwdc.results(folder, argv[1:], over_seeds=True).set_index("config_id")
    assert means.loc[best, "n"] == 3
    assert means.loc[best, "val_loss_ci_low"] < means.loc[best, "val_loss"]
    capsys.readouterr()
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "All 5 points are done; nothing to train" in out
    assert "±" in out


def test_asha_publishes_what_it_stops(vae_root, tmp_path):
    folder = flow_experiment(tmp_path)
    argv = [str(folder), ONE, "seed=1", f"{LR}=1e-2,3e-3,1e-4,1e-5", "trainer.max_epochs=6"]
    assert main([*argv, "tune.scheduler=asha", "tune.reduction_factor=2", SLOTS]) == 0
    products = tree_of(vae_root).products()
    stopped = [p for p in products if p.info.status == "stopped"]
    assert len(products) == 4
    assert stopped
    for product in stopped:
        assert product.info.metrics["epochs"] < 6
        assert "test_loss" in product.info.metrics
    best = min(products, key=lambda p: p.info.metrics["val_loss"])
    assert best.info.status == "done"
    assert clean(vae_root)
    assert not list(tree_of(vae_root).points.glob("*/*.ckpt"))


@slow
def test_hyperband_pauses_goes_on_and_publishes_what_it_drops(vae_root, tmp_path):
    folder = flow_experiment(tmp_path)
    rates = ",".join(f"{rate:g}" for rate in (1e-2, 5e-3, 3e-3, 1e-3, 5e-4, 1e-4, 5e-5, 1e-5, 1e-6))
    argv = [str(folder), ONE, "seed=1", f"{LR}={rates}", "trainer.max_epochs=9"]
    assert main([*argv, "tune.scheduler=hyperband"]) == 0
    products = tree_of(vae_root).products()
    assert len(products) == 9
    epochs = sorted(int(p.info.metrics["epochs"]) for p in products)
    assert epochs[-1] == 9
    assert epochs[0] < 9
    assert {p.info.status for p in products} == {"done", "stopped"}
    assert all("test_loss" in p.info.metrics for p in products)
    assert clean(vae_root)


@slow
def test_a_population_keeps_its_points_and_writes_down_what_changed(vae_root, tmp_path):
    folder = flow_experiment(tmp_path)
    argv = [str(folder), ONE, "seed=1", f"{LR}=loguniform(1e-6,1e-1)", "tune.num_samples=4"]
    assert main([*argv, "tune.scheduler=pbt", "trainer.max_epochs=8"]) == 0
    products = tree_of(vae_root).products()
    assert len(products) == 4
    changed = [p.info for p in products if p.info.schedule]
    assert changed, "nobody took over anybody's weights"
    ids = {p.info.point_id for p in products}
    for info in changed:
        first, *others = info.schedule["steps"]
        assert first["epoch"] == 0
        assert any(step["from"] in ids for step in others if "from" in step)
        assert all(1e-6 <= step["values"][LR] <= 1e-1 for step in info.schedule["steps"])
        assert info.overrides[LR] == info.config["lightning_loader"]["lr"] or others
    assert {p.info.metrics["epochs"] for p in products} == {8.0}
    frame = wwdc.results(folder, [*argv[1:], "tune.scheduler=pbt", "trainer.max_epochs=8"])
    assert set(frame.status) == {"done"}
    assert clean(vae_root)
    assert not list(tree_of(vae_root).multiruns.glob("*/ray/*/checkpoint_*"))


@slow
def test_leakage_and_retention_as_objectives_give_a_front(vae_root, tmp_path, capsys):
    folder = flow_experiment(tmp_path)
    metrics = ["tune.metric=[leakage.max,retention.min]", "tune.mode=[min,max]"]
    argv = [str(folder), ONE, "seed=1", SEARCH, *metrics, "tune.searcher=optuna", SLOTS]
    assert main([*argv, "tune.num_samples=3", "tune.sampler=nsga2"]) == 0
    assert "Pareto front" in capsys.readouterr().out
    assert (tree_of(vae_root).path / "figures" / "sweep" / "pareto.csv").is_file()
    for product in tree_of(vae_root).products():
        assert {"leakage.max", "leakage.digit", "retention.b"} <= set(product.info.metrics)
    assert {len(trial.values) for trial in study_of(vae_root).get_trials()} == {2}


@slow
def test_asha_by_leakage_measured_every_second_epoch(vae_root, tmp_path):
    folder = flow_experiment(tmp_path)
    argv = [str(folder), ONE, "seed=1", f"{LR}=1e-2,1e-4,1e-6", "trainer.max_epochs=4", SLOTS]
    science = ["tune.metric=leakage.max", "tune.probe_every=2", "tune.scheduler=asha"]
    assert main([*argv, *science]) == 0
    tree = tree_of(vae_root)
    assert len(tree.products()) == 3
    text = (tree.metrics / f"{tree.products()[0].info.job}.csv").read_text().splitlines()
    column = text[0].split(",").index("leakage.max")
    assert [bool(line.split(",")[column]) for line in text[1:3]] == [False, True]


@slow
def test_a_failing_sample_is_told_and_does_not_stop_the_search(vae_root, tmp_path, capsys):
    folder = flow_experiment(tmp_path)
    argv = [str(folder), ONE, "seed=1", f"{LR}=choice(1e-3,1e30)", "tune.searcher=optuna", SLOTS]
    assert main([*argv, "tune.num_samples=2"]) == 1
    out = capsys.readouterr().out
    assert "1 of 2 done" in out
    assert "failed: #" in out
    states = sorted(trial.state.name for trial in study_of(vae_root).get_trials())
    assert states == ["COMPLETE", "FAIL"]


def test_a_leakage_metric_of_a_vae_is_refused(data_root, tmp_path, capsys):
    from tests.conftest import vae_experiment

    assert main([str(vae_experiment(tmp_path)), "tune.metric=leakage.max"]) == 2
    assert "leakage and retention" in capsys.readouterr().err
