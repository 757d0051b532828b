"""Ways to a port behind a relay, which the forwards' bench compares, and what is at their end.

Each way leads from ports of loopback to the same targets. Peers that know TLS use TLS 1.3 with
AES-128-GCM, as our links do, and check the server's certificate; they have none of their own, which
is in their favour.
"""

import contextlib
import getpass
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile

import fleet
import measure

CIPHER = "TLS_AES_128_GCM_SHA256"
NGINX_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


# ---- the far end ---------------------------------------------------------------------------------


class Far:
    """forward_load's server; `prefix` starts it elsewhere than on this machine's network."""

    def __init__(self, prefix=()):
        self.process = subprocess.Popen([*prefix, fleet.tool("forward_load"), "serve"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        bufsize=1)
        said = self.process.stdout.readline()
        if not said:
            raise fleet.Failure("forward_load serves nobody")
        self.port = int(said)

    def counters(self):
        self.process.stdin.write("\n")
        return json.loads(self.process.stdout.readline())

    def stop(self):
        """What it saw; wrong bytes are a failure."""
        try:
            seen = self.counters()
        except (OSError, ValueError) as e:
            raise fleet.Failure(f"the far end is gone: {e}") from e
        finally:
            self.process.stdin.close()
            self.process.wait()
        if seen["wrong"]:
            raise fleet.Failure(f"the far end got wrong bytes: {seen}")
        return seen


def load(port, mode, *args):
    """One run of forward_load through a port."""
    return json.loads(fleet.run([fleet.tool("forward_load"), mode, str(port), *map(str, args)]))


class Database:
    """A PostgreSQL of our own with pgbench's tables, in a folder of its own."""

    SCALE = 5

    def __init__(self, daemons):
        self.programs = self._find()
        self.dir = tempfile.mkdtemp(prefix="hawser-bench-pg-")
        self.port = fleet.free_port()
        self.env = dict(os.environ, PGSSLMODE="disable", PGGSSENCMODE="disable", LC_ALL="C",
                        PGHOST="127.0.0.1", PGUSER="bench", PGDATABASE="postgres")
        self.become = []
        if os.geteuid() == 0:  # which PostgreSQL refuses to be
            self.become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(self.dir, "postgres", "postgres")
        self._start(daemons)

    @staticmethod
    def _find():
        found = glob.glob("/usr/lib/postgresql/*/bin")
        if not found:
            raise fleet.Failure("no PostgreSQL on this machine: ./dev bench installs it")
        return max(found, key=lambda path: int(path.split("/")[-2].split(".")[0]))

    def _run(self, name, *args, become=()):
        return fleet.run([*become, os.path.join(self.programs, name), *args], env=self.env,
                         cwd=self.dir)

    def _start(self, daemons):
        data = os.path.join(self.dir, "data")
        self._run("initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-sync",
                  become=self.become)
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "",
                    "fsync": "off", "autovacuum": "off", "max_connections": "50"}
        daemons.start("postgres", [
            *self.become, os.path.join(self.programs, "postgres"), "-D", data,
            "-p", str(self.port),
            *(word for key, value in settings.items() for word in ("-c", f"{key}={value}"))],
            cwd=self.dir)
        fleet.wait_until("PostgreSQL", 30, lambda: daemons.check() or self._ready())
        self._run("pgbench", "-p", str(self.port), "-i", "-q", "-s", str(self.SCALE))

    def _ready(self):
        asked = subprocess.run([os.path.join(self.programs, "pg_isready"), "-q", "-p",
                                str(self.port)], env=self.env, check=False)
        return asked.returncode == 0

    def pgbench(self, port, seconds, *args):
        """Transactions a second through a port; a failed one is a failure."""
        said = self._run("pgbench", "-n", "-S", "-c", "8", "-j", "2", "-T", str(seconds),
                         "-p", str(port), *args)
        failed = re.search(r"number of failed transactions: (\d+)", said)
        rate = re.search(r"^tps = ([0-9.]+)", said, re.M)
        if not rate or failed and failed[1] != "0":
            raise fleet.Failure(f"pgbench: {said.strip()}")
        return float(rate[1])

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


# ---- the ways ------------------------------------------------------------------------------------


class Way:
    """`ports` has the near port of each target's port."""

    name = ""

    def __init__(self):
        self.ports = {}
        self.relay = []     # pids of what stands in the middle, without their children
        self.processes = [] # and of all parts

    def load(self, target, mode, *args):
        """One run of forward_load to a target."""
        try:
            return load(self.ports[target], mode, *args)
        except fleet.Failure as e:
            raise fleet.Failure(f"{self.name}: {e}") from e

    @staticmethod
    def _cpu(pids):
        everyone = {pid for root in pids for pid in measure.family(root)}
        return sum(measure.cpu(pid) for pid in everyone)

    def cpu(self):
        """CPU seconds so far: of the part in the middle, and of all."""
        return self._cpu(self.relay), self._cpu(self.processes)

    def _wait(self, daemons, behind=()):
        """Until the near ends are there, and the ports behind them."""
        for port in (*behind, *self.ports.values()):
            fleet.wait_until(f"{self.name} at {port}", 20,
                             lambda port=port: daemons.check() or listens(port))


def listens(port):
    """Whether somebody listens there; unlike a connection, nobody notices the question."""
    if isinstance(port, str):
        return os.path.exists(port)
    with open("/proc/net/tcp", encoding="ascii") as f:
        return any(row.split()[1:4:2] == [f"0100007F:{port:04X}", "0A"] for row in f)


class Direct(Way):
    name = "no tunnel"

    def __init__(self, daemons, targets):
        super().__init__()
        self.ports = {port: port for port in targets}


class Hawser(Way):
    """`targets` may say which path each target's near end has, instead of a port."""

    name = "hawser"

    def __init__(self, daemons, ours, targets, home=None, node="n1"):
        super().__init__()
        argv = [ours.program("hawser"), "--home", home or ours.path("home"), "forward", node]
        near = targets if isinstance(targets, dict) else {t: fleet.free_port() for t in targets}
        for port, end in near.items():
            argv += ["-L", f"{end}:127.0.0.1:{port}"]
        self.client = daemons.start("hawser-forward", argv)
        self.relay = [ours.relay.pid]
        self.processes = [ours.relay.pid, ours.nodes[node].pid, self.client.pid]
        self.ports = near
        self._wait(daemons)


class Ssh(Way):
    """`ssh -L`, directly or, with the options in `jump`, through the bastion."""

    def __init__(self, daemons, ssh, targets, name, jump=("-J", "bastion"), options=()):
        super().__init__()
        self.name = name
        argv = ssh.ssh("-N", *jump, *options)
        for port in targets:
            self.ports[port] = fleet.free_port()
            argv += ["-L", f"127.0.0.1:{self.ports[port]}:127.0.0.1:{port}"]
        client = daemons.start(re.sub(r"\W+", "-", name), [*argv, "host"])
        self.relay = [ssh.sshd["bastion"].pid] if jump else []
        self.processes = [client.pid, ssh.sshd["host"].pid, *self.relay]
        self._wait(daemons)


class Chain(Way):
    """Three proxies, TLS between them: the near one, the one in the middle, the far one."""

    def __init__(self, daemons, targets, certificate):
        super().__init__()
        hops = []
        for target in targets:
            near, middle, far = (fleet.free_port() for _ in range(3))
            self.ports[target] = near
            hops.append(((near, middle), (middle, far), (far, target)))
        started = []
        for i, part in enumerate(("near", "middle", "far")):
            # Who listens with TLS, and who speaks it.
            text = self._config([hop[i] for hop in hops], certificate, i > 0, i < 2)
            path = os.path.join(daemons.folder, f"{self.name}-{part}.conf")
            fleet.write_file(path, text + "\n")  # which haproxy insists on
            started.append(daemons.start(f"{self.name}-{part}",
                                         self._argv(path, daemons.folder)).pid)
        self.relay = [started[1]]
        self.processes = started
        self._wait(daemons, [listen for hop in hops for listen, _ in hop[1:]])


class Haproxy(Chain):
    name = "haproxy"

    @staticmethod
    def _config(hops, certificate, tls_in, tls_out):
        text = f"""
            global
                maxconn 4000
                ssl-default-bind-options ssl-min-ver TLSv1.3
                ssl-default-bind-ciphersuites {CIPHER}
                ssl-default-server-options ssl-min-ver TLSv1.3
                ssl-default-server-ciphersuites {CIPHER}
            defaults
                mode tcp
                timeout connect 10s
                timeout client 1h
                timeout server 1h
            """
        for listen, to in hops:
            crt = f"ssl crt {certificate}.pem" if tls_in else ""
            check = f"ssl verify required ca-file {certificate}.crt" if tls_out else ""
            text += f"""
            listen p{listen}
                bind 127.0.0.1:{listen} {crt}
                server s 127.0.0.1:{to} {check}
            """
        return text

    @staticmethod
    def _argv(path, _):
        return [fleet.system_tool("haproxy"), "-db", "-f", path]


class Nginx(Chain):
    name = "nginx"

    @staticmethod
    def _config(hops, certificate, tls_in, tls_out):
        if not os.path.exists(NGINX_MODULE):
            raise fleet.Failure(f"no {NGINX_MODULE}: ./dev bench installs it")
        servers = ""
        for listen, to in hops:
            servers += f"""
                server {{
                    listen 127.0.0.1:{listen}{" ssl" if tls_in else ""};
                    proxy_pass 127.0.0.1:{to};
                    proxy_ssl {"on" if tls_out else "off"};
                }}"""
        user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
        return f"""
            load_module {NGINX_MODULE};
            daemon off;
            {user}
            pid {certificate}.{hops[0][0]}.pid;
            error_log stderr warn;
            worker_processes auto;
            events {{
                worker_connections 4000;
            }}
            stream {{
                proxy_timeout 1h;
                ssl_certificate {certificate}.crt;
                ssl_certificate_key {certificate}.key;
                ssl_protocols TLSv1.3;
                ssl_conf_command Ciphersuites {CIPHER};
                ssl_session_cache shared:one:1m;
                proxy_ssl_protocols TLSv1.3;
                proxy_ssl_conf_command Ciphersuites {CIPHER};
                proxy_ssl_verify on;
                proxy_ssl_name localhost;
                proxy_ssl_trusted_certificate {certificate}.crt;
                {servers}
            }}
            """

    @staticmethod
    def _argv(path, folder):
        return [fleet.system_tool("nginx"), "-p", folder, "-e", "stderr", "-c", path]


def certificate(folder):
    """A server's certificate and key, P-256 as ours are; returns their path without an ending."""
    path = os.path.join(folder, "peers")
    fleet.run([fleet.system_tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
               "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
               "-keyout", path + ".key", "-out", path + ".crt"])
    with open(path + ".crt", encoding="ascii") as crt, open(path + ".key", encoding="ascii") as key:
        fleet.write_file(path + ".pem", crt.read() + key.read())
    return path


# ---- lines ---------------------------------------------------------------------------------------


class LongLine:
    """forward_line before a port of loopback."""

    def __init__(self, port, mbit, delay_ms):
        self.process = subprocess.Popen(
            [fleet.tool("forward_line"), str(port), str(mbit), str(delay_ms)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline() or 0)
        if not self.port:
            raise fleet.Failure("forward_line did not start")

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class Apart:
    """A network namespace; a cable of so many Mbit/s each way joins it with this machine's network.

    The cable's queue is as long as what passes in `queue_ms`; what comes on top is dropped."""

    def __init__(self, mbit, queue_ms):
        self.name = f"hawser-bench-{os.getpid()}"
        self.cable = f"hwb{os.getpid()}"
        third = os.getpid() % 250
        self.here, self.there = f"10.213.{third}.1", f"10.213.{third}.2"
        self.prefix = [fleet.system_tool("ip"), "netns", "exec", self.name]
        self._made = False
        try:
            self._make(mbit, queue_ms)
        except fleet.Failure:
            self.remove()
            raise

    def _make(self, mbit, queue_ms):
        ip, tc = fleet.system_tool("ip"), fleet.system_tool("tc")
        shape = ["root", "tbf", "rate", f"{mbit}mbit", "burst", "16kb", "latency", f"{queue_ms}ms"]
        fleet.run([ip, "netns", "add", self.name])
        self._made = True
        fleet.run([ip, "link", "add", self.cable, "type", "veth", "peer", "name", "eth0",
                   "netns", self.name])
        fleet.run([ip, "addr", "add", f"{self.here}/24", "dev", self.cable])
        fleet.run([ip, "link", "set", self.cable, "up"])
        fleet.run([ip, "-n", self.name, "addr", "add", f"{self.there}/24", "dev", "eth0"])
        for device in ("lo", "eth0"):
            fleet.run([ip, "-n", self.name, "link", "set", device, "up"])
        fleet.run([tc, "qdisc", "add", "dev", self.cable, *shape])
        fleet.run([tc, "-n", self.name, "qdisc", "add", "dev", "eth0", *shape])

    def remove(self):
        """The namespace, and the cable, which would stay as long as a process there."""
        if self._made:
            fleet.run([fleet.system_tool("ip"), "netns", "del", self.name])
        with contextlib.suppress(fleet.Failure):
            fleet.run([fleet.system_tool("ip"), "link", "del", self.cable])
