"""A `hawser forward` that runs, the servers that it leads to, and what their tests look at."""

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import threading

from . import audit
from .relay import PATIENCE


class Server:
    """A TCP (or Unix) server on this machine whose connections a function serves, each on a thread."""

    def __init__(self, serve, address=("127.0.0.1", 0), family=socket.AF_INET):
        self.serve = serve
        self.failures = []
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.bind(address)
        self.listener.listen(1024)
        self.port = self.listener.getsockname()[1] if family != socket.AF_UNIX else None
        self.served = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.served += 1
            threading.Thread(target=self.one, args=(conn,), daemon=True).start()

    def one(self, conn):
        with conn:
            try:
                self.serve(conn)
            except OSError as e:
                self.failures.append(e)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def echo(conn):
    while data := conn.recv(65536):
        conn.sendall(data)


class Forward:
    """A `hawser forward` that is ready."""

    def __init__(self, client, *args):
        self.child = client.popen("forward", *args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        self.ports = []
        self.said = []
        wanted = max(1, sum(a in ("-L", "-D") for a in args))
        for _ in range(wanted):
            line = self.child.stdout.readline()
            if not line:
                raise AssertionError(f"exit {self.child.wait()}: {self.child.stderr.read()}")
            self.said.append(line.rstrip("\n"))
            if found := re.match(r"\S*:(\d+) +-> ", line):
                self.ports.append(int(found[1]))
        self.port = self.ports[0] if self.ports else None

    def connect(self, port=None):
        return socket.create_connection(("127.0.0.1", port or self.port), timeout=PATIENCE)

    def ended(self):
        """Waits for an end that nobody asked the program for."""
        err = self.child.communicate(timeout=PATIENCE)[1]
        return self.child.returncode, err

    def stop(self, signo=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(signo)
        return self.ended()


def read_all(conn):
    got = bytearray()
    while data := conn.recv(65536):
        got += data
    return bytes(got)


def reset(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def to_port(port):
    return f"0:127.0.0.1:{port}"


def to(server):
    return to_port(server.port)


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def uplinks(agent):
    return [p for p in agent.processes() if "--monitor-fd" in open(f"/proc/{p}/cmdline", encoding="utf-8").read()]


def entries(relay, kind):
    return [e for e in audit.ledger(relay.dir) if e["Kind"] == kind]
