"""The real server: says where it is, ends cleanly, and loses nothing when it is killed."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import REPOSITORY
from tests.label.serving import TOKEN
from wwdc.errors import ConfigError
from wwdc.label.log import read_log
from wwdc.label.server import listen

TIMEOUT_S = 120


class Server:
    """A process that serves the campaign in a folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.label.serving", str(folder)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        watchdog = threading.Timer(TIMEOUT_S, self.process.kill)
        watchdog.daemon = True
        watchdog.start()
        self.url = self.process.stdout.readline().strip()
        self.tunnel = self.process.stdout.readline().strip()
        self.client = httpx.Client(
            base_url=self.url.partition("/?")[0], headers={"X-Token": TOKEN}, timeout=TIMEOUT_S
        )

    def end(self, how: int) -> tuple[int, str]:
        """Send a signal; the exit code and what was said on standard error."""
        self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, errors

    def say(self, number: int) -> int:
        event = {"uuid": f"event-{number:05d}", "id": number % 80, "labeller": "ada"}
        answer = self.client.post("/api/label", json={**event, "kind": "anomaly"})
        return answer.status_code


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server over a planted campaign."""
    started = Server(tmp_path)
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.communicate()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_with_0(server, how):
    port = server.url.partition("127.0.0.1:")[2].partition("/")[0]
    assert server.url == f"http://127.0.0.1:{port}/?token={TOKEN}"
    assert f"ssh -L {port}:127.0.0.1:{port} " in server.tunnel
    assert server.client.get("/").status_code == 200
    code, errors = server.end(how)
    assert code == 0
    assert TOKEN not in errors
    assert "Traceback" not in errors


def test_answers_do_not_wait_for_an_ack():
    """asyncio sets TCP_NODELAY only on sockets that say that they are TCP."""
    with listen(0, "one campaign") as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_it_listens_on_this_machine_alone(server):
    port = int(server.url.partition("127.0.0.1:")[2].partition("/")[0])
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", port), timeout=5):
        pass


def test_a_path_is_no_way_out_of_the_pages_folder(server):
    port = int(server.url.partition("127.0.0.1:")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as raw:
        request = f"GET /static/../app.py HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Token: {TOKEN}\r\n\r\n"
        raw.sendall(request.encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 404")


def test_killed_it_has_lost_nothing_that_it_acknowledged(server, tmp_path):
    acked: list[int] = []
    enough = threading.Event()

    def post() -> None:
        try:
            for number in itertools.count():
                if server.say(number) == 200:
                    acked.append(number)
                if len(acked) == 20:
                    enough.set()
        except httpx.HTTPError:
            return

    client = threading.Thread(target=post)
    client.start()
    assert enough.wait(TIMEOUT_S)
    os.kill(server.process.pid, signal.SIGKILL)
    client.join(TIMEOUT_S)
    stored = {event.uuid for event in read_log(tmp_path / "default.sqlite")[1]}
    assert {f"event-{number:05d}" for number in acked} <= stored
    assert len(stored) <= len(acked) + 1  # the one that was on its way

    again = Server(tmp_path)
    assert again.url == server.url  # a tunnel goes on
    labelled = again.client.get("/api/state").json()["counts"]["labelled"]
    assert labelled == min(80, len(stored))
    assert again.say(0) == 200  # said again, and counted once
    assert again.client.get("/api/state").json()["counts"]["labelled"] == labelled
    assert again.end(signal.SIGINT)[0] == 0


def test_a_port_that_is_taken_is_told():
    with listen(0, "one campaign") as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"label.port={port}"):
            listen(port, "x")
        with listen(0, "one campaign") as second:
            assert second.getsockname()[1] != port
    with listen(0, "one campaign") as again:
        assert again.getsockname()[1] == port
