import pytest

from wwdc.config import ParsedAxis, load
from wwdc.config.overrides import hydra_text, parse_axis, parse_override
from wwdc.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=1,2", [1, 2]),
        ("+a=1e-3,1e-4", [1e-3, 1e-4]),
        ("++a=[b],[c]", [["b"], ["c"]]),
        ('a=["b","c"], ["d"]', [["b", "c"], ["d"]]),
        ("a=range(1,7,2)", [1, 3, 5]),
        ("a=range(0,1,0.5)", [0.0, 0.5]),
        ("a=shuffle(range(3))", [0, 1, 2]),
        ("a=shuffle(3,1,2)", [3, 1, 2]),
        ("a=sort(3,1,2)", [1, 2, 3]),
        ("a=grid(1,2)", [1, 2]),
        ("a=grid_search([1,2])", [1, 2]),
        ("a=grid([1,2],[3])", [[1, 2], [3]]),
        ("a={b:1},{b:2}", [{"b": 1}, {"b": 2}]),
    ],
)
def test_listed_values(text, values):
    override = parse_override(text)
    assert override.swept
    assert (override.key, override.values, override.space) == ("a", values, None)


@pytest.mark.parametrize(
    ("text", "values"),
    [("choice(relu, 2, true)", ["relu", 2, True]), ("tag(note, choice(1,2))", [1, 2])],
)
def test_a_choice_is_a_list_and_a_space(text, values):
    override = parse_override(f"a={text}")
    assert (override.values, override.space) == (values, text)


@pytest.mark.parametrize(
    "space",
    [
        "interval(0, 1)",
        "tag(log, interval(1e-5, 1e-2))",
        "loguniform(1e-5, 1e-2)",
        "uniform(0, 1)",
        "quniform(0, 1, 0.1)",
        "qloguniform(1e-4, 1e-1, 5e-5)",
        "randint(1, 9)",
        "qrandint(0, 9, 3)",
        "lograndint(1, 100)",
        "randn(0, 1)",
        "qrandn(0, 1, 0.5)",
        "qlograndint(2, 64, 2)",
    ],
)
def test_spaces_stay_as_written(space):
    override = parse_override(f"lightning_loader.lr={space}")
    assert (override.values, override.space) == (None, space)
    assert parse_axis("+lr", space, where="here") == ParsedAxis("lr", None, space, "here")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a=1e-3", 1e-3),
        ("a=null", None),
        ("a=[1,2]", [1, 2]),
        ("a='b, c'", "b, c"),
        ("a=/data/x y", "/data/x y"),
        ("hydra.job.id=5240735_2", "5240735_2"),
        ("+meta.experiment_id=1_0", "1_0"),
        ("a=${b.c}", "${b.c}"),
        ("a=loguniform", "loguniform"),
    ],
)
def test_single_values(text, value):
    override = parse_override(text)
    assert not override.swept
    assert override.value == value


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        1e-5,
        "b",
        'it\'s, \\ "so"',
        "5_2",
        ["b", ["c"]],
        {"a": [1, "x, y"]},
        "null",
        [],
    ],
)
def test_hydra_text_is_read_back(value):
    assert parse_axis("key", hydra_text(value), where="").values == [value]


def test_overrides_of_an_experiment(outline):
    composed = load(
        outline,
        [
            "lightning_loader.lr=1e-3,1e-4",
            "x_ds.drop_variables=[b],[r]",
            "+seed=7",
            "trainer.max_epochs=3",
            "lightning_loader.beta_init=uniform(0, 1)",
            "+lightning_loader.ema_decay=0.9",
        ],
    )
    assert [(a.key, a.values, a.space) for a in composed.swept_overrides] == [
        ("lightning_loader.lr", [1e-3, 1e-4], None),
        ("data.x_ds.drop_variables", [["b"], ["r"]], None),
        ("lightning_loader.beta_init", None, "uniform(0, 1)"),
    ]
    assert composed.fixed_overrides == {
        "seed": 7,
        "trainer.max_epochs": 3,
        "lightning_loader.ema_decay": 0.9,
    }
    config = composed.resolve({})
    assert config["seed"] == 7
    assert config["lightning_loader"]["ema_decay"] == 0.9


def test_seed_with_several_values(outline):
    (axis,) = load(outline, ["seed=1,2"]).swept_overrides
    assert (axis.key, axis.values) == ("seed", [1, 2])


def test_find_key(outline):
    composed = load(outline)
    assert composed.find_key("x_ds.drop_variables") == "data.x_ds.drop_variables"
    assert composed.find_key("data.x_ds.views") == "data.x_ds.views"
    with pytest.raises(ConfigError, match=r"Did you mean 'x_ds.drop_variables'"):
        composed.find_key("x_ds.drop_varables")


def test_natural_values_and_spaces_in_sweeps(outline, edit):
    (outline / "sweeps.yaml").write_text(
        "sweeps:\n"
        "  a: {param: x_ds.drop_variables, val: [b, angle]}\n"
        "  b: {param: x_ds.drop_variables, val: '[r, g]'}\n"
        "  c: {param: lightning_loader.lr, val: 1e-3, description: 5}\n"
        "  d: {param: lightning_loader.lr, space: 'loguniform(1e-5, 1e-2)', when: seed > 1}\n"
        "  e: {param: trainer_ckpt_path, val: null}\n"
        "seeds: [1, 2]\n"
    )
    path = outline / "train.yaml"
    path.write_text(
        path.read_text().partition("  sweeper:")[0]
        + "  sweeper:\n    params:\n"
        + "      +data.x_ds.drop_variables: ${....sweeps.a.val}, ${....sweeps.b.val}\n"
        + "      x_ds.views: ${....sweeps.c.val}\n"
        + "      lightning_loader.lr: ${....sweeps.d.val}\n"
        + "      seed: [3, 4]\n"
        + "      +new.key: 1\n"
    )
    composed = load(outline)
    assert composed.seeds == [1, 2]
    assert {name: entry.val for name, entry in composed.sweeps.items()} == {
        "a": ["b", "angle"],
        "b": ["r", "g"],
        "c": 1e-3,
        "d": None,
        "e": None,
    }
    assert composed.sweeps["d"].space == "loguniform(1e-5, 1e-2)"
    assert [(a.key, a.values, a.space) for a in composed.sweeper] == [
        ("data.x_ds.drop_variables", [["b", "angle"], ["r", "g"]], None),
        ("data.x_ds.views", [1e-3], None),
        ("lightning_loader.lr", None, "loguniform(1e-5, 1e-2)"),
        ("seed", [3, 4], None),
        ("new.key", [1], None),
    ]


def test_seeds_alone_is_a_sweep(outline):
    (outline / "sweeps.yaml").write_text("seeds: [42, 43]\n")
    path = outline / "train.yaml"
    path.write_text(path.read_text().partition("hydra:\n")[0])
    composed = load(outline)
    assert (composed.sweeps, composed.seeds, composed.sweeper) == ({}, [42, 43], None)
