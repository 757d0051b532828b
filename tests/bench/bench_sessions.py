#!/usr/bin/env python3
"""Many people who type at once: how long a key takes through a relay that has a thousand live
sessions, each recorded, with durability sync and an auditors' key.

sim_shells.c is all nodes and all people, in one process and one thread, so that its own part can be
told apart: it says how late it typed, and the CPU of relay and load are printed beside each other.

`--sessions 200 --seconds 1800 --only sync` is a working day's half hour: what the relay holds in memory
and how many descriptors are looked at all the time, and are to stay as they are."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request

import fleet
import measure
from bench_idle import Sims

TITLE = "sessions: keys through a relay that carries many shells"


def threads(pid):
    """CPU seconds of each of a process's threads, by name."""
    used = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii", errors="replace") as f:
            name, _, rest = f.read().partition("(")[2].rpartition(")")
            fields = rest.split()
        used[name] = used.get(name, 0) + (int(fields[11]) + int(fields[12])) / measure.TICK
    return used


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as said:
        rows = (line.decode().split() for line in said if line.startswith(b"hawser_"))
        return {row[0].removeprefix("hawser_"): float(row[-1]) for row in rows}


def waits(before, after):
    """Of the relay meanwhile: what a sync takes, how many keys share one, its longest turn."""
    def grew(name):
        return after[name] - before[name]
    syncs = grew("journal_syncs_total") or 1
    return {"sync_ms": grew("journal_sync_seconds_total") * 1000 / syncs, "syncs": syncs,
            "longest_sync_ms": after["journal_sync_seconds_max"] * 1000,
            "longest_turn_ms": after["loop_lag_seconds"] * 1000}


class Load:
    """sim_shells."""

    def __init__(self, ours, sims, args):
        self.process = subprocess.Popen(
            [fleet.tool("sim_shells"), ours.url, "--nodes", sims.dir, "--home", ours.path("home"),
             "--count", str(args.sessions), "--rate", str(args.rate), "--seconds",
             str(args.seconds), "--hidden", str(args.hidden)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self, begins):
        said = self.process.stdout.readline()
        if not said.startswith(begins):
            raise fleet.Failure(f"sim_shells did not get to {begins!r}: {said.strip()}")
        return said

    def end(self):
        self.process.stdin.close()
        return self.process.wait(20)


class Watch:
    """The relay's resident memory in KiB and its descriptors, every ten seconds from now on."""

    EVERY = 10

    def __init__(self, pid):
        self.pid = pid
        self.rss, self.descriptors = [], []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        while not self.over.wait(self.EVERY):
            self.rss.append(measure.resident(self.pid) // 1024)
            self.descriptors.append(len(os.listdir(f"/proc/{self.pid}/fd")))

    def end(self):
        """Medians of the second tenth and of the last, of each: what grows at the beginning is
        buffers that stay."""
        self.over.set()
        self.thread.join()
        tenth = len(self.rss) // 10
        if tenth == 0:
            return {}
        return {name: [measure.median(values[tenth:2 * tenth]), measure.median(values[-tenth:])]
                for name, values in (("rss", self.rss), ("descriptors", self.descriptors))}


def run(daemons, args, durability):
    """What the load saw, and CPU seconds while it typed: of the relay's threads, of the load."""
    port = fleet.free_port()
    settings = {"metrics_port": port, "max_sessions_per_user": args.sessions + 10,
                "max_links_per_user": args.sessions + 10}
    ours = fleet.Fleet(daemons, durability, nodes=0, durability=durability, **settings)
    if args.sealed:
        fleet.write_file(ours.path("relay/auditors.pub"), os.urandom(32).hex() + " nobody\n", 0o644)
        ours.restart_relay()
    sims = Sims(ours, args.sessions, 1 << 30)
    sims.join()
    load = Load(ours, sims, args)
    with contextlib.ExitStack() as stack:
        stack.callback(load.process.kill)
        up = load.line("live")
        load.line("typing")
        pid, begin = ours.relay.pid, time.monotonic()
        before = threads(pid), measure.cpu(load.process.pid), measure.machine_cpu()
        counted, watch = metrics(port), Watch(pid)
        seen = json.loads(load.line("{"))
        seen.update(waits(counted, metrics(port)))
        took = time.monotonic() - begin
        seen["kept"] = watch.end()
        after = threads(pid), measure.cpu(load.process.pid), measure.machine_cpu()
        if load.end() != 0:
            raise fleet.Failure("sim_shells lost links")
    daemons.stop(ours.relay)
    if seen["came_back"] != seen["typed"]:
        raise fleet.Failure(f"{seen['typed']} keys were typed, {seen['came_back']} came back")
    seen["relay"] = {name: (used - before[0].get(name, 0)) / took
                     for name, used in after[0].items()}
    seen["load"] = (after[1] - before[1]) / took
    seen["others"] = ((after[2] - before[2]) / took - seen["load"]
                      - sum(seen["relay"].values()))
    measure.progress(f"{durability}: {seen['syncs'] / took:.0f} syncs a second of "
                     f"{seen['sync_ms']:.2f} ms, the longest {seen['longest_sync_ms']:.0f} ms; the "
                     f"loop's longest turn {seen['longest_turn_ms']:.0f} ms")
    measure.progress(f"{durability}: {up.strip()} s; CPU: relay "
                     + ", ".join(f"{name} {share:.2f}" for name, share in
                                 sorted(seen["relay"].items(), key=lambda i: -i[1]) if share > 0.004)
                     + f"; load {seen['load']:.2f}; others {seen['others']:.2f} of "
                     f"{os.cpu_count()}")
    return seen


def bench(args):
    with fleet.folder() as daemons:
        seen = {durability: run(daemons, args, durability) for durability in args.only}
    rows = []
    what = f"{args.sessions} sessions, {args.rate:g} keys/s each"
    for durability, s in seen.items():
        must = {"of": "ours", "must": 25} if durability == "sync" else {}
        rows += [
            measure.Figure(f"{what}, {durability}, p50", "ms", s["p50"] / 1000),
            measure.Figure("  p99", "ms", s["p99"] / 1000, **must, details=s),
            measure.Figure("  p99.9", "ms", s["p999"] / 1000),
            measure.Figure("  of that, typed too late by the load, p99", "ms",
                           s["late_p99"] / 1000),
            measure.Figure("  relay's CPU for a key, both ways", "us",
                           sum(s["relay"].values()) * 1e6 / (args.sessions * args.rate)),
        ]
        if s["kept"]:
            early, late = s["kept"]["rss"]
            rows += [
                measure.Figure("  relay's RSS at the end, beside a tenth of the time in", "MiB",
                               late / 1024, early / 1024, "then", must=1.05),
                measure.Figure("  its descriptors", "", *reversed(s["kept"]["descriptors"]), "then",
                               of="difference", must=0),
            ]
    return rows


def options(parser):
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=5, help="keys a second of each")
    parser.add_argument("--seconds", type=int, default=30, help="of typing that counts")
    parser.add_argument("--hidden", type=int, default=10,
                        help="of a hundred sessions, so many type with the echo off")
    parser.add_argument("--no-auditors", dest="sealed", action="store_false",
                        help="without an auditors' key")
    parser.add_argument("--only", type=lambda text: text.split(","), default=["sync", "write"],
                        help="some of sync,write")


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
