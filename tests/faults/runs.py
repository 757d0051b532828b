"""Commands that are sent while things break: who sends them, what has to come of each, and who looks whether it did."""

import collections
import contextlib
import json
import os
import random
import re
import subprocess
import threading
import time

from loads import Broken, Load, first_difference
from support.relay import PATIENCE, wait_until

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
WITHIN = 300  # seconds for the longest of them, whatever is done to it
SELECT = ("-t", "web-01", "-t", "web-02")


# --- what is sent -----------------------------------------------------------------------------------


class Job:
    """A script, and what it has to write and how it has to end, wherever it runs to its end."""

    def __init__(self, lines, out="", err="", codes=(0,), exits=(0,), options=("-e", "100%"), whole=True, ends=("Success", "Failed")):
        self.lines, self.out, self.err = lines, out.encode(), err.encode()
        self.codes, self.exits, self.options = codes, exits, options
        self.whole = whole  # it ends by itself: all of its output is there
        self.ends = ends  # StatusDetails that it may have


def numbered(word, count):
    return "".join(f"{word} {i}\n" for i in range(1, count + 1))


def short(number, rng, _site):
    code = rng.choice([0, 0, 1, 3])
    out = rng.choice([0, 1, 30, 2000])
    return Job([f"seq -f '{number} %.0f' 1 {out}", f"seq -f '{number} error %.0f' 1 7 >&2", f"exit {code}"],
               numbered(number, out), numbered(f"{number} error", 7), codes=(code,), exits=(min(code, 1),))


def long(number, rng, _site):
    count = rng.randrange(5, 50)
    return Job(["i=1", f"while [ $i -le {count} ]; do echo {number} $i; i=$((i+1)); sleep 0.1; done"], numbered(number, count))


def chatty(number, rng, _site):
    out, err = rng.randrange(20_000, 150_000), rng.randrange(1_000, 50_000)
    return Job([f"seq -f '{number} out %.0f' 1 {out} &", f"seq -f '{number} err %.0f' 1 {err} >&2", "wait", "exit 4"],
               numbered(f"{number} out", out), numbered(f"{number} err", err), codes=(4,), exits=(1,))


def forked(number, _rng, _site):
    """One child that has let go of its output, which is not waited for, and one that has not."""
    return Job(["sleep 3 > /dev/null 2>&1 &", f"(sleep 1; echo {number} late) &", f"echo {number} early"],
               f"{number} early\n{number} late\n")


def better(number, _rng, site):
    """Fails the first time, and is tried again."""
    mark = os.path.join(site.base, f"mark-{number}")
    return Job([f"echo {number}", f'mkdir "{mark}.$AWS_SSM_INSTANCE_ID" 2> /dev/null && exit 5', "exit 0"], f"{number}\n",
               codes=(0, 5), exits=(0, 1))


def limited(number, _rng, _site):
    """One after the other, until one has failed."""
    return Job([f"echo {number}", "exit 9"], f"{number}\n", codes=(9,), exits=(2,), options=("-c", "1", "-e", "0"),
               ends=("Failed", "Terminated"))


def endless(number, _rng, _site):
    """It is cancelled as soon as it has begun somewhere."""
    return Job([f"echo {number} begun", "exec sleep 3600"], f"{number} begun\n", exits=(2,), whole=False, ends=("Cancelled",))


def late(number, _rng, _site):
    return Job([f"echo {number} begun", "exec sleep 3600"], f"{number} begun\n", exits=(124,), whole=False,
               options=("-e", "100%", "--execution-timeout", "5"), ends=("ExecutionTimedOut",))


KINDS = {short: 8, long: 4, chatty: 4, forked: 2, better: 2, limited: 2, endless: 2, late: 1}
VIEWS = ("log", "stream", "json", "gather")


class Sent:
    """One child that sends a job, or tries again what failed of it."""

    def __init__(self, job, view):
        self.job, self.view = job, view
        self.id, self.status, self.said, self.shown = None, None, "", b""


# --- who sends --------------------------------------------------------------------------------------


class Runs(Load):
    """One command after the other, to both agents. What became of them is for Verdict."""

    width = 1

    def __init__(self, site, user, agents, seed):
        super().__init__(site, user, agents[0])
        self.agents, self.rng = agents, random.Random(seed)
        self.child, self.failure, self.over = None, None, threading.Event()
        self.sent, self.jobs, self.asked = [], {}, 0
        self.made = 0

    def start(self):
        os.makedirs(self.ran(), exist_ok=True)
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()
        return self

    def ran(self, node=""):
        """Each script writes its command's id there, in a file of its node."""
        return os.path.join(self.site.base, "ran", node)

    def _work(self):
        try:
            while not self.over.is_set():
                self._one()
        except (Broken, AssertionError, OSError, subprocess.SubprocessError, ValueError) as e:
            self.failure = f"{type(e).__name__}: {e}"

    def _one(self):
        self.made += 1
        number = f"{self.name}.{self.made}"
        kind = self.rng.choices(list(KINDS), KINDS.values())[0]
        job = self.jobs[number] = kind(number, self.rng, self.site)
        script = f'echo "$SSM_COMMAND_ID" >> "{self.ran()}$AWS_SSM_INSTANCE_ID"\n' + "\n".join(job.lines) + "\n"
        done = self._send(job, "run", *SELECT, *job.options, "--comment", number, "-", script=script)
        if kind is better and done.status == 1:
            self._send(job, "runs", "retry", done.id)

    def _send(self, job, *argv, script=""):
        done = Sent(job, self.rng.choice(VIEWS))
        done.log = self.path(f"log-{len(self.sent)}")
        how = {"log": ("--log-dir", done.log), "stream": ("--stream",), "json": ("-o", "json"), "gather": ()}[done.view]
        options = argv[:-1] if argv[0] == "run" else argv
        with open(done.log + ".out", "wb") as out, open(done.log + ".err", "wb") as err:
            self.child = self.user.popen(*options, *how, *(["-"] if argv[0] == "run" else []), stdin=subprocess.PIPE, stdout=out,
                                         stderr=err)
        with contextlib.suppress(BrokenPipeError), self.child.stdin:
            self.child.stdin.write(script.encode())
        self._wait(done)
        self.sent.append(done)
        if done.id is None:
            self.over.wait(0.2)
        return done

    def _wait(self, done):
        """Until it has ended; a command without an end is cancelled on the way."""
        begun, asked = time.monotonic(), False
        while self.child.poll() is None:
            if time.monotonic() - begun > WITHIN:
                self.child.kill()
                raise Broken(f"it has not ended within {WITHIN} s: {self._said(done)}")
            done.said = self._said(done)
            found = UUID.search(done.said)
            if done.job.ends == ("Cancelled",) and found and not asked and self._has_begun(found[0]):
                asked = self.site.admin.run("runs", "cancel", found[0]).returncode == 0
            time.sleep(0.02)
        done.status, done.said = self.child.returncode, self._said(done)
        found = UUID.search(done.said)
        # The id is the first word that is said, and then the relay has taken it.
        done.id = found[0] if found else None
        with open(done.log + ".out", "rb") as f:
            done.shown = f.read()
        self.asked += done.id is not None

    @staticmethod
    def _said(done):
        with open(done.log + ".err", encoding="utf-8", errors="replace") as f:
            return f.read()

    def _has_begun(self, command):
        return any(command in lines for lines in executions(self.site).values())

    def pids(self):
        return [self.child.pid] if self.child else []

    def progress(self):
        return (self.asked,)

    def alive(self):
        return self.failure is None and self.thread.is_alive()

    def words(self):
        return self.failure or "\n".join(f"{s.id} {s.status}" for s in self.sent[-3:])

    def finish(self):
        self.over.set()
        self.thread.join(WITHIN + PATIENCE)
        self.expect(not self.thread.is_alive(), "its last command does not end")
        self.expect(self.failure is None, self.failure)

    def close(self):
        self.over.set()
        if self.child and self.child.poll() is None:
            self.child.kill()
        self.thread.join(PATIENCE)


def executions(site):
    """{node: {command: how often its script was begun there}}."""
    found = {}
    folder = os.path.join(site.base, "ran")
    for node in os.listdir(folder) if os.path.isdir(folder) else []:
        with open(os.path.join(folder, node), encoding="ascii") as f:
            found[node] = collections.Counter(f.read().split())
    return found


# --- who looks on -----------------------------------------------------------------------------------

RANKS = {"Pending": 0, "Delayed": 0, "InProgress": 1, "Cancelling": 2}
ENDED = 3


def ask(client, operation, **request):
    return json.loads(client.ok("api", operation, "--input", json.dumps(request)))


class Watch:
    """Asks all the time how invocations stand: one that has gone forward never goes back."""

    def __init__(self, site):
        self.site, self.seen, self.failures, self.looks = site, {}, [], 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look_on, daemon=True)
        self.thread.start()

    def _look_on(self):
        while not self.over.wait(0.1):
            done = self.site.admin.run("api", "ListCommandInvocations", "--input", '{"MaxResults": 50}')
            if done.returncode == 0:
                self.looks += 1
                for row in json.loads(done.stdout).get("CommandInvocations", []):
                    self.take(row)

    def take(self, row):
        key, now = (row["CommandId"], row["InstanceId"]), (row["Status"], row["StatusDetails"])
        was = self.seen.get(key, ("Pending", "Pending"))
        rank, before = RANKS.get(now[0], ENDED), RANKS.get(was[0], ENDED)
        if rank < before or (before == ENDED and now != was):
            self.failures.append(f"{key} was {was}, and is {now}")
        self.seen[key] = now

    def stop(self):
        self.over.set()
        self.thread.join()


# --- what became of them ----------------------------------------------------------------------------


class Verdict:
    """Of all that was sent, when all has ended."""

    def __init__(self, site, loads, watch):
        self.site, self.loads, self.watch = site, loads, watch
        self.commands = {c["CommandId"]: c for c in self._all("ListCommands", "Commands")}
        self.invocations = collections.defaultdict(list)
        for row in self._all("ListCommandInvocations", "CommandInvocations", Details=True):
            watch.take(row)
            self.invocations[row["CommandId"]].append(row)
        self.ran = executions(site)
        self.lost = 0

    def _all(self, operation, member, **request):
        rows, token = [], None
        while True:
            page = ask(self.site.admin, operation, MaxResults=50, **request, **({"NextToken": token} if token else {}))
            rows += page.get(member, [])
            token = page.get("NextToken")
            if not token:
                return rows

    def check(self):
        jobs = {number: job for load in self.loads for number, job in load.jobs.items()}
        self._all_are_known(jobs)
        for command in self.commands.values():
            job = jobs[command["Comment"]]
            for row in self.invocations[command["CommandId"]]:
                self._check_invocation(command, row, job)
        for load in self.loads:
            for sent in load.sent:
                self._check_sender(load, sent)
        if self.watch.failures:
            raise Broken("\n".join(self.watch.failures))

    def words(self):
        count = collections.Counter(row["StatusDetails"] for rows in self.invocations.values() for row in rows)
        return f"{len(self.commands)} commands, {', '.join(f'{n} {d}' for d, n in sorted(count.items()))}; {self.lost} of " \
            f"an unknown end; {self.watch.looks} looks"

    def _all_are_known(self, jobs):
        strange = [c for c in self.commands.values() if c.get("Comment") not in jobs]
        if strange:
            raise Broken(f"nobody sent {strange}")
        for node, lines in self.ran.items():
            for command in lines:
                if node not in [row["InstanceId"] for row in self.invocations[command]]:
                    raise Broken(f"{node} ran {command}, and the relay does not know of it")
        for load in self.loads:
            for sent in load.sent:
                load.expect(sent.id is None or sent.id in self.commands, f"the relay does not know {sent.id} any more: {sent.said}")

    @staticmethod
    def _is_lost(row):
        """Its agent died when its program began, and nobody knows what it did."""
        return row["StatusDetails"] == "Failed" and "nobody knows how the step" in json.dumps(row)

    def _check_invocation(self, command, row, job):
        times = self.ran.get(row["InstanceId"], {}).get(row["CommandId"], 0)
        plugins, what = row.get("CommandPlugins", []), f"{row['CommandId']} ({command['Comment']}) on {row['InstanceName']}: {row}"
        lost = self._is_lost(row)
        self.lost += lost
        if times > 1:
            raise Broken(f"it was run {times} times: {what}")
        if not lost and row["StatusDetails"] not in job.ends:
            raise Broken(f"it may be {job.ends} only: {what}")
        if not lost and row["StatusDetails"] in ("Success", "Failed"):
            if times != 1:
                raise Broken(f"it was not run: {what}")
            if plugins[0]["ResponseCode"] not in job.codes or (plugins[0]["ResponseCode"] == 0) != (row["Status"] == "Success"):
                raise Broken(f"it exits with one of {job.codes}: {what}")
        if row["StatusDetails"] == "Terminated" and times:
            raise Broken(f"it was run: {what}")
        self._check_output(row, job, job.whole and not lost and times == 1, what)

    def _check_output(self, row, job, whole, what):
        done = self.site.admin.run("runs", "output", "--raw", "-q", row["CommandId"], row["InstanceName"], text=False)
        for name, got, wanted in (("stdout", done.stdout, job.out), ("stderr", done.stderr, job.err)):
            if got != wanted if whole else not wanted.startswith(got):
                raise Broken(f"{name}: {first_difference(got, wanted)} in {what}")

    def _check_sender(self, load, sent):
        if sent.id is None:
            load.expect(sent.status == 125, f"nothing was sent, and the exit status is {sent.status}: {sent.said}")
            return
        rows = self.invocations[sent.id]
        if any(self._is_lost(row) for row in rows):
            return
        exits = sent.job.exits
        if sent.job.ends == ("Success", "Failed"):
            exits = (int(any(row["Status"] != "Success" for row in rows)),)
        load.expect(sent.status in exits, f"{sent.id}: exit status {sent.status}, not {exits}: {sent.said}")
        if sent.job.whole:
            for row in rows:
                self._check_shown(load, sent, row)

    @staticmethod
    def _check_shown(load, sent, row):
        name, job = row["InstanceName"], sent.job
        if row["StatusDetails"] == "Terminated":
            return
        if sent.view == "log":
            files = sorted(os.listdir(os.path.join(sent.log, name)))
            load.expect(files == ["runShellScript.stderr", "runShellScript.stdout"], f"{sent.id} has left {files}")
            with open(os.path.join(sent.log, name, "runShellScript.stdout"), "rb") as f:
                shown = f.read()
        elif sent.view == "stream":
            before = f"{name}: ".encode()
            shown = b"".join(line[len(before):] for line in sent.shown.splitlines(True) if line.startswith(before))
        elif sent.view == "json":
            found, = (i for i in json.loads(sent.shown)["CommandInvocations"] if i["InstanceName"] == name)
            shown = "".join(o.get("StandardOutputContent", "") for o in found["Outputs"]).encode()
        else:
            shown = job.out if job.out in sent.shown else sent.shown
        load.expect(shown == job.out, f"{sent.id} as {sent.view}: {first_difference(shown, job.out)}")


def left_over(site):
    """What commands have left where nothing should be, in words."""
    words = [f"command {c['CommandId']} is live" for c in site.admin.json("runs", "ls", "--live").get("Commands", [])]
    for agent in site.agents:
        words += [f"{agent.name}: commands/{name}" for name in os.listdir(os.path.join(agent.dir, "commands")) if name not in ("ended", "spare", "slot")]
    ours = {command for lines in executions(site).values() for command in lines}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/environ", "rb") as f:
                found = re.search(rb"(?:^|\0)SSM_COMMAND_ID=([^\0]*)", f.read())
            if found and found[1].decode() in ours:
                words.append(f"process {pid} of {found[1].decode()}")
    return words
