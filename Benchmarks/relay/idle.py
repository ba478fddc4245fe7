"""Streams in which little happens: what an open one costs, and how much later an event arrives through a gateway."""

import asyncio
import pathlib
import resource
import statistics
import subprocess
import sys
import time

import gateways

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
BODY = b'{"prompt":"a lighthouse in fog","partial_images":3,"stream":true}'
REQUEST = (
    b"POST /idle/images/generations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Accept: text/event-stream\r\nContent-Length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
)


class Upstream:
    """Answers at once and then stays silent."""

    def __init__(self):
        self.writers = set()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD)
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()


async def open_streams(port: int, count: int) -> list:
    streams = []
    gate = asyncio.Semaphore(64)

    async def one():
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            await reader.readuntil(b"\r\n\r\n")
            streams.append((reader, writer))

    await asyncio.gather(*(one() for _ in range(count)))
    return streams


def slab_kib() -> int:
    for line in open("/proc/meminfo"):
        if line.startswith("Slab:"):
            return int(line.split()[1])
    return 0


def raise_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _idle(folder, binary: str, count: int):
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, backlog=4096)
    process, port = gateways.safelight(folder, 0, server.sockets[0].getsockname()[1], binary)
    try:
        warm = await open_streams(port, 50)
        await asyncio.sleep(1)
        rss, slab = process.rss_kib(), slab_kib()
        streams = await open_streams(port, count)
        await asyncio.sleep(3)
        grown, slab_grown = process.rss_kib() - rss, slab_kib() - slab
        cpu = process.cpu_seconds()
        await asyncio.sleep(10)
        used = (process.cpu_seconds() - cpu) / 10
        print(f"\nIdle streams, client and upstream connection included: {count}")
        print(
            f"  {grown / count:.1f} KiB RSS each; kernel slab {slab_grown / count:.1f} KiB each (all processes); "
            f"{used:.1%} of a processor while idle"
        )
        for _, writer in warm + streams:
            writer.close()
    finally:
        process.stop()
        server.close()


def idle_streams(folder, binary: str, count: int):
    raise_limit()
    asyncio.run(_idle(folder, binary, count))


def compiled(folder) -> pathlib.Path:
    """ticks.c: at this scale a reader in Python would measure itself."""
    ticks = folder / "ticks"
    source = pathlib.Path(__file__).with_name("ticks.c")
    subprocess.run(["cc", "-D_GNU_SOURCE", "-O2", "-o", str(ticks), str(source)], check=True)
    return ticks


def told(command: list) -> list:
    """The words it prints; what it says of a failure ends the benchmark."""
    done = subprocess.run(gateways.pinned(1, command), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"ticks ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout.splitlines()[-1].split()


def added_delay(folder, binary: str, count: int, seconds: int = 8, rounds: int = 3):
    ticks, target = compiled(folder), gateways.free_port()
    rivals = {
        "direct": (None, target), "nginx": gateways.nginx(folder, 0, target),
        "safelight": gateways.safelight(folder, 0, target, binary),
    }
    print(f"\nAdded delay: {count} streams, one small event a second each ({rounds} rounds of {seconds} s, medians)")
    results = {name: [] for name in rivals}
    try:
        for _ in range(rounds):
            for name, (_, port) in rivals.items():
                words = told([str(ticks), str(target), str(port), str(count), str(seconds)])
                results[name].append({key: float(value) for key, value in zip(words[::2], words[1::2])})
    finally:
        for process, _ in rivals.values():
            if process:
                process.stop()
    points = {}
    for name, rows in results.items():
        points[name] = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        print("  {:10} p50 {p50:6.2f} ms   p99 {p99:6.2f} ms   max {max:6.2f} ms".format(name, **points[name]))
    ours, theirs = points["safelight"], points["nginx"]
    print(f"  safelight - nginx: p50 {ours['p50'] - theirs['p50']:+.2f} ms, p99 {ours['p99'] - theirs['p99']:+.2f} ms")


def event_cost(folder, binary: str, many: int, few: int = 10, seconds: int = 6, quiet: int = 4, rounds: int = 3):
    """The same events a second on few streams and on many: what the others that are open add to an event, beside what they cost anyway."""
    ticks, target = compiled(folder), gateways.free_port()
    raise_limit()
    costs = {few: [], many: []}
    for _ in range(rounds):
        for count, rows in costs.items():
            process, port = gateways.safelight(folder, 0, target, binary)
            try:
                rows.append(_event_cost(process, [str(ticks), str(target), str(port), str(count)], many, seconds, quiet, count))
            finally:
                process.stop()
    cost = {count: [statistics.median(row[part] for row in rows) for part in range(3)] for count, rows in costs.items()}
    print(f"\nCost of an event, {many} a second ({rounds} rounds, medians)")
    for count, (event, start, idle) in cost.items():
        print(
            f"  {count:5} streams: {event * 1e6:6.1f} us an event beside {idle:.1%} of a processor that they take without any, "
            f"{start * 1e6:6.0f} us a start")
    print(f"  {many} against {few}: event {cost[many][0] / cost[few][0]:.2f} x, start {cost[many][1] / cost[few][1]:.2f} x")


def _event_cost(process, command: list, rate: int, seconds: int, quiet: int, count: int) -> tuple:
    """Processor seconds for an event and for a start, and the share of a processor that the open streams take."""
    before = process.cpu_seconds()
    with subprocess.Popen(
        gateways.pinned(1, command + [str(seconds), str(rate), str(quiet)]), stdout=subprocess.PIPE, text=True
    ) as load:
        _expect(load, "open")
        start = (process.cpu_seconds() - before) / count
        time.sleep(1)
        idle = _share(process, quiet - 2)
        _expect(load, "begun")
        time.sleep(2)
        busy = _share(process, seconds - 1)
        # Its last words; closed before them, it would die of them.
        load.communicate()
    if load.returncode:
        sys.exit(f"ticks ended with {load.returncode}")
    return (busy - idle) / rate, start, idle


def _share(process, seconds: float) -> float:
    before, began = process.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (process.cpu_seconds() - before) / (time.monotonic() - began)


def _expect(load, word: str):
    said = load.stdout.readline().strip()
    if said != word:
        sys.exit(f"ticks said {said!r} in place of {word!r}")
