"""Clocks that are wrong by an hour and more: a person's, a node's, the relay's. What works goes on, and who looks is told that a
clock is off, and by how much."""

import os
import re
import struct
import subprocess

import pytest

from support.fleet import Client, Node
from support.relay import BUILD, Relay, program, wait_until
from test_ledger import verify

HOUR = 3600
SHIM = os.path.abspath(os.path.join(BUILD, "tests/e2e/shifted_clock.so"))


class Clock:
    """One that a process is given: set() says by how many seconds it is ahead of ours."""

    def __init__(self, base, name, ahead=0):
        self.path = os.path.join(str(base), f"clock-{name}")
        self.set(ahead)

    def set(self, ahead):
        mode = "r+b" if os.path.exists(self.path) else "wb"
        with open(self.path, mode) as f:
            f.write(struct.pack("<q", int(ahead)))

    @property
    def env(self):
        sanitizer = os.environ.get("ASAN_OPTIONS", "")
        return {"LD_PRELOAD": SHIM, "SHIFTED_CLOCK": self.path,
                "ASAN_OPTIONS": ":".join(filter(None, [sanitizer, "verify_asan_link_order=0"]))}

    @property
    def wrap(self):
        return ["env", *(f"{k}={v}" for k, v in self.env.items())]


class Fleet:
    def __init__(self, base, mould):
        self.base = base
        self.clock = Clock(base, "relay")
        self.relay = Relay(base, init=mould.init)
        self.relay.environment = self.clock.env
        self.relay.start()
        self.admin = Client(base / "admin", self.relay, self.relay.invite)
        self.nodes = []

    def person(self, name, ahead):
        """Whose clock is so far ahead; not logged in."""
        os.makedirs(self.base / name)
        who = Client(self.base / name, self.relay)
        who.clock = Clock(self.base, name, ahead)
        who.env.update(who.clock.env)
        return who

    def invite(self, name):
        return self.admin.json("user", "add", name, "--admin")["Invite"]

    def node(self, name, ahead):
        clock = Clock(self.base, name, ahead)
        made = Node(self.base, self.admin, name, wrap=clock.wrap)
        made.clock = clock
        self.nodes.append(made)
        return made.start()

    def set_relay(self, ahead):
        self.clock.set(ahead)

    def close(self):
        for node in self.nodes:
            node.stop()
        self.relay.stop()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, mould):
    made = Fleet(tmp_path_factory.mktemp("clocks"), mould)
    made.node("right", 0)
    yield made
    made.close()


def says_off(text, seconds, word):
    """Whether it says so of a clock, give or take what a busy machine takes."""
    found = re.search(r"([0-9.]+) s " + word, text)
    return found is not None and abs(float(found.group(1)) - seconds) < 120


def status_of(node):
    return subprocess.run([program("hawser-node"), "status", "--dir", node.dir], stdout=subprocess.PIPE, check=False, text=True).stdout


@pytest.mark.parametrize("ahead", [-HOUR, HOUR, -20 * HOUR, 20 * HOUR])
def test_a_person_whose_clock_is_wrong(fleet, ahead):
    name = f"person{ahead}".replace("-", "m")
    who = fleet.person(name, ahead)
    who.ok("login", fleet.relay.url, fleet.invite(name))
    assert who.ok("exec", "right", "--", "echo", "through") == "through\n"
    word = "behind" if ahead < 0 else "ahead of"
    assert says_off(who.ok("status"), abs(ahead), word)
    doctor = who.run("doctor").stdout
    assert re.search(r"(?m)^FAIL +clock ", doctor) and says_off(doctor, abs(ahead), word), doctor
    # What is said as a span goes by the relay's clock, who keeps it.
    for span in ("30d", "10m"):
        made = who.json("activation", "create", "--expires", span)["ActivationId"]
        assert re.search(rf"(?m)^{made} .*\bin ", who.ok("activation", "ls")), who.ok("activation", "ls")
    said = who.ok("audit", "ls", "--since", "10m", "--user", name)
    assert "CreateActivation" in said and "RenewCertificate" not in said  # which is half a day away
    assert "CreateActivation" not in who.ok("audit", "ls", "--until", "10m", "--user", name)


@pytest.mark.parametrize("ahead", [-HOUR, HOUR + 300])
def test_a_node_whose_clock_is_wrong(fleet, ahead):
    name = f"node{ahead}".replace("-", "m")
    node = fleet.node(name, ahead)
    word = "behind" if ahead < 0 else "ahead of"
    assert fleet.admin.ok("exec", name, "--", "echo", "through") == "through\n"
    # Until when a command may begin is the relay's to say: an hour from now.
    assert "command" in fleet.admin.ok("run", "--target", name, "--stream", "--", "echo", "a", "command")
    assert says_off(wait_until(lambda: status_of(node), "its status"), abs(ahead), word)
    logged = re.search(r"clock\.off .*ahead_seconds=(-?\d+)", node.log)
    assert logged and abs(int(logged[1]) - ahead) < 120, node.log
    node.stop()
    node.clock.set(0)
    node.start()
    wait_until(lambda: "link.up" in node.log, "the link")
    assert " clock " not in status_of(node)


def test_a_relay_whose_clock_was_ahead_and_is_set_right(fleet):
    """What it issued meanwhile begins in an hour, by the clock that it has since; heads are dated ahead until then."""
    fleet.clock.set(HOUR)
    made = fleet.node("early", 0)
    who = fleet.person("early-bird", 0)
    who.ok("login", fleet.relay.url, fleet.invite("early-bird"))
    shell = fleet.admin.spawn("shell", "early")
    shell.expect(r"session \S+ on early")
    shell.sendline("echo from-$((40 + 2))")
    shell.expect("from-42\r\n")
    assert says_off(who.ok("status"), HOUR, "behind")
    fleet.clock.set(0)
    shell.sendline("echo then-$((40 + 2))")
    shell.expect("then-42\r\n")
    for restart in (False, True):
        if restart:
            fleet.relay.stop()
            fleet.relay.start()
            for each in (made, fleet.nodes[0]):
                each.wait_online()
        assert who.ok("exec", "early", "--", "echo", "still") == "still\n"
        assert who.ok("exec", "right", "--", "echo", "so") == "so\n"
        assert re.search(r"(?m)^clock +as the relay's$", who.ok("status"))
    assert "made" in fleet.admin.ok("run", "--target", "early", "--stream", "--", "echo", "made")
    shell.sendline("echo last-$((40 + 2)); exit 3")
    shell.expect("last-42\r\n")
    shell.wait()
    said = who.run("audit", "verify").stdout + who.run("audit", "verify").stderr
    assert re.search(r"dated (5[5-9]|60) minutes ahead of this machine's clock", said + who.run("status").stdout), said
    witness = wait_until(lambda: re.search(r"(?m)^witness +(.*)$", status_of(made)), "its word on the ledger")[1]
    assert "minutes ahead of this machine's clock" in witness, witness
    fleet.relay.stop()
    code, said = verify(fleet.relay.dir)
    assert code == 0, said
    fleet.relay.start()
    fleet.nodes[0].wait_online()
