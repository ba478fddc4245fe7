"""`safelight check`, and reload while serving."""

import json
import signal
import subprocess

import pytest

from conftest import UNIFIED, routed
from safelight import BINARY, ROOT, post, wait_until

SIMULATED = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}


def check(path, env=None):
    return subprocess.run(
        [str(BINARY), "check", "--config", str(path)], capture_output=True, text=True, timeout=30, env=env
    )


def test_shipped_routes_are_valid():
    answer = check(ROOT / "routes.json")
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_problem_is_named_with_its_place(tmp_path):
    path = tmp_path / "routes.json"
    path.write_text(
        """{
  "server": { "listen": "127.0.0.1:0", "drian": "30s" },
  "upstreams": { "darkroom": { "provider": "openai-images", "base_url": "simulator:" } },
  "routes": [
    { "path": "/v1/generate", "dialect": "unifed", "auth": "public", "public_without_limits": true,
      "upstreams": ["darkroom"], "commit": 2 },
    { "path": "/v1/other", "dialect": "unified", "auth": "public", "public_without_limits": true,
      "upstreams": ["missing"] }
  ]
}
"""
    )
    answer = check(path)
    text = answer.stdout + answer.stderr
    assert answer.returncode != 0
    for found in ("drian", "drain", "unifed", "commit", "missing"):
        assert found in text, text
    for place in ("2:", "5:", "6:", "8:"):
        assert place in text, f"line {place} of\n{text}"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"routes": []}', "nul"])
def test_broken_files_are_refused(tmp_path, text):
    path = tmp_path / "routes.json"
    path.write_text(text)
    answer = check(path)
    assert answer.returncode != 0 and answer.stdout + answer.stderr


def test_missing_file_is_refused(tmp_path):
    answer = check(tmp_path / "absent.json")
    assert answer.returncode != 0 and "absent.json" in answer.stdout + answer.stderr


def test_table_shows_routes_and_missing_keys_but_no_secret(tmp_path):
    path = tmp_path / "routes.json"
    keyed = {"provider": "openai-images", "base_url": "https://api.example/v1", "api_key": {"env": "EXAMPLE_KEY"}}
    upstreams = {"real": keyed, "other": {**keyed, "api_key": {"env": "UNSET_KEY"}}}
    route = {**routed(UNIFIED, "real"), "auth": "public", "public_without_limits": True, "upstreams": ["real", "other"]}
    path.write_text(json.dumps({"upstreams": upstreams, "routes": [route]}, indent=2))
    environment = {"EXAMPLE_KEY": "sk-very-secret", "PATH": "/usr/bin:/bin"}
    answer = check(path, env=environment)
    text = answer.stdout + answer.stderr
    assert answer.returncode == 0, text
    assert "/v1/generate" in text and "pictures" in text and "real, other (unavailable)" in text
    assert text.count("UNSET_KEY") == 1 and "very-secret" not in text


def status(server, path):
    return post(server.port, path, {"prompt": ""})[0]


@pytest.mark.parametrize("how", ["signal", "file"])
def test_reload(serve, how):
    server = serve(SIMULATED, [routed(UNIFIED, "darkroom")])
    assert (status(server, "/v1/generate"), status(server, "/v2/generate")) == (400, 404)
    server.write_config(SIMULATED, [routed(UNIFIED, "darkroom", path="/v2/generate")])
    if how == "signal":
        server.signal(signal.SIGHUP)
    wait_until(lambda: status(server, "/v2/generate") == 400, 10, "the new table")
    assert status(server, "/v1/generate") == 404


def test_bad_file_leaves_the_old_table(serve):
    server = serve(SIMULATED, [routed(UNIFIED, "darkroom")])
    good = server.config_path.read_text()
    server.config_path.write_text(good.replace('"unified"', '"unifed"'))
    server.signal(signal.SIGHUP)
    wait_until(lambda: "unifed" in server.log.read_text(), 10, "the complaint")
    assert status(server, "/v1/generate") == 400
    server.config_path.write_text(good.replace("/v1/generate", "/v3/generate"))
    wait_until(lambda: status(server, "/v3/generate") == 400, 10, "the mended table")
