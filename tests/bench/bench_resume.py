#!/usr/bin/env python3
"""How long shells are away: all of them after a relay that was killed is back, and one after its network is back."""

import os
import random
import selectors
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))

import fleet  # noqa: E402
import measure  # noqa: E402
from line import Line  # noqa: E402

TITLE = "resume: from the return of the relay, or of the network, until what was typed meanwhile is answered"


class Shells:
    """Clients with a `cat` each at the far end, which gives back what is typed."""

    def __init__(self, argv, count):
        self.ready = selectors.DefaultSelector()
        self.all = []
        for i in range(count):
            child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
            os.set_blocking(child.stdout.fileno(), False)
            self.ready.register(child.stdout, selectors.EVENT_READ, child)
            child.got = b""
            self.all.append(child)
            if i % 20 == 19:  # a relay takes so many handshakes at once, and a user may wait
                self.until(b"ready", 60)
        self.until(b"ready", 60)

    def type(self, word):
        for child in self.all:
            child.stdin.write(word + b"\n")

    def until(self, word, seconds):
        """When each has shown it."""
        when, end = {}, time.monotonic() + seconds
        for child in self.all:
            if word in child.got:
                when[child] = time.monotonic()
        while len(when) < len(self.all):
            if time.monotonic() > end:
                raise fleet.Failure(f"{len(self.all) - len(when)} of {len(self.all)} shells do not go on within {seconds} s")
            for key, _ in self.ready.select(1):
                child = key.data
                data = child.stdout.read()
                if data == b"":
                    raise fleet.Failure(f"a shell ended with {child.wait()}")
                child.got += data or b""
                if word in child.got and child not in when:
                    when[child] = time.monotonic()
        return [when[child] for child in self.all]

    def end(self):
        for child in self.all:
            child.stdin.close()
            child.kill()
            child.wait()
            child.stdout.close()


CAT = ("--", "stty -echo; echo ready; exec cat")


def killed(ours, daemons, args):
    """The worst of all shells, of each kill, and the median."""
    shells = Shells(ours.hawser("shell", "-q", "-e", "none", "n1", *CAT), args.shells)
    worst, took = [], []
    for i in range(args.kills):
        ours.relay.kill()
        ours.relay.wait()
        daemons.started = [d for d in daemons.started if d[1] is not ours.relay]
        shells.type(b"kill-%d" % i)
        time.sleep(args.away)
        ours.start_relay()
        back = time.monotonic()
        each = [t - back for t in shells.until(b"kill-%d" % i, 60)]
        worst.append(max(each))
        took += each
        measure.progress(f"kill {i + 1}: median {measure.median(each):.2f} s, all within {max(each):.2f} s")
    shells.end()
    return worst, took


def cut(ours, args):
    """One shell whose line is cut, for some time between nothing and four seconds."""
    line = Line(ours.port)
    home = ours.path("cut-home")
    subprocess.run(["cp", "-r", ours.path("home"), home], check=True)
    path = os.path.join(home, "config")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace(f":{ours.port}", f":{line.port}"))
    shell = Shells([ours.program("hawser"), "--home", home, "shell", "-q", "-e", "none", "n1", *CAT], 1)
    chance, took = random.Random(1), []
    for i in range(args.cuts):
        line.cut()
        shell.type(b"cut-%d." % i)
        time.sleep(4 * chance.random())
        back = time.monotonic()
        line.mend()
        took.append(shell.until(b"cut-%d." % i, 60)[0] - back)
    shell.end()
    line.close()
    return took


def bench(args):
    with fleet.folder() as daemons:
        ours = fleet.Fleet(daemons, max_sessions_per_node=500, max_handshakes=64)
        took = cut(ours, args)
        worst, each = killed(ours, daemons, args)
    return [
        measure.Figure("one shell after its network is back, median", "s", measure.median(took), of="ours", must=1,
                       details={"cuts": args.cuts, "samples": took}),
        measure.Figure("one shell after its network is back, p90", "s", measure.percentile(took, 90), of="ours"),
        measure.Figure(f"{args.shells} shells after the relay is back, median", "s", measure.median(each), of="ours"),
        measure.Figure(f"{args.shells} shells after the relay is back, the last one", "s", max(worst), of="ours", must=5,
                       details={"kills": args.kills, "worst": worst}),
    ]


def options(parser):
    parser.add_argument("--shells", type=int, default=200)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--away", type=float, default=1.0, help="seconds for which the relay is away (1)")
    parser.add_argument("--cuts", type=int, default=20)


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
