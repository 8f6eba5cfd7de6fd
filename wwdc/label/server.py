"""The page on a port of this machine, until it is told to stop."""

__all__ = ["listen", "serve"]

import asyncio
import hashlib
import socket
import sys
import threading
import time
import webbrowser

import uvicorn

from wwdc.errors import ConfigError
from wwdc.label.guard import Guard
from wwdc.tune.stopping import StopRequest

HOST = "127.0.0.1"
POLL_S = 0.2
GRACE_S = 3
_FIRST_PORT, _PORTS = 20_000, 10_000
"""Below those that systems hand out by themselves."""


def listen(port: int, identity: str) -> socket.socket:
    """A socket that listens on this machine alone.

    Args:
        port: 0 for one that is free: the same each time for the same *identity*, if it is free,
            so that a tunnel and what the browser kept for the page go on.

    Raises:
        ConfigError: the port is taken.
    """
    if port:
        try:
            return _bound(port)
        except OSError as error:
            raise ConfigError(
                f"label.port={port}: cannot listen there ({error.strerror}). Take another one, or "
                "label.port=0 for one that is free."
            ) from None
    usual = int(hashlib.sha256(identity.encode()).hexdigest()[:8], 16) % _PORTS + _FIRST_PORT
    try:
        return _bound(usual)
    except OSError:
        return _bound(0)


def serve(app: Guard, listening: socket.socket, token: str, stop: StopRequest) -> None:
    """Say where the page is and serve it until *stop* has been asked for.

    Raises:
        ConfigError: the server ended by itself.
    """
    config = uvicorn.Config(
        app,
        access_log=False,  # it would have the token in it
        log_level="warning",
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = uvicorn.Server(config)
    serving = asyncio.run, server.serve(sockets=[listening])
    thread = threading.Thread(target=serving[0], args=serving[1:], name="server", daemon=True)
    thread.start()
    port = listening.getsockname()[1]
    url = f"http://{HOST}:{port}/?token={token}"
    sys.stdout.write(f"{url}\n")
    sys.stdout.write(
        f"From another machine: ssh -L {port}:{HOST}:{port} {socket.gethostname()}, then the same "
        "address there. Ctrl-C stops; labels are kept.\n"
    )
    sys.stdout.flush()
    if sys.stdout.isatty():
        webbrowser.open(url)
    while stop.code is None and thread.is_alive():
        stop.renew()
        time.sleep(POLL_S)
    server.should_exit = True
    thread.join(2 * GRACE_S)
    if stop.code is None:
        raise ConfigError("the page's server ended by itself")


def _bound(port: int) -> socket.socket:
    # Named TCP, asyncio turns Nagle's algorithm off; else each answer waits 40 ms for an ACK.
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((HOST, port))
        found.listen(128)
    except OSError:
        found.close()
        raise
    return found
