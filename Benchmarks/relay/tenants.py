#!/usr/bin/env python3
"""Whether a greedy tenant is felt by another. Benchmarks/relay/tenants.py --binary .build/release/safelight

One tenant holds 500 streams and asks 200 times a second, most of it refused by its limits; the other asks 20 times a second for a
short stream. Told is how long the other waits for its last event: alone, then beside the greedy one, in turns. Tenants are
addresses of this machine. The gateway has one processor, everybody else the other.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import pathlib
import socket
import statistics
import sys
import tempfile
import time

import gateways
import idle
import transcripts

GREEDY, MODEST = "127.0.0.2", "127.0.0.3"
LIMITS = {
    "fair": [{"per": "ip", "requests": "50/s", "burst": 600}, {"per": "ip", "concurrent": 600}, {"per": "global", "concurrent": 5000}]
}
IDLE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def request(path: str) -> bytes:
    body = json.dumps({"prompt": "a lighthouse in fog", "stream": True}).encode()
    return (
        f"POST /{path}/images/generations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Accept: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def trickling_upstream(port_out, every: float):
    """Serves each stream one small preview in `every` seconds, for ever."""
    event = next(part for part in transcripts.short().split(b"\n\n") if b"partial_image" in part) + b"\n\n"

    async def serve(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(IDLE_HEAD)
            while not writer.is_closing():
                writer.write(event)
                await writer.drain()
                await asyncio.sleep(every)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
        port_out.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def greedy_tenant(port: int, streams: int, per_second: int, ready, stop):
    """Holds streams and asks for more, whatever it is told."""
    counts = {"200": 0, "429": 0, "other": 0}

    async def hold(gate):
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(GREEDY, 0))
            writer.write(request("idle"))
            head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0], head
        while await reader.read(65536):
            pass

    async def ask():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(GREEDY, 0))
            writer.write(request("short").replace(b"Host:", b"Connection: close\r\nHost:"))
            answer = await reader.read(-1)
            status = answer.split(b" ", 2)[1].decode()
            counts[status if status in counts else "other"] += 1
            writer.close()
        except OSError:
            counts["other"] += 1

    async def main():
        gate = asyncio.Semaphore(64)
        held = [asyncio.create_task(hold(gate)) for _ in range(streams)]
        await asyncio.sleep(3)
        ready.set()
        pending, at = set(), time.monotonic()
        while not stop.is_set():
            task = asyncio.create_task(ask())
            pending.add(task)
            task.add_done_callback(pending.discard)
            at += 1 / per_second
            await asyncio.sleep(max(0, at - time.monotonic()))
        for task in held:
            task.cancel()

    asyncio.run(main())
    print(f"  the greedy tenant was let pass {counts['200']} times, refused {counts['429']}, otherwise {counts['other']}", flush=True)


def modest_tenant(port: int, seconds: float, per_second: int) -> list:
    """Milliseconds from each request to the end of its stream."""
    waits, message, at = [], request("short"), time.monotonic()
    end = at + seconds
    while at < end:
        time.sleep(max(0, at - time.monotonic()))
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port), source_address=(MODEST, 0)) as connection:
            connection.sendall(message)
            received = b""
            while b"event: completed" not in received:
                piece = connection.recv(65536)
                if not piece:
                    sys.exit(f"the modest tenant was not served: {received[:300]}")
                received = received[-64:] + piece
        waits.append((time.perf_counter() - began) * 1000)
        at += 1 / per_second
    return waits


def p(values: list, share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=".build/release/safelight")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--requests", type=int, default=200, help="of the greedy tenant, a second")
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    idle.raise_limit()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # nginx reads it as another user
        nginx, short_port = gateways.nginx_upstream(folder, 1, {"short": transcripts.short()})
        here, there = multiprocessing.Pipe()
        trickle = multiprocessing.Process(target=trickling_upstream, args=(there, 1.0), daemon=True)
        trickle.start()
        gateway, port = gateways.safelight(
            folder, 0, short_port, options.binary, limits=LIMITS, ports={"idle": here.recv()})
        try:
            modest_tenant(port, 3, 20)
            alone, beside = [], []
            for round_number in range(options.rounds):
                alone.append(modest_tenant(port, options.seconds, 20))
                ready, stop = multiprocessing.Event(), multiprocessing.Event()
                greedy = multiprocessing.Process(
                    target=greedy_tenant, args=(port, options.streams, options.requests, ready, stop))
                greedy.start()
                ready.wait()
                beside.append(modest_tenant(port, options.seconds, 20))
                stop.set()
                greedy.join()
                time.sleep(2)
            print(f"\nA tenant beside one with {options.streams} streams and {options.requests} requests a second")
            for title, waits in (("alone", alone), ("beside", beside)):
                middle = statistics.median(p(one, 0.5) for one in waits)
                high = statistics.median(p(one, 0.99) for one in waits)
                print(f"  {title:7} p50 {middle:6.2f} ms, p99 {high:6.2f} ms (median of {len(waits)} rounds)")
            ratio = statistics.median(p(b, 0.99) for b in beside) / statistics.median(p(a, 0.99) for a in alone)
            print(f"  p99 beside / alone: {ratio:.2f} (at most 2)")
            sys.exit(ratio > 2)
        finally:
            gateway.stop()
            nginx.stop()
            trickle.terminate()


if __name__ == "__main__":
    main()
