#!/usr/bin/env python3
"""What a forwarded port carries, beside ssh through a bastion and haproxy's and nginx's TLS chains.

All ways to the same far end are open at once and take turns, so that the machine's noise hits all
alike; figures are medians of the rounds. The load (forward_load.c) compares every byte. Parts:
bulk (one and eight streams each way, and their CPU), rtt, connect, pgbench, long (80 ms of round
trip at 1 Gbit/s), echo (keys in a shell beside eight forwards), memory (stalled readers).
"""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time

import fleet
import forward_peers as peers
import measure
from bench_echo import Typist

TITLE = "forward: a port behind a relay, and what it costs"
MIB = 1 << 20
GB = 1e9

# What must be reached and what is aimed at, as ratios of ours to a peer's.
ONE_STREAM = {"ssh -J": (2, None), "ssh -J gcm": (1.2, None), "haproxy": (0.95, 1.2)}
EIGHT_STREAMS = {"ssh -J": (2.5, None), "ssh -J gcm": (1.4, None), "haproxy": (0.95, None),
                 "nginx": (None, 1)}
ROUND_TRIP = {"ssh -J": (0.9, None), "haproxy": (1.2, 1)}
CONNECT = {"ssh -J": (1.3, None), "ssh -L": (0.95, 1)}
PGBENCH = {"ssh -J": (1, None), "haproxy": (1, None)}
PGBENCH_CONNECT = {"ssh -J": (1, None), "haproxy": (None, 1.3)}
# And CPU seconds for each GB, of one stream.
CPU = {"relay": (2.2, 1.6), "all parts": (4.8, 3.7)}
# Of the line, in percent.
LONG = (70, 90)
# Milliseconds of a key's p99, alone and beside the idle one's.
ECHO_MOST, ECHO_RATIO, ECHO_SLOW = 20, (3, 1.5), (60, 30)
# What the relay holds for receivers that don't take it, in MiB: of a stream, and in all.
STREAM_HOLDS, RELAY_HOLDS = 1, 256


# ---- what the parts run against ------------------------------------------------------------------


class Bed:
    """The programs under load. What only some parts need is started when the first of them asks."""

    def __init__(self, stack, daemons, args):
        self.stack = stack
        self.daemons = daemons
        self.args = args
        self.far = peers.Far()
        stack.callback(self.far.stop)
        self.database = self._database() if "pgbench" in args.parts else None
        self.ours = fleet.Fleet(daemons)
        self._ssh = self._certificate = None
        self._makers = self._ways()
        self._made = {}

    def _database(self):
        database = peers.Database(self.daemons)
        self.stack.callback(database.remove)
        return database

    @property
    def targets(self):
        return [self.far.port] + ([self.database.port] if self.database else [])

    @property
    def ssh(self):
        if not self._ssh:
            self._ssh = fleet.Ssh(self.daemons)
        return self._ssh

    @property
    def certificate(self):
        if not self._certificate:
            self._certificate = peers.certificate(self.daemons.folder)
        return self._certificate

    def _ways(self):
        daemons, targets = self.daemons, self.targets
        gcm = ("-c", "aes128-gcm@openssh.com")
        return {
            "hawser": lambda: peers.Hawser(daemons, self.ours, targets),
            "ssh -J": lambda: peers.Ssh(daemons, self.ssh, targets, "ssh -J"),
            "ssh -J gcm": lambda: peers.Ssh(daemons, self.ssh, targets, "ssh -J gcm",
                                            options=gcm),
            "ssh -L": lambda: peers.Ssh(daemons, self.ssh, targets, "ssh -L", jump=()),
            "haproxy": lambda: peers.Haproxy(daemons, targets, self.certificate),
            "nginx": lambda: peers.Nginx(daemons, targets, self.certificate),
            "no tunnel": lambda: peers.Direct(daemons, targets),
        }

    def way(self, name):
        """It has carried something each way before it is given."""
        if name not in self._made:
            way = self._makers[name]()
            for direction in ("up", "down"):
                way.load(self.far.port, direction, 16 * MIB, 1)
            self._made[name] = way
        return self._made[name]

    @property
    def ways(self):
        return [self.way(name) for name in self.args.peers]

    def rounds(self, what, unit, shown, run, ways=None):
        """{way's name: [what `run(way)` returned, of each round]}; `shown` makes a number of it."""
        ways = ways or self.ways
        got = {way.name: [] for way in ways}
        for i in range(self.args.runs):
            for j in range(len(ways)):
                way = ways[(i + j) % len(ways)]
                got[way.name].append(run(way))
        self.daemons.check()
        measure.progress(f"{what}, {unit}: " + ", ".join(
            f"{name} {measure.median(map(shown, all_runs)):.4g}"
            for name, all_runs in got.items()))
        return got


def compare(what, unit, got, shown, targets, higher=True):
    """A row for each peer: the medians of ours and of its."""
    ours = [shown(one) for one in got["hawser"]]
    rows = []
    for name, theirs in got.items():
        if name != "hawser":
            must, aim = targets.get(name, (None, None))
            rows.append(measure.Figure(
                what, unit, measure.median(ours), measure.median(map(shown, theirs)), name,
                must=must, aim=aim, higher=higher, details={"samples": ours}))
    return rows or [measure.Figure(what, unit, measure.median(ours), details={"samples": ours})]


# ---- bulk ----------------------------------------------------------------------------------------


def transfer(way, far, direction, size, streams):
    """Rate and CPU of one run."""
    before = way.cpu()
    got = way.load(far.port, direction, size // streams, streams)
    after = way.cpu()
    return {"rate": got["bytes"] / got["seconds"] / 1e6,
            "relay": (after[0] - before[0]) * GB / got["bytes"],
            "all parts": (after[1] - before[1]) * GB / got["bytes"]}


def cpu_rows(direction, got):
    rows = []
    for part, (must, aim) in CPU.items():
        mine = measure.median(one[part] for one in got["hawser"])
        for name in [n for n in ("nginx", "haproxy", "ssh -J") if n in got] or [None]:
            theirs = measure.median(one[part] for one in got[name]) if name else None
            rows.append(measure.Figure(f"CPU of {part}, one stream {direction}", "s/GB", mine,
                                       theirs, name or "", of="ours", must=must, aim=aim))
            must = aim = None  # judged once
    return rows


def bulk(bed):
    size = bed.args.megabytes * MIB
    rows, cpu = [], []
    for streams, name, targets in ((1, "one stream", ONE_STREAM), (8, "8 streams", EIGHT_STREAMS)):
        for direction in ("up", "down"):
            got = bed.rounds(f"{name} {direction}", "MB/s", lambda one: one["rate"],
                             lambda way: transfer(way, bed.far, direction, size, streams))
            rows += compare(f"{name} {direction}", "MB/s", got, lambda one: one["rate"], targets)
            if streams == 1:
                cpu += cpu_rows(direction, got)
    return rows + cpu


# ---- round trips and connections -----------------------------------------------------------------


def rtt(bed):
    got = bed.rounds("round trip of a byte, p50", "us", lambda one: one["p50"] / 1000,
                     lambda way: way.load(bed.far.port, "rtt", bed.args.samples))
    rows = []
    for which, targets in (("p50", ROUND_TRIP), ("p99", {}), ("min", {})):
        rows += compare(f"round trip of a byte, {which}", "us", got,
                        lambda one: one[which] / 1000, targets, higher=False)
    return rows


def connect(bed):
    rows = []
    for at_once in (1, 8):
        def run(way):
            got = way.load(bed.far.port, "connect", bed.args.connections, at_once)
            if got["connections"] != bed.args.connections:
                raise fleet.Failure(f"{way.name}: {got}")
            return got["connections"] / got["seconds"]

        what = f"new connections, {at_once} at a time"
        rows += compare(what, "1/s", bed.rounds(what, "1/s", float, run), float, CONNECT)
    return rows


# ---- pgbench -------------------------------------------------------------------------------------


def pgbench(bed):
    rows = []
    for more, targets in (((), PGBENCH), (("-C",), PGBENCH_CONNECT)):
        what = " ".join(("pgbench -S -c 8", *more))
        got = bed.rounds(what, "tps", float, lambda way: bed.database.pgbench(
            way.ports[bed.database.port], bed.args.pgbench_seconds, *more))
        rows += compare(what, "tps", got, float, targets)
    return rows


# ---- a long line ---------------------------------------------------------------------------------


def home_beyond(bed, port):
    """A login that dials another port to the same relay."""
    home = bed.ours.path(f"home-{port}")
    shutil.copytree(bed.ours.path("home"), home)
    path = os.path.join(home, "config")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    fleet.write_file(path, text.replace(f"127.0.0.1:{bed.ours.port}", f"127.0.0.1:{port}"))
    return home


def long_line(bed, port):
    line = peers.LongLine(port, bed.args.line_mbit, bed.args.line_ms / 2)
    bed.stack.callback(line.stop)
    return line


def long_ways(bed):
    """The line is between client and relay, or client and bastion."""
    home = home_beyond(bed, long_line(bed, bed.ours.port).port)
    ways = [peers.Hawser(bed.daemons, bed.ours, [bed.far.port], home)]
    if "ssh -J" in bed.args.peers:
        bed.ssh.add_host("far-bastion", long_line(bed, bed.ssh.ports["bastion"]).port)
        ways.append(peers.Ssh(bed.daemons, bed.ssh, [bed.far.port], "ssh -J",
                              jump=("-J", "far-bastion")))
    return ways


def long(bed):
    """Runs are as long as a way's rate makes a few seconds of."""
    rate_of_line = bed.args.line_mbit * 1e6 / 8
    ways = long_ways(bed)
    rows = []
    for direction in ("up", "down"):
        sizes = {way.name: 32 * MIB for way in ways}

        def run(way):
            got = way.load(bed.far.port, direction, sizes[way.name], 1)
            return got["bytes"] / got["seconds"]

        for way in ways * 2:
            sizes[way.name] = int(min(max(run(way) * bed.args.line_seconds, 16 * MIB),
                                      rate_of_line * bed.args.line_seconds))
        what = f"{bed.args.line_ms} ms and {bed.args.line_mbit} Mbit/s, one stream {direction}"
        got = bed.rounds(what, "% of the line", lambda rate: rate * 100 / rate_of_line, run, ways)
        share = {name: measure.median(rates) * 100 / rate_of_line for name, rates in got.items()}
        rows.append(measure.Figure(
            what, "% of the line", share["hawser"], share.get("ssh -J"),
            "ssh -J" if "ssh -J" in share else "", of="ours", must=LONG[0], aim=LONG[1],
            higher=True, details={"sizes": sizes}))
    return rows


# ---- keys beside forwards ------------------------------------------------------------------------


class Saturation:
    """Eight streams through a forward, half of them each way, until they are stopped."""

    def __init__(self, port):
        self.process = subprocess.Popen(
            [fleet.tool("forward_load"), "saturate", str(port), "4", "4"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "running\n":
            raise fleet.Failure("forward_load does not saturate")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """How much went; nothing of it may be lost."""
        said, _ = self.process.communicate("\n")
        if self.process.returncode != 0:
            raise fleet.Failure("bytes of the forwards beside the shell were lost")
        return said.strip()


def type_keys(typist, count):
    """Milliseconds of each; in rounds so short that pty_probe keeps its patience."""
    before = len(typist.samples)
    for done in range(0, count, 20):
        typist.round(min(20, count - done))
    return [us / 1000 for us in typist.samples[before:]]


def keys_beside(bed, ours, port, what, rounds, pause):
    """The idle samples, and those beside eight streams."""
    typist = Typist("shell", ours.hawser("shell", "-e", "none", "n1", "--",
                                         fleet.tool("pty_probe"), "reply"), ours.dir)
    idle, loaded = [], []
    type_keys(typist, 50)
    for _ in range(rounds):
        idle += type_keys(typist, bed.args.keys)
        with Saturation(port) as beside:
            time.sleep(1)  # so that queues are as long as they get
            loaded += type_keys(typist, bed.args.keys)
            said = beside.stop()
        time.sleep(pause)
    typist.end()
    measure.progress(f"{what}: {said}")
    for name, samples in (("idle", idle), ("loaded", loaded)):
        measure.progress(f"{what}, {name}: p50 {measure.percentile(samples, 50):.3g}, "
                         f"p99 {measure.percentile(samples, 99):.3g}, max {max(samples):.3g} ms")
    return idle, loaded


def key_rows(what, idle, loaded, ratio, most):
    def row(percent, of, must=None, aim=None):
        return measure.Figure(f"key {what}, p{percent}", "ms", measure.percentile(loaded, percent),
                              measure.percentile(idle, percent), "idle", of=of, must=must, aim=aim)

    return [row(50, "ratio"), row(99, "ratio", *ratio), row(99, "ours", *most)]


def slow_fleet(bed):
    """A relay whose node has a slow link, a forward to that node, and how it was made."""
    mbit, folder = bed.args.slow_mbit, bed.daemons.folder
    try:
        apart = peers.Apart(mbit, bed.args.slow_queue_ms)
    except fleet.Failure as e:
        measure.progress(f"no namespaces here ({e}): the slow link is forward_line's")
        ours = fleet.Fleet(bed.daemons, "slow", nodes=0)
        line = peers.LongLine(ours.port, mbit, 0)
        bed.stack.callback(line.stop)
        ours.add_nodes(1, ours.url.replace(f":{ours.port}", f":{line.port}"))
        return ours, bed.far, "forward_line"
    bed.stack.callback(apart.remove)
    os.chmod(folder, 0o755)
    far = peers.Far(apart.prefix)
    bed.stack.callback(far.stop)
    ours = fleet.Fleet(bed.daemons, "slow", host=apart.here, node_prefix=apart.prefix)
    # What started in the namespace has to end before it.
    bed.stack.callback(lambda: [bed.daemons.stop(node) for node in ours.nodes.values()])
    return ours, far, "tbf"


def echo(bed):
    port = bed.way("hawser").ports[bed.far.port]
    what = "beside 8 forwards, loopback"
    rows = key_rows(what, *keys_beside(bed, bed.ours, port, what, bed.args.runs, 1),
                    ECHO_RATIO, (ECHO_MOST,))
    ours, far, how = slow_fleet(bed)
    port = peers.Hawser(bed.daemons, ours, [far.port]).ports[far.port]
    what = f"beside 8 forwards, {bed.args.slow_mbit} Mbit/s ({how})"
    return rows + key_rows(what, *keys_beside(bed, ours, port, what, min(2, bed.args.runs), 5),
                           (), ECHO_SLOW)


# ---- stalled readers -----------------------------------------------------------------------------


class Peak:
    """The resident memory of processes in MiB, looked at all the time within a `with` block."""

    def __init__(self, pids):
        self.pids = pids
        self.first = self.now()
        self.most = dict(self.first)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def now(self):
        return {part: measure.resident(pid) / MIB for part, pid in self.pids.items()}

    def _watch(self):
        while not self.ended.wait(0.02):
            for part, mib in self.now().items():
                self.most[part] = max(self.most[part], mib)


def settled(far, seconds=60):
    """Bytes that the source got rid of, once it gets rid of no more."""
    last, same = -1, 0
    for _ in range(seconds * 2):
        sent = far.counters()["sent"]
        same = same + 1 if sent == last else 0
        if same == 4:
            return sent
        last = sent
        time.sleep(0.5)
    raise fleet.Failure(f"readers that do not read took bytes for {seconds} s")


def stall(bed, socket):
    """Lets readers stall, then read all; the bytes that the source sent while they did not."""
    before = bed.far.counters()["sent"]
    readers = subprocess.Popen(
        [fleet.tool("forward_load"), "stall", socket, str(bed.args.reader_mib * MIB),
         str(bed.args.readers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if readers.stdout.readline() != "stalled\n":
            raise fleet.Failure("not all readers were connected")
        sent = settled(bed.far) - before
        said, _ = readers.communicate("\n")
    finally:
        readers.kill()
        readers.wait()
    if readers.returncode != 0:
        raise fleet.Failure("stalled readers lost bytes")
    measure.progress(f"{bed.args.readers} stalled readers: the source sent {sent / MIB:.0f} of "
                     f"{bed.args.readers * bed.args.reader_mib} MiB; then {said.strip()}")
    return sent


def memory(bed):
    """The readers are on a Unix socket: TCP's buffers would hold megabytes of each, and together so
    much that the kernel drops what comes."""
    readers = bed.args.readers
    socket = os.path.join(bed.daemons.folder, "readers.sock")
    way = peers.Hawser(bed.daemons, bed.ours, {bed.far.port: socket})
    peers.load(socket, "down", 16 * MIB, 1)
    pids = {"relay": bed.ours.relay.pid, "client": way.client.pid,
            "node": measure.family(bed.ours.nodes["n1"].pid)[1]}
    with Peak(pids) as peak:
        try:
            sent = stall(bed, socket)
        except fleet.Failure as e:
            raise fleet.Failure(f"{readers} readers: {e}; peaks {peak.most} MiB; the client said: "
                                + bed.daemons.said("hawser-forward", 300)) from e
        time.sleep(2)
        after = peak.now()
    rows = [measure.Figure(f"relay's memory grew for {readers} stalled readers", "MiB",
                           peak.most["relay"] - peak.first["relay"], of="ours",
                           must=min(readers * STREAM_HOLDS, RELAY_HOLDS))]
    for part in pids:
        for when, mib in (("peak", peak.most[part]), ("after", after[part])):
            rows.append(measure.Figure(f"RSS of {part}, {when}", "MiB", mib, peak.first[part],
                                       "before", of="difference"))
    return rows + [measure.Figure("sent to a stalled reader, kernel's buffers included", "KiB",
                                  sent / 1024 / readers)]


# --------------------------------------------------------------------------------------------------

PARTS = {"bulk": bulk, "rtt": rtt, "connect": connect, "pgbench": pgbench, "long": long,
         "echo": echo, "memory": memory}
PEERS = ("ssh -J", "ssh -J gcm", "ssh -L", "haproxy", "nginx", "no tunnel")
WORDS = {peer.replace(" -", "-").replace(" ", "-"): peer for peer in PEERS}

QUICK = {"runs": 1, "megabytes": 64, "samples": 500, "connections": 100, "pgbench_seconds": 1,
         "line_seconds": 1, "keys": 100, "readers": 100}


def select(args):
    """Parts and peers that were asked for; all of a kind of which none was."""
    if args.quick:
        vars(args).update(QUICK)
    words = {WORDS.get(word, word) for word in args.only.split(",") if word}
    unknown = words - set(PARTS) - set(PEERS) - {"hawser"}
    if unknown:
        raise fleet.Failure(f"--only knows no {', '.join(sorted(unknown))}: it takes "
                            + ", ".join((*PARTS, "hawser", *WORDS)))
    args.parts = [part for part in PARTS if part in words] or list(PARTS)
    args.peers = ["hawser"] + ([p for p in PEERS if p in words] or
                               ([] if "hawser" in words else list(PEERS)))


def said_by_kernel(name):
    with open(f"/proc/sys/net/ipv4/{name}", encoding="ascii") as f:
        return f.read().strip()


def bench(args):
    select(args)
    measure.progress(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, congestion control "
                     f"{said_by_kernel('tcp_congestion_control')}, load {os.getloadavg()[0]:.1f}")
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
                        help="parts and peers: " + ", ".join((*PARTS, "hawser", *WORDS))
                        + "; hawser is always there, and by itself it means alone")
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=384, help="MiB of a bulk run")
    parser.add_argument("--samples", type=int, default=3000, help="round trips of a run")
    parser.add_argument("--connections", type=int, default=400, help="of a run")
    parser.add_argument("--pgbench-seconds", type=int, default=2, help="of a run")
    parser.add_argument("--line-mbit", type=int, default=1000, help="of the long line")
    parser.add_argument("--line-ms", type=int, default=80, help="its round trip")
    parser.add_argument("--line-seconds", type=float, default=3, help="of a run on it, about")
    parser.add_argument("--slow-mbit", type=int, default=10, help="of the node's slow link")
    parser.add_argument("--slow-queue-ms", type=int, default=20, help="the queue before it")
    parser.add_argument("--keys", type=int, default=200, help="of a round beside forwards")
    parser.add_argument("--readers", type=int, default=500, help="that stall")
    parser.add_argument("--reader-mib", type=int, default=8, help="MiB sent to each")


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
