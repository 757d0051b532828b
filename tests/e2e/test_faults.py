"""Things die, stop and rot: what users see, what stays, what comes back."""

import os
import re
import signal
import subprocess

import pexpect
import pytest

from support import audit
from support.relay import PATIENCE, wait_until

# Numbers of this run's own: others may run beside it.
RUN = f".{os.getpid()}"
SO_MANY = 10**9 + os.getpid()


def sessions(client):
    return {s["SessionId"]: s for s in client.json("sessions", "ls")["Sessions"]}


def live_session(client):
    return wait_until(lambda: client.json("sessions", "ls", "--live")["Sessions"], "a session")[0]["SessionId"]


def running(marker):
    return subprocess.run(["pgrep", "-f", f"^{marker}"], stdout=subprocess.PIPE).stdout.split()


def size_of(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


# --- the journal rots ------------------------------------------------------------------------------


@pytest.fixture
def stopped(client, agent, relay):
    """A relay that was killed, with some records in its journal, no head being signed yet over the last; the last
    segment's path."""
    while True:
        assert client.ok("exec", "web-01", "--", "echo before") == "before\n"
        relay.kill9()
        last = audit.journal(relay.dir)[-1]
        if last.type != audit.LEDGER or last.offset >= audit.signed(relay.dir):
            return audit.segments(relay.dir)[-1]
        relay.start()
        agent.wait_online()


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 0x10]))


def goes_on(relay, client, agent, cut):
    relay.start()
    assert re.search(rf"journal\.cut .*offset={cut} ", relay.log)
    agent.wait_online()
    assert client.ok("exec", "web-01", "--", "echo after") == "after\n"
    entries = audit.ledger(relay.dir)
    assert [e["Kind"] for e in entries].count("relay.start") == relay.log.count("relay.ready")
    assert [e["Sequence"] for e in entries] == list(range(len(entries)))


def test_a_torn_tail_is_cut(client, agent, relay, stopped):
    at, n = audit.frames(stopped)[-1]
    os.truncate(stopped, at + n - 5)
    goes_on(relay, client, agent, at)


def test_a_flipped_bit_in_the_last_record_is_cut(client, agent, relay, stopped):
    at, n = audit.frames(stopped)[-1]
    flip(stopped, at + n // 2)
    goes_on(relay, client, agent, at)


@pytest.mark.parametrize("where", ["length", "checksum", "body"])
def test_a_flipped_bit_before_other_records_is_refused_and_located(relay, stopped, where):
    frames = audit.frames(stopped)
    at, n = frames[len(frames) // 2]
    flip(stopped, at + {"length": 0, "checksum": 4, "body": 20}[where])
    before = open(stopped, "rb").read()
    with pytest.raises(AssertionError) as said:
        relay.start()
    assert os.path.basename(stopped) in str(said.value) and re.search(rf"\b{at}\b", str(said.value))
    assert relay.process.wait() == 1
    assert open(stopped, "rb").read() == before, "what is damaged is evidence: it stays as it is"


# --- the relay dies --------------------------------------------------------------------------------


def test_a_killed_relay_has_recorded_all_that_anyone_got(client, agent, relay, tmp_path):
    shown, typed = tmp_path / "shown", tmp_path / "typed"
    count = subprocess.Popen(["seq", "1", "100000000"], stdout=subprocess.PIPE)
    with open(shown, "wb") as f:
        reader = client.popen("shell", "web-01", "--", f"exec seq 1 {SO_MANY}", stdin=subprocess.DEVNULL, stdout=f,
                              stderr=subprocess.PIPE, text=True)
    output = live_session(client)
    writer = client.popen("exec", "web-01", "--", f"exec cat > {typed}", stdin=count.stdout,
                          stderr=subprocess.PIPE, text=True)
    count.stdout.close()
    try:
        wait_until(lambda: size_of(shown) > 200_000 and size_of(typed) > 200_000, "a flow both ways")
        input_ = next(iter(set(s["SessionId"] for s in client.json("sessions", "ls", "--live")["Sessions"]) - {output}))
        relay.kill9()
        assert audit.stream(relay.dir, output, 1).startswith(shown.read_bytes())
        assert audit.stream(relay.dir, input_, 0).startswith(typed.read_bytes())
        relay.start()
        before = size_of(shown), size_of(typed)
        wait_until(lambda: size_of(shown) > before[0] + 200_000 and size_of(typed) > before[1] + 200_000, "the flow going on")
        assert reader.poll() is None and writer.poll() is None
    finally:
        for process in (reader, writer, count):
            process.kill()
            process.wait()
        for process in (reader, writer):
            process.stderr.close()
    lines = shown.read_bytes().split(b"\r\n")[:-1]
    assert lines == [b"%d" % i for i in range(1, len(lines) + 1)]
    lines = typed.read_bytes().split(b"\n")[:-1]
    assert lines == [b"%d" % i for i in range(int(lines[0]), int(lines[0]) + len(lines))]
    for session in (output, input_):
        client.ok("sessions", "kill", session)
    wait_until(lambda: not running(f"seq 1 {SO_MANY}") and not running(f"cat > {typed}"), "the end of both programs")
    for session in (output, input_):
        assert "the relay was started anew" in client.ok("audit", "export", session, "--format", "json")
    entries = audit.ledger(relay.dir)
    assert {e["SessionId"] for e in entries if e["Kind"] == "session.end"} == {output, input_}
    assert client.ok("exec", "web-01", "--", "echo back") == "back\n"


@pytest.mark.relay(resume_seconds=2)
def test_ten_kills_leave_no_gap(client, agent, relay):
    for i in range(10):
        child = client.popen("exec", "web-01", "--", f"echo {i}", stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: child.poll() is not None or b"session" in relay.log.encode()[-4000:], "something to cut")
            relay.kill9()
        finally:
            child.kill()
            child.wait()
        relay.start()
    agent.wait_online()
    assert client.ok("exec", "web-01", "--", "echo whole") == "whole\n"
    def of(kind):
        return sorted(e["SessionId"] for e in audit.ledger(relay.dir) if e["Kind"] == kind)
    wait_until(lambda: of("session.start") == of("session.end"), "the end of those whose user was killed")
    entries = audit.ledger(relay.dir)
    assert [e["Sequence"] for e in entries] == list(range(len(entries)))
    assert [e["Kind"] for e in entries].count("relay.start") == 11


# --- the agent dies --------------------------------------------------------------------------------


def uplink_of(agent):
    for pid in agent.processes():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().split(b"\0")[1:2] == [b"uplink"]:
                    return pid
        except OSError:
            pass
    return None


def test_a_killed_uplink_is_replaced_and_its_shell_goes_on(client, agents):
    agent = agents(start=False)
    agent.start("--grace", "1")
    child = client.spawn("shell", "web-01", "--", f"sleep 5432{RUN} & (setsid sleep 5433{RUN} &) ; exec sleep 5431{RUN}")
    child.expect("recorded")
    wait_until(lambda: len(running(f"sleep 543[123]{RUN}")) == 3, "what the session started")
    uplink = uplink_of(agent)
    os.kill(uplink, signal.SIGKILL)
    wait_until(lambda: (uplink_of(agent) or uplink) != uplink, "another uplink")
    agent.wait_online()
    assert client.ok("exec", "web-01", "--", "echo again") == "again\n"
    assert len(running(f"sleep 543[123]{RUN}")) == 3
    child.send("\r~.")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 255
    try:
        wait_until(lambda: not running(f"sleep 543[12]{RUN}"), "the end of what the session started")
    finally:
        for pid in running(f"sleep 5433{RUN}"):  # in a session of its own: as after a logout of ssh, it stays
            os.kill(int(pid), signal.SIGKILL)
    wait_until(lambda: not os.listdir(os.path.join(agent.dir, "run")), "the end of its holder's socket")


def test_a_killed_monitor_takes_its_uplink_along(client, agent):
    uplink = uplink_of(agent)
    agent.process.kill()
    agent.process.wait()
    wait_until(lambda: not os.path.exists(f"/proc/{uplink}"), "the end of the uplink")
    wait_until(lambda: not agent.online(), "the node away")
    agent.start()
    assert client.ok("exec", "web-01", "--", "echo again") == "again\n"


# --- the client dies, or stops ------------------------------------------------------------------------


@pytest.mark.relay(detached_seconds=1)
def test_a_killed_client_ends_its_shell_and_it_is_told_why(client, agent):
    child = client.spawn("shell", "web-01", "--", f"sleep 6543{RUN} & exec sleep 6544{RUN}")
    child.expect("recorded")
    session = live_session(client)
    wait_until(lambda: len(running(f"sleep 654[34]{RUN}")) == 2, "what the session started")
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: "EndDate" in sessions(client)[session], "the end of the session")
    assert "link was lost" in sessions(client)[session]["Details"]
    wait_until(lambda: not running(f"sleep 654[34]{RUN}"), "the end of what the session started")
    child.close(force=True)


def test_a_stopped_client_stops_nobody(client, agent, tmp_path):
    done = tmp_path / "done"
    child = client.spawn("shell", "web-01", "--", f"echo st''art; seq 1 1000000; touch {done}; exec cat")
    child.expect("start")
    session = live_session(client)
    os.kill(child.pid, signal.SIGSTOP)
    try:
        assert client.ok("exec", "web-01", "--", "echo other") == "other\n"
        wait_until(done.exists, "the shell's going on")
    finally:
        os.kill(child.pid, signal.SIGCONT)
    child.expect("1000000")  # of the screen as it is by now
    child.send("typed\n")
    child.expect("typed")
    child.send("\x04")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    shown = client.run("audit", "export", session, "--format", "raw", text=False).stdout
    assert b"\r\n777777\r\n" in shown and b"\r\n1000000\r\n" in shown
