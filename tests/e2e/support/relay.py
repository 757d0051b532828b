"""A real hawser-relay, started and stopped by its process id."""

import base64
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

from . import certs, wire

BUILD = os.environ.get("HAWSER_BUILD", "build/dev")
# Sanitizers and a busy machine: a deadline is for what never comes, not for what comes late.
PATIENCE = 30
# What is promised within two seconds, which the tests on a fake clock hold it to; without the promise it would be a
# minute here.
AT_ONCE = 20


def wait_until(condition, what, seconds=PATIENCE):
    """Returns the first true value of condition(). One that is dear, as it starts a program, is asked less often: other
    tests want the processors too."""
    end = time.monotonic() + seconds
    while True:
        begun = time.monotonic()
        value = condition()
        now = time.monotonic()
        if value:
            return value
        if now > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(min(max(0.01, 2 * (now - begun)), 0.2))


_given = set()


def free_port():
    """One that can be bound, below those that connections get by themselves, and never the same twice."""
    while True:
        port = random.randrange(10240, 32000)
        if port in _given:
            continue
        _given.add(port)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def program(name):
    return os.path.join(BUILD, name)


def init(directory, port):
    """`hawser-relay init`: the fleet's URL and its first user's invite."""
    out = subprocess.run(
        [program("hawser-relay"), "init", "--dir", directory, "--listen", f"127.0.0.1:{port}"],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout
    return out.splitlines()[-1].split(" ")


class Mould:
    """A fleet that was made once, for the many tests that each want a new one: what differs is the port."""

    def __init__(self, base):
        self.dir = os.path.join(str(base), "relay")
        self.port = free_port()
        self.url, self.invite = init(self.dir, self.port)

    def init(self, directory, port):
        """As init()."""
        shutil.copytree(self.dir, directory, dirs_exist_ok=True)
        return self.url.replace(f":{self.port}#", f":{port}#"), self.invite


class Relay:
    """dir, port, url and invite are those of `hawser-relay init`; settings go into relay.conf."""

    def __init__(self, base, init=init, **settings):
        self.base = str(base)
        self.dir = os.path.join(self.base, "relay")
        self.log_path = os.path.join(self.base, "relay.log")
        self.port = free_port()
        self.metrics_port = free_port()
        self.process = None
        self.environment = {}  # what it gets besides the test's own
        self.url, self.invite = init(self.dir, self.port)
        self.set(listen_port=self.port, advertise=f"127.0.0.1:{self.port}", metrics_port=self.metrics_port, **settings)
        self.ca = certs.Authority(os.path.join(self.dir, "ca.crt"), os.path.join(self.dir, "ca.key"))

    def set(self, **settings):
        """Changes settings; for the next start()."""
        path = os.path.join(self.dir, "relay.conf")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for key, value in settings.items():
            text, n = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
            assert n == 1, f"relay.conf has no {key}"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

    # --- the process -------------------------------------------------------------------------------

    @property
    def pid(self):
        return self.process.pid

    def start(self, *args):
        log = open(self.log_path, "ab")
        with log:
            self.process = subprocess.Popen(
                [program("hawser-relay"), "run", "--dir", self.dir, "--allow-root", "--log-level", "debug",
                 *args], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.environment})
        wait_until(lambda: self.healthy() or self.process.poll() is not None, "the relay's start")
        assert self.process.poll() is None, f"the relay ended at its start:\n{self.log}"
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def end(self, signo):
        """Sends the signal and returns the exit status: negative when a signal ended it."""
        if self.alive():
            self.process.send_signal(signo)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the relay does not stop:\n{self.log}") from None

    def stop(self):
        status = self.end(signal.SIGTERM)
        assert status == 0, f"the relay ended with {status}:\n{self.log}"

    def kill9(self):
        self.end(signal.SIGKILL)

    @property
    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_for_log(self, pattern, seconds=PATIENCE):
        return wait_until(lambda: re.search(pattern, self.log), f"{pattern!r} in the relay's log", seconds)

    # --- its port ----------------------------------------------------------------------------------

    def tls(self, identity=None, version=ssl.TLSVersion.TLSv1_3):
        """A context that trusts this fleet alone, and shows the identity's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.ca.cert)
        context.minimum_version = context.maximum_version = version
        if identity is not None:
            context.load_cert_chain(identity.cert, identity.key)
        return context

    def tcp(self, source="127.0.0.1", timeout=PATIENCE):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout, (source, 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def connect(self, identity=None, source="127.0.0.1", timeout=PATIENCE):
        """A TLS connection. With TLS 1.3 a refused certificate shows at the first read."""
        raw = self.tcp(source, timeout)
        try:
            return self.tls(identity).wrap_socket(raw)
        except BaseException:
            raw.close()
            raise

    def http(self, method, path, body=None, headers=None, identity=None):
        """(status, headers, body) of one request on its own connection."""
        c = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=self.tls(identity), timeout=PATIENCE)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, r.headers, r.read()
        finally:
            c.close()

    def post(self, path, message, expect=200):
        """POSTs JSON; the decoded answer."""
        status, _, body = self.http(
            "POST", path, json.dumps(message), {"Content-Type": "application/json"})
        assert status == expect, (status, body)
        return json.loads(body)

    def healthy(self):
        try:
            return self.http("GET", "/healthz")[0] == 200
        except (OSError, ssl.SSLError, http.client.HTTPException):
            return False

    def metrics(self):
        """{name: value}; rows with labels keep them in their name."""
        c = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=PATIENCE)
        try:
            c.request("GET", "/metrics")
            text = c.getresponse().read().decode()
        finally:
            c.close()
        rows = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
        return {name: float(value) for name, value in rows}

    # --- who dials it ------------------------------------------------------------------------------

    def login(self, invite, name):
        """Redeems an invite: the user's identity."""
        key, csr = certs.request(self.base, name)
        answer = self.post("/login", {
            "Invite": invite, "CertificateSigningRequest": base64.b64encode(csr).decode()})
        assert answer["UserName"] == name
        return certs.save(self.base, name, key, base64.b64decode(answer["Certificate"]))

    def join(self, activation, name):
        """Joins with CreateActivation's answer: the node's identity; its id is identity.id."""
        key, csr = certs.request(self.base, name)
        answer = self.post("/register", {
            "ActivationId": activation["ActivationId"], "ActivationCode": activation["ActivationCode"],
            "CertificateSigningRequest": base64.b64encode(csr).decode(), "Name": name})
        return certs.save(
            self.base, name, key, base64.b64decode(answer["Certificate"]), answer["InstanceId"])

    def link(self, identity, role="user"):
        """A link that is up."""
        return wire.Link.open(self, identity, role)

    def forge(self, role, name, **how):
        """A certificate that the fleet's CA signed without the relay knowing: certs.Authority.issue."""
        fleet = self.ca.fleet()
        uri = f"hawser://{fleet}/{role}/{name}"
        usage = "serverAuth" if role == "relay" else "clientAuth"
        return self.ca.issue(self.base, f"forged-{role}-{name}", **{"uri": uri, "usage": usage, **how})
