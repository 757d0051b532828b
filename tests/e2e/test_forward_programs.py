"""Programs that people use through forwards: PostgreSQL's, redis-cli, curl, git and ssh, with their own servers."""

import contextlib
import functools
import getpass
import glob
import http.server
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest

from support.forwards import entries, to_port
from support.machine import possible
from support.relay import PATIENCE, free_port, program, wait_until

# Of the database that is dumped and restored; 1000 of them is what an afternoon's migration moves.
DUMP_MB = int(os.environ.get("HAWSER_DUMP_MB", "32"))
SLOWLY = PATIENCE + DUMP_MB  # seconds
# PostgreSQL's server refuses root.
SOMEBODY = "nobody" if os.geteuid() == 0 else getpass.getuser()


@pytest.fixture
def folder():
    """One that the unprivileged server may enter, unlike pytest's."""
    path = tempfile.mkdtemp(prefix="hawser-e2e-")
    if os.geteuid() == 0:
        shutil.chown(path, SOMEBODY)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def daemons(folder):
    """daemons(argv, ready): starts a server that answers once ready() is true; all end with the test."""
    made = []

    def make(argv, ready, stop=signal.SIGTERM, **how):
        log = open(os.path.join(folder, f"daemon-{len(made)}.log"), "wb+")
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **how)
        made.append((child, stop, log))
        wait_until(lambda: child.poll() is not None or ready(), argv[0])
        log.seek(0)
        assert child.poll() is None, log.read()
        return child

    yield make
    for child, stop, log in made:
        child.send_signal(stop)
        try:
            child.wait(PATIENCE)
        finally:
            child.kill()
            child.wait()
            log.close()


def succeeds(*argv):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def output(*argv, stdin=None, timeout=SLOWLY, **how):
    """Standard output of a program that must succeed."""
    done = subprocess.run(argv, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, **how)
    assert done.returncode == 0, f"{shlex.join(argv)}: exit {done.returncode}\n{done.stdout[-500:]}\n{done.stderr[-2000:]}"
    return done.stdout


# --- PostgreSQL -----------------------------------------------------------------------------------


def postgres_tool(name):
    return max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), key=lambda path: int(path.split("/")[4]))


class Postgres:
    """A server of its own. Its port is reached at `port`, or through a forward."""

    def __init__(self, folder, daemons):
        self.port = free_port()
        data = os.path.join(folder, "data")
        how = {"user": SOMEBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": folder}
        output(postgres_tool("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8",
               env=env, cwd=folder, **how)
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "fsync": "off",
                    "max_wal_size": "4GB", "autovacuum": "off"}
        daemons([postgres_tool("postgres"), "-D", data, "-p", str(self.port),
                 *(f"--{k}={v}" for k, v in settings.items())],
                lambda: succeeds("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)),
                stop=signal.SIGINT, env=env, cwd=folder, **how)

    @staticmethod
    def at(port, database):
        return ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-d", database]

    def sql(self, database, text, port=None):
        return output("psql", *self.at(port or self.port, database), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text).decode().strip()

    def sum_of(self, database):
        """What every byte of every row counts for."""
        return self.sql(database, "select count(*), sum(length(t::text)), md5(string_agg(md5(t::text), '' order by id)) from t")


def test_a_database_goes_through_a_forward_and_comes_back_the_same(client, relay, folder, daemons, forwards):
    server = Postgres(folder, daemons)
    server.sql("postgres", "create database one")
    server.sql("postgres", "create database two")
    rows = DUMP_MB * 1000 * 1000 // 1600
    server.sql("one", "create table t (id int primary key, note text, bytes bytea)")
    server.sql("one", f"""
        insert into t select i, string_agg(md5(i || '.' || k), E'\\t\\\\' order by k), decode(md5(i::text), 'hex')
        from generate_series(1, {rows}) i, generate_series(1, 44) k group by i""")
    forward = forwards("-L", to_port(server.port))
    dump = ["pg_dump", *server.at(forward.port, "one")]
    restore = ["psql", *server.at(forward.port, "two"), "-Xq", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null"]
    begun = time.monotonic()
    output("sh", "-c", f"set -e; {{ {shlex.join(dump)} || kill $$; }} | {shlex.join(restore)}")
    took = time.monotonic() - begun
    count, size, digest = server.sum_of("one").split("|")
    print(f"{int(size) / 1e6:.0f} MB out through the forward and in again within {took:.1f} s")
    assert (int(count), int(size) > DUMP_MB * 900_000) == (rows, True)
    assert server.sum_of("two") == f"{count}|{size}|{digest}"
    assert server.sql("two", "select 1 / count(*) from t", forward.port) == "0"
    ends = wait_until(lambda: len(found := entries(relay, "connection.end")) == 3 and found, "the entries")
    assert [e for e in ends if e["Outcome"] != "ok"] == []
    assert sum(e["Size"] for e in ends) > 2 * int(size)
    assert forward.stop() == (0, "")


# --- Redis ----------------------------------------------------------------------------------------


def test_redis_cli_asks_and_pipelines(client, folder, daemons, forwards):
    port = free_port()

    def redis(*args, to=port, **how):
        return output("redis-cli", "-h", "127.0.0.1", "-p", str(to), *args, **how)

    daemons(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder],
            lambda: succeeds("redis-cli", "-h", "127.0.0.1", "-p", str(port), "ping"))
    forward = forwards("-L", to_port(port))
    through = functools.partial(redis, to=forward.port)
    value = os.urandom(3_000_000)
    assert through("-x", "set", "big", stdin=value) == b"OK\n"
    assert through("get", "big") == value + b"\n" == redis("get", "big")
    words = [(b"key:%d" % i, b"%d" % i * (i % 50)) for i in range(50_000)]
    commands = b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(k), k, len(v), v) for k, v in words)
    assert b"errors: 0, replies: 50000" in through("--pipe", stdin=commands)
    assert redis("dbsize") == b"50001\n"
    assert through("get", "key:49999") == b"49999" * 49 + b"\n"
    assert forward.stop() == (0, "")


# --- curl -----------------------------------------------------------------------------------------

NAME = "wiki.only-this-node-knows.internal"
AWAY = "127.77.0.1"  # an address that nothing but the node's own file gives


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{self.headers['Host']} {self.path}\n".encode() * 50_000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def page():
    server = http.server.ThreadingHTTPServer((AWAY, 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(not possible(), reason="it takes root, and a file of names of the node's own")
def test_curl_by_a_name_that_only_the_node_knows(client, tmp_path, agents, page, forwards_of):
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{AWAY} {NAME}\n")
    mount = ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts)]
    agents(wrap=mount)
    forward = forwards_of("-D", "0")
    curl = ["curl", "-sS", "--noproxy", "", "--max-time", str(PATIENCE), f"http://{NAME}:{page}/a?b"]
    proxy = f"127.0.0.1:{forward.port}"
    assert output(*curl, "--socks5-hostname", proxy) == f"{NAME}:{page} /a?b\n".encode() * 50_000
    assert output(*curl, "--proxy", f"socks5h://{proxy}", curl[-1] + "&c").count(b"\n") == 100_000
    # A name that is looked up where curl runs is no business of the forward's.
    done = subprocess.run([*curl, "--resolve", f"{NAME}:{page}:127.77.0.2", "--socks5", proxy], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 97 and done.stdout == b"", done
    assert "connection refused by 127.77.0.2" in forward.stop()[1]


# --- git ------------------------------------------------------------------------------------------


def git(*args, cwd, **how):
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd), "GIT_CONFIG_NOSYSTEM": "1",
           "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    return output("git", *args, cwd=cwd, env={**env, **how.pop("env", {})}, **how).decode().strip()


def commit(where, name, data):
    (where / name).write_bytes(data)
    git("add", name, cwd=where)
    git("commit", "-qm", name, cwd=where)
    return git("rev-parse", "HEAD", cwd=where)


def test_git_clones_and_pushes_over_stdio(client, agent, tmp_path, daemons):
    port, base, work = free_port(), tmp_path / "served", tmp_path / "work"
    work.mkdir()
    git("init", "-q", "--bare", "-b", "main", str(base / "x.git"), cwd=tmp_path)
    git("init", "-q", "-b", "main", cwd=work)
    for i in range(5):
        head = commit(work, f"file{i}", os.urandom(1_000_000))
    git("push", "-q", str(base / "x.git"), "main", cwd=work)
    daemon = os.path.join(git("--exec-path", cwd=work), "git-daemon")
    daemons([daemon, f"--base-path={base}", "--export-all", "--enable=receive-pack", f"--port={port}", "--listen=127.0.0.1", "--reuseaddr"],
            lambda: succeeds("git", "ls-remote", f"git://127.0.0.1:{port}/x.git"), env=dict(os.environ, HOME=str(tmp_path)))
    proxy = tmp_path / "proxy"  # git gives it the host and the port
    proxy.write_text(f'#!/bin/sh\nexec {shlex.quote(os.path.abspath(program("hawser")))} forward web-01 --stdio "127.0.0.1:$2"\n')
    proxy.chmod(0o755)
    through = functools.partial(git, "-c", f"core.gitProxy={proxy}", env={"HAWSER_HOME": client.home})
    url = f"git://repository.internal:{port}/x.git"
    through("clone", "-q", url, "copy", cwd=tmp_path)
    copy = tmp_path / "copy"
    assert git("rev-parse", "HEAD", cwd=copy) == head
    git("fsck", "--full", "--strict", cwd=copy)
    pushed = commit(copy, "answer", os.urandom(2_000_000))
    through("push", "-q", "origin", "main", cwd=copy)
    assert git("rev-parse", "main", cwd=base / "x.git") == pushed


# --- ssh ------------------------------------------------------------------------------------------


def test_ssh_takes_it_as_its_proxy_command(client, agent, folder, daemons):
    sshd, port = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin"), free_port()
    here = pathlib.Path(folder)
    for name in ("host", "user"):
        output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(here / name))
    shutil.copy(here / "user.pub", here / "authorized")
    if os.geteuid() == 0:
        os.chown(folder, 0, 0)
        with contextlib.suppress(FileExistsError):
            os.mkdir("/run/sshd", 0o755)  # its own unit would make it
    daemons([sshd, "-D", "-e", "-f", "/dev/null", "-p", str(port), "-h", str(here / "host"), "-o", "ListenAddress=127.0.0.1",
             "-o", f"AuthorizedKeysFile={here}/authorized", "-o", "StrictModes=no", "-o", "PidFile=none",
             "-o", "PermitRootLogin=yes", "-o", "KbdInteractiveAuthentication=no"],
            lambda: succeeds("sh", "-c", f"ssh-keyscan -p {port} 127.0.0.1 2> /dev/null | grep -q ed25519"))
    proxy = f"{shlex.quote(os.path.abspath(program('hawser')))} forward web-01 --stdio %h:%p"
    ssh = ["ssh", "-F", "none", "-i", str(here / "user"), "-o", f"ProxyCommand={proxy}", "-o", "StrictHostKeyChecking=no",
           "-o", f"UserKnownHostsFile={here}/known", "-o", "BatchMode=yes", "-p", str(port), f"{getpass.getuser()}@localhost"]
    data = os.urandom(3_000_000)
    assert output(*ssh, "cat; exit 0", stdin=data, env=client.env) == data
    assert subprocess.run([*ssh, "exit 7"], stdin=subprocess.DEVNULL, env=client.env, timeout=PATIENCE).returncode == 7
