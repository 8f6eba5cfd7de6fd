"""The labelling page in a real browser: keys, undo, two people, a server that is killed."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.browser, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE = 120_000  # ms


class Server:
    """`python -m wwdc.label` as a process of its own, on one port however often it is started."""

    def __init__(self, experiment: Path, root: Path, *overrides: str) -> None:
        self.command = [sys.executable, "-m", "wwdc.label", str(experiment), *overrides]
        self.environment = os.environ | {"DATA_ROOT": str(root), "PYTHONPATH": str(REPOSITORY)}
        self.process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> str:
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        said = []
        for line in self.process.stdout:
            said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line):
                self.url = found[0]
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return self.url
        raise AssertionError("".join(said))

    def kill(self) -> None:
        """kill -9 of the server and of all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def scored(trained_flow, tmp_path_factory):
    """The tiny flow, embedded and scored: its folder and DATA_ROOT."""
    from wwdc.detect.__main__ import main as detect
    from wwdc.embed.__main__ import main as embed

    root, experiment = trained_flow
    copy = tmp_path_factory.mktemp("label") / "root"
    shutil.copytree(root, copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(copy))
        assert embed([str(experiment), "splits=[train,val,test]"]) == 0
        assert detect([str(experiment), "detectors=quick"]) == 0
    return experiment, copy


@pytest.fixture
def server(scored, tmp_path):
    experiment, root = scored
    copy = tmp_path / "root"
    shutil.copytree(root, copy)
    server = Server(experiment, copy, "label.umap=false", "label.port=18642")
    server.start()
    yield server
    server.kill()


class Page:
    """A tab with the labelling page, and what went wrong in it."""

    def __init__(self, browser, server, labeller="ann"):
        self.context = browser.new_context(viewport={"width": 1400, "height": 900})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.faults = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type == "error" else None)
        self.page.goto(server.url)
        self.ready()
        self.page.fill("#labeller", labeller)
        self.page.dispatch_event("#labeller", "change")
        self.page.locator("#image").click()

    def ready(self):
        self.page.wait_for_selector("body[data-ready=yes]")

    @property
    def shown(self) -> int:
        return int(re.search(r"id (\d+)", self.page.inner_text("#caption"))[1])

    def wait_for_object(self, id: int) -> None:
        self.page.wait_for_function(
            "id => document.getElementById('caption').textContent.startsWith(`id ${id} `)", arg=id
        )

    def number(self, name: str) -> int:
        return int(self.page.inner_text(f"#n-{name}"))

    def press(self, key: str) -> int:
        """Label what is shown and wait for the next object; returns what was labelled."""
        before = self.shown
        self.page.keyboard.press(key)
        self.page.wait_for_function(
            "before => { const t = document.getElementById('caption').textContent;"
            " return t && !t.startsWith(`id ${before} `); }",
            arg=before,
        )
        return before

    def wait_for(self, name: str, count: int) -> None:
        self.page.wait_for_function(
            "([id, count]) => Number(document.getElementById(id).textContent) === count",
            arg=[f"n-{name}", count],
        )

    def stored(self) -> list[dict]:
        """The events that the server exports."""
        href = self.page.get_attribute("#export-jsonl", "href")
        answer = self.page.request.get(self.page.url.split("/?")[0] + "/" + href)
        assert answer.ok, answer.status
        return [json.loads(line) for line in answer.text().splitlines() if line.strip()]


def test_forty_labels_undo_reload_and_a_kill(browser, server):
    tab = Page(browser, server)
    labelled = [tab.press("a" if number % 4 == 0 else "n") for number in range(40)]
    assert len(set(labelled)) == 40
    tab.wait_for("labelled", 40)
    assert (tab.number("anomaly"), tab.number("normal")) == (10, 30)

    tab.page.keyboard.press("u")
    tab.wait_for("labelled", 39)
    tab.wait_for_object(labelled[-1])
    tab.press("a")
    tab.wait_for("anomaly", 11)

    tab.page.reload()
    tab.ready()
    assert (tab.number("labelled"), tab.number("anomaly")) == (40, 11)
    assert tab.shown not in labelled

    # Labels given while the server is dead are kept by the page and sent once it is back.
    assert tab.faults == []
    server.kill()
    lost = tab.shown
    tab.page.keyboard.press("a")
    tab.page.wait_for_selector("#pending:not([hidden])")
    server.start()
    tab.page.goto(server.url)
    tab.ready()
    tab.faults.clear()  # the old page asked a dead server, and the new one with the old token
    tab.wait_for("anomaly", 12)
    kinds = {event["id"]: event["kind"] for event in tab.stored()}
    assert kinds[lost] == "anomaly"
    assert set(labelled) <= set(kinds)
    assert tab.faults == []
    assert server.end() == 0


def test_two_people_never_see_the_same_object(browser, server):
    ann, bob = Page(browser, server), Page(browser, server, "bob")
    seen = {"ann": [], "bob": []}
    for _ in range(8):
        seen["ann"].append(ann.press("n"))
        seen["bob"].append(bob.press("a"))
    assert set(seen["ann"][1:]) & set(seen["bob"][1:]) == set()
    ann.wait_for("labelled", len({*seen["ann"], *seen["bob"]}))
    assert ann.faults + bob.faults == []


def test_grade_flag_grid_find_and_map(browser, server):
    tab = Page(browser, server)
    first = tab.shown
    tab.page.keyboard.press("Shift+Digit4")
    tab.page.wait_for_selector("#grades .on")
    assert tab.shown == first
    tab.page.keyboard.press("f")
    tab.page.wait_for_selector("#do-flag.on")

    tab.page.keyboard.press("g")
    tab.page.wait_for_selector("#cells .cell.chosen")
    assert tab.page.locator("#cells .cell").count() == 60
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("a")
    tab.wait_for("anomaly", 1)
    tab.page.keyboard.press("g")

    tab.page.fill("#find-id", str(first))
    tab.page.keyboard.press("Enter")
    tab.wait_for_object(first)
    assert tab.page.locator("#grades .on").inner_text() == "4"
    box = tab.page.locator("#map").bounding_box()
    tab.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.page.wait_for_function(
        "id => !document.getElementById('caption').textContent.startsWith(`id ${id} `)", arg=first
    )
    assert tab.faults == []


def test_labels_of_an_anonymous_page_are_refused(browser, server):
    context = browser.new_context()
    answer = context.request.get(server.url.split("?")[0])
    assert answer.status == 403
