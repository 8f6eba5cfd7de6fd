"""Experiments that another builds on."""

import pytest

from tests.conftest import flow_experiment, vae_experiment
from wwdc.cluster.job import BatchJob
from wwdc.errors import ProductError
from wwdc.products import Tree
from wwdc.run.needs import forget, make_note, noted, who_makes
from wwdc.run.stages import choose
from wwdc.run.whole import find_whole


@pytest.fixture
def folders(tmp_path, data_root):
    return vae_experiment(tmp_path), flow_experiment(tmp_path)


def test_the_folder_beside_that_names_the_product(folders):
    vae, flow = folders
    assert who_makes("DIGITS/VAE", flow) == vae
    with pytest.raises(ProductError, match=r"DIGITS/OTHER.*--until tune"):
        who_makes("DIGITS/OTHER", flow)


def test_a_missing_vae_is_trained_first(folders, data_root):
    vae, flow = folders
    whole = find_whole(
        flow, ["tune.cpus=1", "lightning_loader.lr=0.1", "tests=quick"], choose(), BatchJob()
    )
    (first,) = whole.first.values()
    assert first.folder == vae and first.overrides == ("tune.cpus=1",)
    assert [survey.tree.name for survey in whole.surveys] == ["DIGITS/VAE", "DIGITS/FLOW"]
    before, own = whole.outlooks(whole.facts())
    assert [row.stage for row in before] == ["prepare", "tune"] and len(own) == 6
    assert not data_root.exists()


def test_a_vae_that_is_there_is_left_alone(vae_root, tmp_path):
    whole = find_whole(flow_experiment(tmp_path), [], choose(), BatchJob())
    assert not whole.first


def test_half_a_vae_that_a_run_began_is_gone_on_with(vae_root, tmp_path):
    """One of its seeds is done: what it is the best of is not decided yet."""
    flow = flow_experiment(tmp_path)
    vae = vae_experiment(tmp_path, seeds=[1, 2])
    assert not find_whole(flow, [], choose(), BatchJob()).first
    tree = Tree(vae_root, "DIGITS", "FLOW")
    make_note(tree, {"DIGITS/VAE": vae})
    assert noted(tree) == {"DIGITS/VAE": str(vae)}
    whole = find_whole(flow, [], choose(), BatchJob())
    assert [s.tree.name for s in whole.first.values()] == ["DIGITS/VAE"]
    forget(tree)
    assert not noted(tree) and not find_whole(flow, [], choose(), BatchJob()).first


def test_from_a_later_stage_nothing_is_trained_first(folders):
    _, flow = folders
    whole = find_whole(flow, [], choose("embed"), BatchJob())
    assert not whole.first
    with pytest.raises(ProductError, match="no point is trained that embed could use"):
        whole.outlooks(whole.facts())


def test_experiments_that_need_each_other(tmp_path, data_root):
    flow = flow_experiment(tmp_path)
    model = flow / "model.yaml"
    model.write_text(model.read_text().replace("DIGITS/VAE", "DIGITS/FLOW"))
    with pytest.raises(ProductError, match="DIGITS/FLOW → DIGITS/FLOW"):
        find_whole(flow, [], choose(), BatchJob())


def test_a_path_that_is_not_there_is_for_the_user_to_mend(folders):
    _, flow = folders
    with pytest.raises(ProductError, match=r"gone\.ckpt, which does not exist"):
        find_whole(flow, ["lightning_loader.vae_ckpt_path=/gone.ckpt"], choose(), BatchJob())


def test_a_restart_of_a_batch_job_reads_the_folders_as_they_were(folders, tmp_path):
    vae, flow = folders
    start = BatchJob(folder=tmp_path / "job")
    find_whole(flow, [], choose(), start).freeze(start)
    (vae / "meta.yaml").write_text((vae / "meta.yaml").read_text().replace("a test", "edited"))
    again = BatchJob(folder=tmp_path / "job", restarts=1)
    whole = find_whole(flow, [], choose(), again)
    for survey in whole.surveys:
        assert survey.folder.parent == tmp_path / "job" / "experiment"
        assert survey.composed.meta.description == "a test"
