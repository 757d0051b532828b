"""Output of commands: bytes as they were written, whatever they are, whoever is slow, and however many."""

import hashlib
import json
import os
import re
import subprocess
import threading
import time

import pytest

from support.fleet import Client, Node
from support.relay import BUILD, PATIENCE, wait_until

MIB = 1 << 20
CAP = 20  # MiB, more than any window or queue on the way holds
SIZE = int(os.environ.get("HAWSER_OUTPUT_MB", "96"))
# Under the sanitizers what was freed stays for a while (as short as can be, here), and shadows lie beside it.
SANITIZED = b"__asan_init" in open(os.path.join(BUILD, "hawser-relay"), "rb").read()
MEMORY = 128 if SANITIZED else 64  # MiB that nobody passes


@pytest.fixture(autouse=True)
def what_is_freed_is_free(monkeypatch):
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4:allocator_release_to_os_interval_ms=500")


def numbers_of(count):
    """`seq`'s output from 1 to count, in pieces."""
    for first in range(1, count + 1, 100_000):
        yield "".join(f"{i}\n" for i in range(first, min(first + 100_000, count + 1))).encode()


def count_for(size):
    """How far `seq` counts for at least so many bytes, and how many these are."""
    n, total, digits = 0, 0, 1
    while True:
        whole = 9 * 10 ** (digits - 1)
        if total + whole * (digits + 1) >= size:
            n += -((total - size) // (digits + 1))
            return n, total + -((total - size) // (digits + 1)) * (digits + 1)
        n, total, digits = n + whole, total + whole * (digits + 1), digits + 1


def peak_of(pid):
    """MiB of memory that the process had at once; 0 when it is over."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
            found = re.search(r"VmHWM:\s+(\d+)", f.read())
        return int(found[1]) / 1024 if found else 0
    except OSError:
        return 0


class Memory:
    """The most that each of these processes ever had, and those of an agent that come and go."""

    def __init__(self, relay, agent):
        self.relay, self.agent, self.most, self.over = relay, agent, {}, threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()

    def _look(self):
        while not self.over.wait(0.2):
            for name, pids in (("relay", [self.relay.pid]), ("agent", self.agent.processes())):
                for pid in pids:
                    self.note(name, pid)

    def note(self, name, pid):
        self.most[name] = max(self.most.get(name, 0), peak_of(pid))

    def stop(self):
        self.over.set()
        self.thread.join()
        return self.most


def drain(child, memory):
    """(bytes, SHA-256) of what a client writes."""
    digest, size = hashlib.sha256(), 0
    while piece := child.stdout.read1(MIB):
        digest.update(piece)
        size += len(piece)
        memory.note("client", child.pid)
    return size, digest.hexdigest()


def gather(client, memory, *args):
    child = client.popen(*args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with child.stdout:
        found = drain(child, memory)
    assert child.wait(PATIENCE) == 0
    return found


def allow(agent, mib):
    with open(os.path.join(agent.dir, "node.conf"), "a", encoding="utf-8") as f:
        f.write(f"command_output = {mib * MIB}\n")


# --- much of it -------------------------------------------------------------------------------------------


@pytest.mark.relay(command_output_mib=2 * SIZE)
def test_all_of_it_is_there_and_nobody_holds_it_in_memory(client, relay, agents):
    agent = agents(start=False)
    allow(agent, 2 * SIZE)
    agent.start()
    count, size = count_for(SIZE * MIB)
    digest = hashlib.sha256()
    for piece in numbers_of(count):
        digest.update(piece)
    memory = Memory(relay, agent)
    try:
        begun = time.monotonic()
        # As it comes, and once more afterwards.
        stream = gather(client, memory, "run", "-t", "web-01", "--stream", "-q", "--", f"seq 1 {count} | sed ''; printf end >&2")
        taken = time.monotonic() - begun
        raw = gather(client, memory, "runs", "output", "--raw", "-q", "last")
    finally:
        most = memory.stop()
    assert raw == (size, digest.hexdigest())
    assert stream[0] == size + count * len("web-01: ")
    print(f"{size / MIB:.0f} MiB in {taken:.1f} s, at most MiB: {most}")
    assert set(most) == {"relay", "agent", "client"} and max(most.values()) < MEMORY, most
    wait_until(lambda: agent.commands_kept() == set(), "that the node has nothing of it any more")


@pytest.mark.parametrize("relay_mib, node_mib", [(CAP, 2 * CAP), (2 * CAP, CAP), (1, 1)])
def test_beyond_the_cap_it_is_counted(relays, tmp_path, relay_mib, node_mib):
    """Of both streams together; what was dropped is said to the byte."""
    relay = relays(command_output_mib=relay_mib)
    client = Client(tmp_path / "admin", relay, relay.invite)
    agent = Node(tmp_path, client, "web-01")
    allow(agent, node_mib)
    agent.start()
    kept = min(relay_mib, node_mib) * MIB
    count, size = count_for(kept + kept // 2)
    done = client.run("run", "-t", "web-01", "-o", "json", "--", f"seq 1 {count}; echo not seen; echo dropped >&2", text=False,
                      timeout=4 * PATIENCE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["CommandInvocations"][0]["Outputs"][0]
    beginning = b""
    for piece in numbers_of(count):
        beginning += piece
        if len(beginning) >= kept:
            break
    assert found["StandardOutputContent"].encode() == beginning[:kept]
    text = done.stdout.decode()
    assert str(size - kept + len("not seen\n")) in text and found.get("StandardErrorContent", "") == ""
    shown = client.ok("runs", "output", "-q", "last", timeout=4 * PATIENCE)
    assert re.search(rf"\n\S* ?{size - kept + len('not seen') + 1 + len('dropped') + 1} bytes more were written, and dropped at the "
                     r"relay's limit\n", shown[-2000:]), shown[-300:]
    agent.stop()


# --- of any kind ------------------------------------------------------------------------------------------

KINDS = {
    "nothing": b"",
    "one byte": b"x",
    "no newline at the end": b"a\nb",
    "newlines alone": b"\n" * 1000,
    "a few NULs": b"a\0b\0\0c\n",
    "many NULs": b"\0" * 100_000,
    "invalid UTF-8": b"\xff\xfe\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80 \xe2\x82",
    "a character cut by the short form": b"x" * 23_978 + "€".encode() * 100,
    "escapes of a terminal": b"\x1b]0;title\x07\x1b[2J\x1b[31mred\r\n\x08\x7f",
    "all bytes": bytes(range(256)) * 300,
    "one long line": b"y" * 300_000,
    "just what a row of the store holds": b"z" * 8192,
    "a byte more": b"z" * 8193,
    "a block of a file": b"w" * 16384,
    "random bytes": bytes(x for x in os.urandom(200_000)),
}


def alike(text):
    """How many signs stand for what is no text is left to who shows it."""
    return re.sub("[\0\ufffd]+", "\ufffd", text)


def test_bytes_are_what_was_written(client, agent, tmp_path):
    for kind in KINDS:
        check_bytes(client, tmp_path / kind, kind)


def check_bytes(client, tmp_path, kind):
    tmp_path.mkdir()
    path = tmp_path / "bytes"
    path.write_bytes(KINDS[kind])
    mirrored = KINDS[kind][::-1]
    (tmp_path / "other").write_bytes(mirrored)
    logs = tmp_path / "logs"
    done = client.run("run", "-t", "web-01", "--log-dir", str(logs), "--", f"cat '{path}'; cat '{tmp_path}/other' >&2")
    assert done.returncode == 0, done.stderr
    raw = client.run("runs", "output", "--raw", "-q", "last", text=False)
    assert (raw.returncode, raw.stdout, raw.stderr) == (0, KINDS[kind], mirrored)
    assert sorted(os.listdir(logs / "web-01")) == ["runShellScript.stderr", "runShellScript.stdout"]
    for stream, wanted in (("stdout", KINDS[kind]), ("stderr", mirrored)):
        assert (logs / "web-01" / f"runShellScript.{stream}").read_bytes() == wanted
    command = client.json("runs", "ls")["Commands"][0]["CommandId"]
    node = client.json("ls")["InstanceInformationList"][0]["InstanceId"]
    short = json.loads(client.ok("api", "GetCommandInvocation", f"CommandId={command}", f"InstanceId={node}"))
    if len(KINDS[kind]) < 24000:
        assert alike(short["StandardOutputContent"]) == alike(KINDS[kind].decode(errors="replace"))
    else:
        assert short["StandardOutputContent"].endswith("--output truncated--")
        assert len(short["StandardOutputContent"].encode()) <= 3 * 24000


def test_a_slow_reader_holds_up_nobody(client, agent):
    """Whoever looks on and takes nothing does not stop the command, nor others who look on."""
    child = client.popen("run", "-t", "web-01", "--stream", "-q", "--", "seq 1 2000000", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        first = child.stdout.read(10)
        assert first == b"web-01: 1\n"
        wait_until(lambda: client.json("runs", "ls")["Commands"][0]["Status"] == "Success", "its end")
        assert hashlib.sha256(client.run("runs", "output", "--raw", "-q", "last", text=False).stdout).hexdigest() == \
            hashlib.sha256(b"".join(numbers_of(2_000_000))).hexdigest()
        rest = child.stdout.read()
        assert (first + rest).replace(b"web-01: ", b"") == b"".join(numbers_of(2_000_000))
        assert child.wait(PATIENCE) == 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
