"""The real server in a process of its own, and a client that reads as bytes arrive."""

import http.client
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("SAFELIGHT_BINARY", ROOT / ".build/debug/safelight"))


def free_ports(count):
    """Different ones that nobody listens on, and that the kernel gives to no connection before they are used."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    free = []
    for port in random.sample(range(max(1024, lowest - 16_384), lowest), 1024):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                free.append(port)
            except OSError:
                continue
        if len(free) == count:
            return free
    raise RuntimeError("no free ports")


def free_port():
    return free_ports(1)[0]


def wait_until(check, seconds=10, what="condition"):
    """Polls until `check` returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        if value := check():
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Process:
    """A `safelight` command; its output goes to a file that a failing test can show."""

    def __init__(self, arguments, directory, name="server", under=()):
        """`under`: a command, such as a tracer's, that becomes this one."""
        self.log = pathlib.Path(directory, f"{name}.log")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*under, str(BINARY), *arguments], cwd=directory, stdout=log, stderr=subprocess.STDOUT
            )
        self.pid = self._process.pid

    def stop(self):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return self._process.returncode

    def ended(self):
        return self._process.poll()

    def wait_for_port(self, port, seconds=30):
        def reachable():
            if self.ended() is not None:
                raise RuntimeError(f"ended with status {self.ended()}:\n{self.log.read_text()}")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(reachable, seconds, f"port {port}")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def bytes_read(self) -> int:
        """By the process, from sockets as from files."""
        fields = dict(line.split(": ") for line in pathlib.Path(f"/proc/{self.pid}/io").read_text().splitlines())
        return int(fields["rchar"])

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def signal(self, number):
        self._process.send_signal(number)


class Server(Process):
    """`safelight serve` with a generated routes.json on free ports."""

    def __init__(self, directory, upstreams, routes, under=(), waits=True, **sections):
        self.port, self.admin_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.config_path = pathlib.Path(directory, "routes.json")
        self._sections = sections
        self.write_config(upstreams, routes)
        super().__init__(["serve", "--config", str(self.config_path)], directory, under=under)
        if waits:
            self.wait_until_ready()

    def wait_until_ready(self):
        self.wait_for_port(self.port)
        self.wait_for_port(self.admin_port)
        wait_until(lambda: self.admin("/readyz")[0] == 200, 20, "readiness")

    def kill(self):
        """As the kernel would end it: nothing is said, nothing is written any more."""
        self._process.kill()
        self._process.wait()

    def start_again(self, under=(), waits=True):
        """The same configuration and folder, a new process."""
        Process.__init__(self, ["serve", "--config", str(self.config_path)], self.config_path.parent, under=under)
        if waits:
            self.wait_until_ready()

    def write_config(self, upstreams, routes):
        self.config_path.write_text(json.dumps(self.config(upstreams, routes), indent=2))

    def config(self, upstreams, routes):
        server = {"listen": f"127.0.0.1:{self.port}", "public_url": self.url, **self._sections.get("server", {})}
        rest = {name: value for name, value in self._sections.items() if name != "server"}
        return {
            "server": server,
            "admin": {"listen": f"127.0.0.1:{self.admin_port}"},
            **rest,
            "upstreams": upstreams,
            "routes": [{"auth": "public", "public_without_limits": True, **route} for route in routes],
        }

    def admin(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def gauges(self):
        return json.loads(self.admin("/healthz")[1])

    def wait_for_streams(self, count, seconds=20):
        wait_until(lambda: self.gauges()["streams"] == count, seconds, f"{count} streams")

    def wait_idle_jobs(self, seconds=20):
        wait_until(lambda: self.gauges()["jobs"] == 0, seconds, "the last job's end")

    def wait_idle(self, seconds=20):
        """Until no job, stream or upstream call is left, and no connection but the one that asks."""

        def idle():
            gauges = self.gauges()
            busy = gauges["jobs"] + gauges["streams"] + gauges["upstream_calls"] + gauges["connections"]
            return busy == 0 and gauges

        try:
            return wait_until(idle, seconds, "idle")
        except TimeoutError as error:
            raise AssertionError(f"not idle: {self.gauges()}") from error


@dataclass
class Event:
    name: str = "message"
    id: str = ""
    data: str = ""
    retry: int | None = None
    at: float = 0.0
    _fields: dict = field(default=None, repr=False)

    @property
    def json(self):
        if self._fields is None:
            self._fields = json.loads(self.data)
        return self._fields


class Stream:
    """One streamed response. Iterating yields events with the moment of their arrival, in seconds from the request."""

    def __init__(self, port, path, body, headers=None, version=11, timeout=20, method="POST"):
        self.began = time.monotonic()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self._connection._http_vsn = version
        self._connection._http_vsn_str = f"HTTP/{version // 10}.{version % 10}"
        text, kind = (json.dumps(body), {"Content-Type": "application/json"}) if method == "POST" else (None, {})
        self._connection.request(method, path, text, {**kind, **(headers or {})})
        self.response = self._connection.getresponse()
        self.status = self.response.status
        self.head_at = time.monotonic() - self.began
        self.heartbeats = 0
        #: The longest time without a line, in seconds.
        self.silence = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._connection.close()
        self.response.close()

    def __iter__(self):
        event, data, last_id = Event(), [], ""
        heard = time.monotonic()
        while line := self.response.readline():
            before, heard = heard, time.monotonic()
            self.silence = max(self.silence, heard - before)
            line = line.rstrip(b"\r\n")
            if not line:
                if data:
                    event.data, event.id = "\n".join(data), last_id
                    event.at = time.monotonic() - self.began
                    yield event
                event, data = Event(), []
                continue
            name, _, value = line.decode().partition(":")
            value = value.removeprefix(" ")
            if not name:
                self.heartbeats += 1
            elif name == "data":
                data.append(value)
            elif name == "event":
                event.name = value
            elif name == "id":
                last_id = value
            elif name == "retry":
                event.retry = int(value)


def post(port, path, body, headers=None, timeout=20):
    """A whole answer: status, headers, bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def get(port, path, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()
