"""The site builds without a warning and without the network, and opens in a real Chromium."""

import os
import re
import subprocess
import sys
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site. Whoever asks for the network while it is built is sent nowhere."""
    folder = tmp_path_factory.mktemp("site")
    proxies = {name: NOWHERE for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        env=os.environ | proxies | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Documentation built" in done.stderr  # --quiet would hide warnings from --strict
    return folder


class Assets(HTMLParser):
    """Addresses that a browser fetches by itself: all but those of links to click on."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found += [
            value for name, value in attrs if name in ("src", "href", "srcset") and tag != "a"
        ]


def test_nothing_comes_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        assets = Assets(page.read_text()).found
        assert assets and not [url for url in assets if re.match(r"(https?:)?//", url)], page
    for style in site.rglob("*.css"):
        assert not re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", style.read_text()), style


def test_docstrings_and_help_are_in_it(site):
    text = (site / "reference/python.html").read_text()
    assert "wwdc.experiment.Experiment" in text and "What an experiment has come to so far" in text
    assert "usage: python -m wwdc.detect" in (site / "reference/commands.html").read_text()
    assert "doctest: +SKIP" not in text and ":meth:" not in text


def test_scripts_of_the_docs_are_not_in_it(site):
    assert not list(site.rglob("*.py"))
    assert (site / "tutorial.ipynb").is_file()


@pytest.fixture(scope="module")
def address(site):
    """The site on a port of this machine: a browser searches only what a server gives it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_start_page_opens(browser, address, scheme, width):
    """In the reader's theme, with every picture, without an error, as wide as the window."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    tab = context.new_page()
    faults, asked = [], []
    tab.on("console", lambda message: faults.append(message.text))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(address, wait_until="networkidle")
    assert faults == []
    assert all(url.startswith(address) for url in asked)
    wanted = {"light": "default", "dark": "slate"}[scheme]
    assert tab.locator("body").get_attribute("data-md-color-scheme") == wanted
    pictures = tab.locator("article img")
    assert pictures.count() >= 4
    assert all(p.evaluate("node => node.naturalWidth") > 0 for p in pictures.all())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


@pytest.mark.browser
def test_search_finds_a_message(browser, address):
    tab = browser.new_page()
    tab.goto(address, wait_until="networkidle")
    tab.locator(".md-search__input").press_sequentially("embedded yet", delay=30)  # it hears keys
    tab.locator(".md-search-result__link", has_text="embedded").first.wait_for(timeout=60_000)
    tab.close()
