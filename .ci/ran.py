"""Fail when tests that need a real component were skipped instead of run."""

import sys
import xml.etree.ElementTree as ElementTree

REQUIRED = {
    "Ray": "tests.tune.test_engines",
    "sweeps": "tests.tune.test_outline",
    "searchers and schedulers": "tests.tune.test_pairs",
    "searches": "tests.tune.test_searches",
    "survival": "tests.tune.test_survival",
    "killed searches": "tests.tune.test_killed_searches",
    "leaks": "tests.tune.test_leaks",
    "actors": "tests.cluster.test_pool",
    "embedding": "tests.embed",
    "verdicts": "tests.stats",
    "wall clock": "tests.tune.test_wall_clock",
    "Slurm itself": "tests.cluster.test_dev",
    "Slurm": "tests.cluster.test_slurm",
    "Slurm's failures": "tests.cluster.test_slurm_failures",
    "submission": "tests.submit",
    "detectors": "tests.detect",
    "labelling page": "tests.label.test_page",
    "labels": "tests.label",
    "promotion": "tests.promote",
    "the workflow": "tests.run",
    "reports": "tests.report",
    "site": "tests.docs",
    "own data": "tests.init",
    "own vectors": "tests.training.test_vectors",
}


def main() -> int:
    """Count what ran of each required group; 1 when one did not run or skipped a test."""
    cases = [case for path in sys.argv[1:] for case in ElementTree.parse(path).iter("testcase")]
    code = 0
    for name, module in REQUIRED.items():
        group = [c for c in cases if f"{c.get('classname')}.".startswith(f"{module}.")]
        skipped = [case for case in group if case.find("skipped") is not None]
        sys.stdout.write(f"{name}: {len(group) - len(skipped)} ran, {len(skipped)} skipped\n")
        code |= not group or bool(skipped)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
