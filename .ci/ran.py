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
    "lost nodes": "tests.tune.test_nodes",
    "leaks": "tests.tune.test_leaks",
    "actors": "tests.cluster.test_pool",
    "embedding": "tests.embed",
    "verdicts": "tests.stats",
}


def main() -> int:
    """Count what ran of each required group; 1 when one did not run or skipped a test."""
    cases = list(ElementTree.parse(sys.argv[1]).iter("testcase"))
    code = 0
    for name, module in REQUIRED.items():
        group = [case for case in cases if case.get("classname", "").startswith(module)]
        skipped = [case for case in group if case.find("skipped") is not None]
        sys.stdout.write(f"{name}: {len(group) - len(skipped)} ran, {len(skipped)} skipped\n")
        code |= not group or bool(skipped)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
