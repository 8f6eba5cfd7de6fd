"""Every way a product can be broken is found, and nothing else is called broken."""

import shutil

import pyarrow
import pyarrow.parquet
import pytest

from wwdc.products import Tree, info_path, publish, sha256
from wwdc.products.verify import verify


def _broken(tree):
    return [(p.path.name, p.message) for p in verify(tree) if p.broken]


def _notes(tree):
    return [(p.path.name, p.message) for p in verify(tree) if not p.broken]


@pytest.fixture
def vae(tree, make_product):
    into = Tree(tree.data_root, "COLOUR_MNIST", "VAE")
    return make_product("aaaaaaaaaaaa", into, job_id="1", job_num=0)


@pytest.fixture
def flow(make_product, vae):
    return make_product(
        lineage={"vae": {"point_id": vae.info.point_id, "sha256": vae.info.sha256}},
        vae_fp=str(vae.path),
    )


@pytest.fixture
def embedding(tree, make_info, flow, tmp_path):
    src = tmp_path / "test.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2], "z": [0.5, 1.5]}), src)
    dst = tree.embeddings / flow.info.job / "test.parquet"
    publish(src, dst, make_info(lineage={"flow": flow.info.sha256}))
    return dst


def test_nothing_there(tree):
    assert verify(tree) == []
    tree.path.mkdir(parents=True)
    assert verify(tree) == []


def test_a_whole_tree_is_clean(tree, embedding):
    assert verify(tree) == []


def test_a_moved_tree_is_clean(tree, embedding, tmp_path):
    shutil.move(tree.data_root, tmp_path / "elsewhere")
    assert verify(Tree(tmp_path / "elsewhere", "COLOUR_MNIST", "FLOW")) == []


def test_changed_content(tree, flow):
    content = bytearray(flow.path.read_bytes())
    content[len(content) // 2] ^= 1
    flow.path.write_bytes(content)
    assert _broken(tree) == [
        ("5240735_2.ckpt", "SHA-256 differs from the one in its info file"),
    ]


def test_cut_short(tree, flow):
    flow.path.write_bytes(flow.path.read_bytes()[:100])
    assert _broken(tree) == [("5240735_2.ckpt", f"100 bytes, its info file says {flow.info.bytes}")]


def test_artefact_gone(tree, flow):
    flow.path.unlink()
    assert _broken(tree) == [("5240735_2_info.yaml", "the file it describes is gone")]


@pytest.mark.parametrize("content", ["a: [", "param: x\n", ""])
def test_broken_info_file(tree, flow, content):
    flow.info_path.write_text(content)
    assert [name for name, _ in _broken(tree)] == ["5240735_2_info.yaml"]


class _Evil:
    def __reduce__(self):
        return print, ("loaded",)


@pytest.mark.parametrize("content", [b"no checkpoint", b"", "pickle", {"no": "state"}])
def test_what_does_not_load(tree, make_info, tmp_path, capsys, content):
    import torch

    src = tmp_path / "scratch.ckpt"
    if isinstance(content, bytes):
        src.write_bytes(content)
    else:
        torch.save({"state_dict": _Evil()} if content == "pickle" else content, src)
    publish(src, tree.ckpt("5240735_2"), make_info())
    [(name, message)] = _broken(tree)
    assert name == "5240735_2.ckpt"
    assert "weights_only" in message or "state_dict" in message
    assert "loaded" not in capsys.readouterr().out


def test_an_embedding_that_is_not_parquet(tree, make_info, tmp_path):
    src = tmp_path / "test.parquet"
    src.write_bytes(b"PAR1 but no more")
    publish(src, tree.embeddings / "5240735_2" / "test.parquet", make_info())
    [(name, message)] = _broken(tree)
    assert (name, message[:14]) == ("test.parquet", "is not Parquet")


def test_lineage_is_followed_all_the_way(tree, embedding, vae):
    content = vae.path.read_bytes()
    vae.path.write_bytes(content[:-1] + b"x")
    names = [name for name, message in _broken(tree) if "builds on the vae" in message]
    assert names == ["5240735_2.ckpt", "test.parquet"]
    vae.path.unlink()
    names = [name for name, message in _broken(tree) if "is not under" in message]
    assert names == ["5240735_2.ckpt", "test.parquet"]


def test_a_retrained_parent_is_another_one(tree, vae, make_product):
    make_product(lineage={"vae": {"point_id": vae.info.point_id, "sha256": "0" * 64}})
    [(_, message)] = _broken(tree)
    assert "builds on a vae (SHA-256 000000000000…)" in message


def test_a_parent_by_point_only(tree, vae, make_product):
    make_product(lineage={"vae": vae.info.point_id})
    assert verify(tree) == []


def test_a_vae_without_info_file_is_known_by_its_content(tree, make_product, tmp_path):
    vae = tmp_path / "from_a_colleague.ckpt"
    vae.write_bytes(b"weights")
    make_product(lineage={"vae": sha256(vae)}, vae_fp=str(vae))
    assert verify(tree) == []
    vae.write_bytes(b"weights, retrained")
    assert len(_broken(tree)) == 1


def test_the_data_catalogue_is_checked_against_its_card(tree, make_product):
    make_product(lineage={"data": "0123456789abcdef"})
    catalogue = tree.data_root / "COLOUR_MNIST" / "catalogue" / "0123456789abcdef.parquet"
    catalogue.parent.mkdir()
    catalogue.write_bytes(b"rows")
    card = info_path(catalogue)
    card.write_text(f"sha256: {sha256(catalogue)}\n")
    assert verify(tree) == []
    catalogue.write_bytes(b"other rows")
    [(_, message)] = _broken(tree)
    assert "not as its card says" in message


def test_a_circle_ends(tree, make_product):
    make_product(lineage={"vae": "0a1b2c3d4e5f"})
    assert "builds on itself" in _broken(tree)[0][1]


def test_what_is_only_mentioned(tree, flow, make_product):
    make_product(job_num=5)
    (tree.ckpts / "stray.ckpt").write_bytes(b"")
    (tree.ckpts / ".5_0.ckpt.17-0a1b2c3d.tmp").write_bytes(b"half")
    flow.path.rename(tree.ckpt("renamed"))
    flow.info_path.rename(info_path(tree.ckpt("renamed")))
    make_product("000000000001", job_num=6, lineage={"data": "0123456789abcdef"})
    assert _broken(tree) == []
    said = " ".join(message for _, message in _notes(tree))
    for part in (
        "2 products",
        "not a product",
        "half-written",
        "published as 5240735_2",
        "prepare",
    ):
        assert part in said
