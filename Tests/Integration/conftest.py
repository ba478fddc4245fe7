import json
import os
import pathlib

import jsonschema
import pytest

from safelight import BINARY, ROOT, Process, Server, free_port

UNIFIED = {"name": "pictures", "path": "/v1/generate", "dialect": "unified", "operation": "generate", "mode": "auto"}
OPENAI = {
    "name": "images", "path": "/v1/images/generations", "dialect": "openai-images", "operation": "generate",
    "mode": "auto",
}
EDITS = {**OPENAI, "name": "edits", "path": "/v1/images/edits", "operation": "edit"}

#: `make soak` sets this; without it the same tests run with small numbers and short silences.
SOAK = bool(os.environ.get("SAFELIGHT_SOAK"))


def pytest_configure(config):
    if not BINARY.exists():
        raise pytest.UsageError(f"{BINARY} does not exist; build first (make test does), or set SAFELIGHT_BINARY")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing test shows what its server said."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for started in getattr(item, "started_processes", []):
            text = started.log.read_text(errors="replace")
            report.sections.append((f"output of safelight {started.pid}", text[-8000:]))


@pytest.fixture
def serve(tmp_path, request):
    """`serve(upstreams, routes, **sections)` starts a server that ends with the test."""
    request.node.started_processes = started = []

    def start(upstreams, routes, **sections):
        directory = tmp_path / f"server{len(started)}"
        directory.mkdir()
        server = Server(directory, upstreams, routes, **sections)
        started.append(server)
        return server

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def simulator(tmp_path, request):
    """`safelight simulate` on a free port; gives the port."""
    port = free_port()
    process = Process(["simulate", "--listen", f"127.0.0.1:{port}"], tmp_path, "simulator")
    process.wait_for_port(port)
    yield port
    process.stop()


@pytest.fixture(scope="session")
def event_schema():
    schema = json.loads(pathlib.Path(ROOT, "docs/events.schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    return validator(schema)


def routed(route, upstream, **fields):
    """The route, sent to the named upstream."""
    return {**route, "upstreams": [upstream], **fields}
