"""Downloading MNIST: mirrors tried in turn, content checked, nothing half-written."""

import gzip
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.data.conftest import write_part
from wwdc.data import mnist, rgbmnist
from wwdc.data.rgbmnist import RGBMNIST
from wwdc.errors import DataError


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A server of made-up files whose checksums are the ones expected; its folder and address."""
    folder = tmp_path / "mirror"
    write_part(folder, "train", 200)
    write_part(folder, "t10k", 50)
    md5 = {name: _md5(folder / f"{name}.gz") for name in mnist.MD5}
    monkeypatch.setattr(mnist, "MD5", md5)
    monkeypatch.setattr(rgbmnist, "MD5", md5)
    monkeypatch.setenv("no_proxy", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def _md5(path):
    return hashlib.md5(gzip.decompress(path.read_bytes())).hexdigest()


def use(monkeypatch, *mirrors):
    monkeypatch.setattr(rgbmnist, "download", partial(mnist.download, mirrors=mirrors))


def test_downloads_what_is_missing_and_is_then_available(mirror, tmp_path, monkeypatch):
    _, url = mirror
    use(monkeypatch, "http://127.0.0.1:9/", url)
    dataset = RGBMNIST(tmp_path / "raw", views=1)
    expected, said = dataset.fingerprint, []
    dataset.prepare(said.append)
    assert len(said) == 4 and all("downloading" in line for line in said)
    assert dataset.available
    assert dataset.rows("test") == 50
    assert dataset.fingerprint == expected == RGBMNIST(tmp_path / "raw", views=1).fingerprint
    dataset.prepare(said.append)
    assert len(said) == 4


def test_goes_on_where_a_download_stopped(mirror, tmp_path, monkeypatch):
    folder, url = mirror
    use(monkeypatch, url)
    root = tmp_path / "raw"
    root.mkdir()
    name = "train-images-idx3-ubyte.gz"
    (root / name).write_bytes((folder / name).read_bytes())
    said = []
    RGBMNIST(root).prepare(said.append)
    assert len(said) == 3


def test_wrong_content_is_refused_and_not_kept(mirror, tmp_path, monkeypatch):
    folder, url = mirror
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"other"))
    use(monkeypatch, url)
    with pytest.raises(DataError, match="content's MD5 is"):
        RGBMNIST(tmp_path / "raw").prepare(lambda text: None)
    assert not (tmp_path / "raw").exists()


def test_failure_names_mirrors_and_what_to_do(tmp_path, monkeypatch):
    use(monkeypatch, "http://127.0.0.1:9/a/", "http://127.0.0.1:9/b/")
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(DataError) as raised:
        RGBMNIST(tmp_path / "raw").prepare(lambda text: None)
    message = str(raised.value)
    assert "http://127.0.0.1:9/a/train-images-idx3-ubyte.gz: " in message
    assert "http://127.0.0.1:9/b/train-images-idx3-ubyte.gz: " in message
    assert f"into {tmp_path / 'raw'} by hand" in message
    assert not (tmp_path / "raw").exists()


def test_a_truncated_answer_is_refused(mirror, tmp_path, monkeypatch):
    folder, url = mirror
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    use(monkeypatch, url)
    with pytest.raises(DataError, match="could not be downloaded"):
        RGBMNIST(tmp_path / "raw").prepare(lambda text: None)


def test_t10k_alone_downloads_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(rgbmnist, "download", None)
    write_part(tmp_path, "t10k", 50)
    RGBMNIST(tmp_path).prepare(lambda text: None)
