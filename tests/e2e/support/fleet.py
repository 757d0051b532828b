"""The real client and the real agent, around a real relay."""

import contextlib
import contextlib
import json
import os
import signal
import subprocess

import pexpect

from .relay import PATIENCE, program, wait_until


class Client:
    """A person's directory, logged in or not."""

    def __init__(self, base, relay, invite=None):
        self.home = os.path.join(str(base), "home")
        self.relay = relay
        self.env = dict(os.environ, HAWSER_HOME=self.home, TERM="xterm-256color", LANG="C.UTF-8", NO_COLOR="1")
        if invite is not None:
            self.ok("login", relay.url, invite)

    def run(self, *args, stdin=None, timeout=PATIENCE * 2, text=True):
        return subprocess.run(
            [program("hawser"), *args], input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=text, env=self.env, timeout=timeout)

    def ok(self, *args, **kwargs):
        """Standard output of a command that must succeed."""
        done = self.run(*args, **kwargs)
        assert done.returncode == 0, f"hawser {' '.join(args)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, *args, code=None, **kwargs):
        """Standard error of a command that must fail."""
        done = self.run(*args, **kwargs)
        assert done.returncode != 0, f"hawser {' '.join(args)} succeeded:\n{done.stdout}"
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode}:\n{done.stderr}"
        return done.stderr

    def json(self, *args):
        return json.loads(self.ok(*args, "-o", "json"))

    def popen(self, *args, **kwargs):
        return subprocess.Popen([program("hawser"), *args], env=self.env, **kwargs)

    def spawn(self, *args, rows=24, cols=80):
        """On a terminal of its own."""
        child = pexpect.spawn(
            program("hawser"), list(args), env=self.env, encoding="utf-8", codec_errors="replace",
            timeout=PATIENCE, dimensions=(rows, cols))
        child.delaybeforesend = None
        return child

    def add_user(self, base, name, admin=False):
        args = ["user", "add", name] + (["--admin"] if admin else [])
        made = self.json(*args)
        os.makedirs(os.path.join(str(base), name), exist_ok=True)
        return Client(os.path.join(str(base), name), self.relay, made["Invite"])


class Node:
    """A joined agent; it runs between start() and stop()."""

    def __init__(self, base, client, name, *join_args, rootless=True, wrap=(), agent=None):
        """wrap: a command that runs the agent as its arguments; agent: the program, elsewhere than where it was built"""
        self.dir = os.path.join(str(base), name)
        self.wrap = list(wrap)
        self.agent = agent or program("hawser-node")
        self.name = name
        self.rootless = rootless
        self.client = client
        self.process = None
        self.join(*join_args)
        self.log_path = os.path.join(str(base), name + ".log")
        self.log_begin = 0  # of the agent that runs

    def join(self, *args):
        made = self.client.json("activation", "create", "--limit", "1")
        self.join_output = subprocess.run(
            [*self.wrap, self.agent, "join", self.client.relay.url, f"{made['ActivationId']}:{made['ActivationCode']}",
             "--dir", self.dir, "--name", self.name, *args],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE).stdout

    def start(self, *args, wait=True):
        with open(self.log_path, "ab") as log:
            self.log_begin = log.tell()
            self.process = subprocess.Popen(
                [*self.wrap, self.agent, "run", "--dir", self.dir, *(["--rootless"] if self.rootless else []), *args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            self.wait_online()
        return self

    def online(self):
        nodes = self.client.json("ls", self.name)
        rows = nodes["InstanceInformationList"] if isinstance(nodes, dict) else nodes
        return any(n["PingStatus"] == "Online" for n in rows)

    def has_dialled(self):
        """Whether its log says that it has had a link: cheaper to ask than online(), and true before it."""
        with open(self.log_path, "rb") as f:
            f.seek(self.log_begin)
            return b"link.up" in f.read()

    def commands_kept(self):
        """Names of what it keeps of commands that have not ended."""
        folder = os.path.join(self.dir, "commands")
        kept = set(os.listdir(folder)) - {"ended", "spare"}
        with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, "slot"), "rb") as slot:
            if not any(slot.read()):
                kept.remove("slot")
        return kept

    def wait_online(self):
        wait_until(lambda: self.process.poll() is not None or self.has_dialled(), f"{self.name}'s link")
        wait_until(lambda: self.process.poll() is not None or self.online(), f"{self.name} online")
        assert self.process.poll() is None, f"the agent ended:\n{self.log}"

    @property
    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def processes(self):
        """Process ids of the agent and all its descendants."""
        children = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
                    fields = f.read().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(pid))
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        return found

    def vanish(self):
        """Kills all of it. None sees another die, and says so: each is stopped before the first is killed."""
        pids = self.processes()
        for signo in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signo)
        self.process.wait(PATIENCE)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
