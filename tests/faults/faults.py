#!/usr/bin/env python3
"""Strikes a relay, its agents, its users and the lines between them while shells, execs and forwards work and commands are
sent, and looks afterwards whether a byte was lost, doubled or swapped anywhere: at both ends, and in what was recorded; and
whether each command was run once where it was to run, and came to its end."""

import argparse
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import runs  # noqa: E402
import strikes as faults  # noqa: E402
from harbour import Harbour  # noqa: E402
from loads import Broken, Exec, Forward, Pipe, Shell  # noqa: E402
from recording import Recording  # noqa: E402
from support import audit  # noqa: E402
from support.relay import PATIENCE, wait_until  # noqa: E402

SETTINGS = {"grace_seconds": 30}


class Checker:
    def __init__(self, args, harbour):
        self.args, self.harbour = args, harbour
        self.loads, self.ended, self.watch = [], [], None
        self.begun = time.monotonic()
        harbour.loads = self.loads

    def say(self, text):
        print(f"{time.monotonic() - self.begun:7.2f}  {text}", flush=True)

    def start(self):
        users, agents = self.harbour.users, self.harbour.agents
        if self.args.loads != "commands":
            self.loads += [Shell(self.harbour, users[0], agents[0]), Pipe(self.harbour, users[0], agents[1]),
                           Exec(self.harbour, users[1], agents[0]), Exec(self.harbour, users[1], agents[1]),
                           Forward(self.harbour, users[2], agents[0]), Forward(self.harbour, users[2], agents[1])]
        if self.args.loads != "sessions":
            self.loads += [runs.Runs(self.harbour, user, agents, self.args.seed + i) for i, user in enumerate(users)]
            self.watch = runs.Watch(self.harbour)
        for load in self.loads:
            load.start()

    def replace_forwards(self):
        """Those whose agent died have ended; everything else has to be there."""
        for i, load in enumerate(self.loads):
            if isinstance(load, Forward) and load.agent.deaths != load.deaths:
                self.harbour.mend()
                load.ended_rightly()
                load.close()
                self.loads[i] = load.again().start()
            else:
                load.expect(load.alive(), f"it has ended; {describe(load)}")

    def settle(self, patience):
        """All works again: each load gets something through, in both directions."""
        self.replace_forwards()
        before = [load.progress() for load in self.loads]
        for load, was in zip(self.loads, before):
            try:
                wait_until(lambda: all(a > b for a, b in zip(load.progress(), was)) or not load.alive(),
                           f"{load.name} by {load.agent.name} going on", patience)
            except AssertionError as e:
                raise Broken(f"{e}: {was} then, {load.progress()} now; {describe(load)}\n{load.words()}") from None
            load.expect(load.alive(), f"it has ended; {describe(load)}")

    def strike(self):
        rng, done = random.Random(self.args.seed), 0
        for volley, settled in faults.schedule(rng, self.args.count, self.args.short):
            for strike in volley:
                self.say(str(strike))
            if failures := faults.volley(self.harbour, volley):
                raise Broken("\n".join(failures))
            done += len(volley)
            if settled:
                self.settle(self.args.patience)
                self.say(f"{done} faults: all go on")
        self.harbour.mend()
        self.settle(self.args.patience)
        self.say(f"{done} faults: all go on")

    def finish(self):
        for load in self.loads:
            load.finish()
        self.check_left_over()
        self.say("all have ended, and nothing is left over")
        commands = self.check_commands() if self.watch else set()
        by_reason = self.harbour.sessions()
        for load in self.loads:
            if not isinstance(load, (Forward, runs.Runs)):
                self.check_recording(load, by_reason[load.name]["SessionId"])
        for agent in self.harbour.agents:
            agent.stop()
        wait_until(lambda: not self.harbour.relay_sockets(), "the end of the relay's connections")
        self.harbour.relay.stop()
        self.check_ledger(commands)

    def left_over(self):
        return self.harbour.left_over() + runs.left_over(self.harbour)

    def check_left_over(self):
        try:
            wait_until(lambda: not self.left_over(), "the end of everything", 2 * PATIENCE)
        except AssertionError:
            raise Broken("left over: " + "; ".join(self.left_over())) from None

    def check_commands(self):
        """The ids of those that were sent."""
        self.watch.stop()
        verdict = runs.Verdict(self.harbour, [load for load in self.loads if isinstance(load, runs.Runs)], self.watch)
        verdict.check()
        self.say(verdict.words())
        return set(verdict.commands)

    def check_recording(self, load, session):
        recording = Recording.of(self.harbour.admin, session)
        load.expect(recording.ended, "its recording has no end")
        load.check(recording)
        self.say(f"{load.name}: the recording is what ran; {recording.rewinds} rewinds")

    def check_ledger(self, commands):
        entries = audit.ledger(self.harbour.relay.dir)
        started = sorted(e["SessionId"] for e in entries if e["Kind"] == "session.start")
        # A relay that is killed between that entry and the store's commit makes it once more.
        ended = sorted({e["SessionId"] for e in entries if e["Kind"] == "session.end"})
        if started != ended:
            raise Broken(f"the ledger has starts of {started}, and ends of {ended}")
        if commands != (noted := {e["CommandId"] for e in entries if e["Kind"] == "command.end"}):
            raise Broken(f"the commands {commands - noted} have no end in the ledger, and {noted - commands} are not in the store")

    def close(self):
        if self.watch:
            self.watch.stop()
        for load in self.loads:
            with contextlib.suppress(Exception):
                load.close()


def describe(load):
    reports = [f"{name} {report.read()}" for name, report in vars(load).items() if hasattr(report, "read") and hasattr(report, "path")]
    for pump, near, far in getattr(load, "streams", []):
        reports.append(f"exit {pump.poll()} near {near.read()} far {far.read()}")
    return f"exit {load.child.poll()}, {', '.join(reports)}"


def run(args, base):
    harbour, checker = None, None
    try:
        harbour = Harbour(base, **SETTINGS)
        checker = Checker(args, harbour)
        checker.start()
        checker.strike()
        checker.finish()
        return 0
    except (Broken, AssertionError) as e:
        print(f"\nFAILED: {e}\nwhat is left of it is in {base}; the same faults again: "
              f"./dev faults --at-once 1 --count {args.count} --seed {args.seed} --loads {args.loads}", flush=True)
        if harbour:
            keep(harbour, base)
        return 1
    finally:
        if checker:
            checker.close()
        if harbour:
            harbour.remove()


def keep(harbour, base):
    shutil.copytree(harbour.relay.dir, os.path.join(base, "relay.kept"), ignore=shutil.ignore_patterns("*.sock"), dirs_exist_ok=True)


def at_once(args):
    """Several fleets beside each other, each with a seed of its own, which is all that one needs to be run again."""
    count, rest = divmod(args.count, args.at_once)
    fleets = [subprocess.Popen([sys.executable, __file__, "--count", str(count + (i < rest)), "--seed", str(args.seed + i),
                                "--patience", str(args.patience), "--loads", args.loads]) for i in range(args.at_once)]
    return max(fleet.wait() for fleet in fleets)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60, help="faults (60)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="the schedule's; by chance")
    parser.add_argument("--short", action="store_true", help="each is over within a second")
    parser.add_argument("--patience", type=float, default=90, help="seconds until all has to go on again after a fault (90)")
    parser.add_argument("--keep", action="store_true", help="keep the folder when nothing was found, too")
    parser.add_argument("--loads", choices=("all", "sessions", "commands"), default="all", help="what works meanwhile (all)")
    parser.add_argument("--at-once", type=int, default=1, help="on so many fleets (1), with this seed and the next ones")
    args = parser.parse_args()
    if args.at_once > 1:
        return at_once(args)
    print(f"seed {args.seed}, {args.count} faults", flush=True)
    base = tempfile.mkdtemp(prefix="hawser-faults-")
    os.chmod(base, 0o755)
    status = run(args, base)
    if status == 0 and not args.keep:
        shutil.rmtree(base)
    return status


if __name__ == "__main__":
    sys.exit(main())
