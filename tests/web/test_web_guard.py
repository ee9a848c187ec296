"""Who may ask, and what every answer says to the browser."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

ADDRESSES = ("/", "/runs/x", "/compare", "/api/runs", "/api/runs/nobody", "/nothing", "/static/app.js", "/static/x")


@pytest.mark.parametrize("path", ADDRESSES)
def test_every_answer_allows_nothing_from_elsewhere(path: str, client: TestClient) -> None:
    headers = client.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        **dict.fromkeys(("script-src", "style-src", "img-src", "connect-src"), "'self'"),
        **dict.fromkeys(("base-uri", "form-action", "frame-ancestors"), "'none'"),
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ADDRESSES)
def test_only_what_changes_nothing_is_answered(method: str, path: str, client: TestClient) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil", "[::1", "a b", "x:y:z"])
def test_another_name_is_not_served(host: str, client: TestClient) -> None:
    for path in ADDRESSES:
        response = client.get(path, headers={"Host": host})
        assert response.status_code == 421
        assert "RALPH_OTEL_WEB_HOSTS" in response.json()["error"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9475", "localhost:1", "LOCALHOST", "[::1]:9475", "192.168.1.2", "localhost."]
)
def test_our_own_names_and_addresses_are(host: str, client: TestClient) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    ],
)
def test_a_page_from_elsewhere_is_refused(headers: dict[str, str], client: TestClient) -> None:
    for path in ("/api/runs", "/api/events", "/static/app.js"):
        assert client.get(path, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:9475"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_our_own_page_and_a_link_are_not(headers: dict[str, str], client: TestClient) -> None:
    assert client.get("/api/runs", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/runs", "/api/events"])
def test_a_head_has_the_headers_and_no_body(path: str, client: TestClient) -> None:
    response = client.head(path)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("path", ["/static/../openapi.json", "/static/%2e%2e/routes.py", "/static/..%2froutes.py"])
def test_only_the_pages_files_are_there(path: str, client: TestClient) -> None:
    assert client.get(path).status_code == 404
