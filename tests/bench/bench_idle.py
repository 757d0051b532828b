#!/usr/bin/env python3
"""What idle nodes cost the relay: memory of each link, CPU of their pings, CPU of their arrival.

The nodes are simulated (sim_nodes.c), their links are not: TLS 1.3 with a certificate each, HELLO,
facts, pings. The relay starts anew between joining and dialling, so that memory which joining left
free does not hide what links take. More than --split nodes are held by several processes: a process
may have too few descriptors for them all.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import time

import fleet
import measure

TITLE = "idle: simulated nodes that hold their links to one relay"


class Sims:
    """sim_nodes, as many processes as it takes."""

    def __init__(self, ours, count, split):
        self.ours = ours
        self.dir = ours.path("sims")
        self.parts = [(first, min(split, count - first)) for first in range(0, count, split)]
        self.holding = []
        os.mkdir(self.dir)

    def _argv(self, word, first, count, *more):
        return [fleet.tool("sim_nodes"), word, self.ours.url, *more, "--dir", self.dir,
                "--first", str(first), "--count", str(count)]

    def join(self):
        for first, count in self.parts:
            for at in range(first, first + count, 1000):
                some = min(1000, first + count - at)
                fleet.run(self._argv("join", at, some, self.ours.activation(some)))

    def hold(self):
        for first, count in self.parts:
            holder = subprocess.Popen(self._argv("hold", first, count), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
            self.holding.append(holder)
            said = holder.stdout.readline().split()
            if said[:2] != ["up", str(count)]:
                raise fleet.Failure(f"of {count} links {' '.join(said[1:2]) or 'none'} came up")

    def end(self):
        """What they saw."""
        total = {}
        for holder in self.holding:
            said, _ = holder.communicate()
            for key, value in json.loads(said or "{}").items():
                total[key] = total.get(key, 0) + value
        self.holding = []
        return total

    def stop(self):
        for holder in self.holding:
            holder.kill()
            holder.wait()


def settled(pid):
    """PSS in KiB, once what goes on in the background has ended."""
    last = None
    for _ in range(20):
        now = measure.memory(pid)["Pss"]
        if last is not None and abs(now - last) < 64:
            return now
        last = now
        time.sleep(1)
    return last


def connect(ours, sims):
    pid = ours.relay.pid
    used, begin = measure.cpu(pid), time.monotonic()
    sims.hold()
    return measure.cpu(pid) - used, time.monotonic() - begin


def idle(ours, seconds):
    pid = ours.relay.pid
    used, turns, begin = measure.cpu(pid), measure.switches(pid), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begin
    return (measure.cpu(pid) - used) / took, (measure.switches(pid) - turns) / took


def check(seen, count, seconds):
    if seen.get("links") != count or seen.get("lost"):
        raise fleet.Failure(f"not all links stood to the end: {seen}")
    if seconds >= 45 and min(seen["pings"], seen["pongs"]) < count:
        raise fleet.Failure(f"links without pings: {seen}")
    if seen["answers"] != count:
        raise fleet.Failure(f"facts without an answer: {seen}")


def bench(args):
    n = args.nodes
    with contextlib.ExitStack() as stack:
        daemons = stack.enter_context(fleet.folder())
        ours = fleet.Fleet(daemons, nodes=0)
        sims = Sims(ours, n, args.split)
        stack.callback(sims.stop)
        begin = time.monotonic()
        sims.join()
        joined = time.monotonic() - begin
        ours.restart_relay()
        pid = ours.relay.pid
        nothing, empty = settled(pid), idle(ours, min(10, args.seconds))
        cpu, took = connect(ours, sims)
        full = settled(pid)
        share, turns = idle(ours, args.seconds)
        after = measure.memory(pid)["Pss"]
        check(sims.end(), n, args.seconds)
    measure.progress(f"relay with no link: {nothing} KiB, with {n}: {full}, "
                     f"{args.seconds} s later: {after}")
    return [
        measure.Figure(f"PSS of each of {n} links", "KiB", (full - nothing) / n, of="ours",
                       must=36, aim=28),
        measure.Figure(f"the same, {args.seconds} s later", "KiB", (after - nothing) / n),
        measure.Figure("relay without links, PSS", "KiB", nothing),
        measure.Figure(f"CPU of {n} idle links", "% of a core", share * 100, empty[0] * 100,
                       "no links", of="ours"),
        measure.Figure("context switches a second", "", turns, empty[1], "no links", of="ours"),
        measure.Figure("links accepted", "a second of relay CPU", n / cpu),
        measure.Figure("links accepted", "a second", n / took),
        measure.Figure("nodes joined", "a second", n / joined),
    ]


def options(parser):
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=60, help="of idling")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1000
    parser.add_argument("--split", type=int, default=min(5000, most), help="links of a process")


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
