"""Hostile pages and hostile bodies, as they come over the wire."""

import http.client
import json
import os
import pathlib

import pytest

from conftest import EDITS, OPENAI, UNIFIED, routed
from safelight import ROOT

SHARED = pathlib.Path(os.environ.get("SAFELIGHT_SHARED", ROOT.parent / "shared"))
SUITE = SHARED / "vectors" / "json"
UPSTREAMS = {
    "darkroom": {"provider": "openai-images", "base_url": "simulator:"},
    "queue": {"provider": "queue", "preset": "stages", "base_url": "simulator:"},
}
LINES = {**UNIFIED, "name": "lines", "path": "/v1/generate.ndjson", "dialect": "ndjson"}
UNIFIED_EDITS = {**UNIFIED, "name": "unified-edits", "path": "/v1/edit", "operation": "edit"}
STAGES = {"name": "stages", "mount": "/api/v1/images", "dialect": "stages", "upstreams": ["queue"]}
ROUTES = [*(routed(route, "darkroom") for route in (UNIFIED, UNIFIED_EDITS, LINES, OPENAI, EDITS)), STAGES]
CREATE = [*(route["path"] for route in ROUTES[:-1]), "/api/v1/images/generate", "/api/v1/images/generate/stream"]

ALLOWED = ["https://app.example", "http://localhost:3000"]
FOREIGN = [
    "null", "*", "https://app.example/", "https://app.example:443", "https://app.example:8443", "http://app.example",
    "HTTPS://app.example", "https://APP.example", "https://app.example.evil.example", "https://evilapp.example",
    "https://app.example@evil.example", "https://evil.example/https://app.example", "https://app.exampl",
    "https://app.example.", "https://.app.example", "https://sub.app.example", "https://app_example",
    "https://appxexample", "http://localhost", "http://localhost:30000", "http://localhost:300",
    "http://localhost:3000.evil.example", "http://127.0.0.1:3000", "https://localhost:3000", "file://",
    "chrome-extension://abc", "https://app.example, null", "https://app.example https://app.example",
]
FORMS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None]


@pytest.fixture
def server(serve, tmp_path):
    return serve(UPSTREAMS, ROUTES, server={"cors": {"origins": ALLOWED}}, storage={"images": {"disk": "images"}})


def call(server, method, path, body=None, headers=None, connection=None):
    own = connection or http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        own.request(method, path, body, headers or {})
        response = own.getresponse()
        return response.status, response.headers, response.read()
    finally:
        if not connection:
            own.close()


def test_origins(server):
    """G10: exactly the configured origins read answers; nobody else's page creates with a form."""
    for origin in ALLOWED + FOREIGN:
        check_origin(server, origin, origin in ALLOWED)


def check_origin(server, origin, listed):
    for path in CREATE:
        json_type = {"Content-Type": "application/json", "Origin": origin}
        status, headers, _ = call(server, "POST", path, b"{}", json_type)
        assert status in (400, 422)
        assert headers["Access-Control-Allow-Origin"] == (origin if listed else None)
        assert headers["Vary"] == "Origin" and headers["Access-Control-Allow-Credentials"] is None
        for form in FORMS:
            kind = {"Content-Type": form} if form else {}
            status, headers, _ = call(server, "POST", path, b'{"prompt": "[sim duration=10ms queue=0s] x"}', {**kind, "Origin": origin})
            assert status == 415 if not listed else status in (200, 202, 400, 415, 422), (path, form)
            assert headers["Access-Control-Allow-Origin"] == (origin if listed else None)
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "authorization,content-type"}
        status, headers, _ = call(server, "OPTIONS", path, headers=asked)
        assert status == (204 if listed else 405)
        assert headers["Access-Control-Allow-Origin"] == (origin if listed else None)
        assert headers["Access-Control-Allow-Headers"] == ("authorization,content-type" if listed else None)


def test_every_answer_is_safe_to_show(server):
    for method, path in [("GET", "/"), ("GET", "/nothing"), ("POST", UNIFIED["path"]), ("GET", "/v1/jobs"),
                         ("GET", "/v1/images/img_x"), ("GET", UNIFIED["path"])]:
        _, headers, _ = call(server, method, path)
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "no-referrer" and headers["X-Frame-Options"] == "DENY", path


@pytest.mark.skipif(not SUITE.is_dir(), reason="needs the folder vectors/json of the shared data")
@pytest.mark.parametrize("path", CREATE)
def test_json_suite_as_bodies(server, path):
    """G1: what is broken is 400 and says so; nothing is ever our fault."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    statuses = {}
    for file in sorted(SUITE.glob("*.json")):
        status, _, answer = call(
            server, "POST", path, file.read_bytes(), {"Content-Type": "application/json"}, connection)
        assert status < 500, file.name
        refused = 422 if path.startswith("/api/v1/images") else 400
        if file.name.startswith("n_"):
            assert status == refused, (file.name, status)
        # Two of the same name are refused: a gateway and its upstream must not read one body in two ways.
        if file.name.startswith("y_") and "duplicated_key" not in file.name:
            assert b"invalid_json" not in answer and b"not valid JSON" not in answer, file.name
        if file.name.startswith("i_"):
            assert status in (400, 422), (file.name, status)
        statuses[status] = statuses.get(status, 0) + 1
    assert sum(statuses.values()) == 318
    print(f"\n{path}: {statuses}")
