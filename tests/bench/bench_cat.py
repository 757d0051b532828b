#!/usr/bin/env python3
"""How fast a recorded shell shows what a program writes without end: `cat` of a large text.

The same reader drains the terminal of each: of a recorded shell on a node, of the bare pty, of
`script`, which records it to a file on this machine, and of ssh, which records nothing.
"""

import json
import os
import shlex
import sys

import fleet
import measure

TITLE = "cat: a large text through a terminal"
LINE = 80


def write_text(path, megabytes):
    """Numbered lines; returns how many."""
    lines = megabytes * 1000 * 1000 // LINE
    with open(path, "w", encoding="ascii") as f:
        for first in range(0, lines, 1000):
            f.writelines(f"{i:09d} {'the quick brown fox jumps over the lazy dog ' * 2:.69}\n"
                         for i in range(first, min(first + 1000, lines)))
    return lines


def drain(argv, text, expected, folder, compare):
    errors = os.path.join(folder, "drain.stderr")
    probe = [fleet.tool("pty_probe"), "drain", "-e", errors]
    probe += ["-s", text] if compare else []
    got = json.loads(fleet.run([*probe, "--", *argv]))
    if got["status"] != 0 or got["bytes"] != expected or got["same"] is False:
        with open(errors, encoding="utf-8", errors="replace") as f:
            raise fleet.Failure(f"{shlex.join(argv)}: {got}, expected {expected} bytes; "
                                f"it said: {f.read()[-1000:].strip()}")
    return got


def ways_of(ours, ssh, text, folder):
    cat = f"cat {shlex.quote(text)}"
    ways = {
        "pty": ["cat", text],
        "script": ["script", "-q", "-c", cat, os.path.join(folder, "typescript")],
        "ssh": ssh.ssh("-tt", "host", cat),
        "ssh -J": ssh.jump("-tt", "host", cat),
        "hawser": ours.hawser("shell", "n1", "--", "cat", text),
    }
    return ways


class Usage:
    """CPU seconds of what serves a session, a part each."""

    def __init__(self, ours):
        monitor = ours.nodes["n1"].pid
        self.parts = {"relay": (ours.relay.pid, False), "uplink": (self._uplink(monitor), False),
                      # Its holder and the holder's program count once they have ended.
                      "monitor, holder, cat": (monitor, True)}

    @staticmethod
    def _uplink(monitor):
        children = measure.family(monitor)[1:]
        if len(children) != 1:
            raise fleet.Failure(f"an idle agent has {len(children) + 1} processes, not 2")
        return children[0]

    def now(self):
        return {part: measure.cpu(*which) for part, which in self.parts.items()}


def rate(got):
    return got["bytes"] / got["seconds"] / 1e6


def measure_ways(args, ours, ways, text, expected, folder):
    runs = {way: [] for way in ways}
    used = []
    usage = Usage(ours)
    for i in range(args.runs + 1):
        for way, argv in ways.items():
            before = usage.now()
            got = drain(argv, text, expected, folder, compare=i == 0)
            if i == 0:
                continue
            runs[way].append(got)
            if way == "hawser":
                parts = {part: cpu - before[part] for part, cpu in usage.now().items()}
                used.append({**parts, "client": got["user"] + got["sys"]})
        if i > 0:
            measure.progress(", ".join(f"{way} {rate(got[-1]):.0f}" for way, got in runs.items())
                             + " MB/s")
    return runs, used


def figures(runs, used):
    rates = {way: [rate(got) for got in many] for way, many in runs.items()}
    mine = measure.median(rates["hawser"])
    rows = []
    for peer in ("pty", "script", "ssh", "ssh -J"):
        targets = {"must": 0.7, "aim": 0.85} if peer == "pty" else {}
        rows.append(measure.Figure("rate, median", "MB/s", mine, measure.median(rates[peer]),
                                   peer, higher=True, details={"samples": rates["hawser"]},
                                   **targets))
    rows.append(measure.Figure("rate, best", "MB/s", max(rates["hawser"]), max(rates["pty"]),
                               "pty", higher=True))
    for part in used[0]:
        rows.append(measure.Figure(f"CPU of {part}", "s", measure.median(u[part] for u in used)))
    total = measure.median(sum(u.values()) for u in used)
    alone = measure.median(got["user"] + got["sys"] for got in runs["pty"])
    rows.append(measure.Figure("CPU of all", "s", total, alone, "cat alone"))
    return rows


def bench(args):
    text = f"/dev/shm/hawser-bench-{os.getpid()}.txt"
    try:
        lines = write_text(text, args.megabytes)
        with fleet.folder() as daemons:
            ours = fleet.Fleet(daemons, durability=args.durability)
            ssh = fleet.Ssh(daemons)
            ways = ways_of(ours, ssh, text, daemons.folder)
            return figures(*measure_ways(args, ours, ways, text, lines * (LINE + 1),
                                         daemons.folder))
    finally:
        os.unlink(text)


def options(parser):
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--durability", choices=("write", "sync"), default="write")


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
