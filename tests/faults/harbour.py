"""What the faults strike: a relay, two agents, and lines between them and their users."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import types

E2E = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e")
sys.path.insert(0, E2E)

from line import Line  # noqa: E402
from support import machine  # noqa: E402
from support.fleet import Client, Node  # noqa: E402
from support.relay import BUILD, Relay, wait_until  # noqa: E402

PUMP = os.path.join(os.path.abspath(BUILD), "tests", "faults", "faults_pump")
DISK_MB = 4096  # nothing of it is taken before it is used


def uplink_of(agent):
    """The agent's process that speaks to the relay, or None."""
    for pid in agent.processes():
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().split(b"\0")[1:2] == [b"uplink"]:
                    return pid
    return None


def holders_of(agent):
    """Those that run for this agent, or an earlier one of the same folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                holds = f.read() == "hawser-holder\n"
            if holds and os.path.samefile(f"/proc/{pid}/fd/4", os.path.join(agent.dir, "run")):
                found.append(int(pid))
    return found


class Disk:
    """A disk of its own under the relay's folder, which can be full at once. Without root the relay's files can't grow."""

    def __init__(self, where):
        self.where = where
        self.mounted = machine.possible()
        os.makedirs(where)
        if self.mounted:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0700", "none", where], check=True)

    def fill(self):
        """At once: a disk can't be made smaller than what is on it, and that grows."""
        wait_until(self._shrink, "a full disk")

    def _shrink(self):
        used = shutil.disk_usage(self.where).used
        return subprocess.run(["mount", "-o", f"remount,size={used // 4096 * 4}k", self.where], check=False,
                              stderr=subprocess.DEVNULL).returncode == 0

    def free(self):
        subprocess.run(["mount", "-o", f"remount,size={DISK_MB}m", self.where], check=True)

    def remove(self):
        if self.mounted and subprocess.run(["umount", self.where], check=False, stderr=subprocess.DEVNULL).returncode != 0:
            subprocess.run(["umount", "-l", self.where], check=True)


class Net:
    """A network of one machine, joined to this one by a cable on which packets can be lost, each way."""

    def __init__(self):
        self.name = f"hf{os.getpid() % 100000}"
        self.base = f"10.{213 + os.getpid() // 250 % 20}.{os.getpid() % 250}"
        self.init = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", "ip link set lo up; echo ready; exec sleep infinity"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.init.stdout.readline() == "ready\n"
        self.wrap = ["nsenter", "--target", str(self.init.pid), "--net"]
        subprocess.run(["ip", "link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", str(self.init.pid)], check=True)
        subprocess.run(["ip", "addr", "add", f"{self.base}.1/24", "dev", self.name], check=True)
        subprocess.run(["ip", "link", "set", self.name, "up"], check=True)
        self._inside("ip", "addr", "add", f"{self.base}.2/24", "dev", "eth0")
        self._inside("ip", "link", "set", "eth0", "up")

    def _inside(self, *command):
        subprocess.run([*self.wrap, *command], check=True)

    def lose(self, out, back):
        """Frames go to an address that nobody has: neither side's kernel is told."""
        nowhere = ["lladdr", "02:00:00:00:00:0f", "nud", "permanent"]
        if out:
            self._inside("ip", "neigh", "replace", f"{self.base}.1", "dev", "eth0", *nowhere)
        if back:
            subprocess.run(["ip", "neigh", "replace", f"{self.base}.2", "dev", self.name, *nowhere], check=True)

    def mend(self):
        subprocess.run([*self.wrap, "ip", "neigh", "del", f"{self.base}.1", "dev", "eth0"], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "neigh", "del", f"{self.base}.2", "dev", self.name], check=False, stderr=subprocess.DEVNULL)

    def remove(self):
        self.init.kill()
        self.init.wait()
        self.init.stdout.close()
        subprocess.run(["ip", "link", "del", self.name], check=False, stderr=subprocess.DEVNULL)


class Harbour:
    def __init__(self, base, **settings):
        self.base = str(base)
        self.disk = Disk(os.path.join(self.base, "main", "relay"))
        self.net = Net() if machine.possible() else None
        self.relay = Relay(os.path.join(self.base, "main"), **settings).start()
        self.admin = Client(os.path.join(self.base, "admin"), self.relay, self.relay.invite)
        self.lines, self.users, self.agents = [], [], []
        self.restarts = 0  # of the relay
        for _ in range(3):
            self._add_user()
        for i in range(2):
            self._add_agent(f"web-0{i + 1}", self.net if i == 1 else None)

    def start_relay(self):
        self.restarts += 1
        self.relay.start()

    def _via(self, line):
        return self.relay.url.replace(f"127.0.0.1:{self.relay.port}", f"{line.host}:{line.port}")

    def _line(self, host="127.0.0.1"):
        self.lines.append(Line(self.relay.port, host))
        return self.lines[-1]

    def _add_user(self):
        """The same person elsewhere."""
        line, base = self._line(), os.path.join(self.base, f"user-{len(self.users)}")
        shutil.copytree(self.admin.home, os.path.join(base, "home"))
        user = Client(base, self.relay)
        path = os.path.join(user.home, "config")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace(f":{self.relay.port}", f":{line.port}"))
        user.line = line
        self.users.append(user)

    def _add_agent(self, name, net):
        line = self._line(f"{net.base}.1" if net else "127.0.0.1")
        via = types.SimpleNamespace(json=self.admin.json, ok=self.admin.ok, relay=types.SimpleNamespace(url=self._via(line)))
        agent = Node(self.base, via, name, wrap=net.wrap if net else ())
        agent.line, agent.net, agent.deaths = line, net, 0
        self.agents.append(agent)
        agent.start()

    def mend(self):
        for line in self.lines:
            line.mend()
        if self.net:
            self.net.mend()

    def live(self):
        return self.admin.json("sessions", "ls", "--live")["Sessions"]

    def sessions(self):
        """By the reason that was given for each."""
        found, token = {}, None
        for s in self.admin.json("sessions", "ls", "--limit", "0")["Sessions"]:
            found[s.get("Reason", "")] = s
        return found

    def left_over(self):
        """What should not be there any more, in words."""
        words = [f"session {s['SessionId']} is live" for s in self.live()]
        for agent in self.agents:
            words += [f"{agent.name}: holder {pid}" for pid in holders_of(agent)]
            words += [f"{agent.name}: socket {name}" for name in os.listdir(os.path.join(agent.dir, "run"))]
            words += [f"{agent.name}: roster {name}" for name in os.listdir(os.path.join(agent.dir, "sessions"))]
            extra = len(agent.processes()) - 2
            words += [f"{agent.name}: {extra} processes more than an agent has"] if extra > 0 else []
        return words

    def relay_sockets(self):
        """How many connections the relay has, by the kernel's word."""
        done = subprocess.run(["ss", "-tnpH", "state", "established"], stdout=subprocess.PIPE, text=True, check=True)
        return [line for line in done.stdout.splitlines() if re.search(rf"pid={self.relay.pid},", line)]

    def remove(self):
        self.mend()
        for agent in self.agents:
            with contextlib.suppress(subprocess.TimeoutExpired):
                agent.stop()
        if self.relay.alive():
            self.relay.process.kill()
            self.relay.process.wait()
        for line in self.lines:
            line.close()
        if self.net:
            self.net.remove()
        self.disk.remove()
