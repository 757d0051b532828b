"""What the benches run against: a relay with nodes and a client, and sshd as their peer.

The programs are those of $HAWSER_BUILD, by default build/release. Everything lies in one new folder
of $TMPDIR (which should be on a disk, since the journal is synced), listens on 127.0.0.1 alone, and
ends with the `with` block: by process id, and nothing that was not started here.
"""

import concurrent.futures
import contextlib
import getpass
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import measure
from measure import Failure

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("HAWSER_BUILD", os.path.join(ROOT, "build/release")))


def tool(name):
    """A helper of this folder that is built along with the programs."""
    return existing(os.path.join(BUILD, "tests/bench", name))


def existing(path):
    if not os.access(path, os.X_OK):
        raise Failure(f"no {path}: ./dev bench builds it")
    return path


def system_tool(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Failure(f"no {name} on this machine: ./dev bench installs it")
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write_file(path, text, mode=0o600):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "w", encoding="utf-8") as f:
        f.write(text)


def run(argv, **more):
    """A command that has to succeed; returns what it said."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, **more)
    if done.returncode != 0:
        raise Failure(f"{shlex.join(argv)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def wait_until(what, seconds, is_so):
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            raise Failure(f"waited {seconds} s in vain for {what}")
        time.sleep(0.05)


def answers(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


class Daemons:
    """Programs in the background, each with a log; what they leave behind is ended with them."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def start(self, name, argv, **more):
        with open(os.path.join(self.folder, name + ".log"), "ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       **more)
        self.started.append((name, process))
        return process

    def said(self, name, most=2000):
        """The end of its log."""
        with open(os.path.join(self.folder, name + ".log"), errors="replace") as log:
            return log.read()[-most:]

    def check(self):
        for name, process in self.started:
            if process.poll() is not None:
                raise Failure(f"{name} ended with {process.returncode}:\n{self.said(name)}")

    def stop(self, *processes):
        # Shells outlive an agent, so its holders have to be known before it goes.
        left = measure.family(*(p.pid for p in processes))[len(processes):]
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.started = [s for s in self.started if s[1] not in processes]

    def stop_all(self):
        self.stop(*(process for _, process in reversed(self.started)))


@contextlib.contextmanager
def folder():
    """A new folder and the daemons in it."""
    path = tempfile.mkdtemp(prefix="hawser-bench-")
    daemons = Daemons(path)
    try:
        yield daemons
    finally:
        daemons.stop_all()
        if os.environ.get("HAWSER_BENCH_KEEP"):
            measure.progress(f"kept {path}")
        else:
            shutil.rmtree(path, ignore_errors=True)


# ---- ours ----------------------------------------------------------------------------------------


class Fleet:
    """A relay of its own with `nodes` nodes named n1, n2, ... and an admin who is logged in.

    It listens on `host`; what starts with `node_prefix` are the nodes."""

    def __init__(self, daemons, name="fleet", nodes=1, rootless=True, host="127.0.0.1",
                 node_prefix=(), **settings):
        self.daemons = daemons
        self.host = host
        self.node_prefix = list(node_prefix)
        self.dir = os.path.join(daemons.folder, name)
        self.name = name
        self.rootless = rootless
        self.nodes = {}
        os.mkdir(self.dir, 0o755)
        self.port = free_port()
        self._init(settings)
        self.relay = None
        self.start_relay()
        run(self.hawser("login", self.url, self.invite))
        if nodes:
            self.add_nodes(nodes)

    def add_nodes(self, count, url=None):
        """`url` is how they reach the relay, when not as everybody does."""
        self.join_nodes(count, url=url)
        self.wait_online(30)

    def join_nodes(self, count, url=None):
        activation = self.activation(count)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            joining = [pool.submit(self._join, f"n{i}", activation, url or self.url)
                       for i in range(1, count + 1)]
        for one in joining:
            one.result()

    def path(self, name):
        return os.path.join(self.dir, name)

    def program(self, name):
        return existing(os.path.join(BUILD, name))

    def hawser(self, *args):
        return [self.program("hawser"), "--home", self.path("home"), *args]

    def _init(self, settings):
        said = run([self.program("hawser-relay"), "init", "--dir", self.path("relay"),
                    "--listen", f"{self.host}:{self.port}"])
        self.url, self.invite = said.splitlines()[-1].split()
        self._configure(**{"metrics_port": 0, **settings})

    def _configure(self, **settings):
        """The last line of a key counts."""
        with open(self.path("relay/relay.conf"), "a", encoding="utf-8") as f:
            f.writelines(f"{key} = {value}\n" for key, value in settings.items())

    def start_relay(self):
        self.relay = self.daemons.start(f"{self.name}-relay", [
            self.program("hawser-relay"), "run", "--dir", self.path("relay"),
            *(["--allow-root"] if os.geteuid() == 0 else [])])
        wait_until("the relay", 20, lambda: self.daemons.check() or answers(self.port, self.host))

    def restart_relay(self):
        self.daemons.stop(self.relay)
        self.start_relay()

    def activation(self, limit):
        made = json.loads(run(self.hawser("activation", "create", "--limit", str(limit),
                                          "-o", "json")))
        return f"{made['ActivationId']}:{made['ActivationCode']}"

    def _join(self, node, activation, url):
        program = [*self.node_prefix, self.program("hawser-node")]
        run([*program, "join", url, activation, "--dir", self.path(node), "--name", node])
        argv = [*program, "run", "--dir", self.path(node)]
        self.nodes[node] = self.daemons.start(
            f"{self.name}-{node}", argv + (["--rootless"] if self.rootless else []))

    def _online(self):
        self.daemons.check()
        said = subprocess.run(self.hawser("ls", "status:online", "-o", "name"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False)
        return set(said.stdout.split())

    def wait_online(self, seconds):
        wait_until("the nodes", seconds, lambda: self._online() >= set(self.nodes))


# ---- the peers -----------------------------------------------------------------------------------


class Ssh:
    """Two sshd on this machine: `host`, and `bastion`, through which host is reached with -J."""

    def __init__(self, daemons):
        self.daemons = daemons
        self.dir = os.path.join(daemons.folder, "ssh")
        self.config = os.path.join(self.dir, "config")
        self.sshd = {}
        os.mkdir(self.dir, 0o700)
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", 0o755, exist_ok=True)  # sshd insists
        # The user's own may have much to start a shell with, which is no cost of ssh's.
        os.mkdir(self._path("home"), 0o700)
        self._keygen("user")
        self.ports = {name: free_port() for name in ("host", "bastion")}
        for name, port in self.ports.items():
            self._start(name, port)
        self._write_config()
        for name, port in self.ports.items():
            wait_until(f"sshd {name}", 10,
                       lambda port=port: self.daemons.check() or answers(port))

    def _path(self, name):
        return os.path.join(self.dir, name)

    def _keygen(self, name):
        run([system_tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", self._path(name)])

    def _start(self, name, port):
        self._keygen(name)
        write_file(self._path(name + ".conf"), f"""
            Port {port}
            ListenAddress 127.0.0.1
            HostKey {self._path(name)}
            AuthorizedKeysFile {self._path("user.pub")}
            PidFile none
            UsePAM no
            StrictModes no
            PermitRootLogin yes
            PasswordAuthentication no
            PrintMotd no
            PrintLastLog no
            LogLevel ERROR
            MaxStartups 1000
            SetEnv HOME={self._path("home")}
            """)
        self.sshd[name] = self.daemons.start(f"sshd-{name}", [
            system_tool("sshd"), "-D", "-e", "-f", self._path(name + ".conf")])

    def _write_config(self):
        text = f"""
            IdentityFile {self._path("user")}
            IdentitiesOnly yes
            IdentityAgent none
            PreferredAuthentications publickey
            UserKnownHostsFile /dev/null
            GlobalKnownHostsFile /dev/null
            StrictHostKeyChecking no
            ControlMaster no
            ControlPath none
            Compression no
            LogLevel ERROR
            User {getpass.getuser()}
            HostName 127.0.0.1
            """
        for name, port in self.ports.items():
            text += f"\nHost {name}\nPort {port}\n"
        write_file(self.config, text)

    def add_host(self, name, port):
        """Another way to one of the two."""
        with open(self.config, "a", encoding="utf-8") as f:
            f.write(f"\nHost {name}\nPort {port}\n")

    def ssh(self, *args):
        return [system_tool("ssh"), "-F", self.config, *args]

    def jump(self, *args):
        return self.ssh("-J", "bastion", *args)
