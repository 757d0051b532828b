#!/usr/bin/env python3
"""What idle nodes cost the relay: memory of each link, CPU of their pings, CPU of their arrival.

The nodes are simulated (sim_nodes.c), their links are not: TLS 1.3 with a certificate each, HELLO,
facts, pings, and a witness each of the ledger's heads. The relay starts anew between joining and
dialling, so that memory which joining left free does not hide what links take. More than --split
nodes are held by several processes: a process may have too few descriptors for them all.

While nothing happens a fleet's heads are signed every ten minutes. With --busy S the ledger then grows
by some entries a second for S seconds more, so that each node has a head to judge in each minute: it
asks for a proof and reports what it holds.
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

    def hold(self, *more):
        for first, count in self.parts:
            holder = subprocess.Popen([*self._argv("hold", first, count), *more],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.holding.append(holder)
            self._up(holder, count)

    def again(self):
        """Until all stand again, seconds since the first was lost."""
        return max(self._up(holder, count) for holder, (_, count) in zip(self.holding, self.parts))

    @staticmethod
    def _up(holder, count):
        said = holder.stdout.readline().split()
        if said[:2] != ["up", str(count)]:
            raise fleet.Failure(f"of {count} links {' '.join(said[1:2]) or 'none'} came up")
        return float(said[2])

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
    """Until what the links' arrival put into store and ledger is there too."""
    pid = ours.relay.pid
    used, begin = measure.cpu(pid), time.monotonic()
    sims.hold()
    took = time.monotonic() - begin
    full = settled(pid)
    return measure.cpu(pid) - used, took, full


def idle(ours, seconds, every=60, busy=False):
    """Of a core, context switches a second, and the most memory that was seen, in KiB."""
    pid = ours.relay.pid
    used, turns, begin = measure.cpu(pid), measure.switches(pid), time.monotonic()
    last, most = used, 0
    while (left := begin + seconds - time.monotonic()) > 0:
        until = time.monotonic() + min(every, left)
        while (rest := until - time.monotonic()) > 0:
            if busy:
                fleet.run(ours.hawser("activation", "create", "--limit", "1"))
            time.sleep(min(1, rest))
        now, pss = measure.cpu(pid), measure.memory(pid)["Pss"]
        if seconds > every:
            measure.progress(f"{time.monotonic() - begin:.0f} s: {(now - last) / min(every, left):.4f} of a "
                             f"core, PSS {pss} KiB, load {os.getloadavg()[0]:.1f}")
        last, most = now, max(most, pss)
    took = time.monotonic() - begin
    return (measure.cpu(pid) - used) / took, (measure.switches(pid) - turns) / took, most


def check(seen, count, seconds, busy):
    """What is wrong with what the nodes saw in all those seconds, of which the last were busy."""
    wrong = {
        "not all links stood to the end": seen.get("links") != count or seen.get("lost"),
        "links without pings": seconds >= 45 and min(seen["pings"], seen["pongs"]) < count,
        "words without an answer": seen["answers"] < 3 * count or seen["reports"] < count,
        "heads without a proof": busy >= 150 and seen["proofs"] < count,
    }
    return [f"{what}: {seen}" for what, is_so in wrong.items() if is_so]


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
        cpu, took, full = connect(ours, sims)
        share, turns, most = idle(ours, args.seconds)
        busy = idle(ours, args.busy, busy=True) if args.busy else None
        seen = sims.end()
        args.failures += check(seen, n, args.seconds + args.busy, args.busy)
    measure.progress(f"relay with no link: {nothing} KiB, with {n}: {full}, at most in "
                     f"{args.seconds} s: {most}; the nodes saw {json.dumps(seen)}")
    busy_rows = [
        measure.Figure(f"the same while entries are made, for {args.busy} s", "% of a core",
                       busy[0] * 100),
        measure.Figure("PSS of each at most meanwhile", "KiB", (busy[2] - nothing) / n),
    ] if busy else []
    return [
        measure.Figure(f"PSS of each of {n} links", "KiB", (full - nothing) / n, of="ours",
                       must=36, aim=26),
        measure.Figure(f"the same, at most in {args.seconds} s", "KiB", (most - nothing) / n,
                       of="ours", must=36, aim=26),
        measure.Figure("relay without links, PSS", "KiB", nothing),
        measure.Figure(f"CPU of {n} idle links", "% of a core", share * 100, empty[0] * 100,
                       "no links", of="ours", must=15, aim=10),
        *busy_rows,
        measure.Figure("context switches a second", "", turns, empty[1], "no links", of="ours"),
        measure.Figure("links accepted, ledger and store included", "a second of relay CPU",
                       n / cpu, of="ours", must=400, aim=700, higher=True),
        measure.Figure("links accepted", "a second", n / took),
        measure.Figure("nodes joined", "a second", n / joined),
    ]


def options(parser):
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=60, help="of idling")
    parser.add_argument("--busy", type=int, default=0, help="seconds after that in which entries are made")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1000
    parser.add_argument("--split", type=int, default=min(5000, most), help="links of a process")


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
