"""From planted embeddings to verdicts, through the real probes, controls and corrections."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import REPOSITORY
from tests.stats.planted import planted
from wwdc.config import load_stage
from wwdc.embed.published import Embedding, Fault
from wwdc.stats.evaluate import Tables, evaluate
from wwdc.stats.settings import Suite, read_suite
from wwdc.stats.store import Store
from wwdc.stats.units import plan_units
from wwdc.stats.work import run_unit

QUICK = (
    "~tests.probes.mlp",
    "~tests.probes.boosting",
    "tests.permutations=199",
    "tests.bootstraps=199",
    "tests.curves=null",
    "tests.independence=null",
    "tests.two_sample=null",
    "tests.conditional=null",
    "tests.base=null",
)


@pytest.fixture(scope="module")
def suite() -> Suite:
    return read_suite(load_stage(REPOSITORY / "experiments" / "digits_flow", QUICK).composed)


def tables(suite: Suite, *embeddings: Embedding, faults: tuple[Fault, ...] = ()) -> Tables:
    units = plan_units(suite, embeddings)
    return evaluate(suite, units, {unit.id: run_unit(unit) for unit in units}, faults)


def verdicts(found: Tables, space: str = "u") -> dict[str, str]:
    rows = found.verdicts[found.verdicts["space"] == space]
    return dict(zip(rows["variable"], rows["verdict"], strict=True))


def test_what_was_planted_is_found(suite, tmp_path):
    found = tables(suite, planted(tmp_path, dropped=("size",)))
    assert verdicts(found) == {"colour": "removed", "size": "present", "kind": "removed"}
    assert found.fault == ""
    row = found.verdicts.set_index(["space", "variable"]).loc[("u", "size")]
    assert row["effect"] > 0.8 and row["ci_low"] < row["effect"] < row["ci_high"]
    assert not row["conditioned"] and row["n"] == 900


def test_a_planted_leak_is_caught(suite, tmp_path):
    found = tables(suite, planted(tmp_path, dropped=("size",), leaks=("kind",)))
    assert verdicts(found) == {"colour": "removed", "size": "present", "kind": "leaks"}


def test_a_dropped_variable_that_is_gone_is_removed_not_present(suite, tmp_path):
    embedding = planted(tmp_path, dropped=())
    found = tables(suite, replace(embedding, dropped=("size",)))
    assert verdicts(found)["size"] == "removed"


def test_controls_are_in_the_table_once_a_family(suite, tmp_path):
    two = [planted(tmp_path, name=f"1_{k}", seed=k) for k in (1, 2)]
    found = tables(suite, *two)
    assert {"z", "normal", "shuffled"} <= set(found.verdicts["space"])
    controls = found.verdicts[found.verdicts["space"] == "z"]
    assert len(controls) == 3 and controls["point_id"].isna().all()
    assert set(verdicts(found, "z").values()) == {"present"}
    assert "present" not in verdicts(found, "normal").values()


def test_a_floor_that_fails_takes_all_verdicts(suite, tmp_path, monkeypatch):
    monkeypatch.setattr("wwdc.stats.work._shuffled", lambda table, groups, rng: table)
    found = tables(suite, planted(tmp_path))
    assert "shuffled" in found.fault
    assert set(verdicts(found).values()) == {"not tested"}


def test_seeds_are_summed_up_and_disagreement_is_undecided(suite, tmp_path):
    agree = [planted(tmp_path, name=f"1_{k}", seed=k) for k in (1, 2, 3)]
    found = tables(suite, *agree).summary.set_index(["space", "variable"])
    assert found.loc[("u", "size"), ["verdict", "seeds", "agree"]].tolist() == ["present", 3, 3]
    assert found.loc[("u", "size"), "effect_ci_low"] < found.loc[("u", "size"), "effect"]
    other = replace(planted(tmp_path, name="1_9", seed=9, leaks=("kind",)), sweep=agree[0].sweep)
    mixed = tables(suite, *agree[:2], other).summary.set_index(["space", "variable"])
    assert mixed.loc[("u", "kind"), "verdict"] == "undecided"
    assert "seeds disagree: removed 2, leaks 1" in mixed.loc[("u", "kind"), "reason"]


def test_a_constant_and_an_unknown_variable_are_not_tested(suite, tmp_path):
    spoil = {"colour": np.full(900, 0.5), "size": np.full(900, np.nan)}
    found = tables(suite, planted(tmp_path, spoil=spoil))
    assert verdicts(found)["colour"] == verdicts(found)["size"] == "not tested"
    reasons = found.verdicts[found.verdicts["space"] == "u"].set_index("variable")["reason"]
    assert "constant" in reasons["colour"]
    assert "no valid value" in reasons["size"]


def test_a_split_that_is_not_embedded_is_named(suite, tmp_path):
    embedding = planted(tmp_path)
    only_train = replace(embedding, files={"train": embedding.files["train"]})
    found = tables(suite, only_train)
    assert set(found.tests["status"]) == {"not tested"}
    assert found.tests["reason"].str.contains(r"splits=\[test\]").all()
    assert set(found.verdicts["verdict"]) == {"not tested"}


def test_one_split_alone_is_divided_by_object(suite, tmp_path):
    embedding = planted(tmp_path)
    alone = replace(embedding, files={"test": embedding.files["test"]})
    found = tables(suite, alone)
    assert verdicts(found)["size"] == "present"
    probes = found.tests[(found.tests["space"] == "u") & (found.tests["test"] == "linear")]
    assert set(probes["n"] + probes["n_fit"]) == {900}


def test_nothing_is_removed_where_a_probe_failed(suite, tmp_path):
    units = plan_units(suite, [planted(tmp_path)])
    outcomes = {u.id: run_unit(u) for u in units if (u.name, u.space) != ("knn", "u")}
    found = evaluate(suite, units, outcomes, ())
    assert verdicts(found) == {"colour": "undecided", "size": "present", "kind": "undecided"}
    assert found.verdicts["reason"].str.contains("failed.*knn").sum() == 2


def test_of_a_vae_the_latents_themselves_are_tested(suite, tmp_path):
    embedding = planted(tmp_path)
    columns = tuple(c for c in embedding.columns if not c.startswith("u"))
    found = tables(suite, replace(embedding, columns=columns, dropped=()))
    assert verdicts(found, "z") == {"colour": "present", "size": "present", "kind": "present"}
    assert set(found.verdicts["space"]) == {"z", "normal", "shuffled"}
    assert set(found.summary["space"]) == {"z"}
    assert found.verdicts["conditioned"].isna().all()


def test_scores_along_the_flow_have_spaces_of_their_own(suite, tmp_path):
    found = tables(suite, planted(tmp_path, times=(0.25, 0.5)))
    assert verdicts(found) == {"colour": "removed", "size": "present", "kind": "removed"}
    for space in ("u_t0.25", "u_t0.5"):  # where nothing has been removed yet
        assert verdicts(found, space) == {"colour": "leaks", "size": "present", "kind": "leaks"}


def test_folds_score_every_object_of_the_split(tmp_path):
    folder = REPOSITORY / "experiments" / "digits_flow"
    folded = read_suite(load_stage(folder, [*QUICK, "tests.folds=3"]).composed)
    found = tables(folded, planted(tmp_path, objects=450))
    assert verdicts(found) == {"colour": "removed", "size": "present", "kind": "removed"}
    probes = found.tests[found.tests["space"] == "u"]
    assert set(probes["n"]) == {450} and set(probes["n_fit"]) == {300}


def test_an_embedding_that_cannot_be_used_has_a_row(suite, tmp_path):
    lost = Fault("p", "c", "s", 3, tmp_path / "x.parquet", "it is not Parquet", True)
    found = tables(suite, planted(tmp_path), faults=(lost,))
    row = found.verdicts[found.verdicts["point_id"] == "p"].iloc[0]
    assert row["verdict"] == "not tested" and "x.parquet" in row["reason"]


def test_p_values_are_adjusted_over_the_grid(suite, tmp_path):
    found = tables(suite, *(planted(tmp_path, name=f"1_{k}", seed=k) for k in (1, 2)))
    probes = found.tests[found.tests["space"] == "u"].dropna(subset=["p_value"])
    assert (probes["q_value"] >= probes["p_value"] - 1e-12).all()
    assert (probes["q_value"] > probes["p_value"]).any()


def test_outcomes_are_kept_and_found_again(suite, tmp_path):
    embedding = planted(tmp_path)
    units = plan_units(suite, [embedding])
    store = Store(tmp_path / "store")
    for unit in units:
        store.save(unit.id, run_unit(unit))
    again = store.loaded(unit.id for unit in units)
    assert len(again) == len(units)
    first = evaluate(suite, units, {unit.id: run_unit(unit) for unit in units}, ())
    pd.testing.assert_frame_equal(first.verdicts, evaluate(suite, units, again, ()).verdicts)
    next(Path(store.folder).iterdir()).write_bytes(b"damaged")
    assert len(store.loaded(unit.id for unit in units)) == len(units) - 1


def test_a_units_id_names_its_figures_not_its_place(suite, tmp_path):
    here, there = planted(tmp_path / "a"), planted(tmp_path / "b")
    ids = [[unit.id for unit in plan_units(suite, [e])] for e in (here, there)]
    assert ids[0] == ids[1]
    other = replace(here, sha256={split: "changed" for split in here.sha256})
    assert not set(ids[0]) & {unit.id for unit in plan_units(suite, [other])}
