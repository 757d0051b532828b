"""The disk under the relay's directory fills up: if it cannot record, it stops."""

import os
import subprocess
import time

import pexpect
import pytest

from support import audit, machine, merkle
from support.relay import wait_until

pytestmark = pytest.mark.skipif(not machine.possible(), reason="root cannot mount a small disk here")

GRACE = 4


class Disk:
    """A few megabytes at `where`."""

    def __init__(self, where):
        self.where = str(where)
        self.ballast = os.path.join(self.where, "ballast")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "none", self.where], check=True)

    def fill(self):
        """To the last page."""
        with open(self.ballast, "wb", buffering=0) as f:
            try:
                while f.write(b"x" * 4096):
                    pass
            except OSError:
                pass

    def free(self):
        os.unlink(self.ballast)

    def remove(self):
        if subprocess.run(["umount", self.where], check=False).returncode != 0:
            subprocess.run(["umount", "-l", self.where], check=True)


@pytest.fixture
def disk(tmp_path):
    where = tmp_path / "main" / "relay"
    where.mkdir(parents=True)
    made = Disk(where)
    yield made
    made.remove()


@pytest.fixture
def relay(disk, relays, request):
    mark = request.node.get_closest_marker("relay")
    return relays(grace_seconds=GRACE, **(mark.kwargs if mark else {"reserve_mib": 0}))


def type_until(child, what):
    """Goes on typing until the terminal says it; a number a line, so that nothing can be swapped or left out."""
    for i in range(5000):
        child.send(f"{i:05d}\n")
        if child.expect([what, pexpect.TIMEOUT], timeout=0.01) == 0:
            return
    raise AssertionError(f"{what} was never said: {child.before}")


def test_nothing_unrecorded_is_let_through_and_it_recovers(client, agent, relay, disk, tmp_path):
    at_node = tmp_path / "typed"
    child = client.spawn("shell", "web-01", "--", f"stty raw -echo; echo RE''ADY; exec cat > {at_node}")
    child.expect("READY")
    session = client.json("sessions", "ls", "--live")["Sessions"][0]["SessionId"]
    type_until_there = lambda: child.send("early\n") and at_node.exists() and b"early" in at_node.read_bytes()
    wait_until(type_until_there, "what was typed while there was space")

    before = time.monotonic()
    disk.fill()
    type_until(child, "cannot be recorded any more")
    child.expect(f"ends in {GRACE} seconds")
    status, _, body = relay.http("GET", "/healthz")
    assert status == 503 and b"the journal: cannot write: No space left on device" in body, body
    refusal = client.fails("exec", "web-01", "--", "true", code=255)
    assert "cannot be written" in refusal or "cannot be recorded" in refusal, refusal
    child.send("too late\n")
    child.expect("could not be recorded")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 255
    assert time.monotonic() - before > GRACE
    wait_until(lambda: not subprocess.run(["fuser", str(at_node)], stdout=subprocess.PIPE,
                                          stderr=subprocess.DEVNULL).stdout, "the end of its program")
    got = at_node.read_bytes()
    assert b"too late" not in got
    assert audit.stream(relay.dir, session, 0).startswith(got)

    relay.stop()
    disk.free()
    relay.start()
    agent.wait_online()
    assert client.ok("exec", "web-01", "--", "echo well again") == "well again\n"
    recorded = client.run("audit", "export", session, "--format", "raw", "--typed", text=False).stdout
    assert recorded and got.startswith(recorded)
    assert "READY" in client.ok("audit", "export", session, "--format", "text")
    ended = {s["SessionId"]: s for s in client.json("sessions", "ls")["Sessions"]}[session]
    assert ended["Status"] in ("Failed", "Terminated")
    kinds = [e["Kind"] for e in audit.ledger(relay.dir)]
    assert kinds.count("relay.start") == 2 and kinds.count("session.start") == kinds.count("session.end") == 2


def test_it_starts_on_a_full_disk_only_when_it_can_record(client, relay, disk):
    relay.kill9()
    disk.fill()
    with pytest.raises(AssertionError, match="No space left on device"):
        relay.start()
    assert relay.process.wait() == 1
    disk.free()
    relay.start()
    assert client.json("ls")["InstanceInformationList"] == []


@pytest.mark.relay(reserve_mib=1)
def test_with_a_reserve_it_ends_in_order_and_goes_on_by_itself(client, agent, relay, disk, tmp_path):
    at_node = tmp_path / "typed"
    child = client.spawn("shell", "web-01", "--", f"stty raw -echo; echo RE''ADY; exec cat > {at_node}")
    child.expect("READY")
    session = client.json("sessions", "ls", "--live")["Sessions"][0]["SessionId"]
    disk.fill()
    type_until(child, "the relay's disk is full")
    child.expect(f"ends in {GRACE} seconds")
    refusal = client.fails("exec", "web-01", "--", "true", code=255)
    assert "cannot be written" in refusal or "cannot be recorded" in refusal, refusal
    status, _, body = relay.http("GET", "/healthz")
    assert status == 503 and b"disk is full" in body, body
    assert client.ok("status").startswith("ALARM     nothing can be recorded: the relay's disk is full")
    assert relay.metrics()["hawser_journal_low"] == 1 and relay.metrics()["hawser_journal_failed"] == 1
    child.send("too late\n")
    child.expect("could not be recorded")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 255 and b"too late" not in at_node.read_bytes()

    disk.free()
    wait_until(lambda: relay.http("GET", "/healthz")[0] == 200, "the relay to go on")
    assert client.ok("exec", "web-01", "--", "echo well again") == "well again\n"
    assert "ALARM" not in client.ok("status") and relay.metrics()["hawser_journal_low"] == 0
    typed = client.run("audit", "export", session, "--format", "raw", "--typed", text=False).stdout
    got = at_node.read_bytes()
    assert typed and got.startswith(typed)
    entries = audit.ledger(relay.dir)
    ends = [e for e in entries if e["Kind"] == "session.end" and e["SessionId"] == session]
    assert len(ends) == 1
    assert "the relay's disk is full" in [e["Reason"] for e in entries if e["Kind"] == "alarm"]
    assert [e["Kind"] for e in entries].count("relay.start") == 1
    wait_until(lambda: merkle.parse_head(client.json("api", "GetLedgerHead")["Head"]).size >= len(entries),
               "a head over all of it")
