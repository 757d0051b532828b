#!/usr/bin/env python3
"""How long a typed key takes to come back: the round trip of one byte through a pty.

All ways are open at once and take turns in short rounds, so that the machine's noise hits all alike.
Recording cannot be switched off. What it costs is therefore told beside `write`, which records
without waiting for a disk and seals nothing to anybody, and beside ssh -J, which records nothing:
`sync, shown` and `sync, hidden` have an auditors' key and wait for the disk, and differ in whether
the terminal echoes what is typed; hidden input is sealed.
"""

import os
import subprocess
import sys

import fleet
import measure

TITLE = "echo: one key to the far end's program and back"
ROUND = 100


class Typist:
    """pty_probe at the near end of one way."""

    def __init__(self, name, argv, folder):
        self.name = name
        self.errors = f"{folder}/{name.replace(' ', '')}.stderr"
        self.samples = []
        self.rounds = []
        self.probe = subprocess.Popen(
            [fleet.tool("pty_probe"), "echo", "-e", self.errors, "--", *argv],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        if self.probe.stdout.readline().strip() != "ready":
            self.fail()

    def fail(self):
        self.probe.kill()
        with open(self.errors, encoding="utf-8", errors="replace") as f:
            raise fleet.Failure(f"{self.name}: no echo; it said: {f.read().strip()}")

    def round(self, count, keep=True):
        self.probe.stdin.write(f"{count}\n")
        line = self.probe.stdout.readline().split()
        if len(line) != count:
            self.fail()
        took = [int(ns) / 1000 for ns in line]
        if keep:
            self.samples += took
            self.rounds.append(measure.median(took))

    def end(self):
        self.probe.stdin.close()
        if self.probe.wait(20) != 0:
            measure.progress(f"{self.name}: its client ended with {self.probe.returncode}")

    def p(self, percent):
        return measure.percentile(self.samples, percent)


def ways_of(ours, synced, sealed, ssh):
    reply = [fleet.tool("pty_probe"), "reply"]
    shown = [fleet.tool("pty_probe"), "echo-reply"]
    return {
        "local": reply,
        "ssh": ssh.ssh("-tt", "-e", "none", "host", *reply),
        "ssh -J": ssh.jump("-tt", "-e", "none", "host", *reply),
        "write": ours.hawser("shell", "-e", "none", "n1", "--", *reply),
        "sync": synced.hawser("shell", "-e", "none", "n1", "--", *reply),
        "sync, shown": sealed.hawser("shell", "-e", "none", "n1", "--", *shown),
        "sync, hidden": sealed.hawser("shell", "-e", "none", "n1", "--", *reply),
    }


def with_auditors(daemons):
    """A fleet whose hidden input is sealed, to a key that nobody has."""
    ours = fleet.Fleet(daemons, "sealed", nodes=0, durability="sync")
    fleet.write_file(ours.path("relay/auditors.pub"), os.urandom(32).hex() + " nobody\n", 0o644)
    ours.restart_relay()
    ours.add_nodes(1)
    return ours


def take_turns(typists, samples):
    for typist in typists:
        typist.round(ROUND, keep=False)
    for i in range(samples // ROUND):
        for j in range(len(typists)):
            typists[(i + j) % len(typists)].round(ROUND)


def row(what, ours, peer, percent, peer_name=None, **targets):
    return measure.Figure(what, "us", ours.p(percent), peer.p(percent), peer_name or peer.name,
                          **targets)


def best(typist):
    return min(typist.rounds)


def bench(args):
    with fleet.folder() as daemons:
        ours = fleet.Fleet(daemons, "write", durability="write")
        synced = fleet.Fleet(daemons, "sync", durability="sync")
        sealed = with_auditors(daemons)
        ssh = fleet.Ssh(daemons)
        typists = [Typist(name, argv, daemons.folder)
                   for name, argv in ways_of(ours, synced, sealed, ssh).items()]
        take_turns(typists, args.samples)
        local, direct, jump, write, sync, shown, hidden = typists
        before = [measure.cpu(p.pid) for p in (ours.relay, ours.nodes["n1"])]
        write.round(1000, keep=False)
        after = [measure.cpu(p.pid) for p in (ours.relay, ours.nodes["n1"])]
        measure.progress("CPU of 1,000 keys, ms: relay %.0f, monitor %.0f" % tuple(
            (a - b) * 1000 for a, b in zip(after, before)))
        for typist in typists:
            typist.end()
    return [
        row("durability write, p50", write, jump, 50, must=0.8),
        row("durability write, p50", write, direct, 50, aim=1),
        row("durability write, p99", write, jump, 99),
        measure.Figure("durability write, median of the best round", "us", best(write), best(jump),
                       jump.name),
        row("durability sync, p50", sync, write, 50, of="difference", must=1000, aim=300,
            peer_name="hawser, write"),
        row("durability sync, p50", sync, jump, 50),
        row("durability sync, p99", sync, jump, 99),
        *(row(f"durability {way.name}, sealing, p50", way, write, 50, of="difference", must=1500,
              peer_name="hawser, write") for way in (shown, hidden)),
        *(row(f"durability {way.name}, sealing, p50", way, jump, 50, of="difference", must=1500)
          for way in (shown, hidden)),
        row("the pty alone, p50", write, local, 50),
    ]


def options(parser):
    parser.add_argument("--samples", type=int, default=2000, help="of each way")


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
