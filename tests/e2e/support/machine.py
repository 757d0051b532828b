"""Machines on this one: namespaces with a network, a host name and a disk of their own, which end with their process."""

import os
import signal
import subprocess

from .relay import BUILD, PATIENCE

# What is changed on a machine lies over what this one has.
_DISK = ("etc", "home", "usr/local", "var")
_SETUP = """
set -e
mount --make-rprivate /
for d in $DISK; do
	mkdir -p "$UPPER/$d/up" "$UPPER/$d/work"
	mount -t overlay overlay -o "lowerdir=/$d,upperdir=$UPPER/$d/up,workdir=$UPPER/$d/work" "/$d"
done
hostname "$NAME"
ip link set lo up
echo ready
exec sleep infinity
"""


def possible():
    """Whether this is a machine where machines can be made; in some containers root can't."""
    probe = ["unshare", "--mount", "--net", "--uts", "sh", "-c", "mount -t tmpfs none /mnt && command -v ip"]
    return os.geteuid() == 0 and subprocess.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


class Machine:
    def __init__(self, base, name):
        self.name, self.daemons = name, []
        self.base = os.path.join(str(base), name)
        env = dict(os.environ, NAME=name, UPPER=os.path.join(self.base, "disk"), DISK=" ".join(_DISK))
        os.makedirs(self.base)
        self.init = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--uts", "sh", "-c", _SETUP],
            env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.init.stdout.readline() == "ready\n", "no namespaces, or no overlay"

    def wrap(self, user=None):
        """A command that runs its arguments here."""
        enter = ["nsenter", "--target", str(self.init.pid), "--mount", "--root", "--net", "--uts", "--wd=/"]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env"] if user else []
        return enter + become

    def run(self, command, user=None, timeout=PATIENCE):
        """Standard output of a line of shell that must succeed."""
        done = subprocess.run(
            [*self.wrap(user), "sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=timeout, env=self.env)
        assert done.returncode == 0, f"{self.name}: {command}: exit {done.returncode}\n{done.stdout}"
        return done.stdout

    @property
    def env(self):
        keep = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
                "TERM": "xterm", "LANG": "C.UTF-8", **keep}

    def install(self, command):
        """What README says in the folder of a build."""
        self.run(f"cd /; {command}".replace("build/release", BUILD))

    def start(self, command, user=None):
        path = os.path.join(self.base, f"daemon-{len(self.daemons)}.log")
        with open(path, "wb") as log:
            process = subprocess.Popen([*self.wrap(user), "sh", "-c", f"exec {command}"], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, env=self.env)
        self.daemons.append((process, path))

    @property
    def log(self):
        text = ""
        for _, path in self.daemons:
            with open(path, encoding="utf-8", errors="replace") as f:
                text += f.read()
        return text

    def stop(self):
        """The daemons, in order; their exit statuses."""
        statuses = []
        while self.daemons:
            process, _ = self.daemons.pop()
            process.send_signal(signal.SIGTERM)
            try:
                statuses.append(process.wait(PATIENCE))
            except subprocess.TimeoutExpired:
                process.kill()
                statuses.append(process.wait())
        return statuses

    def remove(self):
        self.stop()
        self.init.kill()
        self.init.wait()
        self.init.stdout.close()


def cable(one, two, net):
    """Joins two machines; they are NET.1 and NET.2, on interfaces that have each other's name."""
    subprocess.run(
        ["ip", "link", "add", two.name, "netns", str(one.init.pid), "type", "veth",
         "peer", "name", one.name, "netns", str(two.init.pid)], check=True)
    for here, there, number in ((one, two, 1), (two, one, 2)):
        here.run(f"ip addr add {net}.{number}/24 dev {there.name} && ip link set {there.name} up")
