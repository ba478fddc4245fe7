"""Addresses that an upstream names: which are fetched, and that the kernel is never asked to connect to another."""

import json
import re
import shutil
import socket
import subprocess

import pytest

from conftest import UNIFIED, routed
from safelight import post, wait_until
from upstream import Upstream, png

DEFINITION = {
    "maximum_count": 16,
    "submit": {"method": "POST", "url": "{base}/jobs"},
    "status": {"url": "{base}/jobs/{job_id}"},
    "body": {"prompt": "$prompt", "n": "$n"},
    "poll": {"interval": "100ms"},
    "job_id": "id",
    "state": {"paths": "state", "map": {"done": "succeeded"}},
    "images": [{"url": "pictures.*"}],
}

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "198.18.0.1", "192.0.2.1",
    "169.254.169.254", "100.100.100.200", "168.63.129.16", "224.0.0.1", "255.255.255.255",
    "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "localhost",
]
#: Other spellings of the same, which the list of hosts cannot even hold.
SPELLINGS = [
    "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "%31%32%37.0.0.1",
    "127.0.0.1%00.files.example", "127。0。0。1", "１２７.0.0.1", "ⓛocalhost", "[::1%25lo]", "[::1", "localhost.",
    "user@127.0.0.1", "files.example@127.0.0.1", "127.0.0.1#@files.example", "127.0.0.1\\@files.example",
    "files.example\\@127.0.0.1", "127.0.0.1\t", " 127.0.0.1", "127.0.0.1\x00", "files.example:80@127.0.0.1",
]
SCHEMES = [
    "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:6379/_INFO", "dict://127.0.0.1:6379/INFO", "//127.0.0.1/",
    "javascript:alert(1)", "data:text/html,hi", "ldap://127.0.0.1", "http:127.0.0.1", "https:/127.0.0.1/",
]


def addresses(listed):
    """Every listed host over both schemes at the ports of interest, and everything that cannot be listed."""
    urls = [f"{scheme}://{host}{port}/x" for host in listed for scheme in ("https", "http") for port in ("", ":22", ":6379")]
    return urls + [f"https://{host}/x" for host in SPELLINGS] + SCHEMES


class Namer:
    """A service whose pictures lie wherever the test says; the first is always a good one, so that each job completes."""

    def __init__(self):
        self.pictures = []
        self.upstream = Upstream(self.behave)

    def behave(self, call):
        if call.method == "POST":
            call.answer(200, {"id": "7"})
        elif "/jobs/" in call.path:
            good = f"http://127.0.0.1:{self.upstream.port}/good.png"
            call.answer(200, {"id": "7", "state": "done", "pictures": [good, *self.pictures]})
        else:
            call.answer_bytes(200, png(8, 8), "image/png")

    def config(self, **fields):
        base = f"http://127.0.0.1:{self.upstream.port}/v1"
        return {"provider": "queue", "base_url": base, "definition": DEFINITION, **fields}

    def draw(self, server, pictures):
        """Codes of the pictures that failed, by their place."""
        self.pictures = pictures
        status, _, body = post(server.port, UNIFIED["path"], {"prompt": "a lake", "n": len(pictures) + 1}, timeout=60)
        assert status == 200, body
        failures = json.loads(body).get("failures", [])
        return {failure["image_index"] - 1: failure["code"] for failure in failures}


@pytest.fixture
def namer():
    service = Namer()
    with service.upstream:
        yield service


class Trace:
    """The `connect()` calls of a process from here on."""

    def __init__(self, process, path):
        self._path = path
        self._strace = subprocess.Popen(
            ["strace", "-f", "-qq", "-e", "trace=connect", "-o", str(path), "-p", str(process.pid)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        try:
            wait_until(lambda: self._is_attached(process) or self._strace.poll() is not None, 10, "strace")
        except TimeoutError:
            self._strace.kill()
        if self._strace.poll() is not None:
            pytest.skip("strace may not attach here")

    @staticmethod
    def _is_attached(process):
        status = open(f"/proc/{process.pid}/status").read()
        return re.search(r"^TracerPid:\t([1-9]\d*)$", status, re.MULTILINE)

    def stop(self):
        """Address and port of each; port 0 is the resolver asking the kernel for a route, by which nothing is sent."""
        self._strace.terminate()
        self._strace.wait(20)
        text = self._path.read_text()
        four = re.findall(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]+)"\)', text)
        six = re.findall(r'sin6_port=htons\((\d+)\).*?inet_pton\(AF_INET6, "([^"]+)"', text)
        return [(address, int(port)) for port, address in four + six if port != "0"]


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_no_refused_address_is_connected_to(serve, namer, tmp_path):
    server = serve({"names": namer.config(result_hosts=[*PRIVATE, "files.example"])}, [routed(UNIFIED, "names")])
    urls = addresses(PRIVATE)
    trace = Trace(server, tmp_path / "connects")
    refused = 0
    for start in range(0, len(urls), 9):
        some = urls[start : start + 9]
        codes = namer.draw(server, some)
        missing = [url for place, url in enumerate(some) if codes.get(place) != "result_url_refused"]
        # A data: URL is read, not fetched; this one holds no base64.
        assert not [url for url in missing if not url.startswith("data:")], (codes, missing)
        refused += len(codes)
    connects = trace.stop()
    elsewhere = [connect for connect in connects if connect != ("127.0.0.1", namer.upstream.port) and connect[1] != 53]
    print(f"{len(urls)} URLs, {refused} refused, {len(connects)} connects, {len(elsewhere)} to other addresses")
    assert connects and not elsewhere


def test_private_networks_need_the_operators_word(serve, namer):
    with Upstream(lambda call: call.answer_bytes(200, png(8, 8), "image/png")) as files:
        host = f"127.0.0.1:{files.port}"
        urls = [f"http://{host}/a.png", f"http://localhost:{files.port}/a.png", "http://169.254.169.254/latest/meta-data/"]
        hosts = [host, f"localhost:{files.port}", "169.254.169.254"]
        closed = serve({"names": namer.config(result_hosts=hosts)}, [routed(UNIFIED, "names")])
        assert set(namer.draw(closed, urls).values()) == {"result_url_refused"}
        assert not files.calls
        opened = serve({"names": namer.config(result_hosts=hosts, private_network=True)}, [routed(UNIFIED, "names")])
        assert namer.draw(opened, urls) == {2: "result_url_refused"}
        assert [call.headers["Host"] for call in files.calls] == [host, f"localhost:{files.port}"]
        assert not any("authorization" in {name.lower() for name in call.headers} for call in files.calls)


@pytest.mark.parametrize("status", [301, 302, 303, 305, 307, 308])
def test_redirects_are_not_followed(serve, namer, status):
    with Upstream(lambda call: call.answer_bytes(200, png(8, 8), "image/png")) as elsewhere:
        target = f"http://127.0.0.1:{elsewhere.port}/x"

        def move(call):
            call.answer_bytes(status, b"", "text/plain", Location=target if call.path == "/away" else call.path)

        with Upstream(move) as files:
            host = f"127.0.0.1:{files.port}"
            server = serve(
                {"names": namer.config(result_hosts=[host, f"127.0.0.1:{elsewhere.port}"], private_network=True)},
                [routed(UNIFIED, "names")],
            )
            codes = namer.draw(server, [f"http://{host}/away", f"http://{host}/loop"])
            assert codes == {0: "upstream_error", 1: "upstream_error"}
            assert len(files.calls) == 2 and not elsewhere.calls


@pytest.mark.parametrize(
    "body, media_type",
    [(b"<!doctype html>" + b"x" * 4096, "image/png"), (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
     (b"\x1f\x8b\x08\x00" + b"\0" * 600, "image/png"), (b"GIF8", "image/gif"), (b"%PDF-1.7\n" + b"x" * 300, "image/jpeg")],
)
def test_what_is_no_raster_picture_is_refused(serve, namer, body, media_type):
    with Upstream(lambda call: call.answer_bytes(200, body, media_type)) as files:
        host = f"127.0.0.1:{files.port}"
        server = serve({"names": namer.config(result_hosts=[host], private_network=True)}, [routed(UNIFIED, "names")])
        assert namer.draw(server, [f"http://{host}/x.png"]) == {0: "image_refused"}


def test_a_proxy_of_the_environment_is_not_asked(serve, namer, monkeypatch):
    """The proxy would connect where the gateway never looked."""
    with Upstream(lambda call: call.answer_bytes(200, png(8, 8), "image/png")) as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "")
        with Upstream(lambda call: call.answer_bytes(200, png(8, 8), "image/png")) as files:
            name = socket.gethostname()
            try:
                socket.getaddrinfo(name, files.port, socket.AF_INET)
            except OSError:
                pytest.skip("this machine's own name does not resolve")
            host = f"{name}:{files.port}"
            server = serve({"names": namer.config(result_hosts=[host], private_network=True)}, [routed(UNIFIED, "names")])
            namer.draw(server, [f"http://{host}/x.png"])
            assert not proxy.calls
