"""What a user waits for before anything trains: imports, help, dry runs and plans.

    python benchmarks/startup.py [--rounds 3]

Every figure is the wall time of a process of its own, as at a prompt; rounds are interleaved and
medians are shown. A bare Python is listed for comparison and is not subtracted. The plans are
those of the outline's four sweeps with ``seed=range(0,250)``: once in an empty product tree, once
in a tree where all 1 000 points are published already (with checkpoints of one byte).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import REPOSITORY, interleaved, machine, table

OUTLINE = REPOSITORY / "tests" / "fixtures" / "outline" / "RGBMNIST_FLOW"
VAE = Path("COLOUR_MNIST", "VAE", "ckpts", "5239514.ckpt")  # the one the outline names
HEAVY = ("torch", "ray", "lightning")
MODULES = f"""
import contextlib, io, json, sys
from wwdc.tune.__main__ import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    code = main({[str(OUTLINE), "--dry-run"]!r})
print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]))
"""


def python(root: Path, *arguments: str) -> str:
    """Standard output of a Python of its own, with DATA_ROOT at *root*."""
    environment = {**os.environ, "DATA_ROOT": str(root)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def dry_run(root: Path, *overrides: str) -> dict[str, Any]:
    """The plan that ``--dry-run --json`` prints."""
    text = python(root, "-m", "wwdc.tune", str(OUTLINE), *overrides, "--dry-run", "--json")
    plan: dict[str, Any] = json.loads(text)
    return plan


def publish_all(root: Path, overrides: tuple[str, ...]) -> int:
    """Give every point of a plan a product, as a finished sweep would; returns how many."""
    from wwdc.config import fill, load
    from wwdc.products import Info, Parent, Tree, now, publish_point
    from wwdc.tune.plan import make_plan

    os.environ["DATA_ROOT"] = str(root)
    composed = load(OUTLINE, overrides)
    tree = Tree(root, composed.meta.data_name, composed.meta.experiment_name)
    artefact, rows = root / "one.ckpt", root / "one.csv"
    artefact.write_bytes(b"0")
    rows.write_text("epoch,val_loss\n0,1.0\n")
    plan = make_plan(composed, tree)
    for point in plan.points:
        info = Info(
            param=point.param,
            val=None,
            description=point.description,
            job_id="20260101000000000",
            job_num=point.job_num,
            point_id=point.point_id,
            config_id=point.config_id,
            seed=point.seed,
            overrides=point.overrides,
            metrics={"val_loss": 1.0},
            status="done",
            created=now(),
            config=fill(point.config, job="0_0", data_root=root),
            device="cpu",
            lineage={name: Parent(**parent) for name, parent in point.lineage.items()},
            kind="checkpoint",
        )
        publish_point(tree, artefact, info, rows)
    return len(plan.points)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each figure (default: 3)")
    parser.add_argument("--seeds", type=int, default=250, help="of the plan (default: 250)")
    options = parser.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory(prefix="wwdc-bench-") as folder:
        empty, full = Path(folder) / "empty", Path(folder) / "full"
        for root in (empty, full):
            stand_in = root / VAE
            stand_in.parent.mkdir(parents=True)
            stand_in.write_bytes(b"0")
        seeds = (f"seed=range(0,{options.seeds})",)
        published = publish_all(full, seeds)
        code, heavy = json.loads(python(empty, "-c", MODULES))
        statuses = {point["status"] for point in dry_run(full, *seeds)["points"]}
        medians = interleaved(
            {
                "bare Python": lambda: python(empty, "-c", "pass"),
                "import wwdc": lambda: python(empty, "-c", "import wwdc"),
                "wwdc.tune --help": lambda: python(empty, "-m", "wwdc.tune", "--help"),
                "dry run of the outline": lambda: dry_run(empty),
                f"plan of {published} points": lambda: dry_run(empty, *seeds),
                f"the same, {published} published": lambda: dry_run(full, *seeds),
            },
            options.rounds,
        )
    targets = [None, 0.3, None, 8.0, 15.0, 15.0]
    rows = [
        [name, f"{value:.2f}", f"< {target:g}" if target else ""]
        for (name, value), target in zip(medians.items(), targets, strict=True)
    ]
    print(before)
    print(table(["what", "seconds", "target"], rows))
    print(
        f"dry run: exit code {code}; of {', '.join(HEAVY)} it imported {' '.join(heavy) or 'none'}"
    )
    print(f"statuses where {published} points are published: {', '.join(statuses)}")
    missed = [
        name
        for (name, value), target in zip(medians.items(), targets, strict=True)
        if target and value >= target
    ]
    print(f"targets missed: {', '.join(missed) or 'none'}")


if __name__ == "__main__":
    main()
