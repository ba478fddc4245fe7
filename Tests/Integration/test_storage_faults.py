"""The job store under a tracer that kills the gateway at a given flush or write, or lets the disk fail."""

import collections
import json
import shutil
import sqlite3
import subprocess
import threading
import time

import pytest

from conftest import SOAK
from safelight import ROOT, post, wait_until
from test_restart import ASYNC, DURABLE, QUEUED, UNIFIED, both, counting, finished

__all__ = ["counting"]

MOMENTS = range(1, 41) if SOAK else range(8, 41, 8)


@pytest.fixture(scope="session")
def strace():
    """`strace(call, fault)`: a command under which the gateway's calls fare so."""
    if not shutil.which("strace"):
        subprocess.run([ROOT / "scripts/install", "strace"], check=True)
    if subprocess.run(["strace", "-D", "-o", "/dev/null", "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody trace processes")
    return lambda call, fault: [
        "strace", "-D", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{fault}",
    ]


class Load:
    """Creates jobs until the gateway is gone or enough was seen."""

    def __init__(self, server, clients=4):
        self.accepted, self.refused = [], []
        self._server, self._stopping, self._lock = server, threading.Event(), threading.Lock()
        self._numbers = iter(range(10**9))
        self._threads = [threading.Thread(target=self._create, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _create(self):
        while not self._stopping.is_set() and self._server.ended() is None:
            with self._lock:
                mine = next(self._numbers)
            path = QUEUED["path"] if mine % 2 else UNIFIED["path"]
            began = time.monotonic()
            try:
                body = {"prompt": f"[sim duration=100ms queue=50ms] {mine}"}
                status, _, answer = post(self._server.port, path, body, ASYNC, timeout=10)
            except OSError:
                time.sleep(0.01)
                continue
            with self._lock:
                if status == 202:
                    self.accepted.append((str(mine), json.loads(answer)["job_id"]))
                else:
                    self.refused.append((status, json.loads(answer)["error"]["code"], time.monotonic() - began))

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)


def check(server, load, counts, *others):
    """No accepted job is lost, none submitted twice, the database is whole."""
    outcomes = collections.Counter()
    for prompt, job in load.accepted:
        end = finished(server, job, 60)
        outcomes[end["stage"] if end["stage"] != "error" else end["error"]["code"]] += 1
        assert counts[prompt] <= 1, prompt
    assert set(outcomes) <= {"completed", "interrupted", *others}, outcomes
    assert max(counts.values(), default=0) <= 1
    with sqlite3.connect(server.config_path.parent / "var/jobs.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    return outcomes


@pytest.mark.parametrize("store", ["new", "used"])
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_killed_at_the_nth_call(serve, counting, strace, call, store):
    """B2. The first forty writes of a new store are those that make it."""
    total = collections.Counter()
    for moment in MOMENTS:
        counting.counts.clear()
        under = strace(call, f"signal=KILL:when={moment}")
        if store == "new":
            server = serve(*both(counting), under=under, waits=False, **DURABLE)
        else:
            server = serve(*both(counting), **DURABLE)
            server.stop()
            server.start_again(under=under, waits=False)
        load = Load(server)
        wait_until(lambda: server.ended() is not None, 60, f"the {moment}th {call}")
        load.stop()
        assert server.ended() == -9
        server.start_again()
        total += check(server, load, counting.counts)
        assert server.stop() == 0
    print(f"\n{len(MOMENTS)} kills at {call}, {store} store: {sum(total.values())} accepted, 0 lost, 0 doubled, outcomes {dict(total)}")


def test_a_failed_flush_ends_the_gateway(serve, counting, strace):
    """B4: what a failed flush has left on the disk nobody knows, so nothing is accepted after it."""
    server = serve(*both(counting), under=strace("fdatasync", "error=EIO:when=20+"), **DURABLE)
    load = Load(server)
    wait_until(lambda: server.ended() is not None, 30, "the end")
    load.stop()
    assert server.ended() == 1
    assert all(status == 503 and code == "storage_unavailable" and seconds < 1 for status, code, seconds in load.refused)
    assert any("jobs.db" in line for line in server.log.read_text().splitlines())
    accepted = len(load.accepted)
    server.start_again()
    outcomes = check(server, load, counting.counts)
    print(f"\n{accepted} accepted before the failure, {len(load.refused)} refused, outcomes {dict(outcomes)}")


def test_a_full_disk_refuses_and_mends(serve, counting, strace):
    server = serve(*both(counting), under=strace("pwrite64", "error=ENOSPC:when=120..160"), **DURABLE)
    load = Load(server)
    wait_until(lambda: load.refused, 30, "a refusal")
    before = len(load.accepted)
    wait_until(lambda: len(load.accepted) > before + 5, 30, "room")
    load.stop()
    assert {(status, code) for status, code, _ in load.refused} == {(503, "storage_full")}
    wait_until(lambda: server.admin("/readyz")[0] == 200, 10, "readiness")
    # Where there was no room to note a submission, nothing was submitted.
    outcomes = check(server, load, counting.counts, "storage_full")
    print(f"\n{len(load.refused)} refused, {len(load.accepted)} accepted, outcomes {dict(outcomes)}")
