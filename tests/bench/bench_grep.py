#!/usr/bin/env python3
"""How fast `hawser audit grep` looks through recordings, beside `zstdcat | grep -P` over the same bytes.

Commands on a node write logs of so many MiB, each of which becomes a recording. The peer has the same
logs as they are, compressed by zstd and sealed for nobody; it reads no times, puts no lines together
from what terminals show, and writes no ledger. Both must find the same number of lines. Seconds of CPU
are of all that took part: of ours relay and client, of the peer's its pipe."""

import os
import random
import subprocess
import sys
import time

import fleet
import measure

TITLE = "grep: lines found in recordings"
PATTERNS = {
    "a text": "disk failure on sdb",
    "a class first": "[0-9]{5}: refused for (root|admin) from 203",
    "without case": "(?i)DISK FAILURE ON SD[A-C]",
}
EVERY = 20000  # lines between two that are looked for
COMMON = [
    "sshd[{n}]: Accepted publickey for deploy from 10.0.{a}.{b} port {n} ssh2",
    "nginx[{n}]: 10.0.{a}.{b} - - \"GET /api/v2/orders/{n} HTTP/1.1\" 200 {n}",
    "kernel: [{n}.{a}{b}] eth0: link up, 10000 Mbps, full duplex",
    "cron[{n}]: (root) CMD (/usr/lib/sa/sa1 {a} {b})",
    "postgres[{n}]: checkpoint complete: wrote {n} buffers ({a}.{b} %)",
]
RARE = ["kernel: ata{a}: disk failure on sdb, sector {n}", "sshd[{n}]: {n}: refused for root from 203.0.113.{b}"]


def line(chance, i):
    text = RARE[i // EVERY % len(RARE)] if i % EVERY == EVERY - 1 else chance.choice(COMMON)
    return "Nov 27 {:02}:{:02}:{:02} web-{:02} ".format(i // 3600 % 24, i // 60 % 60, i % 60, i % 40) + \
        text.format(n=chance.randrange(10000, 99999), a=chance.randrange(1, 255),
                    b=chance.randrange(1, 255)) + "\n"


def write_log(path, size, seed):
    chance = random.Random(seed)
    written = i = 0
    with open(path, "w", encoding="ascii", newline="\n") as f:
        while written < size:
            written += f.write(line(chance, i))
            i += 1


def record(ours, logs):
    for log in logs:
        with open(os.devnull, "wb") as null:
            subprocess.run(ours.hawser("exec", "n1", "--", "cat", log), stdin=subprocess.DEVNULL,
                           stdout=null, check=True)


def looked(argv, shell=False, daemons=()):
    """How many lines were found, seconds, seconds of CPU."""
    before = os.times()
    theirs = sum(measure.cpu(p.pid) for p in daemons)
    begin = time.monotonic()
    done = subprocess.run(argv, shell=shell, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    took = time.monotonic() - begin
    after = os.times()
    if done.returncode != 0:
        raise fleet.Failure(f"{argv} ended with {done.returncode}: {done.stderr}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return done.stdout, took, cpu + sum(measure.cpu(p.pid) for p in daemons) - theirs


def both(ours, packed, pattern):
    mine, *ours_took = looked(ours.hawser("audit", "grep", "--shown", "-o", "jsonl", pattern),
                              daemons=[ours.relay])
    theirs, *peer_took = looked(f"zstdcat {' '.join(packed)} | LC_ALL=C.UTF-8 grep -cP '{pattern}'",
                                shell=True)
    if len(mine.splitlines()) != int(theirs):
        raise fleet.Failure(f"{pattern}: {len(mine.splitlines())} lines, the peer found {theirs}")
    return ours_took, peer_took


def bench(args):
    rows = []
    with fleet.folder() as daemons:
        ours = fleet.Fleet(daemons)
        logs = [ours.path(f"{i}.log") for i in range(args.recordings)]
        for i, log in enumerate(logs):
            write_log(log, args.mib * 2**20 // args.recordings, i)
        record(ours, logs)
        fleet.run(["zstd", "-q", *logs])
        size = sum(os.path.getsize(log) for log in logs) / 1e6
        packed = [log + ".zst" for log in logs]
        for name, pattern in PATTERNS.items():
            runs = [both(ours, packed, pattern) for _ in range(args.runs)]
            wall, cpu = ((size / measure.median([mine[k] for mine, _ in runs]),
                          size / measure.median([peer[k] for _, peer in runs])) for k in (0, 1))
            rows += [measure.Figure(name, "MB/s", wall[0], wall[1], "zstdcat | grep -P", higher=True),
                     measure.Figure("  for a second of CPU", "MB", cpu[0], cpu[1],
                                    "zstdcat | grep -P", higher=True)]
    return rows


def options(parser):
    parser.add_argument("--mib", type=int, default=256, help="of all recordings")
    parser.add_argument("--recordings", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
