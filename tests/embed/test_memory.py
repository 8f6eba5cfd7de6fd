"""A dataset that memory could not hold is embedded within a limit on memory."""

import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

ROWS, LIMIT_MB = 400_000, 60
"""Their embedding takes 64 MB, their images 3.7 GB."""


def embed(*options):
    """Embed in a process that may use `LIMIT_MB` more than what its libraries and networks take."""
    command = [sys.executable, "benchmarks/embed.py", "--child", str(ROWS), *options]
    return subprocess.run(
        [*command, "--limit", str(LIMIT_MB)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts heap memory on Linux only")
def test_shards_fit_where_the_whole_does_not():
    done = embed()
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[2]) > LIMIT_MB, "the embedding itself fits: nothing was tested"
    whole = embed("--shard-rows", str(ROWS))
    assert whole.returncode != 0
    assert "allocate" in whole.stderr or "MemoryError" in whole.stderr
