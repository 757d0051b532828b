"""Disks that fill up under commands: what was said to be taken is there, what is not says so, and it goes on when there is room."""

import itertools
import os
import re
import signal
import subprocess

import pytest

from support import audit, machine
from support.accounts import Accounts
from support.fleet import Client, Node
from support.relay import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(not machine.possible(), reason="root cannot mount a small disk here")


class Disk:
    """A few megabytes at `where`."""

    def __init__(self, where, mib, inodes=0):
        self.where = str(where)
        self.ballast = os.path.join(self.where, "ballast")
        os.makedirs(self.where, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,nr_inodes={inodes},mode=0755", "none", self.where], check=True)

    def fill(self, but=0):
        """To the last page, or but for so many bytes."""
        with open(self.ballast, "wb", buffering=0) as f:
            try:
                while f.write(b"x" * 4096):
                    pass
            except OSError:
                pass
            f.truncate(max(0, f.tell() // 4096 * 4096 - but))

    def crowd(self):
        """Files, until there can be none more; see uncrowd()."""
        for n in itertools.count():
            try:
                with open(os.path.join(self.where, f"crowd-{n}"), "xb"):
                    pass
            except FileExistsError:
                pass
            except OSError:
                return

    def uncrowd(self):
        for name in os.listdir(self.where):
            if name.startswith("crowd-"):
                os.unlink(os.path.join(self.where, name))

    def free(self):
        os.unlink(self.ballast)

    def remove(self):
        if subprocess.run(["umount", self.where], check=False).returncode != 0:
            subprocess.run(["umount", "-l", self.where], check=True)


@pytest.fixture
def disks():
    made = []

    def make(where, mib, inodes=0):
        made.append(Disk(where, mib, inodes))
        return made[-1]

    yield make
    for disk in made:
        disk.remove()


@pytest.fixture
def begin():
    """Starts `hawser run` of a client; what still runs is killed at the test's end."""
    made = []

    def make(client, *args, **how):
        made.append(client.popen("run", "-t", "web-01", "-q", *args, stdin=subprocess.DEVNULL, **how))
        return made[-1]

    yield make
    for child in made:
        if child.poll() is None:
            child.kill()
        child.communicate()


def numbers(count):
    return "".join(f"{i}\n" for i in range(1, count + 1)).encode()


def written_by(node):
    """Bytes that scripts have written there, as far as the node still keeps them."""
    folder = os.path.join(node.dir, "commands")
    return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder) if name.endswith(".out"))


def taken_by(relay):
    """Bytes of output that lie beside the relay's store."""
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(os.path.join(relay.dir, "commands"))
               for name in names)


# --- the relay's ------------------------------------------------------------------------------------------


@pytest.fixture
def disk(disks, tmp_path):
    return disks(tmp_path / "main" / "relay", 16)


@pytest.fixture
def relay(disk, relays):
    return relays(grace_seconds=2, reserve_mib=0)


def test_a_relay_without_room_takes_nothing_it_cannot_keep_and_goes_on_later(client, agent, relay, disk, tmp_path, begin):
    gate, ran = tmp_path / "gate", tmp_path / "ran"
    script = f"echo x >> {ran}; echo begun; until [ -e {gate} ]; do sleep 0.05; done; seq 1 300000"
    child = begin(client, "--stream", "--", script, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline() == b"web-01: begun\n"
    disk.fill()
    gate.touch()
    wait_until(lambda: written_by(agent) == len(b"begun\n" + numbers(300_000)), "the end of the script")
    refused = client.run("run", "-t", "web-01", "--", f"echo y >> {ran}")
    assert refused.returncode == 125, refused
    assert re.search("No space left|cannot be written|disk|full", refused.stderr), refused.stderr
    assert relay.alive() and child.poll() is None

    relay.end(signal.SIGTERM)
    disk.free()
    relay.start()
    out, err = child.communicate(timeout=4 * PATIENCE)
    assert child.returncode == 0, err
    assert out.replace(b"web-01: ", b"") == numbers(300_000)
    command = client.json("runs", "ls")["Commands"]
    assert len(command) == 1 and command[0]["Status"] == "Success"
    raw = client.run("runs", "output", "--raw", "-q", "last", text=False).stdout
    assert raw == b"begun\n" + numbers(300_000)
    assert ran.read_text() == "x\n"
    wait_until(lambda: agent.commands_kept() == set(), "that the node has forgotten it")
    assert client.ok("run", "-t", "web-01", "-q", "--", "echo well again") == "-- web-01  exit 0\nwell again\n"
    relay.stop()
    ends = [e for e in audit.ledger(relay.dir) if e["Kind"] == "command.end"]
    assert [e["CommandId"] for e in ends].count(command[0]["CommandId"]) >= 1


def test_a_relay_at_its_own_limit_lets_nodes_wait_and_drops_nothing(relays, tmp_path, begin):
    """That of all commands: they keep what they have until there is room."""
    relay = relays("small", command_outputs_mib=1)
    client = Client(tmp_path / "own", relay, relay.invite)
    agent = Node(tmp_path, client, "web-01").start()
    try:
        child = begin(client, "--log-dir", str(tmp_path / "logs"), "--", "seq 1 400000", stdout=subprocess.DEVNULL)
        wait_until(lambda: written_by(agent) == len(numbers(400_000)) and taken_by(relay) > 800 << 10, "what there is room for")
        assert taken_by(relay) < 1100 << 10 and child.poll() is None
        relay.stop()
        relay.set(command_outputs_mib=100)
        relay.start()
        assert child.wait(4 * PATIENCE) == 0
        assert client.run("runs", "output", "--raw", "-q", "last", text=False).stdout == numbers(400_000)
    finally:
        agent.stop()


# --- the node's -------------------------------------------------------------------------------------------


@pytest.fixture
def small(disks, tmp_path, client):
    """A node whose folder is on a disk of its own: (disk, node)."""
    disk = disks(tmp_path / "nodes", 16)
    node = Node(disk.where, client, "web-01")
    node.log_path = str(tmp_path / "web-01.log")
    node.start()
    yield disk, node
    node.stop()


def test_what_a_node_has_no_room_for_is_counted(client, small, tmp_path, begin):
    disk, node = small
    gate = tmp_path / "gate"
    child = begin(client, "--log-dir", str(tmp_path / "logs"), "--",
                  f"until [ -e {gate} ]; do sleep 0.05; done; seq 1 700000", stdout=subprocess.DEVNULL)
    wait_until(lambda: "command.start" in node.log, "its start")
    disk.fill(but=1 << 20)
    gate.touch()
    assert child.wait(4 * PATIENCE) == 0
    whole = numbers(700_000)
    raw = client.run("runs", "output", "--raw", "-q", "last", text=False).stdout
    assert 0 < len(raw) < 2 << 20 and whole.startswith(raw)
    shown = client.ok("runs", "output", "-q", "last", timeout=4 * PATIENCE)
    assert f"{len(whole) - len(raw)} bytes more were written, and dropped" in shown[-300:]
    disk.free()
    assert client.run("run", "-t", "web-01", "-q", "--", "seq 1 300000", text=False).stdout == b"-- web-01  exit 0\n" + numbers(300_000)


def test_a_node_that_cannot_write_an_order_down_does_not_begin_it(client, small, tmp_path, begin):
    disk, node = small
    disk.fill()
    ran = tmp_path / "ran"
    child = begin(client, "--", f"echo x >> {ran}", stdout=subprocess.PIPE)
    wait_until(lambda: "command.not_written" in node.log, "that it says so")
    assert "No space left on device" in node.log
    assert not ran.exists()
    disk.free()
    out, _ = child.communicate(timeout=4 * PATIENCE)  # it asks again, half a minute later
    assert (child.returncode, out) == (0, b"-- web-01  exit 0\n")
    assert ran.read_text() == "x\n"


def test_an_end_that_a_node_cannot_write_down_is_still_told(client, small, tmp_path, begin):
    disk, node = small
    gate = tmp_path / "gate"
    child = begin(client, "--", f"until [ -e {gate} ]; do sleep 0.05; done; echo out; exit 3", stdout=subprocess.PIPE)
    wait_until(lambda: "command.start" in node.log, "its start")
    disk.fill()
    gate.touch()
    out, _ = child.communicate(timeout=4 * PATIENCE)
    assert child.returncode == 1 and out.startswith(b"-- web-01  exit 3\n"), out
    assert out.endswith(b"out\n") or b"bytes more were written, and dropped" in out
    disk.free()
    wait_until(lambda: node.commands_kept() == set(), "that the node has forgotten it")


def test_a_disk_with_no_room_for_another_file_keeps_nobody_out(disks, tmp_path, client):
    """Who comes to see to it needs a node that dials, and that starts a shell."""
    disk = disks(tmp_path / "disk", 8, inodes=200)
    node = Node(disk.where, client, "web-01")
    node.log_path = str(tmp_path / "log")
    node.start()
    disk.crowd()
    assert client.ok("exec", "web-01", "--", "echo hi") == "hi\n"
    node.stop()
    disk.crowd()
    node.start()
    assert "agent.not_listening" in node.log
    assert client.ok("exec", "web-01", "--", "echo hi") == "hi\n"
    disk.uncrowd()
    status = [node.agent, "status", "--dir", node.dir]
    wait_until(lambda: subprocess.run(status, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0, "its status")
    assert os.path.exists(os.path.join(node.dir, "upgrade.sock"))
    node.stop()


@pytest.mark.parametrize("rootless", [True, False])
def test_a_disk_that_failed_and_is_read_only_keeps_nobody_out(tmp_path, client, rootless):
    accounts = Accounts()
    image, where = tmp_path / "image", os.path.join(accounts.base, "disk")
    os.mkdir(where)
    subprocess.run(["truncate", "-s", "24M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, where], stderr=subprocess.DEVNULL).returncode != 0:
        accounts.remove()
        pytest.skip("no loop device")
    try:
        node = Node(where, client, "web-01", rootless=rootless, wrap=accounts.wrap, agent=accounts.agent)
        node.log_path = str(tmp_path / "log")
        node.start()
        assert client.ok("run", "-t", "web-01", "--", "echo hi") != ""
        subprocess.run(["mount", "-o", "remount,abort", where], check=False)
        with pytest.raises(OSError):
            open(os.path.join(where, "x"), "w")
        assert client.ok("exec", "web-01", "--", "echo hi") == "hi\n"
        node.stop()
        node.start()
        assert client.ok("exec", "web-01", "--", "echo hi") == "hi\n"
        node.stop()
    finally:
        subprocess.run(["umount", "-l", where], check=True)
        accounts.remove()
