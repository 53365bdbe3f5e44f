"""What the server refuses: each of these requests gets a clear 4xx, and nothing is written."""

from __future__ import annotations

import json
import uuid

import pytest

pytest.importorskip("deltalake")
pytest.importorskip("httpx")

from pipelines.review.security import MAX_BODY, Access, is_loopback

from .made import hash_of


def decision(burst="b1", frames=(0, 1, 2), **values):
    contents = [hash_of(burst, frame) for frame in (range(frames) if isinstance(frames, int) else frames)]
    known = {"id": str(uuid.uuid4()), "burst": burst, "contents": contents, "action": "label", "label": "fox"}
    return {**known, "scope": "burst", "queue": "review", "seconds": 1.5, "seen": None, **values}


def undo(choice):
    return {**choice, "id": str(uuid.uuid4()), "action": "undo", "undoes": choice["id"], "label": None}


def post(client, *decisions, **options):
    return client.post("/api/decisions", json={"decisions": list(decisions)}, **options)


def journals(client):
    folder = client.opened.decisions._writer.path.parent
    return [path for path in folder.glob("*") if path.stat().st_size]


def test_the_key_in_the_first_address_becomes_a_strict_cookie_and_leaves_the_address(client):
    access = client.opened.review.access
    client.cookies.clear()
    assert client.get("/").status_code == 403
    first = client.get("/", params={"key": access.key, "queue": "audit"}, follow_redirects=False)
    assert first.status_code == 200 and '<meta http-equiv="refresh" content="0;url=/?queue=audit">' in first.text
    assert access.key not in first.text
    cookie = first.headers["set-cookie"]
    assert cookie.startswith(f"irbis_review_8765={access.cookie}; ")
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Domain" not in cookie
    assert access.key not in client.get("/").text  # the cookie is in the client now
    assert client.get("/").status_code == 200
    wrong = client.get("/", params={"key": access.key[:-1]})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (403, False)


def test_every_response_has_the_headers_and_none_allows_other_origins(client):
    for address in ("/", "/static/review.js", "/api/queue", "/image/none/0/small", "/nowhere"):
        headers = client.get(address, headers={"origin": "http://evil.example"}).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; "), address
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert not [name for name in headers if name.startswith("access-control")]


def test_the_page_has_no_inline_script_or_style(client):
    page = client.get("/").text
    assert "<script>" not in page and " style=" not in page and "<style" not in page and "onclick" not in page


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost:9000", 200),  # a forwarded port
        ("LOCALHOST", 200),
        ("[::1]:8765", 200),
        ("evil.example", 400),
        ("evil.example:8765", 400),
        ("127.0.0.1.evil.example", 400),
        ("192.168.1.7:8765", 400),
        ("", 400),
    ],
)
def test_only_this_machine_names_are_answered(client, host, status):
    assert client.get("/api/queue", headers={"host": host}).status_code == status


def test_a_server_for_other_machines_answers_under_addresses_but_not_under_foreign_names():
    access = Access.of("0.0.0.0", 8765)
    assert access.allows_host("192.168.1.7:8765") and access.allows_host("[fe80::1]:8765")
    assert not access.allows_host("evil.example:8765")
    assert [is_loopback(each) for each in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.168.1.7", "host")] == [
        *[True] * 3,
        *[False] * 3,
    ]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example", "origin": "http://evil.example"}, 400),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "https://127.0.0.1:8765"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"x-irbis-token": ""}, 403),
        ({"x-irbis-token": "wrong"}, 403),
        ({"cookie": "irbis_review_8765=wrong"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_a_decision_from_elsewhere_is_refused_and_not_written(client, headers, status):
    if "cookie" in headers:
        client.cookies.clear()
    sent = client.post(
        "/api/decisions",
        content=json.dumps({"decisions": [decision()]}),
        headers={"content-type": "application/json", **headers},
    )
    assert sent.status_code == status
    assert journals(client) == [] and client.opened.decisions.count == 0


def test_a_decision_of_the_page_is_written(client):
    assert post(client, decision()).status_code == 200
    assert len(journals(client)) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(client, method):
    assert client.request(method, "/api/decisions").status_code == 405


def test_a_large_body_is_refused_also_without_a_length(client):
    headers = {"content-type": "application/json"}
    assert client.post("/api/decisions", content=b" " * (MAX_BODY + 1), headers=headers).status_code == 413
    endless = (b" " * 65536 for _ in range(100))
    assert client.post("/api/decisions", content=endless, headers=headers).status_code == 413
    assert post(client, *[decision() for _ in range(201)]).status_code == 413
    assert journals(client) == []


@pytest.mark.parametrize(
    "address",
    [
        "/image/../../mlflow.db/small",
        "/image/..%2f..%2fmlflow.db/small",
        "/image/HASH/..%2f..%2f..%2fmlflow.db",
        "/image/HASH/huge",
        "/image/HASH%00/..%2fsmall",
        "/image/HASHa/small",
        "/image/0/small",
        "/image/file:%2f%2f%2fsurvey%2fb1%2f0.jpg/small",
        f"/image/{'0' * 64}/small",
        "/static/..%2fapp.py",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/page.html.j2",
    ],
)
def test_nothing_but_contents_of_the_table_and_known_files_is_served(client, address):
    answer = client.get(address.replace("HASH", hash_of("b1", 0)))
    assert answer.status_code == 404
    assert len(answer.content) < 100 and b"SQLite" not in answer.content


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "The body is not JSON."),
        (b"[" * 100_000, 400, "The body is not JSON."),
        (b"[]", 422, 'Expected {"decisions": [...]}.'),
        (b'{"decisions": []}', 422, 'Expected {"decisions": [...]}.'),
        (b'{"decisions": ["b1"]}', 422, "A decision is an object."),
    ],
)
def test_malformed_bodies(client, body, status, message):
    sent = client.post("/api/decisions", content=body, headers={"content-type": "application/json"})
    assert (sent.status_code, sent.json()) == (status, {"error": message})
    assert journals(client) == []


@pytest.mark.parametrize(
    ("values", "status", "message"),
    [
        ({"burst": ["b1"]}, 422, "burst is a text of 1 to 4096 characters."),
        ({"id": "7"}, 422, "id is a UUID."),
        ({"seen": "7"}, 422, "seen is a UUID."),
        ({"action": "delete"}, 422, "action is one of label, unknown, skip, undo."),
        ({"queue": "../x"}, 422, "queue is one of review, audit, suspects, suggest, class, search."),
        ({"scope": "survey"}, 422, "scope is one of burst, image."),
        ({"label": ""}, 422, "label is a text of 1 to 100 characters."),
        ({"label": "x" * 101}, 422, "label is a text of 1 to 100 characters."),
        ({"label": "\u200b\u0007"}, 422, "A label has at least one visible character."),
        ({"label": "\ud800"}, 422, "label is not valid Unicode."),
        ({"contents": 2}, 422, "contents is a list of content hashes."),
        ({"contents": []}, 422, "contents is a list of content hashes."),
        ({"contents": [["x"]]}, 422, "contents is a list of content hashes."),
        ({"contents": ["0" * 64, "../mlflow.db"]}, 404, "These images are not in the workspace any more."),
        ({"contents": [hash_of("b6", 0)]}, 404, "These images are not in the workspace any more."),  # unreadable
        ({"action": "undo", "undoes": str(uuid.UUID(int=7))}, 404, "The decision to undo is not known."),
    ],
)
def test_a_wrong_decision_is_named_and_nothing_of_its_batch_is_written(client, values, status, message):
    sent = client.post(
        "/api/decisions",
        content=json.dumps({"decisions": [decision("b0", 2), decision(**values)]}),
        headers={"content-type": "application/json"},
    )
    assert (sent.status_code, sent.json()) == (status, {"error": message})
    assert journals(client) == []


def test_an_unexpected_error_shows_no_details(client, monkeypatch):
    monkeypatch.setattr(type(client.opened.queues), "get", lambda *_: 1 / 0)
    answer = client.get("/api/queue")
    assert answer.status_code == 500
    assert answer.json() == {"error": "Unexpected error; the server's window has the details."}
    assert answer.headers["x-content-type-options"] == "nosniff"
