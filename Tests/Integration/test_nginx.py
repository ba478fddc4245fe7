"""Behind a real nginx: with the configuration we ship, and with nothing but `proxy_pass`."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time

import pytest

from conftest import OPENAI, SOAK, UNIFIED, routed
from safelight import ROOT, Stream, free_port, post, wait_until
from upstream import Upstream, completed, partial, picture

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed")

# Silence, nginx's own patience, heartbeat: in a soak those of the field, else the same in small.
SILENCE, PATIENCE, HEARTBEAT = (90, None, "15s") if SOAK else (4, "2s", "1s")

BARE = """
events {{}}
http {{
    {temporary}
    server {{
        listen 127.0.0.1:{port};
        {patience}
        location / {{ proxy_pass http://127.0.0.1:{server}; }}
    }}
}}
"""


class Nginx:
    def __init__(self, kind, directory, server_port):
        self.port = free_port()
        directory.mkdir()
        patience = f"proxy_read_timeout {PATIENCE};" if PATIENCE else ""
        temporary = " ".join(
            f"{name}_temp_path {directory}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration = directory / "nginx.conf"
        if kind == "bare":
            configuration.write_text(
                BARE.format(port=self.port, server=server_port, patience=patience, temporary=temporary)
            )
        else:
            shutil.copy(ROOT / "docker/nginx.conf", configuration)
            (directory / "upstream.conf").write_text(
                f"{temporary} upstream safelight {{ server 127.0.0.1:{server_port}; keepalive 16; }}"
            )
            (directory / "listen.conf").write_text(f"listen 127.0.0.1:{self.port}; {patience}")
        self.log = directory / "error.log"
        self._process = subprocess.Popen(
            [NGINX, "-c", str(configuration), "-p", str(directory), "-e", str(self.log),
             "-g", f"daemon off; pid {directory}/nginx.pid;"]
        )
        wait_until((directory / "nginx.pid").exists, 10, f"nginx: {self.log.read_text() if self.log.exists() else ''}")

    def stop(self):
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture(params=["shipped", "bare"])
def proxied(request, tmp_path):
    """`proxied(server)` puts an nginx before the server and gives its port."""
    started = []

    def start(server):
        started.append(Nginx(request.param, tmp_path / "nginx", server.port))
        return started[-1].port

    yield start
    for nginx in started:
        nginx.stop()


def quiet(route):
    # The gateway's own patience with the upstream, 90 s, would end in the same moment as the long silence.
    return {**routed(route, "real"), "heartbeat": {"every": HEARTBEAT}, "timeouts": {"idle": "180s"}}


def silent_upstream(preview, final, stream=True):
    def behaviour(call):
        if call.json.get("stream"):
            call.start_stream()
            call.write(partial(0, preview))
            time.sleep(SILENCE)
            call.write(completed(final))
        else:
            time.sleep(SILENCE)
            call.answer(200, {"created": 1781870406, "data": [{"b64_json": final}]})

    return Upstream(behaviour)


def first_event(port):
    with Stream(port, UNIFIED["path"], {"prompt": "[sim profile=normal] x", "stream": True}) as stream:
        return next(iter(stream)).at


def test_first_event_is_as_fast(serve, proxied):
    """What gathers a stream holds its first event back for seconds, as long as the picture takes or its buffer fills."""
    server = serve(
        {"real": {"provider": "openai-images", "base_url": "simulator:"}}, [quiet(UNIFIED)],
    )
    port = proxied(server)
    first_event(server.port), first_event(port)
    direct, behind = [], []
    for _ in range(15):
        direct.append(first_event(server.port))
        behind.append(first_event(port))
    direct, behind = statistics.median(direct), statistics.median(behind)
    print(f"first event: direct {direct * 1000:.1f} ms, behind nginx {behind * 1000:.1f} ms")
    assert behind < direct + 1


def test_events_are_not_held_back(serve, proxied):
    """The preview is there long before the picture: nothing on the way gathers the stream."""
    preview, final = picture(64, 64, 1), picture(64, 64, 2)

    def behaviour(call):
        call.start_stream()
        call.write(partial(0, preview))
        time.sleep(1.5)
        call.write(completed(final))

    with Upstream(behaviour) as upstream:
        server = serve({"real": upstream.config}, [quiet(UNIFIED)])
        with Stream(proxied(server), UNIFIED["path"], {"prompt": "x", "stream": True, "partial_images": 1}) as stream:
            events = list(stream)
    at = {event.name: event.at for event in events}
    assert at["image"] - at["partial_image"] > 1
    assert [e.json["b64_json"] for e in events if e.name in ("partial_image", "image")] == [preview, final]


@pytest.mark.parametrize("route", [UNIFIED, OPENAI], ids=["unified", "openai-images"])
def test_stream_survives_silence(serve, proxied, route):
    preview, final = picture(16, 16, 1), picture(16, 16, 2)
    with silent_upstream(preview, final) as upstream:
        server = serve({"real": upstream.config}, [quiet(route)])
        port = proxied(server)
        body = {"prompt": "x", "stream": True, "partial_images": 1}
        with Stream(port, route["path"], body, timeout=SILENCE + 30) as stream:
            events = list(stream)
    pictures = [event.json["b64_json"] for event in events if event.data and event.json.get("b64_json")]
    assert pictures == [preview, final]
    assert events[-1].at > SILENCE and stream.heartbeats >= 1
    assert stream.silence < int(HEARTBEAT[:-1]) + 1, "heartbeats, or progress, all the time"


def test_waiting_call_survives_silence(serve, proxied):
    final = picture(16, 16, 2)
    with silent_upstream(None, final) as upstream:
        server = serve({"real": upstream.config}, [quiet(OPENAI)])
        port = proxied(server)
        status, headers, body = post(port, OPENAI["path"], {"prompt": "x"}, timeout=SILENCE + 30)
    assert status == 200 and headers["Content-Type"].startswith("application/json")
    assert body[:1].isspace(), "white space kept the connection"
    assert json.loads(body)["data"][0]["b64_json"] == final


def test_shipped_configuration_is_valid(tmp_path):
    directory = pathlib.Path(tmp_path, "shipped")
    directory.mkdir()
    for name in ("nginx.conf", "listen.conf"):
        shutil.copy(ROOT / "docker" / name, directory)
    # The name of the container is known only inside the composition.
    text = (ROOT / "docker/upstream.conf").read_text().replace("server safelight:", "server 127.0.0.1:")
    (directory / "upstream.conf").write_text(text)
    checked = subprocess.run(
        [NGINX, "-t", "-c", str(directory / "nginx.conf"), "-p", str(directory), "-e", str(directory / "error.log"),
         "-g", f"pid {directory}/nginx.pid;"], capture_output=True, text=True,
    )
    assert checked.returncode == 0, checked.stderr
