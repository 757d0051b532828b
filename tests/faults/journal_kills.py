#!/usr/bin/env python3
"""Kills the relay at each system call of those who write its journal, in one session in which numbered lines are typed:
whatever its node was given is in the recording afterwards, and all files read clean. Each run goes one call further, until
one ends without a kill."""

import argparse
import contextlib
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harbour import PUMP  # noqa: E402
from loads import Report, letters  # noqa: E402
from recording import Recording  # noqa: E402
from support import audit  # noqa: E402
from support.fleet import Client, Node  # noqa: E402
from support.relay import PATIENCE, Relay, program, wait_until  # noqa: E402

# What the threads that write to the journal, the ledger and the recordings call on the way.
CALLS = ["write", "pwrite64", "fdatasync", "fsync", "openat", "renameat"]
LINES = 12


class Stage:
    """A relay, a node and a user; the relay's threads can be made to die at a call."""

    def __init__(self, base, durability):
        # A client that was told the end just before the relay died does not come back: its grace has to pass.
        self.relay = Relay(os.path.join(base, "main"), durability=durability, resume_seconds=15).start()
        self.client = Client(os.path.join(base, "admin"), self.relay, self.relay.invite)
        self.node = Node(base, self.client, "web-01").start()
        self.base = base

    def inject(self, call, when):
        """From now on: the relay's `when`th such call ends it, whatever file it is for."""
        self.strace = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}",
             "-p", str(self.relay.pid)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_until(lambda: self._is_traced() or self.strace.poll() is not None, "strace")
        assert self.strace.poll() is None, self.strace.stderr.read()

    def _is_traced(self):
        """Each of its threads, some of which may be gone meanwhile."""
        untraced = 0
        for path in glob.glob(f"/proc/{self.relay.pid}/task/*/status"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(path, encoding="ascii") as f:
                untraced += "TracerPid:\t0" in f.read()
        return untraced == 0

    def sealed(self, said):
        session = re.search(r"session (\S+) on", said)[1]
        return os.path.exists(os.path.join(self.relay.dir, "recordings", session + ".rec"))

    def end_strace(self):
        if self.strace.poll() is None:
            self.strace.send_signal(signal.SIGTERM)
        self.strace.wait()
        self.strace.stderr.close()

    def remove(self):
        self.node.stop()
        if self.relay.alive():
            self.relay.stop()


def type_lines(child, report, count):
    """One a time, as a person does: the next goes when the last was read."""
    for i in range(count):
        os.write(child.stdin.fileno(), letters(i).encode() + b"\n")
        wait_until(lambda: report.received > i or child.poll() is not None, f"line {i}", 2 * PATIENCE)
    os.write(child.stdin.fileno(), b"end\n")


def one(stage, call, when):
    """True when the relay was killed."""
    report = Report(os.path.join(stage.base, f"report-{call}-{when}"))
    reason = f"{call}-{when}"
    stage.node.stop()  # one that has lost its relay so often dials seldom
    stage.node.start()
    stage.inject(call, when)
    killed = []

    def restart():
        while not done.wait(0.01):
            if stage.relay.process.poll() is not None:
                killed.append(stage.relay.process.wait())
                stage.end_strace()
                stage.relay.start()
                return

    done = threading.Event()
    watcher = threading.Thread(target=restart)
    watcher.start()
    try:
        for _ in range(3):  # a session that was not there yet when the relay was killed is opened again
            child = stage.client.popen("shell", "web-01", "--reason", reason, "--", f"exec {PUMP} lines {report.path} 1",
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            output = []
            reader = threading.Thread(target=lambda: output.append(child.stdout.read()))
            reader.start()
            wait_until(lambda: report.pid != 0 or child.poll() is not None, "the session")
            if child.poll() is None:
                with contextlib.suppress(BrokenPipeError):
                    type_lines(child, report, LINES)
            status = child.wait(2 * PATIENCE)
            reader.join()
            said = child.stderr.read().decode()
            child.stdin.close(), child.stdout.close(), child.stderr.close()
            if status == 0:
                wait_until(lambda: killed or stage.sealed(said), "the end of its recording")
                break
            assert report.received == 0, f"{reason}: exit {status}, {report.received} lines: {said}"
            wait_until(lambda: killed, f"a reason for: {said}")
            watcher.join(2 * PATIENCE)
            stage.node.wait_online()
    finally:
        done.set()
        watcher.join()
        stage.end_strace()
    if not stage.relay.alive():
        killed.append(stage.relay.process.wait())
        stage.relay.start()
    assert report.received == LINES and report.wrong == 0, f"{reason}: {report.read()}"
    check(stage, reason, output[0])
    return bool(killed)


def check(stage, reason, shown):
    session = wait_until(lambda: [s for s in stage.client.json("sessions", "ls")["Sessions"]
                                  if s.get("Reason") == reason and s["Status"] == "Terminated" and s.get("EndDate")], f"{reason}: its end")[0]["SessionId"]
    recording = Recording.of(stage.client, session)
    typed = recording.input()
    want = "".join(letters(i) + "\n" for i in range(LINES)).encode() + b"end\n"
    assert recording.ended and len(typed) == len(want), f"{reason}: {len(typed)} bytes of input are recorded, not {len(want)}"
    assert all(a in (None, b) for a, b in zip(typed, want)), f"{reason}: other input is recorded"
    hidden = list(typed[:LINES * 9]).count(None)
    assert hidden == 0, f"{reason}: {hidden} bytes that were shown are hidden"
    assert recording.bytes("out") == shown, f"{reason}: shown {shown!r}, recorded {recording.bytes('out')!r}"


def sweep(base, calls, step, first, durability, verbose=False):
    stage, runs, kills = Stage(base, durability), 0, 0
    try:
        for call in calls:
            when, killed = first, True
            while killed:
                killed = one(stage, call, when)
                if verbose:
                    print(f"{call} {when} {killed}", flush=True)
                runs, kills, when = runs + 1, kills + killed, when + step
            print(f"{call}: killed at each of {when - step - 1} calls, in steps of {step}", flush=True)
        audit.ledger(stage.relay.dir)  # no gap
        return runs, kills
    finally:
        stage.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=1, help="each so manieth call (1)")
    parser.add_argument("--first", type=int, default=1, help="from this one on (1)")
    parser.add_argument("--calls", default=",".join(CALLS), help="which ones")
    parser.add_argument("--durability", default="write", choices=["write", "sync"])
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    base = tempfile.mkdtemp(prefix="hawser-faults-")
    begun = time.monotonic()
    runs, kills = sweep(base, args.calls.split(","), args.step, args.first, args.durability, args.verbose)
    print(f"{runs} sessions, {kills} kills, {time.monotonic() - begun:.0f} s")
    shutil.rmtree(base)


if __name__ == "__main__":
    sys.exit(main())
