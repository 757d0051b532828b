"""A receiver of syslog over TLS, as a process of its own that can be killed: what it has read of whole messages lies
in a file, before anything else is read."""

import os
import socket
import ssl
import subprocess
import sys

from . import certs
from .relay import free_port, wait_until

SOURCE = r"""
import socket, ssl, sys
port, cert, key, path, polite = int(sys.argv[1]), *sys.argv[2:5], sys.argv[5] == "polite"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
listener = socket.create_server(("127.0.0.1", port))
out = open(path, "ab", buffering=0)
while True:
    raw, _ = listener.accept()
    try:
        connection = context.wrap_socket(raw, server_side=True)
        waiting = b""
        while True:
            read = connection.recv(65536)
            if not read:
                break
            waiting += read
            lines = b""
            while b" " in waiting:
                length, rest = waiting.split(b" ", 1)
                if len(rest) < int(length):
                    break
                lines += rest[:int(length)] + b"\n"
                waiting = rest[int(length):]
            out.write(lines)
        if polite:
            connection.unwrap()
        connection.close()
    except (OSError, ssl.SSLError):
        raw.close()
"""


class Syslog:
    def __init__(self, base, polite=True):
        self.port = free_port()
        self.path = os.path.join(str(base), "received.log")
        self.key, self.cert = (os.path.join(str(base), f"syslog.{ext}") for ext in ("key", "crt"))
        certs.make_key(self.key)
        certs.openssl("req", "-x509", "-new", "-key", self.key, "-subj", "/CN=localhost", "-days", "30",
                      "-addext", "subjectAltName=DNS:localhost", "-out", self.cert)
        self.polite = polite
        self.process = None
        open(self.path, "wb").close()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SOURCE, str(self.port), self.cert, self.key, self.path,
             "polite" if self.polite else "rude"])
        wait_until(self.listens, "the syslog receiver")
        return self

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def lines(self):
        with open(self.path, encoding="utf-8") as f:
            return f.read().splitlines()
