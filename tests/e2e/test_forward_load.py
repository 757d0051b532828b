"""Forwards under load: crowds of connections that come and go, readers that hardly read, peers that take what they can get."""

import asyncio
import contextlib
import json
import os
import random
import resource
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

import pytest

from support import wire
from support.forwards import entries, fds, to, to_port, uplinks
from support.relay import PATIENCE, free_port, wait_until

CHURN_SECONDS = float(os.environ.get("HAWSER_CHURN_SECONDS", "6"))
SLOW_READERS = int(os.environ.get("HAWSER_SLOW_READERS", "40"))
CROWD = 500
MB = 1 << 20
FIRST, GROWN = MB // 4, 64 * MB  # windows: of each, and what those of a link take beyond it together


@pytest.fixture(autouse=True)
def no_quarantine(monkeypatch):
    """What sanitizers keep of memory that was freed is not what is measured here."""
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=0:thread_local_quarantine_size_kb=0")


class Programs:
    """What relay, node and client have of the machine."""

    def __init__(self, relay, agent, forward):
        self.pids = {"relay": relay.process.pid, "node": uplinks(agent)[0], "client": forward.child.pid}

    def fds(self):
        return {name: fds(pid) for name, pid in self.pids.items()}

    @staticmethod
    def rss(pid):
        with open(f"/proc/{pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def memory(self):
        return {name: self.rss(pid) for name, pid in self.pids.items()}


# --- churn ----------------------------------------------------------------------------------------


class Echo:
    """A server that gives back what it gets, and knows whom it still serves."""

    def __init__(self):
        self.serving = set()

    async def serve(self, reader, writer):
        self.serving.add(asyncio.current_task())
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
        self.serving.discard(asyncio.current_task())

    async def served(self):
        """Waits for the last of them. A loop that ended before would leave sockets open behind it."""
        if self.serving:
            await asyncio.wait_for(asyncio.gather(*self.serving), PATIENCE)


async def one_life(port, rng):
    """A connection that is used, and then ends in one of the ways in which connections end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = rng.randbytes(rng.choice((1, 100, 1000, 20_000)))
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    how = rng.randrange(3)
    if how == 0:
        writer.write_eof()
        assert await reader.read() == b""
    elif how == 1:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
    return len(data)


class Churn:
    """A crowd of connections; each that ends makes room for the next."""

    def __init__(self):
        self.connections = self.bytes = 0

    async def keep_one(self, port, until, seed):
        rng = random.Random(seed)
        while time.monotonic() < until:
            n = await one_life(port, rng)
            self.bytes += n
            self.connections += 1

    async def run(self, port, seconds):
        until = time.monotonic() + seconds
        await asyncio.gather(*(self.keep_one(port, until, i) for i in range(CROWD)))


async def churned(listener_port, forward_port, seconds, churn):
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", listener_port, backlog=CROWD)
    async with server:
        await churn.run(forward_port, seconds)
        await echo.served()


def test_a_churning_crowd_leaves_nothing_behind(client, relay, agent, forwards):
    port = free_port()
    forward = forwards("-L", to_port(port))
    programs, churn = Programs(relay, agent, forward), Churn()
    calm = programs.fds()

    def told():
        ends = [json.loads(e["Detail"]).get("Connections", 1) for e in entries(relay, "connection.end")]
        return sum(ends) == churn.connections and len(ends)

    def churn_for(seconds):
        asyncio.run(churned(port, forward.port, seconds, churn))
        wait_until(lambda: programs.fds() == calm, "descriptors as before")

    churn_for(max(2.0, CHURN_SECONDS / 4))  # until all has been as large as it gets
    warm, begun = programs.memory(), time.monotonic()
    churn_for(CHURN_SECONDS)
    grown = {name: now - warm[name] for name, now in programs.memory().items()}
    print(f"{churn.connections} connections, {churn.bytes / MB:.0f} MB each way; grown by",
          {name: f"{n / MB:.1f} of {warm[name] / MB:.0f} MB" for name, n in grown.items()})
    assert churn.connections > CROWD
    assert all(n < 8 * MB for n in grown.values()), grown
    # Above a hundred ends in a second share an entry, and none is lost.
    written = wait_until(told, "the ledger's connections")
    assert written <= 101 * (time.monotonic() - begun + CHURN_SECONDS + 4)
    metrics = relay.metrics()
    assert metrics["hawser_sessions"] == 1
    assert forward.stop()[0] == 0


@contextlib.contextmanager
def few_descriptors(n):
    """For what is started meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_a_login_gives_of_descriptors_is_no_limit_of_connections(agents, servers, forwards_of):
    with few_descriptors(128):
        agents()
        forward = forwards_of("-L", to(server := servers()))
    conns = [forward.connect() for _ in range(300)]
    for conn in conns:
        round_trip(conn)
    assert server.served == 300
    for conn in conns:
        conn.close()
    assert forward.stop() == (0, "")


# --- slow readers ---------------------------------------------------------------------------------


# A program of its own, so that it takes no turns from the readers here.
POUR = """
import asyncio, contextlib, sys

async def pour(reader, writer):
    block = bytes(65536)
    with contextlib.suppress(OSError):
        while True:
            writer.write(block)
            await writer.drain()
    writer.transport.abort()

async def main():
    server = await asyncio.start_server(pour, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@pytest.fixture
def source():
    """The port of a server that sends as long as somebody takes it."""
    child = subprocess.Popen([sys.executable, "-c", POUR], stdout=subprocess.PIPE, text=True)
    yield int(child.stdout.readline())
    child.kill()
    child.communicate()


class SlowReaders:
    """They take a byte a second."""

    def __init__(self, connect, n):
        self.conns = [connect() for _ in range(n)]
        self.read, self.failure, self.over = 0, None, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.over.wait(1):
                self.read += sum(len(conn.recv(1)) for conn in self.conns)
        except OSError as e:
            self.failure = e

    def stop(self):
        self.over.set()
        self.thread.join()
        for conn in self.conns:
            conn.close()


def seconds_of(conn, n):
    """How long so many bytes take."""
    begun = time.monotonic()
    left = n
    while left > 0:
        left -= len(conn.recv(min(left, MB)))
    return time.monotonic() - begun


def round_trip(conn):
    begun = time.monotonic()
    conn.sendall(b"x")
    assert conn.recv(1) == b"x"
    return time.monotonic() - begun


def how_fast(bulk, echo):
    """Seconds of 32 MB, and the median of a byte's way there and back: the best of three."""
    with bulk() as a, echo() as b:
        size = min(seconds_of(a, 32 * MB) for _ in range(3))
    with echo() as b:
        trip = min(statistics.median(round_trip(b) for _ in range(50)) for _ in range(3))
    return size, trip


def test_readers_of_a_byte_a_second_slow_nobody_down(client, relay, agent, source, servers, forwards):
    forward = forwards("-L", to_port(source), "-L", to(servers()))
    programs = Programs(relay, agent, forward)

    def measure():
        return how_fast(forward.connect, lambda: forward.connect(forward.ports[1]))

    alone, before = measure(), programs.memory()
    slow = SlowReaders(forward.connect, SLOW_READERS)
    try:
        wait_until(lambda: slow.failure or slow.read >= SLOW_READERS, "each slow reader's first byte")
        assert slow.failure is None, forward.stop()
        beside, grown = measure(), {name: n - before[name] for name, n in programs.memory().items()}
    finally:
        slow.stop()
    print(f"32 MB in {alone[0]:.2f} s alone, {beside[0]:.2f} s beside {SLOW_READERS}; a byte and back in {alone[1] * 1e3:.2f} and "
          f"{beside[1] * 1e3:.2f} ms; grown by", {name: f"{n / MB:.1f} MB" for name, n in grown.items()})
    # Who waits for a slow one waits for ever; all else is what else this machine does.
    assert beside[0] < 5 * alone[0] + 1 and beside[1] < 10 * alone[1] + 0.02, (alone, beside)
    # What was sent and is not read is held twice: by the client, and by the node that would send it again. Of
    # each that is its first window; all of the link's share what theirs have grown by while they were read.
    held = (SLOW_READERS * FIRST + GROWN) * 1.25 + 16 * MB
    assert grown["client"] < held and grown["node"] < held, grown
    assert grown["relay"] < 40 * MB, grown  # the queue of one link, and what is on its way to it
    assert forward.stop()[0] == 0


# --- peers that take what they can get ------------------------------------------------------------

WINDOW = 16 * MB  # the most that OPEN and ACCEPT may grant
BOUNDLESS = 1 << 62  # the most that CREDIT may
MANY = 60  # connections: without a bound they would hold a gigabyte


class RawUser:
    """A user's link by hand, with a forward to a port of the node."""

    def __init__(self, client, relay, target, port):
        invite = client.json("user", "add", "raw", "--admin")["Invite"]
        self.link = relay.link(relay.login(invite, "raw"))
        started = self.link.request("StartSession", Target=target, DocumentName="AWS-StartPortForwardingSession",
                                    Parameters={"portNumber": [str(port)]})
        self.session = started["SessionId"]
        self.link.send_frame([wire.OPEN, 1, {"Type": "forward", "SessionId": self.session, "TokenValue": started["TokenValue"]}])
        assert self.link.frame_of(wire.ACCEPT)[1] == 1

    def open(self, channel, window=WINDOW):
        self.link.send_frame([wire.OPEN, channel, {"Type": "connection", "SessionId": self.session, "Window": window}])

    def credit(self, channel, limit, consumed=0, stream=1):
        self.link.send_frame([wire.CREDIT, channel, stream, consumed, limit, 0])


def node_id(client):
    return client.json("ls", "web-01")["InstanceInformationList"][0]["InstanceId"]


def settled(memory, seconds=PATIENCE):
    """What they have once they take no more."""
    end, before = time.monotonic() + seconds, memory()
    while time.monotonic() < end:
        time.sleep(1)
        now = memory()
        if all(abs(now[name] - before[name]) < MB for name in now):
            return now
        before = now
    raise AssertionError(f"they still grow: {before}")


def wait_a_second(relay):
    """For a side that is lost."""
    relay.stop()
    relay.set(resume_seconds=1)
    relay.start()


def test_a_user_who_grants_all_and_reads_nothing_costs_a_bounded_amount(client, relay, agent, source, servers, forwards):
    wait_a_second(relay)
    agent.wait_online()
    other = forwards("-L", to(servers()))
    programs, raw = Programs(relay, agent, other), RawUser(client, relay, node_id(client), source)
    before = programs.memory()
    for channel in range(2, 2 + MANY):
        raw.open(channel)
    for _ in range(MANY):
        assert raw.link.frame_of(wire.ACCEPT)
    for channel in range(2, 2 + MANY):
        raw.credit(channel, BOUNDLESS)
    grown = {name: n - before[name] for name, n in settled(programs.memory).items()}
    print("grown by", {name: f"{n / MB:.1f} MB" for name, n in grown.items()})
    # A first window of each, whatever they grant, and the queue of one link. The node would send it again.
    held = MANY * FIRST * 1.25 + 32 * MB
    assert grown["relay"] < held and grown["node"] < held, grown
    with other.connect() as conn:  # and nobody else is the worse for it
        assert statistics.median(round_trip(conn) for _ in range(50)) < 0.1
    raw.link.close()
    wait_until(lambda: relay.metrics()["hawser_sessions"] == 1, "the end of its forward")
    assert other.stop() == (0, "")


@pytest.mark.parametrize("how, why", [
    (dict(limit=1 << 63), "within 2^62"), (dict(limit=0), "goes back"), (dict(limit=BOUNDLESS, consumed=1 << 40), "only"),
    (dict(limit=MB, stream=3), "no stream")], ids=["2^63", "a limit that goes back", "what was never sent", "no such stream"])
def test_credit_that_cannot_be_ends_its_link_and_no_other(client, relay, agent, servers, forwards, how, why):
    other, server = forwards("-L", to(servers())), servers()
    raw = RawUser(client, relay, node_id(client), server.port)
    raw.open(2)
    assert raw.link.frame_of(wire.ACCEPT)[1] == 2
    wait_until(lambda: server.served == 1, "the connection")
    raw.credit(2, **how)
    close = raw.link.frame_of(wire.CHANNEL_CLOSE)
    assert close[1] == 0 and close[2]["Code"] == "ProtocolError" and why in close[2]["Message"], close
    assert raw.link.closed() is not None
    wait_until(lambda: server.failures, "the far end's error")
    assert isinstance(server.failures[0], ConnectionResetError)
    with other.connect() as conn:
        round_trip(conn)


def test_a_node_that_grants_all_and_reads_nothing_costs_a_bounded_amount(client, relay, forwards_of):
    wait_a_second(relay)
    made = client.json("activation", "create", "--limit", "1")
    node = relay.link(relay.join(made, "web-01"), "node")
    serving = threading.Thread(target=grant_all, args=(node,))
    serving.start()
    forward = forwards_of("-L", "0:127.0.0.1:5432")
    before = {"relay": Programs.rss(relay.process.pid), "client": Programs.rss(forward.child.pid)}
    conns, block = [forward.connect() for _ in range(MANY)], bytes(MB)
    for conn in conns:
        conn.setblocking(False)
    serving.join()

    def memory():
        for conn in conns:
            with contextlib.suppress(BlockingIOError):
                while True:
                    conn.send(block)
        return {"relay": Programs.rss(relay.process.pid), "client": Programs.rss(forward.child.pid)}

    grown = {name: n - before[name] for name, n in settled(memory).items()}
    print("grown by", {name: f"{n / MB:.1f} MB" for name, n in grown.items()})
    held = MANY * FIRST * 1.25 + 32 * MB
    assert grown["relay"] < held and grown["client"] < held, grown
    node.close()
    for conn in conns:
        conn.settimeout(PATIENCE)
        with pytest.raises(ConnectionResetError):
            conn.recv(1)
        conn.close()
    code, err = forward.ended()
    assert code == 1 and "the node's link was lost" in err


def grant_all(node):
    """A node's answers: the forward, and MANY connections."""
    for _ in range(1 + MANY):
        _, channel, opened = node.frame_of(wire.OPEN)
        node.send_frame([wire.ACCEPT, channel, {"Window": 0 if opened["Type"] == "forward" else WINDOW, "SessionId": opened["SessionId"]}])
        if opened["Type"] == "connection":
            node.send_frame([wire.CREDIT, channel, 0, 0, BOUNDLESS, 0])
