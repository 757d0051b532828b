"""Releases of the node's programs, and what becomes of nodes that are upgraded with good and bad ones."""

import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading

import pexpect
import pytest

from support.accounts import Accounts
from support.fleet import Client, Node
from support.machine import possible
from support.relay import PATIENCE, program, wait_until
from test_node import status

PROGRAMS = ("hawser-node", "hawser-node-monitor", "hawser-node-fetch")


@pytest.fixture
def person(tmp_path):
    """Somebody who is logged in nowhere, with a release key."""
    client = Client(tmp_path, None)
    client.key = str(tmp_path / "release.key")
    client.public = client.ok("release", "keygen", "--key", client.key)
    return client


def sign(client, path, programs, *args):
    client.ok("release", "sign", "--key", client.key, "--out", str(path), *args, *map(str, programs))
    return path


@pytest.fixture
def small(tmp_path, person):
    """A release of a program that is a script."""
    script = tmp_path / "hawser-node"
    script.write_text("#!/bin/sh\nexit 0\n")
    return sign(person, tmp_path / "small.release", [script], "--arch", "x86_64", "--release-version", "9.8.7-rc1")


# --- the file --------------------------------------------------------------------------------------


def test_release_is_signed_and_shown(tmp_path, person):
    assert stat.S_IMODE(os.stat(person.key).st_mode) == 0o600
    assert "exists already" in person.fails("release", "keygen", "--key", person.key)
    path = sign(person, tmp_path / "all.release", [program(name) for name in PROGRAMS], "--follows", "0.1.0")
    said = dict(line.split(None, 1) for line in person.ok("release", "show", str(path)).splitlines()
                if not line.startswith("file"))
    assert said["architecture"] == os.uname().machine
    assert said["follows"] == "0.1.0"
    assert said["version"] == person.ok("version").split()[1]
    assert person.public == f"key {said['key']}\n"
    assert int(said["bytes"]) == os.path.getsize(path)


def test_a_release_key_is_locked_by_a_passphrase(tmp_path, person, small):
    key = str(tmp_path / "locked.key")
    child = person.spawn("release", "keygen", "--key", key)
    child.expect(": ")
    child.sendeof()
    child.expect("input ended")
    child.expect(pexpect.EOF)
    assert not os.path.exists(key)  # least of all one without a passphrase
    child = person.spawn("release", "keygen", "--key", key)
    for _ in range(2):
        child.expect(": ")
        child.sendline("a phrase of mine")
    child.expect(r"\nkey ([0-9A-Za-z+/=]{44})\r\n")
    public = child.match.group(1)
    child.expect(pexpect.EOF)
    script = str(tmp_path / "hawser-node")
    out = str(tmp_path / "locked.release")
    said = ("release", "sign", "--key", key, "--arch", "x86_64", "--out", out, script)
    assert "stdin is none" in person.fails(*said, code=2)
    for phrase, answer in (("another one", "not the passphrase"), ("a phrase of mine", "is release")):
        child = person.spawn(*said)
        child.expect("Passphrase of ")
        child.sendline(phrase)
        child.expect(answer)
        child.expect(pexpect.EOF)
    assert public in person.ok("release", "show", out)
    there = subprocess.run(["openssl", "pkey", "-in", key, "-passin", "pass:a phrase of mine", "-noout"], check=False)
    assert there.returncode == 0


def test_release_that_exists_is_not_replaced(small, tmp_path, person):
    before = small.read_bytes()
    assert "cannot make" in person.fails("release", "sign", "--key", person.key, "--out", str(small), "--arch",
                                         "x86_64", str(tmp_path / "hawser-node"))
    assert small.read_bytes() == before


@pytest.mark.parametrize("change, why", [
    (lambda b: b[:50], "cut off within its head"),
    (lambda b: b[:200], "cut off within its manifest"),
    (lambda b: b[:-1], "cut off within hawser-node"),
    (lambda b: b + b"\n", "bytes behind its last file"),
    (lambda b: b[:-2] + b"1\n", "hawser-node in the release is not what was signed"),
    (lambda b: b.replace(b"9.8.7", b"9.8.8"), "it was changed after it was signed"),
    (lambda b: b"X" + b[1:], "that is no release"),
], ids=["head", "manifest", "file", "longer", "byte", "version", "magic"])
def test_release_that_was_changed_is_refused(small, person, change, why):
    small.write_bytes(change(small.read_bytes()))
    assert why in person.fails("release", "show", str(small))


def test_what_cannot_be_signed_says_why(tmp_path, person):
    script = tmp_path / "hawser-node"
    script.write_text("#!/bin/sh\n")
    out = str(tmp_path / "out")
    base = ["release", "sign", "--key", person.key, "--out", out]
    assert "--arch does" in person.fails(*base, str(script), code=2)
    assert "is twice" in person.fails(*base, "--arch", "x86_64", str(script), str(script))
    assert "version such as 0.2.0" in person.fails(*base, "--arch", "x86_64", "--release-version", "2", str(script))
    assert "is not a regular file" in person.fails(*base, "--arch", "x86_64", str(tmp_path))
    os.chmod(person.key, 0o644)
    assert "others may use the key" in person.fails(*base, "--arch", "x86_64", str(script))
    assert not os.path.exists(out)


# --- the relay that keeps it -----------------------------------------------------------------------


def test_relay_keeps_releases(client, small, tmp_path, relay):
    client.ok("release", "put", str(small))
    client.ok("release", "put", str(small))
    (kept,) = client.json("release", "ls")["AgentReleases"]
    assert kept["Version"] == "9.8.7-rc1"
    assert kept["Release"] == hashlib.sha256(small.read_bytes()).hexdigest()
    assert os.listdir(os.path.join(relay.dir, "releases")) == [kept["Release"]]
    client.ok("release", "rm", kept["Release"])
    assert client.json("release", "ls")["AgentReleases"] == []
    assert "has no release" in client.fails("release", "rm", kept["Release"])


# --- an agent that lies ----------------------------------------------------------------------------

ASK = struct.Struct("=IHHQ65s33s17s5s")
ANSWER = struct.Struct("=IHHiIQ65s33sB512s5s")


class Liar:
    """Answers as an agent does, that it is 0.0.1, and hands out a release."""

    def __init__(self, folder, release):
        self.text = release.read_bytes()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(os.path.join(folder, "upgrade.sock"))
        self.socket.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        talk, _ = self.socket.accept()
        with talk:
            while asked := talk.recv(4096):
                magic, version, kind, offset = ASK.unpack(asked)[:4]
                piece = self.text[offset:offset + 100000] if kind == 2 else b""
                talk.send(ANSWER.pack(magic, version, kind, 0, len(piece), len(self.text), b"", b"0.0.1", 1, b"", b"") + piece)


def test_agent_that_says_to_be_older_gets_no_old_release(person, tmp_path):
    script = tmp_path / "hawser-node"
    script.write_text("#!/bin/sh\nexit 0\n")
    old = sign(person, tmp_path / "old.release", [script], "--arch", os.uname().machine, "--release-version", "0.0.2")
    terms = tmp_path / "node.release"
    terms.write_text(person.public)
    folder = tempfile.mkdtemp(prefix="hw-")
    liar = Liar(folder, old)
    slots = os.path.join(folder, "slots")
    try:
        done = subprocess.run([program("hawser-node-upgrade"), "--dir", folder, "--slots", slots, "--terms", str(terms)],
                              capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 1
        assert f"the release is 0.0.2, which is older than the {version_of(person)} that is installed" in done.stderr
        assert os.listdir(slots) == ["lock"]
    finally:
        liar.socket.close()
        shutil.rmtree(folder)


# --- nodes -----------------------------------------------------------------------------------------

PROGRAMS_OF_NODE = (*PROGRAMS, "hawser-node-upgrade")
FAST = 5  # seconds that a version has which is known to fail


def version_of(client):
    return client.ok("version").split()[1]


def next_version(version, by=1):
    """Of the same length, so that it can be put into programs."""
    head, _, last = version.rpartition(".")
    return f"{head}.{(int(last) + by) % 10}"


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    """Makes the programs of another version: those that were built, saying so."""
    made = {}

    def make(old, new):
        if new not in made:
            made[new] = tmp_path_factory.mktemp(new)
            for name in PROGRAMS_OF_NODE:
                with open(program(name), "rb") as f:
                    text = f.read().replace(old.encode(), new.encode())
                path = made[new] / name
                path.write_bytes(text)
                path.chmod(0o755)
        return made[new]

    return make


class Fleet:
    """A node that trusts a release key, and whoever has that key."""

    def __init__(self, client, person, agent, builds, tmp_path):
        self.client, self.person, self.agent, self.tmp_path = client, person, agent, tmp_path
        self.old = version_of(client)
        self.new = next_version(self.old)
        self.builds = builds
        self.slots = os.path.join(agent.dir, "slots")
        self.terms(within=60)

    def terms(self, *lines, within=FAST):
        with open(os.path.join(self.agent.dir, "node.release"), "w", encoding="utf-8") as f:
            f.write("\n".join([self.person.public, f"within {within}", *lines, ""]))

    def release(self, version=None):
        folder = self.builds(self.old, version or self.new)
        path = self.tmp_path / f"{version or self.new}.release"
        return sign(self.person, path, [folder / name for name in PROGRAMS_OF_NODE],
                    "--release-version", version or self.new)

    def script(self, text, *args, version=None, name="script"):
        """A release whose hawser-node is a script."""
        folder = self.tmp_path / name
        folder.mkdir()
        (folder / "hawser-node").write_text(f"#!/bin/sh\n{text}\n")
        return sign(self.person, self.tmp_path / f"{name}.release", [folder / "hawser-node"], "--arch",
                    os.uname().machine, "--release-version", version or self.new, *args)

    def trial(self, run, **kwargs):
        """One that says its version, and runs that."""
        return self.script(f'case $1 in --version) echo "hawser-node {self.new}";; run) {run};; esac', **kwargs)

    def upgrade(self, release, *args):
        return self.client.run("node", "upgrade", "web-01", "--release", str(release), *args, timeout=2 * PATIENCE)

    def fails(self, release, why, *args):
        """It has failed for that reason, and what ran before runs."""
        done = self.upgrade(release, *args)
        assert done.returncode == 1, done.stdout + done.stderr
        assert why in done.stdout + done.stderr
        self.is_as_it_was()

    def is_as_it_was(self):
        assert self.running() == self.old
        assert not os.path.exists(os.path.join(self.slots, "trial"))
        assert not os.path.exists(os.path.join(self.slots, "current"))

    def running(self):
        """What the agent says that it is, once it has a link."""
        wait_until(lambda: status(self.agent).returncode == 0, "the agent's link")
        return json.loads(status(self.agent, "-o", "json").stdout)["AgentVersion"]


@pytest.fixture
def fleet(client, person, agents, builds, tmp_path):
    return Fleet(client, person, agents(), builds, tmp_path)


def test_upgrade_leaves_shells_and_commands_alone(fleet, client):
    shell = client.spawn("shell", "web-01")
    shell.sendline("stty -echo; PS1=; x=kept; echo ready=$$=")
    shell.expect(r"ready=(\d+)=")
    number = shell.match.group(1)
    gate = fleet.tmp_path / "gate"
    command = client.popen("run", "--target", "web-01", "--",
                           f"echo begun > {gate}.begun; until test -e {gate}; do sleep 0.05; done; seq 1000; exit 3",
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: os.path.exists(f"{gate}.begun"), "the command")
    release = fleet.release()
    done = fleet.upgrade(release)
    assert done.returncode == 0, done.stdout + done.stderr + fleet.agent.log
    assert f"the agent is {fleet.new} now" in done.stdout
    assert fleet.running() == fleet.new
    shell.sendline("echo it=$x=$$=")
    shell.expect(f"it=kept={number}=")
    gate.touch()
    out, err = command.communicate(timeout=PATIENCE)
    assert command.returncode == 1, err
    assert out.splitlines()[1:] == [str(i) for i in range(1, 1001)]
    # It is so after the next start, and to do it again is to do nothing.
    fleet.agent.process.send_signal(signal.SIGUSR1)
    fleet.agent.process.wait(PATIENCE)
    fleet.agent.start()
    assert fleet.running() == fleet.new
    done = fleet.upgrade(release)
    assert done.returncode == 0 and f"the agent is {fleet.new} already" in done.stdout, done.stdout + done.stderr
    shell.sendline("echo it=$x=$$=; exit 4")
    shell.expect(f"it=kept={number}=")
    shell.wait()
    assert shell.exitstatus == 4
    # Then another one, into the other slot, by the one that was put there.
    newer = next_version(fleet.old, 2)
    done = fleet.upgrade(fleet.release(newer))
    assert done.returncode == 0, done.stdout + done.stderr
    assert fleet.running() == newer
    with open(os.path.join(fleet.slots, "current"), encoding="utf-8") as f:
        assert f.read() == f"b {newer} over {fleet.old}\n"
    # One that runs no more, as when a library of the machine's went away, does not keep the agent from running.
    broken = os.path.join(fleet.slots, "b", "hawser-node")
    os.unlink(broken)
    with open(broken, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\nexit 127\n")
    os.chmod(broken, 0o755)
    fleet.agent.process.send_signal(signal.SIGUSR1)
    fleet.agent.process.wait(PATIENCE)
    fleet.agent.start()
    assert fleet.running() == fleet.old
    assert "the package's programs run instead of slot b's" in fleet.agent.log


def test_what_is_no_release_for_this_node_is_refused(fleet, relay):
    good = 'case $1 in --version) echo "hawser-node %s";; esac' % fleet.new
    fleet.terms()
    fleet.fails(fleet.script("exit 9", name="ends"), "does not run on this machine: --version ended with 9")
    fleet.fails(fleet.script("echo hawser-node 7.7.7", name="liar"), "says that it is another version")
    fleet.fails(fleet.script(good, version="0.0.1", name="older"), "which is older than")
    fleet.fails(fleet.script(good, version="0.0.1", name="allowed"), "this machine allows no downgrade",
                "--allow-downgrade")
    fleet.fails(fleet.script(good, "--follows", fleet.new, name="follows"), "upgrade to one between them first")
    folder = fleet.tmp_path / "script2"
    folder.mkdir()
    (folder / "hawser-node").write_text("#!/bin/sh\n")
    other = sign(fleet.person, fleet.tmp_path / "s390.release", [folder / "hawser-node"], "--arch", "s390x",
                 "--release-version", fleet.new)
    fleet.fails(other, "the release is for s390x")

    # What the relay has is another thing than what was given to it.
    path = fleet.script(good + "\n#" + "x" * 200000, name="kept")
    fleet.client.ok("release", "put", str(path))
    name = hashlib.sha256(path.read_bytes()).hexdigest()
    kept = os.path.join(relay.dir, "releases", name)

    def keep(text, why):
        with open(kept, "wb") as f:
            f.write(text)
        done = fleet.client.run("run", "--target", "web-01", "--document", "AWS-UpdateSSMAgent", "-p", f"release={name}")
        assert done.returncode == 1 and why in done.stdout, done.stdout + done.stderr
        fleet.is_as_it_was()

    text = path.read_bytes()
    keep(text[:-1] + b"y", "hawser-node in the release is not what was signed")
    keep(text[:-1], "the release is cut off within hawser-node")
    keep(text[:160], "the release is cut off within its manifest")
    keep(text.replace(fleet.new.encode(), b"9.9.9", 1), "it was changed after it was signed")
    keep(b"", "the release is cut off within its head")

    with open(kept, "wb") as f:
        f.write(text)

    # Somebody else's key, none at all, and a file that others may write.
    terms = os.path.join(fleet.agent.dir, "node.release")
    with open(terms, "w", encoding="utf-8") as f:
        f.write("key " + "A" * 43 + "=\n")
    fleet.fails(path, "which this machine does not trust")
    os.chmod(terms, 0o666)
    fleet.fails(path, "others may write")
    os.unlink(terms)
    fleet.fails(path, "this machine trusts no key that signs releases")


def test_a_version_that_does_not_prove_itself_is_taken_back(fleet, client):
    shell = client.spawn("shell", "web-01")
    shell.sendline("stty -echo; PS1=; x=kept; echo ready=$$=")
    shell.expect(r"ready=(\d+)=")
    number = shell.match.group(1)
    fleet.terms(within=2)
    fleet.fails(fleet.trial("kill -9 $$", name="crash"), "the new agent did not start within 2 seconds")
    fleet.fails(fleet.trial("exec sleep 1000", name="sleep"), "the new agent did not start within 2 seconds")
    shell.sendline("echo it=$x=$$=; exit 4")
    shell.expect(f"it=kept={number}=")
    shell.wait()
    assert shell.exitstatus == 4


def test_a_version_that_reaches_no_relay_is_taken_back(fleet):
    real = fleet.builds(fleet.old, fleet.new)
    fleet.terms(within=5)
    fleet.fails(fleet.trial(f"exec unshare --net {real}/hawser-node \"$@\"", name="alone"),
                "the new agent did not reach the relay within 5 seconds")


MONITOR = """#!/usr/bin/python3
import os, socket, struct, sys
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
words = sys.argv[sys.argv.index("--") + 1:]
words = words[:words.index("--")] if "--" in words else words
if os.fork() == 0:
    os.dup2(theirs.fileno(), 3)
    os.execv(sys.argv[sys.argv.index("--uplink") + 1], ["hawser-node", *words, "--monitor-fd", "3"])
theirs.close()
while asked := ours.recv(1 << 20):
    magic, version, _, number = struct.unpack_from("=IHHI", asked)
    ours.send(struct.pack("=IHHIiI65s191s", magic, version, 0, number, -4, 0, b"", b"nothing starts here"))
"""


def test_a_version_that_starts_no_programs_is_taken_back(fleet):
    folder = fleet.tmp_path / "lame"
    folder.mkdir()
    real = fleet.builds(fleet.old, fleet.new)
    (folder / "hawser-node-monitor").write_text(MONITOR)
    path = sign(fleet.person, fleet.tmp_path / "lame.release", [real / "hawser-node", folder / "hawser-node-monitor"],
                "--release-version", fleet.new)
    fleet.terms(within=15)
    fleet.fails(path, "no program was started: nothing starts here")


def comm_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
            return f.read().strip()
    except OSError:
        return None


KILLED = (1, 124)  # a step that ends by SIGKILL passes for one that took too long


def during_trial(fleet, name):
    """The command that tries a version which only waits, and has gone that far."""
    fleet.terms(within=600)
    child = fleet.client.popen("node", "upgrade", "web-01", "--release", str(fleet.trial("exec sleep 1000", name=name)),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: any(comm_of(p) == "sleep" for p in fleet.agent.processes()), "the trial")
    return child


def upgrade_process(fleet):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"hawser-node-upgrade") and fleet.agent.dir.encode() in words:
            return int(pid)
    return None


def test_trial_that_nobody_watches_over_is_over(fleet):
    child = during_trial(fleet, "first")
    os.kill(upgrade_process(fleet), signal.SIGKILL)
    out, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode in KILLED, out
    fleet.is_as_it_was()
    assert "is over, what ran before comes back" in fleet.agent.log

    # All of it dies, as when the power goes: it is not tried again.
    child = during_trial(fleet, "second")
    assert os.path.exists(os.path.join(fleet.slots, "trial"))
    for pid in [upgrade_process(fleet), *fleet.agent.processes()]:
        os.kill(pid, signal.SIGKILL)
    fleet.agent.process.wait()
    fleet.agent.start()
    out, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode in KILLED, out
    fleet.is_as_it_was()
    assert "was cut short, and is over" in fleet.agent.log


def test_upgrade_needs_room(fleet):
    os.mkdir(fleet.slots, 0o755)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k,mode=755", "none", fleet.slots]).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        path = fleet.script("exit 0\n#" + "x" * 300000, name="large")
        fleet.fails(path, "the disk has room for")
    finally:
        subprocess.run(["umount", "-l", fleet.slots], check=True)


def test_waves_stop_at_the_first_that_fails(fleet, agents, client):
    for name in ("web-02", "web-03"):
        agents(name)
    fleet.terms(within=2)
    path = fleet.trial("exit 1", name="bad")
    shown = client.ok("node", "upgrade", "web-*", "--release", str(path), "--canary", "1,100%", "--dry-run")
    assert shown.splitlines() == ["1  web-01", "2  web-02", "2  web-03"]
    done = client.run("node", "upgrade", "web-*", "--release", str(path), "--canary", "1,100%")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "wave 1 of 2: 1 of 3 nodes" in done.stderr
    assert "2 nodes were not begun" in done.stderr
    assert "wave 2" not in done.stderr
    commands = client.json("runs", "ls")
    assert len(commands["Commands"] if isinstance(commands, dict) else commands) == 1


@pytest.mark.skipif(not possible(), reason="it takes root, and accounts of its own")
def test_upgrade_of_an_agent_that_is_roots(client, person, builds, tmp_path):
    machine = Accounts()
    agent = Node(machine.base, client, "web-01", rootless=False, wrap=machine.wrap, agent=machine.agent)
    slots, terms = os.path.join(machine.base, "slots"), os.path.join(machine.base, "node.release")
    try:
        agent.start("--slots", slots, "--release-terms", terms)
        fleet = Fleet(client, person, agent, builds, tmp_path)
        os.rename(os.path.join(agent.dir, "node.release"), terms)
        shell = client.spawn("shell", "web-01")
        shell.sendline("stty -echo; PS1=; x=kept; echo ready=$(id -un)=$$=")
        shell.expect(r"ready=hawser=(\d+)=")
        number = shell.match.group(1)
        done = fleet.upgrade(fleet.release())
        assert done.returncode == 0, done.stdout + done.stderr + agent.log
        assert fleet.running() == fleet.new
        shell.sendline("echo it=$x=$$=; exit 4")
        shell.expect(f"it=kept={number}=")
        shell.wait()
        assert shell.exitstatus == 4
        # Nobody but root may put a program there.
        assert os.stat(slots).st_uid == 0 and not os.stat(slots).st_mode & 0o022
        os.chmod(slots, 0o777)
        agent.process.send_signal(signal.SIGUSR1)
        agent.process.wait(PATIENCE)
        agent.start("--slots", slots, "--release-terms", terms)
        assert fleet.running() == fleet.old
        assert "others than its owner may write" in agent.log
    finally:
        agent.stop()
        machine.remove()
