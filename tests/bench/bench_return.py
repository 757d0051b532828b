#!/usr/bin/env python3
"""How long a fleet is away when its relay was killed, and what somebody feels who types meanwhile.

Simulated nodes (sim_nodes.c) hold their links, and dial again when an agent would: at once, and then
ever more seldom while nobody answers. One real agent and one real client have a session between
them. The relay is killed with -9 and started anew; time counts from when it listens again. A key is
a line that `cat` gives back, one after the other; those count that are typed after the session went
on and before the last node was back.
"""

import contextlib
import subprocess
import sys
import threading
import time

import fleet
import measure
from bench_idle import Sims, settled

TITLE = "return: a fleet whose relay was killed with -9, and a session that goes on meanwhile"
CAT = ("--", "stty -echo; echo ready; exec cat")
STEADY = 61  # seconds until a node's back-off begins anew


class Typist:
    """A session in which a line is typed as soon as the last one came back."""

    def __init__(self, argv, pause):
        self.pause = pause
        self.keys = []  # (when it was typed, seconds)
        self.stopped = False
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, bufsize=0)
        if b"ready" not in self.child.stdout.readline():
            raise fleet.Failure("the session did not begin")
        self.thread = threading.Thread(target=self._type, daemon=True)
        self.thread.start()

    def _type(self):
        number = 0
        lines = self.child.stdout
        while not self.stopped:
            number += 1
            word, begin = b"%d" % number, time.monotonic()
            self.child.stdin.write(word + b"\n")
            while (line := lines.readline()).strip() != word:
                if not line:
                    return
            self.keys.append((begin, time.monotonic() - begin))
            time.sleep(self.pause)

    def took(self, begin, end):
        """Of the keys that were typed then, milliseconds."""
        return [took * 1000 for when, took in self.keys if begin <= when <= end]

    def end(self):
        self.stopped = True
        self.child.stdin.close()
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()


def killed(ours, daemons, sims, typist, args):
    """Seconds until all are back, until the session went on, and what its keys took after that."""
    ours.relay.kill()
    ours.relay.wait()
    daemons.started = [d for d in daemons.started if d[1] is not ours.relay]
    time.sleep(args.away)
    ours.start_relay()
    begin, used = time.monotonic(), measure.cpu(ours.relay.pid)
    sims.again()
    end = time.monotonic()
    cpu = measure.cpu(ours.relay.pid) - used
    fleet.wait_until("the session", 30, lambda: typist.took(begin, time.monotonic()))
    first = min(when + took for when, took in typist.keys if when + took >= begin)
    keys = typist.took(first, end)
    measure.progress(f"all back after {end - begin:.2f} s ({cpu:.2f} s of the relay's CPU), the session "
                     f"after {first - begin:.2f} s; {len(keys)} keys, the slowest "
                     f"{max(keys, default=0):.1f} ms")
    return end - begin, first - begin, keys, cpu


def rounds(ours, daemons, sims, typist, args):
    quiet, each = time.monotonic(), []
    time.sleep(5)
    idle = typist.took(quiet, time.monotonic())
    for i in range(args.kills):
        if i > 0:
            time.sleep(STEADY)
        each.append(killed(ours, daemons, sims, typist, args))
    return idle, each


def bench(args):
    with contextlib.ExitStack() as stack:
        daemons = stack.enter_context(fleet.folder())
        # All come from one address here, of which no more than a quarter of these places are.
        ours = fleet.Fleet(daemons, max_unauthenticated=4 * args.nodes)
        sims = Sims(ours, args.nodes, args.split)
        stack.callback(sims.stop)
        sims.join()
        sims.hold("--again")
        settled(ours.relay.pid)
        typist = Typist(ours.hawser("shell", "-q", "-e", "none", "n1", *CAT), args.pause)
        stack.callback(typist.end)
        time.sleep(STEADY)
        idle, each = rounds(ours, daemons, sims, typist, args)
        seen = sims.end()
    if seen["links"] != args.nodes:
        raise fleet.Failure(f"not all links stand: {seen}")
    keys = [k for _, _, some, _ in each for k in some]
    what = f"{args.nodes} nodes"
    return [
        measure.Figure(f"{what} back after a kill of the relay, the last", "s",
                       max(all_back for all_back, _, _, _ in each), of="ours", must=30, aim=10,
                       details={"each": [e[0] for e in each]}),
        measure.Figure("the session that somebody types in", "s", max(e[1] for e in each)),
        measure.Figure("its keys meanwhile, p99", "ms", measure.percentile(keys, 99) if keys else 0,
                       measure.percentile(idle, 99), "before", of="ours", must=50),
        measure.Figure("the same, p50", "ms", measure.median(keys) if keys else 0,
                       measure.median(idle), "before"),
        measure.Figure("links accepted meanwhile", "a second of relay CPU",
                       args.nodes * len(each) / sum(e[3] for e in each)),
    ]


def options(parser):
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--away", type=float, default=1.0, help="seconds for which the relay is away")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds from an answer to the next key")
    parser.add_argument("--split", type=int, default=5000, help="links of a process")


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
