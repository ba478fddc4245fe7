"""Streams in which little happens: what an open one costs, and how much later an event arrives through a gateway."""

import asyncio
import json
import resource
import statistics
import time

import gateways

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
BODY = b'{"prompt":"a lighthouse in fog","partial_images":3,"stream":true}'
REQUEST = (
    b"POST /idle/images/generations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Accept: text/event-stream\r\nContent-Length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
)


class Upstream:
    """Answers at once and then stays silent, or sends one small preview a second that says when it was sent."""

    def __init__(self, ticking: bool):
        self.ticking = ticking
        self.writers = set()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD)
            number = 0
            while self.ticking:
                await asyncio.sleep(1)
                # The stamp, in microseconds, travels as the time of creation, which every gateway passes on.
                data = {
                    "type": "image_generation.partial_image", "b64_json": "AAAA", "size": "auto",
                    "partial_image_index": number, "created_at": time.monotonic_ns() // 1000,
                }
                writer.write(f"data: {json.dumps(data)}\n\n".encode())
                number += 1
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
    upstream = Upstream(ticking=False)
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


async def _delays(port: int, count: int, seconds: int) -> list:
    delays = []
    streams = await open_streams(port, count)
    until = time.monotonic() + seconds

    async def listen(reader):
        while time.monotonic() < until:
            try:
                line = await asyncio.wait_for(reader.readline(), 5)
            except asyncio.TimeoutError:
                continue
            at = time.monotonic_ns() // 1000
            mark = line.find(b'"created_at":')
            if mark >= 0:
                digits = line[mark + 13 :].lstrip().split(b",")[0].split(b"}")[0]
                delays.append((at - int(digits)) / 1000)
            if not line:
                return

    await asyncio.gather(*(listen(reader) for reader, _ in streams))
    for _, writer in streams:
        writer.close()
    return delays


async def _delay(folder, binary: str, count: int):
    upstream = Upstream(ticking=True)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, backlog=4096)
    target = server.sockets[0].getsockname()[1]
    rivals = {
        "direct": (None, target), "nginx": gateways.nginx(folder, 0, target),
        "safelight": gateways.safelight(folder, 0, target, binary),
    }
    print(f"\nAdded delay: {count} streams, one small event a second each")
    try:
        results = {}
        for _ in range(3):
            for name, (_, port) in rivals.items():
                results.setdefault(name, []).append(await _delays(port, count, 8))
        points = {}
        for name, rounds in results.items():
            p50 = statistics.median(statistics.median(row) for row in rounds)
            p99 = statistics.median(statistics.quantiles(row, n=100)[98] for row in rounds)
            points[name] = (p50, p99)
            print(f"  {name:10} p50 {p50:6.2f} ms   p99 {p99:6.2f} ms")
        ours, theirs = points["safelight"], points["nginx"]
        print(f"  safelight - nginx: p50 {ours[0] - theirs[0]:+.2f} ms, p99 {ours[1] - theirs[1]:+.2f} ms")
    finally:
        for process, _ in rivals.values():
            if process:
                process.stop()
        server.close()


def added_delay(folder, binary: str, count: int):
    raise_limit()
    asyncio.run(_delay(folder, binary, count))
