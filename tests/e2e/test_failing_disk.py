"""A disk that takes writes no more, or does not sync: what cannot be recorded does not happen, and the user reads why."""

import errno
import mmap
import os
import struct

import pexpect
import pytest

from support import audit
from support.relay import BUILD, wait_until
from test_ledger import verify

GRACE = 2
WRITES, SYNCS = 1, 2


class Disk:
    """What failing_disk.c reads."""

    def __init__(self, path):
        self.path = str(path)
        with open(self.path, "wb") as f:
            f.truncate(mmap.PAGESIZE)
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), mmap.PAGESIZE)

    def fail(self, calls, code, where, after):
        self.map[4:128] = struct.pack("<III112s", code, after, 0, where.encode())
        self.map[0:4] = struct.pack("<I", calls)

    def heal(self):
        """How many calls failed."""
        self.map[0:4] = struct.pack("<I", 0)
        return struct.unpack("<I", self.map[12:16])[0]


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path / "orders")


@pytest.fixture
def relay(relays, disk):
    relay = relays(grace_seconds=GRACE, durability="sync")
    relay.stop()
    sanitizer = os.environ.get("ASAN_OPTIONS", "")
    relay.environment = {"LD_PRELOAD": os.path.abspath(os.path.join(BUILD, "tests/e2e/failing_disk.so")),
                         "FAILING_DISK": disk.path,
                         "ASAN_OPTIONS": ":".join(filter(None, [sanitizer, "verify_asan_link_order=0"]))}
    return relay.start()


class Shell:
    """One at web-01 that keeps what is typed; with echo, so that everybody may read it."""

    def __init__(self, client, path):
        self.path = path
        self.child = client.spawn("shell", "web-01", "--", f"stty raw; echo RE''ADY; exec cat > {path}")
        self.child.expect("READY")
        self.session = client.json("sessions", "ls", "--live")["Sessions"][0]["SessionId"]

    def type_until(self, what):
        """Goes on typing until the terminal says it; a number a line, so that nothing can be swapped or left out."""
        for i in range(5000):
            self.child.send(f"{i:05d}\n")
            if self.child.expect([what, pexpect.TIMEOUT], timeout=0.02) == 0:
                return
        raise AssertionError(f"{what} was never said: {self.child.before}")

    def type_through(self, line):
        """Goes on typing it until it is there."""
        wait_until(lambda: self.child.send(line + "\n") and line.encode() in self.got(), f"{line} at the node")

    def got(self):
        return self.path.read_bytes() if self.path.exists() else b""


def typed(client, session):
    """What its recording shows of it: not the last keys, when nobody could tell any more that they had an echo."""
    return client.run("audit", "export", session, "--format", "raw", "--typed", text=False).stdout


def verdict(relay):
    """Of its directory, as `hawser audit verify` says it to who has the master key."""
    code, said = verify(relay.dir, "--master-key", os.path.join(relay.dir, "master.key"))
    return {0: "intact", 1: "broken", 2: "unchecked"}[code], said


def start_again(relay, agent, client):
    """On a disk that works; all of it verifies."""
    relay.start()
    agent.wait_online()
    assert client.ok("exec", "web-01", "--", "echo well again") == "well again\n"
    assert "ALARM" not in client.ok("status")


def stop_and_verify(relay):
    relay.stop()
    assert verdict(relay)[0] == "intact", verdict(relay)[1]


def test_a_journal_that_fails_freezes_sessions_says_why_and_ends_them(client, agent, relay, disk, tmp_path):
    """Each way once, each at another call."""
    ways = [(WRITES, errno.EIO, 0), (WRITES, errno.EROFS, 5), (SYNCS, errno.EIO, 1), (SYNCS, errno.ENOSPC, 4)]
    for calls, code, after in ways:
        shell = Shell(client, tmp_path / f"typed-{calls}-{code}")
        shell.type_through("early")
        disk.fail(calls, code, "/journal/", after)
        shell.type_until("cannot be recorded any more")
        shell.child.expect(f"ends in {GRACE} seconds")
        why = f"the journal: cannot {'write' if calls == WRITES else 'sync'}: {os.strerror(code)}"
        status, _, body = relay.http("GET", "/healthz")
        assert status == 503 and why.encode() in body, body
        assert relay.metrics()["hawser_journal_failed"] == 1
        assert client.ok("status").startswith(f"ALARM     nothing can be recorded: {why}")
        assert "the ledger cannot be written" in client.fails("exec", "web-01", "--", "true", code=255)
        shell.child.send("too late\n")
        shell.child.expect("could not be recorded")
        shell.child.expect(pexpect.EOF)
        shell.child.close()
        assert shell.child.exitstatus == 255
        assert disk.heal() > 0
        # One that failed is not tried again, whatever the disk says now.
        assert relay.http("GET", "/healthz")[0] == 503
        relay.stop()
        got = shell.got()
        assert b"too late" not in got and audit.stream(relay.dir, shell.session, 0).startswith(got)
        assert verdict(relay)[0] != "broken", verdict(relay)[1]
        start_again(relay, agent, client)
        assert got.startswith(typed(client, shell.session))
        ends = [e for e in audit.ledger(relay.dir) if e["Kind"] == "session.end" and e["SessionId"] == shell.session]
        assert len(ends) == 1
    stop_and_verify(relay)


def test_what_is_made_of_the_journal_may_fail_and_is_made_up_for(client, agent, relay, disk, tmp_path):
    """Recordings and the ledger's own files: sessions go on, as the journal has all, and an alarm says it."""
    for where, calls, code in [("/ledger/", WRITES, errno.EROFS), ("/ledger/", SYNCS, errno.EIO),
                               ("/recordings/", SYNCS, errno.EIO)]:
        shell = Shell(client, tmp_path / f"typed-{where[1:-1]}-{calls}")
        disk.fail(calls, code, where, 0)
        shell.type_through("while it fails")
        client.ok("sessions", "kill", shell.session)
        wait_until(lambda: relay.http("GET", "/healthz")[0] == 503, "an alarm")
        metrics = relay.metrics()
        assert metrics["hawser_archiver_failed"] + metrics["hawser_heads_failed"] > 0 and metrics["hawser_healthy"] == 0
        shell.child.expect(pexpect.EOF)
        shell.child.close()
        assert disk.heal() > 0
        relay.kill9()
        got = shell.got()
        assert audit.stream(relay.dir, shell.session, 0).startswith(got)
        assert verdict(relay)[0] != "broken", verdict(relay)[1]
        start_again(relay, agent, client)
        assert got.startswith(typed(client, shell.session))
    stop_and_verify(relay)


def test_a_store_that_fails_lets_nothing_begin_and_says_so(client, agent, relay, disk, tmp_path):
    for calls, code in [(WRITES, errno.EROFS), (SYNCS, errno.EIO), (SYNCS, errno.ENOSPC)]:
        shell = Shell(client, tmp_path / f"typed-{calls}-{code}")
        disk.fail(calls, code, "/relay.db", 0)
        assert "the store" in client.fails("exec", "web-01", "--", "true", code=255)
        assert disk.heal() > 0
        # Nor is this tried again.
        assert "the store failed" in client.fails("exec", "web-01", "--", "true", code=255)
        status, _, body = relay.http("GET", "/healthz")
        assert status == 503 and b"the store failed" in body, body
        assert relay.metrics()["hawser_store_failed"] == 1
        assert client.ok("status").startswith("ALARM     nothing can be begun or changed: the store failed")
        shell.type_through("what runs goes on")
        relay.stop()
        assert audit.stream(relay.dir, shell.session, 0).startswith(shell.got())
        start_again(relay, agent, client)
        client.ok("sessions", "kill", shell.session)
        shell.child.expect(pexpect.EOF)
        shell.child.close()
    stop_and_verify(relay)
