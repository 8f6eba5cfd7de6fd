"""Picture of Ray's dashboard during a real sweep, for docs/cluster.md.

    python docs/dashboard.py [--out docs/images/dashboard.png]

Trains the digits' VAE with three seeds in a DATA_ROOT of its own, waits until the dashboard shows
its trials, and takes the screenshot with headless Chromium.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 240
SETTLE_S = 20  # until the trials train


def main() -> None:
    """Start a sweep, photograph it, end it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs/images/dashboard.png")
    out = parser.parse_args().out.absolute()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit("no Chromium here: install it first")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with tempfile.TemporaryDirectory(prefix="wwdc-dashboard-") as folder:
        log = Path(folder, "log.txt")
        sweep = subprocess.Popen(
            [
                *("python", "-m", "wwdc.tune", "experiments/digits_vae"),
                *("tune.dashboard=true", "trainer.max_epochs=400"),
            ],
            cwd=REPOSITORY,
            # Without a token, or the browser would be asked for one.
            env=os.environ | {"DATA_ROOT": folder, "RAY_AUTH_MODE": "disabled", "PATH": path},
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
        )
        try:
            photograph(browser, address(log, sweep), out)
        finally:
            sweep.send_signal(signal.SIGINT)
            sweep.wait(120)


def address(log: Path, sweep: "subprocess.Popen[bytes]") -> str:
    """Where the dashboard is, once trials are listed there."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and sweep.poll() is None:
        found = re.search(r"Ray dashboard: (\S+)", log.read_text())
        if found:
            try:
                listed = urllib.request.urlopen(f"{found[1]}/api/v0/actors?detail=1", timeout=10)
                if b"DIGITS VAE" in listed.read():
                    time.sleep(SETTLE_S)
                    return found[1]
            except OSError:
                pass
        time.sleep(1)
    raise SystemExit(f"no run showed up:\n{log.read_text()}")


def photograph(browser: str, dashboard: str, out: Path) -> None:
    """The page of actors, as a PNG."""
    out.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--window-size=1280,560", "--virtual-time-budget=60000"),
            "--run-all-compositor-stages-before-draw",
            *(f"--screenshot={out}", f"{dashboard}/#/actors"),
        ],
        check=True,
        capture_output=True,
        timeout=180,
    )


if __name__ == "__main__":
    main()
