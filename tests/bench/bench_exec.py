#!/usr/bin/env python3
"""How long a command without work takes: `hawser exec n1 -- true` against `ssh host true`."""

import subprocess
import sys
import time

import fleet
import measure

TITLE = "exec: `true` on one node, from start to end of the client"


def timed(argv):
    begin = time.perf_counter()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False)
    took = time.perf_counter() - begin
    if done.returncode != 0:
        raise fleet.Failure(f"{argv} ended with {done.returncode}: {done.stderr}")
    return took * 1000


def cpu_of(daemons):
    return sum(measure.cpu(p.pid, reaped=True) for p in daemons)


def bench(args):
    with fleet.folder() as daemons:
        ours = fleet.Fleet(daemons)
        ssh = fleet.Ssh(daemons)
        ways = {"hawser": ours.hawser("exec", "n1", "--", "true"), "ssh": ssh.ssh("host", "true"),
                "ssh -J": ssh.jump("host", "true"),
                "hawser version": ours.hawser("version")}
        took = {way: [] for way in ways}
        used = 0
        for i in range(args.warmup + args.runs):
            for way, argv in ways.items():
                before = cpu_of([ours.relay, ours.nodes["n1"]])
                ms = timed(argv)
                if i >= args.warmup:
                    took[way].append(ms)
                    used += cpu_of([ours.relay, ours.nodes["n1"]]) - before
        measure.progress(f"relay and agent used {used / args.runs * 1000:.1f} ms of CPU an exec; "
                         f"`hawser version`, which dials nobody: {min(took['hawser version']):.1f} ms")
    mine = took["hawser"]
    return [
        measure.Figure("median", "ms", measure.median(mine), measure.median(took["ssh"]), "ssh",
                       must=1, aim=0.5, details={"runs": args.runs, "samples": mine}),
        measure.Figure("median", "ms", measure.median(mine), measure.median(took["ssh -J"]),
                       "ssh -J"),
        measure.Figure("best", "ms", min(mine), min(took["ssh"]), "ssh"),
        measure.Figure("p90", "ms", measure.percentile(mine, 90),
                       measure.percentile(took["ssh"], 90), "ssh"),
    ]


def options(parser):
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--warmup", type=int, default=3)


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
