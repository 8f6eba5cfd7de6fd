"""The command line, on the outline's experiment folder."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from wwdc.products import record_failure
from wwdc.products.__main__ import main

EXPERIMENT = str(Path(__file__).parents[1] / "fixtures" / "outline" / "RGBMNIST_FLOW")
COMMANDS = ["ls", "best", "verify", "gc"]


@pytest.fixture(autouse=True)
def data_root(tree, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tree.data_root))


@pytest.fixture
def products(make_product):
    made = []
    for number in range(3):
        made.append(
            make_product(
                f"{number:012x}",
                job_num=number,
                seed=42 + number,
                sweep=f"sweep_{number}",
                metrics={"val_loss": 1.5 - number, "rate": float("nan")},
            )
        )
    return made


@pytest.mark.parametrize("command", ["ls", "verify", "gc"])
def test_an_absent_tree_is_fine(tree, capsys, command):
    assert main([command, EXPERIMENT]) == 0
    assert not tree.path.exists()
    capsys.readouterr()
    assert main([command, EXPERIMENT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["experiment"] == "COLOUR_MNIST/FLOW"


def test_ls(tree, products, make_info, capsys):
    failed = make_info(point_id="ffffffffffff", job_num=9, status="failed", metrics={})
    record_failure(tree, failed)
    assert main(["ls", EXPERIMENT]) == 0
    header, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert header == ["job", "sweep", "seed", "status", "val_loss", "size", "finished"]
    assert [row[:5] for row in rows] == [
        ["5240735_0", "sweep_0", "42", "done", "1.5"],
        ["5240735_1", "sweep_1", "43", "done", "0.5"],
        ["5240735_2", "sweep_2", "44", "done", "-0.5"],
        ["5240735_9", '["b", "angle", "scale"]', "42", "failed", ""],
    ]


def test_best(products, capsys):
    assert main(["best", EXPERIMENT]) == 0
    assert capsys.readouterr().out == f"{products[2].path}\tval_loss=-0.5\n"


def test_best_of_nothing_says_what_to_run(capsys):
    assert main(["best", EXPERIMENT]) == 2
    error = capsys.readouterr().err
    assert f"python -m wwdc.tune {EXPERIMENT}" in error


def test_verify(tree, products, capsys):
    assert main(["verify", EXPERIMENT]) == 0
    assert capsys.readouterr().out == "COLOUR_MNIST/FLOW: 3 products, all good\n"
    products[1].path.write_bytes(b"")
    (tree.ckpts / "stray.ckpt").write_bytes(b"")
    assert main(["verify", EXPERIMENT]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("broken\tckpts/5240735_1.ckpt\t0 bytes")
    assert lines[2].startswith("note\tckpts/stray.ckpt")
    assert lines[-1] == "COLOUR_MNIST/FLOW: 3 products, 1 broken"


def test_gc(tree, products, capsys):
    stray = tree.ckpts / "stray.ckpt"
    stray.write_bytes(b"x" * 2048)
    os.utime(stray, (0, 0))
    assert main(["gc", EXPERIMENT]) == 0
    out = capsys.readouterr().out
    assert "ckpts/stray.ckpt\t2.0 kB\tartefact without an info file" in out
    assert "1 to remove, 2.0 kB; add --delete to do it" in out
    assert stray.exists()
    assert main(["gc", EXPERIMENT, "--delete", "+seed=7"]) == 0
    assert "1 removed, 2.0 kB" in capsys.readouterr().out
    assert not stray.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_one_document(products, capsys, command):
    assert main([command, EXPERIMENT, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    if command == "ls":
        rows = document["products"]
        assert [row["job_num"] for row in rows] == [0, 1, 2]
        assert rows[0]["metrics"] == {"val_loss": 1.5, "rate": None}
        assert rows[0]["path"] == str(products[0].path)
    elif command == "best":
        assert (document["metric"], document["value"]) == ("val_loss", -0.5)
    elif command == "verify":
        assert (document["products"], document["broken"]) == (3, 0)
    else:
        assert (document["deleted"], document["garbage"]) == (False, [])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_folder(command, capsys, tmp_path):
    assert main([command, str(tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("arguments", [[], ["lst", EXPERIMENT], ["ls", EXPERIMENT, "--delete"]])
def test_wrong_use(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_broken_info_file_prints_no_traceback(products):
    products[0].info_path.write_text("param: x\n")
    command = [sys.executable, "-m", "wwdc.products", "ls", EXPERIMENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "5240735_0_info.yaml: missing val, description" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_table_on_a_terminal(products):
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "wwdc.products", "ls", EXPERIMENT]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    subprocess.run(command, stdout=child, env=environment, check=True)
    os.close(child)
    text = os.read(parent, 65536).decode()
    assert "5240735_2" in text
    assert "\t" not in text


def test_importing_is_light():
    code = (
        "import sys, wwdc.products, wwdc.products.__main__; "
        "heavy = {'torch', 'ray', 'lightning', 'hydra', 'pandas', 'pyarrow'} & set(sys.modules); "
        "sys.exit(str(sorted(heavy)) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
