#!/usr/bin/env python3
"""What a command on a whole fleet takes, beside clush and xargs over ssh, agents on a broker, and
starting its program without any network.

All ways to the same number of targets stand before the first of them is measured, and take turns, so
that the machine's noise hits all alike; figures are medians of the rounds. Time is the wall clock of
the program that a person starts. Parts: true (on real agents), sims (ten thousand simulated nodes at
a concurrency of 500), gather (10 MiB of output of each node, to files).
"""

import contextlib
import filecmp
import os
import shutil
import sys
import time

import fleet
import measure
import run_peers
from bench_idle import Sims

TITLE = "run: one command on a whole fleet"
MIB = 1 << 20

# Of targets a second, as ratios of ours to a peer's: what must be reached and what is aimed at.
RATES = {"clush, masters up": (6, None), "xargs, new ssh each": (60, None),
         "nats-server": (None, 1), "posix_spawn": (None, None)}
# Targets a second of agents on nats-server where the aim was set, on the same kind of machine.
RATE_AIM = 1300
SIMS_SECONDS = (30, 10)
SIMS_KIB = 4       # of the relay's memory, for each invocation
GATHER = 0.8       # of xargs ssh over masters
GATHER_MIB = 64    # of the relay's memory, and of the client's


class Bed:
    """What the parts run against; what only some need is started when the first of them asks."""

    def __init__(self, stack, daemons, args):
        self.stack = stack
        self.daemons = daemons
        self.args = args
        self._made = {}
        self.makers = {
            "hawser": lambda: run_peers.Hawser(daemons, self.most),
            "ssh": self._ssh,
            "masters": lambda: run_peers.Clush(self.need("ssh")),
            "cold": lambda: run_peers.Xargs("xargs, new ssh each", self.need("ssh"), False),
            "nats": self._nats,
            "floor": run_peers.Floor,
            "xargs": lambda: run_peers.Xargs("xargs ssh, masters up", self.need("ssh"), True),
        }

    @property
    def most(self):
        """Targets of the largest part that was asked for."""
        sizes = self.args.sizes if "true" in self.args.parts else []
        return max([*sizes, self.args.gather_nodes] if "gather" in self.args.parts else sizes)

    def _ssh(self):
        ssh = run_peers.Ssh(self.daemons)
        self.stack.callback(ssh.stop)
        if {"masters", "xargs"} & set(self.args.peers) or "gather" in self.args.parts:
            ssh.stand(self.most)
        return ssh

    def _nats(self):
        nats = run_peers.Nats(self.daemons)
        self.stack.callback(nats.stop)
        return nats

    def need(self, name):
        if name not in self._made:
            self._made[name] = self.makers[name]()
        return self._made[name]


def settle():
    """Nobody pays for what those before left to be written."""
    os.sync()
    time.sleep(0.2)


# ---- true ----------------------------------------------------------------------------------------


def costed(run):
    """Its seconds, and the CPU seconds of the whole machine meanwhile."""
    settle()
    used = measure.machine_cpu()
    took = run()
    return took, measure.machine_cpu() - used


def true_on(bed, n):
    ways = [bed.need(name) for name in bed.args.peers]
    for way in ways:
        way.true(min(n, 20) if way.name != "nats-server" else n) # so that nobody is measured first
    got = {way.name: [] for way in ways}
    for i in range(bed.args.runs):
        for j in range(len(ways)):
            way = ways[(i + j) % len(ways)]
            if way.name != "xargs, new ssh each" or i < bed.args.cold_runs:
                got[way.name].append(costed(lambda way=way: way.true(n)))
    bed.daemons.check()
    return got


def true_rows(n, got):
    rates = {name: [n / took for took, _ in runs] for name, runs in got.items()}
    costs = {name: [cpu / n * 1000 for _, cpu in runs] for name, runs in got.items()}
    measure.progress(f"true on {n}, a second: " + ", ".join(
        f"{name} {measure.median(values):.4g}" for name, values in rates.items()))
    ours = measure.median(rates["hawser"])
    rows = [measure.Figure(f"true on {n} agents", "targets a second", ours, of="ours",
                           aim=RATE_AIM, higher=True, details={"samples": rates["hawser"]})]
    for name, values in rates.items():
        if name != "hawser":
            must, aim = RATES[name]
            rows.append(measure.Figure(f"true on {n} agents", "targets a second", ours,
                                       measure.median(values), name, must=must, aim=aim,
                                       higher=True, details={"samples": values}))
    for name, values in costs.items():
        if name != "hawser":
            rows.append(measure.Figure(f"the same, CPU of all parts", "ms a target",
                                       measure.median(costs["hawser"]), measure.median(values),
                                       name))
    return rows


def true(bed):
    return [row for n in bed.args.sizes for row in true_rows(n, true_on(bed, n))]


# ---- simulated nodes -----------------------------------------------------------------------------


def run_on_sims(ours, n, concurrency):
    """Seconds, the relay's CPU seconds, and what its memory grew by at most, in bytes."""
    settle()
    pid = ours.relay.pid
    peak, used = measure.Peak(pid), measure.cpu(pid)
    took = run_peers.ran_on(n, ours.hawser("run", "-t", "sim-*", "-q", "-c", str(concurrency),
                                           "--", "true"))
    return took, measure.cpu(pid) - used, peak.now - peak.before


def sims(bed):
    n, args = bed.args.nodes, bed.args
    ours = fleet.Fleet(bed.daemons, name="sims", nodes=0)
    nodes = Sims(ours, n, args.split)
    bed.stack.callback(nodes.stop)
    nodes.join()
    ours.restart_relay()
    nodes.hold()
    runs = [run_on_sims(ours, n, args.concurrency) for _ in range(max(1, args.runs // 2))]
    seen = nodes.end()
    bed.daemons.stop(ours.relay)
    if seen.get("ran") != n * len(runs) or seen.get("lost"):
        raise fleet.Failure(f"not every node ran it once each time: {seen}")
    must, aim = SIMS_SECONDS
    took, cpu, grown = (measure.median(values) for values in zip(*runs))
    what = f"true on {n} simulated nodes, {args.concurrency} at a time"
    measure.progress(f"{what}: {', '.join(f'{one[0]:.2f} s' for one in runs)}")
    return [
        measure.Figure(what, "s", took, of="ours", must=must, aim=aim,
                       details={"samples": [one[0] for one in runs]}),
        measure.Figure("relay's CPU of that", "ms a node", cpu / n * 1000),
        # The first has the most to grow: what it leaves is used again.
        measure.Figure("relay's memory at most, of the first", "KiB an invocation",
                       runs[0][2] / n / 1024, of="ours", must=SIMS_KIB),
        measure.Figure("the same, median", "KiB an invocation", grown / n / 1024),
    ]


# ---- output --------------------------------------------------------------------------------------


def make_output(bed, mib):
    """Random, so that nobody gains by compressing."""
    path = os.path.join(bed.daemons.folder, "output")
    with open(path, "wb") as f:
        for _ in range(mib):
            f.write(os.urandom(MIB))
    return path


def gather_once(bed, way, n, path):
    to = os.path.join(bed.daemons.folder, "gathered")
    settle()
    used = measure.machine_cpu()
    took, files = way.gather(n, path, to)
    used = measure.machine_cpu() - used
    if len(files) != n or not all(filecmp.cmp(path, one, shallow=False) for one in files):
        raise fleet.Failure(f"{way.name}: of {n} outputs {len(files)} came, or not as they were")
    shutil.rmtree(to)
    return n * os.path.getsize(path) / MIB / took, used / (n * os.path.getsize(path)) * 1e9


def client_memory(bed, path, n):
    """MiB of the relay and of the client at most, of a gathering."""
    ours = bed.need("hawser")
    to = os.path.join(bed.daemons.folder, "gathered")
    peak = measure.Peak(ours.fleet.relay.pid)
    client = ours.gather_peak(n, path, to)
    shutil.rmtree(to)
    return peak.now / MIB, client / MIB


def gather(bed):
    n, mib = bed.args.gather_nodes, bed.args.gather_mib
    ways = [bed.need("hawser"), bed.need("xargs")]
    small, path = make_output(bed, 1), None
    relay_small, client_small = client_memory(bed, small, n)
    path = make_output(bed, mib)
    relay, client = client_memory(bed, path, n)
    got = {way.name: [] for way in ways}
    for i in range(bed.args.runs):
        for j in range(len(ways)):
            way = ways[(i + j) % len(ways)]
            got[way.name].append(gather_once(bed, way, n, path))
    bed.daemons.check()
    (ours, cpu), (theirs, their_cpu) = (
        [measure.median(values) for values in zip(*got[way.name])] for way in ways)
    measure.progress(f"{mib} MiB of each of {n}, MiB/s: " + ", ".join(
        f"{name} {', '.join(f'{one[0]:.0f}' for one in runs)}" for name, runs in got.items()))
    return [
        measure.Figure(f"{mib} MiB of each of {n} agents, to files", "MiB/s", ours, theirs,
                       ways[1].name, must=GATHER, higher=True,
                       details={"samples": [one[0] for one in got["hawser"]]}),
        measure.Figure("the same, CPU of all parts", "s a GB", cpu, their_cpu, ways[1].name),
        measure.Figure("relay's memory at most", "MiB", relay, relay_small, "1 MiB each",
                       of="ours", must=GATHER_MIB),
        measure.Figure("client's memory at most", "MiB", client, client_small, "1 MiB each",
                       of="ours", must=GATHER_MIB),
    ]


# ---- all of it -----------------------------------------------------------------------------------

PARTS = {"true": true, "sims": sims, "gather": gather}
PEERS = ("masters", "cold", "nats", "floor")
QUICK = {"runs": 1, "sizes": [20], "nodes": 500, "gather_nodes": 10, "cold_runs": 1}


def select(args):
    """Parts and peers that were asked for; all of a kind of which none was."""
    args.sizes = [int(size) for size in args.sizes.split(",")]
    if args.quick:
        vars(args).update(QUICK)
    words = {word for word in args.only.split(",") if word}
    unknown = words - set(PARTS) - set(PEERS) - {"hawser"}
    if unknown:
        raise fleet.Failure(f"--only knows no {', '.join(sorted(unknown))}: it takes "
                            + ", ".join((*PARTS, "hawser", *PEERS)))
    args.parts = [part for part in PARTS if part in words] or list(PARTS)
    args.peers = ["hawser"] + ([p for p in PEERS if p in words] or
                               ([] if "hawser" in words else list(PEERS)))


def bench(args):
    select(args)
    measure.progress(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, "
                     f"load {os.getloadavg()[0]:.1f}")
    rows = []
    with fleet.folder() as daemons, contextlib.ExitStack() as stack:
        bed = Bed(stack, daemons, args)
        for part in args.parts:
            begin = time.monotonic()
            try:
                rows += PARTS[part](bed)
            except fleet.Failure as e:
                daemons.check()
                args.failures.append(f"{part}: {e}")
            measure.progress(f"({part} took {time.monotonic() - begin:.0f} s)")
    return rows


def options(parser):
    parser.add_argument("--only", default="", metavar="WORD,...",
                        help="parts and peers: " + ", ".join((*PARTS, "hawser", *PEERS))
                        + "; hawser is always there, and by itself it means alone")
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cold-runs", type=int, default=1, help="of new ssh each, at most")
    parser.add_argument("--sizes", default="100,500", help="targets of true")
    parser.add_argument("--nodes", type=int, default=10000, help="that are simulated")
    parser.add_argument("--concurrency", type=int, default=500, help="of simulated nodes")
    parser.add_argument("--split", type=int, default=5000, help="simulated nodes of a process")
    parser.add_argument("--gather-nodes", type=int, default=100)
    parser.add_argument("--gather-mib", type=int, default=10, help="of each")


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
