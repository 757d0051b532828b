#!/usr/bin/env python3
"""What an idle agent takes of its machine: memory of all its processes, and how often they wake."""

import sys
import time

import fleet
import measure

TITLE = "agent: all processes of one idle node"


class Snapshot:
    def __init__(self, agent):
        self.of = {pid: (measure.name_of(pid), measure.memory(pid))
                   for pid in measure.family(agent)}

    def total(self, kind):
        return sum(memory[kind] for _, memory in self.of.values())

    def say(self, when):
        parts = ", ".join(f"{name} Rss {memory['Rss']} Pss {memory['Pss']} "
                          f"private {memory['Private_Clean'] + memory['Private_Dirty']}"
                          for name, memory in self.of.values())
        measure.progress(f"{when}: {parts} KiB")


def idle(agent, seconds):
    """CPU share and wake-ups a second."""
    family = measure.family(agent)
    used = sum(measure.cpu(pid) for pid in family)
    turns = sum(measure.switches(pid) for pid in family)
    time.sleep(seconds)
    return ((sum(measure.cpu(pid) for pid in family) - used) / seconds,
            (sum(measure.switches(pid) for pid in family) - turns) / seconds)


def bench(args):
    with fleet.folder() as daemons:
        ours = fleet.Fleet(daemons)
        agent = ours.nodes["n1"].pid
        time.sleep(10)
        fresh = Snapshot(agent)
        fresh.say("after 10 s")
        fleet.run([fleet.tool("pty_probe"), "drain", "--",
                   *ours.hawser("shell", "n1", "--", "seq", "100000")])
        time.sleep(2)
        used = Snapshot(agent)
        used.say("after a shell")
        share, wakes = idle(agent, args.seconds)
        if len(used.of) != 2:
            raise fleet.Failure(f"{len(used.of)} processes are left of an idle agent, not 2")
    mib = 1024
    return [
        measure.Figure("RSS after 10 s", "MB", fresh.total("Rss") / mib, of="ours", must=10, aim=6),
        measure.Figure("RSS after a shell", "MB", used.total("Rss") / mib, of="ours", must=10,
                       aim=6),
        measure.Figure("PSS after 10 s", "MB", fresh.total("Pss") / mib),
        measure.Figure("PSS after a shell", "MB", used.total("Pss") / mib),
        measure.Figure("CPU", "% of a core", share * 100),
        measure.Figure("context switches", "a second", wakes),
    ]


def options(parser):
    parser.add_argument("--seconds", type=int, default=30, help="of idling")


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
