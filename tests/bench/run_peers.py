"""Ways to run one command on many machines, which the bench of hawser run compares.

All of them reach targets on this machine, each target by a connection of its own: agents of ours,
ssh to one sshd, agents on a nats-server. `true(n)` runs `true` on n targets and returns the wall
clock's seconds of the program that was asked; a target that fails is a failure.
"""

import glob
import os
import subprocess
import time

import fleet
import forward_peers

AT_ONCE = 64 # of clush and xargs, which have no other limit on what they start


def timed(argv, **more):
    """Its seconds, and what it said."""
    begin = time.monotonic()
    said = fleet.run(argv, **more)
    return time.monotonic() - begin, said


def ran_on(n, argv):
    """The seconds of a hawser run whose program says nothing; who has a part in it is counted."""
    took, said = timed(argv)
    if f"({n})  exit 0" not in said:
        raise fleet.Failure(f"not all of {n} nodes ran it: {said[:500]}")
    return took


# ---- ours ----------------------------------------------------------------------------------------


class Hawser:
    """Real agents, rootless as the whole bench may be."""

    name = "hawser"

    def __init__(self, daemons, most):
        self.fleet = fleet.Fleet(daemons, nodes=0, command_outputs_mib=4096)
        self.fleet.join_nodes(most)
        self.fleet.wait_online(30 + most / 5)

    def _run(self, n, *words):
        return self.fleet.hawser("run", "-t", f"n[1-{n}]", "-q", "-c", "100%", *words)

    def true(self, n):
        return ran_on(n, self._run(n, "--", "true"))

    def gather(self, n, path, to):
        took, _ = timed(self._run(n, "--log-dir", to, "--", "cat", path))
        return took, glob.glob(os.path.join(to, "*", "*.stdout"))

    def gather_peak(self, n, path, to):
        """The client's resident memory at most, in bytes."""
        client = subprocess.Popen(self._run(n, "--log-dir", to, "--", "cat", path),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(client.pid, 0)
        client.returncode = os.waitstatus_to_exitcode(status)
        if client.returncode != 0:
            raise fleet.Failure(f"hawser run ended with {client.returncode}")
        return used.ru_maxrss * 1024


# ---- ssh -----------------------------------------------------------------------------------------


class Ssh:
    """One sshd under many names."""

    def __init__(self, daemons):
        self.ssh = fleet.Ssh(daemons)
        self.ssh.add_host("node-*", self.ssh.ports["host"])
        self.masters = os.path.join(daemons.folder, "masters")
        self.standing = []
        os.mkdir(self.masters, 0o700)

    def stand(self, n):
        """A standing connection to each of n, which ControlPersist would have left behind."""
        path = ("-o", f"ControlPath={self.masters}/%n")
        for i in range(len(self.standing) + 1, n + 1):
            self.standing.append(subprocess.Popen(
                self.ssh.ssh(*path, "-o", "ControlMaster=yes", "-N", f"node-{i}"),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            if i % 8 == 0 or i == n:
                fleet.wait_until("ssh's masters", 60, lambda i=i: self._stands(i))

    def _stands(self, n):
        return all(os.path.exists(f"{self.masters}/node-{i}") for i in range(max(1, n - 8), n + 1))

    def options(self, standing):
        path = f"{self.masters}/%n" if standing else "none"
        return ["-F", self.ssh.config, "-o", f"ControlPath={path}"]

    def stop(self):
        for master in self.standing:
            master.terminate()
        for master in self.standing:
            master.wait()


def names(n):
    return "".join(f"node-{i}\n" for i in range(1, n + 1))


class Clush:
    """clush over masters that stand."""

    name = "clush, masters up"

    def __init__(self, ssh):
        self.ssh = ssh

    def true(self, n):
        options = " ".join(self.ssh.options(True)).replace("%", "%%") # clush has a use for it
        took, _ = timed([fleet.system_tool("clush"), "-S", "-q", "-f", str(AT_ONCE),
                         "-o", options, "-w", f"node-[1-{n}]", "true"])
        return took


class Xargs:
    """xargs that starts ssh, with a new connection each or over masters."""

    def __init__(self, name, ssh, standing):
        self.name = name
        self.ssh = ssh
        self.standing = standing

    def _xargs(self, n, *words):
        argv = [fleet.system_tool("xargs"), "-P", str(AT_ONCE), "-I", "{}", *words]
        begin = time.monotonic()
        done = subprocess.run(argv, input=names(n), text=True, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise fleet.Failure(f"xargs ssh ended with {done.returncode}: {done.stderr[:500]}")
        return time.monotonic() - begin

    def true(self, n):
        return self._xargs(n, fleet.system_tool("ssh"), *self.ssh.options(self.standing), "{}",
                           "true")

    def gather(self, n, path, to):
        os.mkdir(to)
        ssh = " ".join((fleet.system_tool("ssh"), *self.ssh.options(self.standing)))
        took = self._xargs(n, "/bin/sh", "-c", f"exec {ssh} {{}} cat {path} > {to}/{{}}")
        return took, glob.glob(os.path.join(to, "*"))


# ---- a broker ------------------------------------------------------------------------------------


class Nats:
    """Agents on a nats-server over TLS 1.3, a process each (nats_agent.c)."""

    name = "nats-server"

    def __init__(self, daemons):
        certificate = forward_peers.certificate(daemons.folder)
        self.ca = certificate + ".crt"
        port = fleet.free_port()
        config = os.path.join(daemons.folder, "nats.conf")
        fleet.write_file(config, f"""
            listen: 127.0.0.1:{port}
            tls {{ cert_file: "{self.ca}", key_file: "{certificate}.key" }}
            """)
        daemons.start("nats-server", [fleet.system_tool("nats-server"), "-c", config])
        fleet.wait_until("nats-server", 10, lambda: daemons.check() or fleet.answers(port))
        self.url = f"tls://localhost:{port}"
        self.agents = None
        self.serving = 0

    def _serve(self, n):
        self.stop()
        self.agents = subprocess.Popen([fleet.tool("nats_agent"), "serve", self.url, self.ca,
                                        str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       text=True)
        said = self.agents.stdout.readline().split()
        if said != ["up", str(n)]:
            raise fleet.Failure(f"of {n} agents on nats-server came up: {said}")
        self.serving = n

    def true(self, n):
        if self.serving != n: # who is subscribed is told: there are as many as are asked
            self._serve(n)
        took, _ = timed([fleet.tool("nats_agent"), "ask", self.url, self.ca, str(n)])
        return took

    def stop(self):
        if self.agents:
            self.agents.stdin.close()
            self.agents.wait()
        self.agents, self.serving = None, 0


# ---- the floor -----------------------------------------------------------------------------------


class Floor:
    """No network at all: this machine starts `true` so many times."""

    name = "posix_spawn"

    def true(self, n):
        return float(fleet.run([fleet.tool("spawn_floor"), str(n)]))
