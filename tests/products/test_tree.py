"""Where things are and what counts as complete."""

import pytest

from wwdc.errors import ProductError
from wwdc.products import Tree, info_path, record_failure, verified


def test_layout(tree):
    assert tree.path == tree.data_root / "COLOUR_MNIST" / "FLOW"
    assert tree.ckpt("5240735_2") == tree.path / "ckpts" / "5240735_2.ckpt"
    assert info_path(tree.ckpt("5240735_2")).name == "5240735_2_info.yaml"
    assert tree.point("0a") == tree.path / "multiruns" / "points" / "0a"


def test_nothing_there(tree):
    assert tree.products() == tree.embedded() == tree.failed() == []
    assert tree.find("0a1b2c3d4e5f") is None
    assert not tree.path.exists()


def test_only_complete_products_are_listed(tree, make_product):
    product = make_product("000000000001", job_num=0)
    without_info = make_product("000000000002", job_num=1)
    without_info.info_path.unlink()
    without_artefact = make_product("000000000003", job_num=2)
    without_artefact.path.unlink()
    cut = make_product("000000000004", job_num=3)
    cut.path.write_bytes(b"")
    (tree.ckpts / "notes.txt").write_text("mine")
    (tree.ckpts / "stray.ckpt").write_bytes(b"mine")
    (tree.ckpts / ".5_0.ckpt.17-0a1b2c3d.tmp").write_bytes(b"half")
    assert tree.products() == [product]


def test_the_newest_finished_counts(tree, make_product):
    make_product(job_id="1", finished="2026-11-24T10:00:00+00:00")
    newest = make_product(job_id="2", finished="2026-11-24T12:30:00+01:00", status="stopped")
    make_product("000000000001", job_id="3", finished="2026-11-25T00:00:00+00:00")
    assert tree.find("0a1b2c3d4e5f") == newest
    assert [p.info.job_id for p in tree.products()] == ["1", "2", "3"]


def test_finding_a_point_parses_only_what_mentions_it(tree, make_product):
    other = make_product("000000000001", job_num=1)
    other.info_path.write_text("a: [")
    product = make_product("0a1b2c3d4e5f", job_num=2)
    make_product("000000000003", job_num=3, lineage={"vae": {"point_id": "0a1b2c3d4e5f"}})
    assert tree.find("0a1b2c3d4e5f") == product


def test_a_changed_info_file_is_read_again(tree, make_product):
    product = make_product()
    assert tree.products() == [product]
    text = product.info_path.read_text()
    product.info_path.write_text(text.replace("val_loss: 1.5", "val_loss: 1.25"))
    assert tree.products()[0].info.metrics == {"val_loss": 1.25}


def test_a_broken_info_file_is_named(tree, make_product):
    product = make_product()
    product.info_path.write_text("a: [")
    with pytest.raises(ProductError, match=r"5240735_2_info\.yaml"):
        tree.products()


def test_failures(tree, make_info, make_product):
    record_failure(tree, make_info(status="failed", reason="loss is NaN", sha256=None))
    assert [info.reason for info in tree.failed()] == ["loss is NaN"]
    make_product()
    assert tree.failed() == []


@pytest.mark.parametrize("name", ["..", "../other", "/tmp", ""])
def test_names_stay_inside(tmp_path, name):
    with pytest.raises(ProductError, match=r"meta\.yaml"):
        Tree(tmp_path, name, "FLOW")


def test_verified(make_product):
    product = make_product()
    assert verified(product) is product
    product.path.write_bytes(b"x" * product.path.stat().st_size)
    with pytest.raises(ProductError, match="is not the file that was published"):
        verified(product)
