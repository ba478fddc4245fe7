#!/usr/bin/env python3
"""What the gateway's processor time goes into, by whose code it is: the kernel's, libcurl's, SQLite's, that of SwiftNIO and the other
packages, or ours. A sample counts for the nearest caller that is somebody's, so what is allocated, counted or copied counts for who asked
for it. Needs perf and a release build, whose symbols name their modules.
"""

import argparse
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import gateways
import relay
import transcripts

OURS = {path.name for path in pathlib.Path(__file__).parents[2].joinpath("Sources").iterdir()}
LIBRARIES = {"libcurl": ("libcurl", "curl_"), "SQLite": ("libsqlite3", "sqlite3")}
FRAME = re.compile(r"^\s+[0-9a-f]+ (\S.*?) \(([^()]*)\)$")
#: The first module of a mangled name, behind what specialised it. https://github.com/swiftlang/swift/blob/main/docs/ABI/Mangling.rst
MODULE = re.compile(r"\$s(?:S\w)?(\d+)(\w+)")
RUNTIME = {"Swift", "_Concurrency", "Synchronization"}


def owner(symbol: str, file: str):
    """Whose a frame is; None for the runtime's."""
    if "kernel" in file:
        return "kernel"
    for name, (library, prefix) in LIBRARIES.items():
        if library in file or symbol.startswith(prefix):
            return name
    if symbol.startswith("c_nio"):
        return "packages"
    for length, rest in MODULE.findall(symbol):
        module = rest[:int(length)]
        if module in OURS:
            return "ours"
        if module not in RUNTIME:
            return "packages"
    return None


def shares(text) -> collections.Counter:
    """Samples by owner, and by thread."""
    counted, stack, thread = collections.Counter(), [], ""
    for line in text:
        line = line.rstrip("\n")
        if frame := FRAME.match(line):
            stack.append(frame.groups())
        elif line and not line[0].isspace():
            thread = line.split()[0]
        elif not line and stack:
            counted[next(filter(None, (owner(*frame) for frame in stack)), "runtime")] += 1
            counted["thread", thread] += 1
            stack = []
    return counted


def profile(pid: int, seconds: int, folder: pathlib.Path) -> subprocess.Popen:
    return subprocess.Popen(
        ["perf", "record", "-F", "999", "--call-graph", "dwarf,16000", "-p", str(pid), "-o", str(folder / "perf.data"), "--",
         "sleep", str(seconds)], stderr=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stream", choices=["images", "short"])
    parser.add_argument("--binary", default=".build/release/safelight")
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--jobs", action="store_true", help="with SQLite acceptance")
    options = parser.parse_args()
    for tool in ("nginx", "wrk", "taskset", "perf"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="safelight-parts-"))
    folder.chmod(0o755)  # nginx reads it as another user
    connections = 8 if options.stream == "images" else 64
    started = []
    try:
        upstream, port = gateways.nginx_upstream(
            folder, relay.OTHERS, {"images": transcripts.images(), "short": transcripts.short(), "answer": transcripts.answer()})
        started.append(upstream)
        gateway, target = gateways.safelight(folder, relay.GATEWAY, port, options.binary, jobs=options.jobs)
        started.append(gateway)
        relay.load(target, options.stream, connections, 2)
        cost = relay.round_of(gateway, target, options.stream, connections, options.seconds)["cpu_job"] * 1e6
        recording = profile(max(gateway.pids()), options.seconds, folder)
        relay.load(target, options.stream, connections, options.seconds + 1)
        recording.wait()
        script = subprocess.Popen(
            ["perf", "script", "-i", str(folder / "perf.data")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        counted = shares(script.stdout)
        script.wait()
    finally:
        for process in started:
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)
    report(counted, cost, options)


def report(counted: collections.Counter, cost: float, options: argparse.Namespace):
    total = sum(count for key, count in counted.items() if isinstance(key, str))
    if not total:
        sys.exit("perf recorded nothing: is it allowed to (kernel.perf_event_paranoid)?")
    print(f"{options.stream} streams{' with SQLite acceptance' if options.jobs else ''}: {cost:.0f} us a job")
    for key, count in counted.most_common():
        name = key if isinstance(key, str) else f"thread {key[1]}"
        if count / total >= 0.005:
            print(f"  {name:24} {count / total:6.1%} {cost * count / total:8.0f} us")


if __name__ == "__main__":
    main()
