"""What the server answers, and to whom it does not."""

import json

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.label.scored import TOKEN
from wwdc.label.app import PAGE
from wwdc.label.guard import LARGEST_BODY

EVENT = {"uuid": "event-0001", "id": 5, "labeller": "ada", "kind": "anomaly"}


@pytest.fixture
def stranger(app) -> TestClient:
    """A client without a token."""
    return TestClient(app, base_url="http://127.0.0.1")


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/state", "/api/image?id=1", "/none"])
@pytest.mark.parametrize("token", [None, "", "a-toke", "a-token-", "ä"])
def test_without_the_token_nothing_is_told(stranger, path, token):
    query = {} if token is None else {"token": token}
    answer = stranger.get(path, params=query)
    assert answer.status_code == 403
    assert "token" in answer.json()["error"]


def test_the_token_may_stand_in_the_address_or_in_a_header(stranger):
    assert stranger.get("/api/state", params={"token": TOKEN}).status_code == 200
    assert stranger.get("/api/state", headers={"X-Token": TOKEN}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8000", 200),
        ("localhost:1", 200),
        ("[::1]:99", 200),
        ("example.org", 403),
        ("127.0.0.1.example.org", 403),
        ("localhost@example.org", 403),
        ("example.org@localhost", 403),
        ("localhost:port", 403),
        ("10.0.0.1", 403),
        ("", 403),
    ],
)
def test_other_hosts_are_refused(client, host, status):
    assert client.get("/api/state", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://127.0.0.1", 200),
        ("http://127.0.0.1:99", 403),
        ("https://127.0.0.1", 403),
        ("http://localhost", 403),
        ("http://example.org", 403),
        ("null", 403),
    ],
)
def test_pages_of_other_sites_cannot_post(client, origin, status):
    headers = {} if origin is None else {"Origin": origin}
    assert client.post("/api/label", json=EVENT, headers=headers).status_code == status


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(("size", "status"), [(LARGEST_BODY, 400), (LARGEST_BODY + 1, 413)])
def test_a_large_body_is_refused(client, chunked, size, status):
    body = b"x" * size
    content = (body[i : i + 50_000] for i in range(0, size, 50_000)) if chunked else body
    answer = client.post("/api/label", content=content)
    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"id": ' + b"9" * 10_000 + b"}", 400),
        (b'{"seconds": NaN}', 400),
        (b"[1]", 400),
        (b"{}", 422),
        (json.dumps(EVENT | {"more": 1}).encode(), 422),
        (json.dumps(EVENT | {"id": "5"}).encode(), 422),
        (json.dumps(EVENT | {"id": 5.5}).encode(), 422),
        (json.dumps(EVENT | {"id": True}).encode(), 422),
        (json.dumps(EVENT | {"kind": "odd"}).encode(), 422),
        (json.dumps(EVENT | {"kind": "grade", "value": 9}).encode(), 422),
        (json.dumps(EVENT | {"labeller": "\ud800"}).encode(), 422),
        (json.dumps(EVENT | {"id": 10_000}).encode(), 404),
        (json.dumps({**EVENT, "kind": "undo"}).encode(), 409),
    ],
)
def test_a_malformed_event_is_refused_and_not_written(client, campaign, body, status):
    answer = client.post("/api/label", content=body)
    assert answer.status_code == status
    assert isinstance(answer.json()["error"], str)
    assert campaign.log.since(0)[0] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/object?id=10000", 404),
        ("/api/object?id=x", 422),
        ("/api/object", 422),
        ("/api/object?id=99999999999999999999", 422),
        ("/api/image?id=10000", 404),
        ("/api/image?id=1&size=5", 422),
        ("/api/image?id=1&size=99999", 422),
        ("/api/find?id=", 422),
        ("/api/find?id=a", 422),
        ("/api/objects?sort=nonsense", 422),
        ("/api/objects?order=up", 422),
        ("/api/objects?filter=none", 422),
        ("/api/objects?offset=-1", 422),
        ("/api/objects?limit=0", 422),
        ("/api/objects?limit=501", 422),
        ("/api/objects?more=1", 422),
        ("/api/next?exclude=1,b", 422),
        ("/api/next?labeller==x", 422),
        ("/api/scatter?projection=tsne", 422),
        ("/api/column?name=nonsense", 422),
        ("/api/export?format=fits", 422),
        ("/api/export?format=exe", 422),
        ("/api/nonsense", 404),
        ("/static/nonsense.js", 404),
    ],
)
def test_a_malformed_question_is_refused(client, path, status):
    answer = client.get(path)
    assert answer.status_code == status
    assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize(
    "name",
    [
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "x%2f..%2fapp.js",
        "",
    ],
)
def test_static_files_are_those_of_the_page_and_no_others(client, name):
    assert client.get(f"/static/{name}").status_code == 404


def test_a_question_is_not_posted_and_an_event_not_asked(client):
    assert client.post("/api/state").status_code == 405
    assert client.get("/api/label").status_code == 405


def test_headers_keep_the_page_to_itself(client):
    for path in ("/", "/api/state", "/nonsense", "/api/object?id=10000"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self'; img-src 'self' data: blob:")
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"


def test_the_page_comes_with_its_token_and_files(client):
    page = client.get("/")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "{{token}}" not in page.text
    assert TOKEN in page.text
    for path in PAGE.glob("*.js"):
        answer = client.get(f"/static/{path.name}")
        assert answer.content == path.read_bytes()
        assert answer.headers["Content-Type"].startswith("text/javascript")


def test_the_state_is_told(client):
    client.post("/api/label", json=EVENT)
    state = client.get("/api/state", params={"labeller": "bob"}).json()
    assert (state["total"], state["split_names"]) == (80, ["train", "test"])
    assert (state["labeller"], state["labellers"]) == ("bob", ["ada"])
    assert state["counts"]["anomaly"] == state["counts"]["labelled"] == 1
    assert state["model"] == {"version": 0, "labels": 1, "busy": False, "error": None}
    kept = {column["name"]: column["kept"] for column in state["columns"]}
    assert kept == {"colour": True, "size": False, "kind": True}
    assert state["curve"] == [[1, 1]]
    assert set(state["sorts"]) >= {"acquisition", "score", "random", "iforest", "size"}


def test_a_label_is_answered_once_and_for_all(client):
    first = client.post("/api/label", json=EVENT)
    again = client.post("/api/label", json=EVENT)
    assert first.json() == again.json()
    assert first.json()["ok"]
    assert first.json()["counts"]["anomaly"] == 1
    assert first.json()["curve_point"] == [1, 1]
    other = client.post("/api/label", json=EVENT | {"kind": "normal"})
    assert other.status_code == 409


def test_undo_tells_what_was_undone(client):
    client.post("/api/label", json=EVENT | {"kind": "grade", "value": 4})
    undo = {"uuid": "event-0002", "labeller": "ada", "kind": "undo"}
    answer = client.post("/api/label", json=undo).json()
    assert answer["undone"] == {"id": 5, "kind": "grade", "value": 4}
    assert answer["counts"]["labelled"] == 0
    assert client.post("/api/label", json=undo).json() == answer
    history = client.get("/api/object", params={"id": 5}).json()["history"]
    assert [event["kind"] for event in history] == ["grade", "undo"]


def test_next_hands_an_object_to_one_labeller(client):
    ada = client.get("/api/next", params={"labeller": "ada"}).json()
    bob = client.get("/api/next", params={"labeller": "bob"}).json()
    assert ada["item"]["rank"] == 1
    assert bob["item"]["rank"] == 2
    assert ada["lease"]["until"] > 0
    excluded = {"labeller": "ada", "exclude": str(ada["item"]["id"])}
    assert client.get("/api/next", params=excluded).json()["item"]["rank"] == 3


def test_an_object_is_told_with_all_that_is_known(client, objects):
    client.post("/api/label", json=EVENT | {"id": 7})
    row = objects.row(45)
    found = client.get("/api/object", params={"id": 45}).json()
    assert found["catalogue"]["size"] == pytest.approx(float(objects.table["size"][row]))
    assert found["scores"]["iforest"]["value"] == pytest.approx(float(objects.score[row]), 1e-6)
    assert found["stability"] == {"detectors": 0.5, "seeds": None, "sweeps": None}
    assert (found["p_value"], found["q_value"]) == (0.25, 0.5)
    assert client.get("/api/object", params={"id": 7}).json()["p_value"] is None


def test_neighbours_are_alike_in_what_the_flow_was_told(client, objects):
    found = client.get("/api/object", params={"id": 45}).json()["neighbours"]
    x = objects.kept.encode(objects.table).astype(float)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    far = np.linalg.norm(x - x[objects.row(45)], axis=1)
    far[objects.row(45)] = np.inf
    nearest = np.argsort(far)[:6]
    assert {n["id"] for n in found} == set(objects.ids[nearest].tolist())
    assert [n["distance"] for n in found] == pytest.approx(far[nearest].tolist(), rel=1e-4)


def test_pages_of_objects_are_told(client):
    query = {"sort": "score", "offset": 78, "limit": 60, "filter": "all"}
    found = client.get("/api/objects", params=query).json()
    assert (found["total"], found["offset"]) == (80, 78)
    assert [item["rank"] for item in found["items"]] == [79, 80]
    assert client.get("/api/find", params={"id": "7"}).json()["items"][0]["id"] == 7


def test_pictures_are_kept_by_the_browser(client):
    first = client.get("/api/image", params={"id": 3, "size": 16})
    assert first.headers["Content-Type"] == "image/png"
    assert first.content.startswith(b"\x89PNG")
    assert first.headers["Cache-Control"].startswith("private")
    again = client.get(
        "/api/image",
        params={"id": 3, "size": 16},
        headers={"If-None-Match": first.headers["ETag"]},
    )
    assert (again.status_code, again.content) == (304, b"")
    other = client.get("/api/image", params={"id": 4, "size": 16})
    assert other.headers["ETag"] != first.headers["ETag"]


def test_columns_are_told_as_bytes_in_row_order(client, objects):
    client.post("/api/label", json=EVENT | {"id": 7})
    client.post("/api/label", json=EVENT | {"id": 8, "kind": "normal", "uuid": "event-0002"})
    ids = np.frombuffer(client.get("/api/ids").content, "<f8")
    assert np.array_equal(ids, objects.ids)
    label = client.get("/api/column", params={"name": "label"})
    values = np.frombuffer(label.content, "<f4")
    assert (values[7], values[8], np.abs(values).sum()) == (1, -1, 2)
    assert (label.headers["X-Min"], label.headers["X-Max"]) == ("-1.0", "1.0")
    size = np.frombuffer(client.get("/api/column", params={"name": "size"}).content, "<f4")
    assert np.array_equal(size, objects.table["size"].astype("<f4"))


def test_the_pca_map_has_the_variance_of_the_first_components(client, source):
    from wwdc.embed.published import read_rows

    answer = client.get("/api/scatter", params={"projection": "pca"})
    found = np.frombuffer(answer.content, "<f4").reshape(-1, 2)
    assert answer.headers["X-Rows"] == "80"
    files = source[0].files.values()
    x = np.concatenate([read_rows(path, ["u_mean"])["u_mean"] for path in files]).astype(float)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    spread = np.linalg.svd(x, compute_uv=False) ** 2 / len(x)
    assert found.var(axis=0) == pytest.approx(spread[:2], rel=1e-4)


def test_a_map_that_is_not_there_yet_is_waited_for(client, app):
    answer = client.get("/api/scatter", params={"projection": "umap"})
    assert (answer.status_code, answer.json()) == (202, {"status": "waiting"})


def test_labels_go_out_and_come_in(client):
    client.post("/api/label", json=EVENT)
    lines = client.get("/api/export", params={"format": "jsonl"})
    assert "attachment" in lines.headers["Content-Disposition"]
    assert client.post("/api/import", content=lines.content).json() == {"added": 0, "known": 1}
    event = json.loads(lines.text) | {"uuid": "event-0009", "id": 6}
    body = json.dumps(event)
    assert client.post("/api/import", content=body).json() == {"added": 1, "known": 0}
    assert client.post("/api/import", content=b"{}\n").status_code == 422
    unknown = json.dumps(event | {"uuid": "event-0010", "id": 10_000})
    assert client.post("/api/import", content=unknown).status_code == 404
