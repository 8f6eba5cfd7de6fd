"""One flow for a whole sweep: the plan of an experiment with condition_dropout, and its product."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import wwdc
from tests.conftest import REPOSITORY, SWEEPS, flow_experiment, vae_experiment
from wwdc.config import load
from wwdc.data.digits import Digits
from wwdc.errors import ConfigError, ProductError
from wwdc.models.weights import read_checkpoint
from wwdc.products import Tree
from wwdc.products.export import export, read_export, vae_of
from wwdc.training.load import load_flow
from wwdc.tune.__main__ import main
from wwdc.tune.plan import Plan, make_plan

DROPS = "data.x_ds.drop_variables"
RATE = "lightning_loader.condition_dropout"
MASKED = f"+{RATE}=0.5"
ALL = ("r", "g", "b", "angle", "scale", "digit")


def plan_of(folder: Path, *overrides: str) -> Plan:
    composed = load(folder, overrides)
    tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
    return make_plan(composed, tree)


def ids(plan: Plan) -> list[str]:
    return [point.point_id for point in plan.points]


def drops(plan: Plan) -> list[tuple[str | None, list[str]]]:
    return [(drop.sweep, drop.value) for drop in plan.axes.drops]


@pytest.mark.parametrize("name", ["RGBMNIST", "digits"])
def test_shipped_experiments_train_a_point_a_seed_for_four_drop_sets(name, data_root, capsys):
    upper = name.isupper()
    plain, masked = (f"{name}_{w if upper else w.lower()}" for w in ("FLOW", "MASKED"))
    plan = plan_of(REPOSITORY / "experiments" / masked)
    assert [point.overrides for point in plan.points] == [{"seed": s} for s in (42, 43, 44)]
    assert len(set(ids(plan))) == 3
    assert len({point.config_id for point in plan.points}) == 1
    assert all(point.config["data"]["x_ds"]["drop_variables"] == [] for point in plan.points)
    separate = plan_of(REPOSITORY / "experiments" / plain)
    assert separate.axes.drops == ()
    (axis,) = separate.axes.listed
    assert drops(plan) == [(choice.sweep, choice.value) for choice in axis.choices]
    assert len(plan.axes.drops) == 4
    assert plan.axes.drops[0].description.startswith("Drop b")
    (notice,) = [text for text in plan.notices if "when embedding" in text]
    assert notice.startswith(f"4 named sweeps of {DROPS} (sweep_1, sweep_2, sweep_3, sweep_4) are")
    assert main([str(REPOSITORY / "experiments" / masked), "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["num_points"] == 3
    assert [drop["sweep"] for drop in document["drops"]] == [f"sweep_{k}" for k in (1, 2, 3, 4)]


def test_drop_sets_change_no_id(tmp_path, data_root):
    folder = flow_experiment(tmp_path)
    plan = plan_of(folder, MASKED)
    assert drops(plan) == [("only_b", ["b"]), ("only_digit", ["digit"])]
    named = plan_of(folder, MASKED, f"{DROPS}=[b]")
    assert drops(named) == [("only_b", ["b"])]
    other = plan_of(folder, MASKED, f"{DROPS}=[r,g]")
    assert drops(other) == [(None, ["r", "g"])]
    assert ids(named) == ids(other) == ids(plan)
    assert len(ids(plan)) == 2
    assert not {*ids(plan)} & {*ids(plan_of(folder, f"{DROPS}=[]"))}
    assert ids(plan) != ids(plan_of(folder, f"+{RATE}=0.25"))


def test_one_drop_set_without_sweeps(tmp_path, data_root):
    folder = flow_experiment(tmp_path, sweeps={})
    fixed = plan_of(folder, MASKED, f"{DROPS}=[b,angle]")
    assert drops(fixed) == [(None, ["b", "angle"])]
    assert any(text.startswith("1 drop set of") for text in fixed.notices)
    none = plan_of(folder, MASKED)
    assert none.axes.drops == ()
    assert ids(none) == ids(fixed)
    assert fixed.points[0].config["data"]["x_ds"]["drop_variables"] == []


def test_a_rate_of_zero_is_an_ordinary_flow(tmp_path, data_root):
    folder = flow_experiment(tmp_path)
    plain = plan_of(folder)
    for rate in ("0", "0.0"):
        zero = plan_of(folder, f"+{RATE}={rate}")
        assert ids(zero) == ids(plain)
        assert zero.axes.drops == ()
    assert len(plain.points) == 4


def test_other_axes_and_searches_stay(tmp_path, data_root):
    folder = flow_experiment(tmp_path)
    plan = plan_of(folder, MASKED, "lightning_loader.lr=1e-3,1e-4")
    assert (len(plan.points), len(plan.axes.drops)) == (4, 2)
    search = ("tune.searcher=optuna", "tune.num_samples=3", "lightning_loader.lr=interval(0.1,1)")
    plan = plan_of(folder, MASKED, *search)
    assert (plan.to_ask, len(plan.axes.drops)) == (3, 2)


def test_rates_are_compared_with_everything_kept(tmp_path, data_root):
    folder = flow_experiment(tmp_path, sweeps={}, seeds=[1])
    plan = plan_of(folder, f"+{RATE}=0.0,0.3,0.5")
    assert len(set(ids(plan))) == 3
    assert plan.axes.drops == ()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((f"+{RATE}=0.3,0.5",), r"swept together with data\.x_ds\.drop_variables: .*=0\.5, or"),
        (
            (f"+{RATE}=interval(0.1,0.5)", "tune.searcher=random"),
            r"swept together with data\.x_ds\.drop_variables",
        ),
        ((f"+{RATE}=0.0,0.5", f"{DROPS}=[b]"), "swept together"),
        (
            (MASKED, f"{DROPS}=choice([b],[digit])", "tune.searcher=random", "tune.num_samples=2"),
            r"cannot be searched\. List its values as named sweeps",
        ),
        ((MASKED, f"{DROPS}=[angel]"), r"drop_variables: .*'angle'"),
        ((MASKED, f"{DROPS}=[b,angle],[angle,b]"), "drops the same variables as"),
        ((MASKED, "+lightning_loader.flow.context=15"), r"digit 10 \+ bits 6 .* = 21"),
    ],
)
def test_what_cannot_be_planned_says_why(tmp_path, data_root, overrides, message):
    with pytest.raises(ConfigError, match=message):
        plan_of(flow_experiment(tmp_path), *overrides)


@pytest.mark.parametrize(
    ("sweeps", "message"),
    [
        (
            {**SWEEPS, "only_b": {**SWEEPS["only_b"], "when": "lightning_loader.lr > 0"}},
            "a sweep of .* has a condition",
        ),
        (
            {
                **SWEEPS,
                "lr": {
                    "param": "lightning_loader.lr",
                    "val": 0.1,
                    "description": "fast",
                    "when": 'data.x_ds.drop_variables != "b"',
                },
            },
            r"a condition \(when\) of lightning_loader\.lr reads",
        ),
    ],
)
def test_conditions_and_drop_sets_do_not_mix(tmp_path, data_root, sweeps, message):
    with pytest.raises(ConfigError, match=message):
        plan_of(flow_experiment(tmp_path, sweeps=sweeps), MASKED)


def test_the_right_context_may_be_written(tmp_path, data_root):
    folder = flow_experiment(tmp_path)
    written = plan_of(folder, MASKED, "+lightning_loader.flow.context=21")
    assert len(written.points) == 2


def test_a_vae_has_no_conditions_to_drop(data_root, tmp_path, capsys):
    assert main([str(vae_experiment(tmp_path)), MASKED]) == 2
    assert "unknown argument 'condition_dropout'" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.ray
def test_retention_is_no_objective_of_a_masked_flow(vae_root, ray_session, tmp_path, capsys):
    folder = str(flow_experiment(tmp_path, seeds=[1]))
    assert main([folder, MASKED, "tune.metric=retention.min", "tune.mode=max"]) == 2
    assert "measured with every variable given" in capsys.readouterr().err.replace("\n", " ")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, trained_vae):
    """A DATA_ROOT with one masked flow whose leakage is measured too."""
    parent = tmp_path_factory.mktemp("masked")
    shutil.copytree(trained_vae, parent / "root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(parent / "root"))
        folder = flow_experiment(parent)
        assert main([str(folder), MASKED, "seed=1", "tune.metric=leakage.max"]) == 0
    return parent / "root"


@pytest.mark.ray
def test_one_point_is_trained_and_measured_with_everything_given(trained):
    (product,) = Tree(trained, "DIGITS", "FLOW").products()
    info = product.info
    assert info.config["data"]["x_ds"]["drop_variables"] == []
    assert info.overrides == {"seed": 1}
    measured = {name for name in info.metrics if name.startswith(("leakage", "retention"))}
    assert measured == {f"leakage.{name}" for name in (*ALL, "max")}
    state = read_checkpoint(product.path)["state_dict"]
    assert state["context_groups"].tolist() == [0, 1, 2, 3, 4] + 10 * [5]


@pytest.mark.ray
def test_an_export_takes_masks_as_the_checkpoint_does(trained, tmp_path):
    tree = Tree(trained, "DIGITS", "FLOW")
    (product,) = tree.products()
    export(product, tmp_path / "out", tree)
    module = wwdc.load(tmp_path / "out")
    vae = vae_of(product, trained)
    other = load_flow(product.path, product.info.config["lightning_loader"], vae)
    dataset = Digits(views=1)
    x, context = dataset.images("test", torch.arange(8)), dataset.context("test")[:8]
    z, context = module.vae.encode(x)[0], torch.from_numpy(context)
    for told in (None, torch.tensor([name != "b" for name in ALL]), torch.zeros(6).bool()):
        one, same = (m.ema.to_base(z, m.condition(context, told)) for m in (module, other))
        assert all(torch.equal(*pair) for pair in zip(one, same, strict=True))
    described = read_export(tmp_path / "out")
    assert [known.name for known in described.kept] == list(ALL)
    assert described.dropped == []
    assert described.lightning_loader["flow"]["context"] == 21
    assert described.lightning_loader["condition_dropout"] == 0.5


@pytest.mark.ray
def test_an_export_without_its_groups_does_not_load(trained, tmp_path):
    tree = Tree(trained, "DIGITS", "FLOW")
    (product,) = tree.products()
    export(product, tmp_path / "out", tree)
    path = tmp_path / "out" / "model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if k != "context_groups"}, path)
    with pytest.raises(ProductError, match="context_groups is missing"):
        wwdc.load(tmp_path / "out")
