"""Networks as they are: proxies, IPv6, addresses that are dead, load balancers, names that move; and what doctor and check
say of them. A relay, a gate and a node that reaches nothing but the gate, each on a machine of its own."""

import json
import os
import re
import shutil
import subprocess
import time

import pexpect
import pytest

from support import machine
from support.machine import Machine, cable
from support.relay import BUILD, PATIENCE, wait_until

pytestmark = pytest.mark.skipif(
    not machine.possible() or shutil.which("tinyproxy") is None, reason="root cannot make namespaces here, or has no proxy")

BUILD = os.path.abspath(BUILD)
HAWSER = f"HAWSER_HOME=/home/person {BUILD}/hawser"
PROXY = "10.78.2.1:8888"
SECRET = "s3cr3t-of-the-proxy"

TINYPROXY = f"""
Port 8888
Listen 10.78.2.1
Timeout 600
MaxClients 20
LogLevel Critical
BasicAuth ann {SECRET}
ConnectPort 8443
"""

# Says what it is given before each connection's own bytes, and is dialled at 127.0.0.1 and the port.
BALANCER = """
import socket, sys, threading
port, head = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
def copy(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    try:
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass
s = socket.create_server(("127.0.0.1", port))
while True:
    one, _ = s.accept()
    two = socket.create_connection(("10.78.1.1", 8443), None, ("10.78.1.3", 0))
    two.sendall(head)
    for pair in ((one, two), (two, one)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""

# Answers each CONNECT with the same words.
ODD = """
import socket, sys
s = socket.create_server(("10.78.2.1", int(sys.argv[1])))
while True:
    c, _ = s.accept()
    c.recv(4096)
    c.sendall(sys.argv[2].encode().decode("unicode_escape").encode())
    c.close()
"""

FORGER = r"""
import socket, ssl, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
if len(sys.argv) > 3:
    s.sendall(b"PROXY TCP4 198.51.100.7 10.78.1.1 1 8443\r\n")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
try:
    context.wrap_socket(s)
    print("in")
except OSError:
    print("out")
"""


class World:
    def __init__(self, base):
        self.relay, self.gate, self.web = (Machine(base, n) for n in ("relay", "gate", "web"))
        cable(self.relay, self.gate, "10.78.1")
        cable(self.gate, self.web, "10.78.2")
        self.relay.run("ip -6 addr add fd78:1::1/64 dev gate nodad")
        self.gate.run("ip -6 addr add fd78:1::2/64 dev relay nodad && ip addr add 10.78.1.3/24 dev relay")
        self.relay.run("mkdir -p /home/relay && chmod 755 /home/relay")
        out = self.relay.run(f"{BUILD}/hawser-relay init --dir /home/relay/dir --listen '[::]:8443' --advertise relay.example:8443"
                             " 2> /dev/null")
        self.url, invite = out.splitlines()[-1].split(" ")
        self.relay.run("sed -i 's/^proxy_protocol_from = .*/proxy_protocol_from = 10.78.1.3/' /home/relay/dir/relay.conf")
        self.relay.start(f"{BUILD}/hawser-relay run --dir /home/relay/dir --allow-root")
        wait_until(lambda: "relay.ready" in self.relay.log, "the relay")
        self.names("10.78.1.1")
        self.gate.run(f"{HAWSER} login '{self.url}' {invite}")
        self.script("tinyproxy.conf", TINYPROXY, self.gate)
        self.gate.start("tinyproxy -d -c /var/tmp/tinyproxy.conf")
        wait_until(lambda: "8888" in self.gate.run("ss -Hltn"), "the proxy")

    @staticmethod
    def script(name, text, where):
        where.run(f"cat > /var/tmp/{name} << 'EOT'\n{text}\nEOT")

    def names(self, *addresses):
        lines = "".join(f"{a} relay.example\\n" for a in addresses)
        self.gate.run(f"sed '/relay.example/d' /etc/hosts > /var/tmp/hosts; printf '{lines}' >> /var/tmp/hosts; cp /var/tmp/hosts /etc/hosts")

    def fails(self, where, command):
        done = where.run(f"{command} 2>&1; echo exit $?")
        assert not done.endswith("exit 0\n"), done
        return done

    def at(self, address):
        """The fleet's URL with that address."""
        return re.sub("//[^#]*", f"//{address}", self.url)

    def invite(self):
        name = f"user{time.monotonic_ns() % 10**9}"
        return json.loads(self.gate.run(f"{HAWSER} user add {name} --admin -o json"))["Invite"]

    def activation(self):
        made = json.loads(self.gate.run(f"{HAWSER} activation create --limit 1 -o json"))
        return f"{made['ActivationId']}:{made['ActivationCode']}"

    def close(self):
        for each in (self.web, self.gate, self.relay):
            each.remove()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    w = World(tmp_path_factory.mktemp("networks"))
    yield w
    w.close()


@pytest.fixture(scope="module")
def node(world):
    """A node behind the proxy: it has no other way."""
    said = world.web.run(f"{BUILD}/hawser-node join '{world.url}' {world.activation()} --dir /home/node --name web-01 "
                         f"--proxy http://ann:{SECRET}@{PROXY}")
    assert SECRET not in said
    world.web.start(f"{BUILD}/hawser-node run --dir /home/node --rootless")
    wait_until(lambda: "link.up" in world.web.log, "the node")
    return world.web


# --- proxies ---------------------------------------------------------------------------------------


def test_a_node_goes_through_a_proxy_with_a_password(world, node):
    assert world.gate.run(f"{HAWSER} exec web-01 -- echo through").endswith("through\n")
    status = node.run(f"{BUILD}/hawser-node status --dir /home/node")
    assert re.search(rf"(?m)^proxy +{re.escape(PROXY)}$", status), status
    for said in (status, node.log, world.relay.log, node.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")):
        assert SECRET not in said


def test_a_person_goes_through_a_proxy(world, node):
    env = f"HTTPS_PROXY=http://ann:{SECRET}@{PROXY}"
    node.run(f"{env} {HAWSER} --home /home/p login '{world.url}' {world.invite()}")
    assert node.run(f"{env} {HAWSER} --home /home/p exec web-01 -- echo both").endswith("both\n")
    assert "web-01" in node.run(f"{HAWSER} ls --home /home/p --proxy http://ann:{SECRET}@{PROXY}")
    doctor = node.run(f"{env} {HAWSER} --home /home/p doctor web-01")
    assert re.search(rf"(?m)^ok +proxy +{re.escape(PROXY)}, with a user and a password$", doctor), doctor
    assert re.search(r"(?m)^ok +session ", doctor) and re.search(r"(?m)^ok +pty ", doctor), doctor
    assert "FAIL" not in doctor and SECRET not in doctor
    without = world.fails(node, f"NO_PROXY=.example {env} {HAWSER} --home /home/p ls")
    assert "cannot find the host relay.example" in without, without


@pytest.mark.parametrize("proxy,says", [
    (f"http://ann:wrong@{PROXY}", f"the proxy {PROXY} refused a connection to relay.example:8443 with 401|407"),
    (f"http://{PROXY}", "refused a connection to relay.example:8443 with 407 .*it wants a user and a password"),
    ("http://10.78.2.1:8", "cannot connect to the proxy 10.78.2.1:8: Connection refused"),
    ("http://nowhere.invalid:8888", "cannot find the proxy nowhere.invalid"),
    ("socks5://10.78.2.1:1080", "only HTTP proxies that know CONNECT"),
])
def test_a_failure_names_the_hop(world, node, proxy, says):
    said = world.fails(node, f"{HAWSER} --home /home/q login '{world.url}' {'x' * 30} --proxy {proxy}")
    assert re.search(says, said), said
    assert "wrong" not in said


@pytest.mark.parametrize("port,answer,says", [
    (9101, r"HTTP/1.1 403 Not\x1b[2J today\r\n\r\n", r"with 403 Not\?\[2J today: its rules do not let CONNECT go there"),
    (9102, r"HTTP/1.0 502 Bad Gateway\r\nX: y\r\n\r\n", "with 502 Bad Gateway: the proxy cannot reach the relay"),
    (9103, r"220 mail.example ESMTP\r\n", "what answers at 10.78.2.1:9103 is no HTTP proxy"),
    (9104, r"", "the proxy 10.78.2.1:9104 hung up instead of opening a way"),
    (9105, r"HTTP/1.1 200 OK\r\n\r\nand more", "said more than that it is connected"),
])
def test_odd_answers_of_a_proxy(world, node, port, answer, says):
    world.script("odd.py", ODD, world.gate)
    world.gate.start(f"python3 /var/tmp/odd.py {port} '{answer}'")
    wait_until(lambda: f":{port}" in world.gate.run("ss -Hltn"), "the odd proxy")
    said = world.fails(node, f"{HAWSER} --home /home/q login '{world.url}' {'x' * 30} --proxy http://10.78.2.1:{port}")
    assert re.search(says, said), said


# --- addresses -------------------------------------------------------------------------------------


def test_ipv6_from_login_to_the_policy(world):
    world.gate.run(f"{HAWSER} --home /home/six login '{world.at('[fd78:1::1]:8443')}' {world.invite()}")
    status = world.gate.run(f"{HAWSER} --home /home/six status")
    assert re.search(r"(?m)^from +fd78:1::2$", status), status


def test_a_dead_address_of_a_name_costs_less_than_a_second(world):
    """Nobody answers for it; the kernel would notice after three seconds."""
    world.gate.run("ip -6 route replace fd78:dead::/64 dev relay")
    try:
        world.names("10.78.1.1")
        begun = time.monotonic()
        world.gate.run(f"{HAWSER} ls")
        usual = time.monotonic() - begun
        world.names("fd78:dead::1", "10.78.1.1")
        begun = time.monotonic()
        world.gate.run(f"{HAWSER} ls")
        assert time.monotonic() - begun < usual + 2
    finally:
        world.names("10.78.1.1")


def test_a_load_balancer_says_whose_connection_it_is(world):
    four = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes((198, 51, 100, 7, 10, 78, 1, 1, 0xd4, 0x31, 0x20, 0xfb))
    world.script("balancer.py", BALANCER, world.gate)
    for port, head in ((9201, four), (9202, b"PROXY TCP6 2001:db8::7 fd78:1::1 54321 8443\r\n"), (9203, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
                       (9204, b"")):
        world.gate.start(f"python3 /var/tmp/balancer.py {port} '{head.hex()}'")
        wait_until(lambda: f":{port}" in world.gate.run("ss -Hltn"), "the balancer")
    for port, seen in ((9201, "198.51.100.7"), (9202, "2001:db8::7"), (9203, "10.78.1.3")):
        world.gate.run(f"{HAWSER} --home /home/b{port} login '{world.at(f'127.0.0.1:{port}')}' {world.invite()}")
        status = world.gate.run(f"{HAWSER} --home /home/b{port} status")
        assert re.search(rf"(?m)^from +{re.escape(seen)}$", status), status
    world.fails(world.gate, f"{HAWSER} --home /home/b9204 login '{world.at('127.0.0.1:9204')}' {'x' * 30}")
    assert "edge.no_proxy_header" in world.relay.log
    # Whom the setting does not name is not believed: to him the port speaks TLS and nothing else.
    world.script("forger.py", FORGER, world.gate)
    assert world.gate.run("python3 /var/tmp/forger.py 10.78.1.1 8443") == "in\n"
    assert world.gate.run("python3 /var/tmp/forger.py 10.78.1.1 8443 forged") == "out\n"


# --- the doctor --------------------------------------------------------------------------------------


def test_the_doctor_says_which_hop_fails(world):
    found = json.loads(world.gate.run(f"{HAWSER} doctor -o json"))["Findings"]
    results = {f["Check"]: f["Result"] for f in found}
    assert results == {check: "ok" for check in ("login", "proxy", "name", "tcp", "tls", "clock", "round trip", "relay")}
    world.names("10.78.1.77")
    try:
        world.gate.run("ip route replace unreachable 10.78.1.77")
        said = world.fails(world.gate, f"{HAWSER} doctor")
        assert re.search(r"(?m)^FAIL +tcp +cannot connect to relay.example:8443", said) and "->" in said, said
        assert "tls" not in said
    finally:
        world.names("10.78.1.1")
    assert re.search(r"(?m)^FAIL +node ", world.fails(world.gate, f"{HAWSER} doctor no-such-node"))


def test_a_node_is_checked_where_it_is(world, node):
    done = node.run(f"{BUILD}/hawser-node check --dir /home/node -o json; true")
    found = json.loads(done)["Findings"]
    results = {f["Check"]: f["Result"] for f in found}
    for check in ("certificate", "proxy", "name", "tcp", "agent", "fsync", "pty"):
        assert results[check] == "ok", found
    assert [f["Message"] for f in found if f["Check"] == "proxy"] == [PROXY]
    assert SECRET not in done


def test_a_relay_that_moved_is_found_by_its_name(world):
    """The agent on the gate goes by the name; the relay's address changes while it stands still."""
    world.gate.run(f"{BUILD}/hawser-node join '{world.url}' {world.activation()} --dir /home/node2 --name gate-01 --proxy none")
    world.gate.start(f"{BUILD}/hawser-node run --dir /home/node2 --rootless")
    wait_until(lambda: "gate-01" in world.gate.run(f"{HAWSER} ls status:online -o name || true"), "the node")
    world.relay.stop()
    world.relay.run("ip addr add 10.78.1.9/24 dev gate")
    world.gate.run("ip route replace unreachable 10.78.1.1")  # nobody is there any more
    world.names()  # and for a while nobody knows the name
    world.relay.start(f"{BUILD}/hawser-relay run --dir /home/relay/dir --allow-root")
    wait_until(lambda: "cannot find the host relay.example" in world.gate.run(
        f"{BUILD}/hawser-node status --dir /home/node2; true"), "the name unknown")
    world.names("10.78.1.9")
    wait_until(lambda: "gate-01" in world.gate.run(f"{HAWSER} ls status:online -o name 2> /dev/null || true"), "the node back",
               2 * PATIENCE)


COUNT = "i=0; until [ -e /home/enough ]; do i=$((i + 1)); echo $i; sleep 0.05; done; echo end"


def test_a_machine_whose_own_address_and_route_change_keeps_its_sessions(world, tmp_path):
    """A node and a person on it: what is under way goes on by the new way, without a byte lost. Pings notice, as no side is told."""
    roam = Machine(tmp_path, "roam")
    try:
        cable(world.relay, roam, "10.78.3")
        world.relay.run("ip addr add 10.78.4.1/24 dev roam && ip addr add 10.78.5.1/32 dev lo")
        roam.run("ip addr add 10.78.4.2/24 dev relay && ip route add 10.78.5.1 via 10.78.3.1 && echo 10.78.5.1 relay.example >> /etc/hosts")
        roam.run(f"{BUILD}/hawser-node join '{world.url}' {world.activation()} --dir /home/node --name roam-01 --proxy none")
        roam.start(f"{BUILD}/hawser-node run --dir /home/node --rootless")
        wait_until(lambda: "link.up" in roam.log, "the node")
        roam.run(f"{HAWSER} login '{world.url}' {world.invite()}")
        assert re.search(r"(?m)^from +10\.78\.3\.2$", roam.run(f"{HAWSER} status"))
        with open(tmp_path / "counted", "wb") as out:
            counting = subprocess.Popen([*roam.wrap(), "sh", "-c", f"{HAWSER} exec roam-01 -- '{COUNT}'"], env=roam.env,
                                        stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL)
        counted = (tmp_path / "counted").read_text
        shell = pexpect.spawn(roam.wrap()[0], [*roam.wrap()[1:], "sh", "-c", f"{HAWSER} shell roam-01"], env=roam.env, encoding="utf-8",
                              timeout=3 * PATIENCE)
        shell.expect(r"session \S+ on roam-01")
        shell.sendline("n=41; echo here-$((n + 1))")
        shell.expect("here-42\r\n")
        wait_until(lambda: "\n5\n" in counted(), "the first lines")

        roam.run("ip route replace 10.78.5.1 via 10.78.4.1 && ip addr del 10.78.3.2/24 dev relay")
        shell.sendline("echo there-$((n + 2)); exit 5")
        shell.expect("there-43\r\n")
        shell.expect(pexpect.EOF)
        shell.close()
        assert shell.exitstatus == 5
        before = len(counted())
        wait_until(lambda: len(counted()) > before, "what is counted by the new way", 3 * PATIENCE)
        roam.run("touch /home/enough")
        assert counting.wait(3 * PATIENCE) == 0
        lines = counted().split()
        assert lines[-1] == "end" and lines[:-1] == [str(i + 1) for i in range(len(lines) - 1)]
        assert re.search(r"(?m)^from +10\.78\.4\.2$", roam.run(f"{HAWSER} status"))
        assert roam.log.count("link.up") > 1, roam.log
    finally:
        roam.remove()
