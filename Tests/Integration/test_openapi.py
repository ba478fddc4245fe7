"""The API as it describes itself: every call is as `/openapi.json` says, whatever is sent."""

import http.client
import json
import os
import subprocess
import sys

import pytest

from conftest import EDITS, OPENAI, SOAK, UNIFIED, routed
from safelight import get, post, wait_until
from test_edge import SUITE
from test_tokens import SCOPED, create
from upstream import USAGE, Upstream, completed, partial, picture

SEEDS = (1, 2, 3)
#: Of generated data for each call. The other cases follow from the description alone and are the same in either run.
EXAMPLES = 60 if SOAK else 2

FREE = {"unsupported": "drop"}
ROUTES = [
    UNIFIED, {**UNIFIED, "name": "edit", "path": "/v1/edit", "operation": "edit"},
    {**UNIFIED, "name": "lines", "path": "/v1/generate.ndjson", "dialect": "ndjson"}, OPENAI, EDITS,
    *({**UNIFIED, "name": f"{dialect}-{operation}", "path": f"/api/{dialect}/{operation}", "dialect": dialect,
       "operation": operation} for dialect in ("progressive", "gallery") for operation in ("generate", "edit")),
    *({"name": dialect, "path": f"/api/{dialect}", "dialect": dialect, "intent": "always"}
      for dialect in ("chat", "vercel-ui")),
    *({"name": dialect, "mount": f"/{dialect}", "dialect": dialect}
      for dialect in ("stages", "replicate", "fal-queue", "openai-responses")),
]


def draw(call):
    """An upstream that takes every word, as no real one does: what is refused, the gateway has refused."""
    b64 = picture()
    if b'"stream":true' in call.body.replace(b" ", b"") or b'name="stream"' in call.body:
        call.start_stream()
        call.write(partial(0, b64) + completed(b64))
    else:
        call.answer(200, {"created": 1781870406, "data": [{"b64_json": b64}], "usage": USAGE})


@pytest.fixture
def upstream():
    with Upstream(draw) as started:
        yield started


@pytest.fixture
def server(serve, upstream):
    return serve(
        {"any": upstream.config}, [{**routed(route, "any"), **FREE} for route in ROUTES],
        storage={"images": {"disk": "images"}}, server={"connections": {"per_ip": 1000}})


def described(server):
    status, headers, body = get(server.port, "/openapi.json")
    assert status == 200 and headers["Content-Type"] == "application/json"
    return json.loads(body)


def test_every_configured_call_is_described(server):
    document = described(server)
    assert document["openapi"].startswith("3.1") and document["servers"] == [{"url": server.url}]
    paths = document["paths"]
    for route in ROUTES:
        if "path" in route:
            assert "post" in paths[route["path"]], route
        else:
            assert any(path.startswith(route["mount"]) for path in paths), route
    for path in ("/v1/jobs", "/v1/jobs/{id}", "/v1/jobs/{id}/events", "/v1/models", "/openapi.json"):
        assert "get" in paths[path], path
    names = [call["operationId"] for calls in paths.values() for call in calls.values()]
    assert len(names) == len(set(names))


def test_models_by_route(serve):
    server = serve(
        {"one": {"provider": "openai-images", "base_url": "simulator:", "model": "picture-1"},
         "two": {"provider": "openai-images", "base_url": "simulator:"}},
        [{**routed(UNIFIED, "one"), "match": {"model": ["fast", "gpt-image-*"]}}, routed(OPENAI, "two")])
    status, _, body = get(server.port, "/v1/models")
    models = json.loads(body)
    assert status == 200 and models["object"] == "list"
    assert [(model["id"], model["owned_by"], model["routes"]) for model in models["data"]] == [
        ("fast", "one", ["pictures"]), ("picture-1", "one", ["pictures"])]
    status, headers, _ = post(server.port, "/v1/models", {})
    assert status == 405 and headers["Allow"] == "GET, HEAD"


def test_a_reload_moves_the_public_url(serve):
    """Also back to the address listened on, when the file names no other any more."""
    server = serve(
        {"one": {"provider": "openai-images", "base_url": "simulator:"}}, [routed(UNIFIED, "one")],
        server={"public_url": "https://one.example"})

    def told():
        return described(server)["servers"][0]["url"]

    assert told() == "https://one.example"
    config = json.loads(server.config_path.read_text())
    for url in ("https://two.example/gateway", None):
        config["server"].pop("public_url")
        if url:
            config["server"]["public_url"] = url
        server.config_path.write_text(json.dumps(config))
        wait_until(lambda: told() == (url or server.url), 10, "the other public URL")


#: DELETE of a job cancels it, and a cancelled job stays known, so that its client can see what became of it.
SETTINGS = """
[[operations]]
include-path-regex = "/jobs/[{]id[}]"
checks.use_after_free.enabled = false
"""


def explored(server, folder, seed, phases, *options):
    """What schemathesis found with all its checks: what the description says is accepted, what it does not is refused, what comes back
    is as it says."""
    (folder / "schemathesis.toml").write_text(SETTINGS)
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--phases", phases, "--seed", str(seed),
         "-n", str(EXAMPLES), "--generation-database", "none", "--no-color", "--suppress-health-check", "all",
         "--continue-on-failure", *options],
        cwd=folder, capture_output=True, text=True, timeout=3600 if SOAK else 900,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-4000:]
    assert server.ended() is None
    print(f"\nseed {seed}: " + next(line.strip() for line in done.stdout.splitlines() if "generated" in line))


@pytest.mark.parametrize("seed", SEEDS)
def test_schemathesis(server, tmp_path, seed):
    """F7, with nobody asking."""
    # The cases of `coverage` follow from the description alone: another seed would send the same.
    explored(server, tmp_path, seed, "examples,coverage,fuzzing,stateful" if seed == SEEDS[0] else "fuzzing,stateful")


def test_schemathesis_with_a_token(serve, upstream, tmp_path):
    """F7, where somebody must be known: each call is also tried without the token, and with one that is none."""
    server = serve(
        {"any": upstream.config}, [{**routed(route, "any"), **FREE, **SCOPED} for route in ROUTES],
        storage={"images": {"disk": "images"}, "jobs": {"sqlite": "safelight.db"}},
        server={"connections": {"per_ip": 1000}})
    token, _ = create(server)
    # What creates is described alike with and without tokens.
    paths = [] if SOAK else ["--include-path-regex", "^/v1/(jobs|images/[{]|tickets|models)"]
    explored(
        server, tmp_path, SEEDS[0], "examples,coverage,fuzzing", "--header", f"Authorization: Bearer {token}", *paths)


def creating(document):
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            if "requestBody" in call:
                yield method.upper(), path.replace("{owner}", "maker").replace("{model}", "flux")


@pytest.mark.skipif(not SUITE.is_dir(), reason="needs the folder vectors/json of the shared data")
def test_json_suite_at_every_creating_call(server):
    """G1: what is no JSON is a client's mistake everywhere, and never ours."""
    files = sorted(SUITE.glob("*.json"))
    calls = list(creating(described(server)))
    assert len(calls) >= len(ROUTES)
    for method, path in calls:
        statuses = {}
        for file in files:
            status = post_bytes(server.port, path, file.read_bytes())
            assert status < 500, (path, file.name, status)
            if file.name.startswith("n_"):
                assert status in (400, 422), (path, file.name, status)
            statuses[status] = statuses.get(status, 0) + 1
        print(f"\n{method} {path}: {statuses}", end="")


def post_bytes(port, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()
