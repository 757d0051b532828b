"""hawser forward: TCP's semantics through two links, SOCKS, stdio, and what is not let through."""

import contextlib
import hashlib
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import threading

import pytest

from support.forwards import entries, fds, read_all, reset, to, uplinks
from support.relay import PATIENCE, wait_until
from support.standing import agent, agents, client, relay, where  # noqa: F401

SETTINGS = {"resume_seconds": 1}  # a client that a test's end kills has no session for long


@pytest.fixture
def new_entries(relay):
    """The ledger's entries of a kind, of sessions that began with the test or after: those of before may end late."""
    known = {e["SessionId"] for e in entries(relay, "session.start")}
    return lambda kind: [e for e in entries(relay, kind) if e.get("SessionId") not in known]


# --- TCP as it is ---------------------------------------------------------------------------------


def test_bytes_go_both_ways_and_the_line_says_it_is_ready(servers, forwards):
    forward = forwards("-L", to(server := servers()))
    assert forward.said == [f"127.0.0.1:{forward.port} -> 127.0.0.1:{server.port} via web-01    ready"]
    with forward.connect() as conn:
        for word in (b"one", b"two" * 1000):
            conn.sendall(word)
            got = b""
            while len(got) < len(word):
                got += conn.recv(65536)
            assert got == word
        conn.shutdown(socket.SHUT_WR)
        assert read_all(conn) == b""
    assert forward.stop() == (0, "")


def test_the_short_form_reaches_the_node_s_own_port(client, servers, forwards, agent):
    server = servers()
    taken = client.fails("forward", "web-01", str(server.port), code=1)
    assert f"127.0.0.1:{server.port} is in use" in taken
    child = forwards("-L", f"0:localhost:{server.port}")
    with child.connect() as conn:
        conn.sendall(b"x")
        assert conn.recv(1) == b"x"


def test_each_direction_ends_by_itself(servers, forwards):
    def answer_after_the_end(conn):
        data = read_all(conn)
        conn.sendall(b"all %d" % len(data))
        conn.shutdown(socket.SHUT_WR)

    forward = forwards("-L", to(servers(answer_after_the_end)))
    with forward.connect() as conn:
        conn.sendall(b"a" * 300_000)
        conn.shutdown(socket.SHUT_WR)
        assert read_all(conn) == b"all 300000"

    done = threading.Event()
    got = []

    def end_first(conn):
        conn.sendall(b"bye")
        conn.shutdown(socket.SHUT_WR)
        got.append(read_all(conn))
        done.set()

    forward = forwards("-L", to(servers(end_first)))
    with forward.connect() as conn:
        assert read_all(conn) == b"bye"
        conn.sendall(b"b" * 300_000)
        conn.shutdown(socket.SHUT_WR)
        assert done.wait(PATIENCE)
        assert got == [b"b" * 300_000]


def test_a_reset_of_the_far_end_is_a_reset_of_the_near_end(servers, forwards):
    def slam(conn):
        conn.recv(1)
        reset(conn)

    forward = forwards("-L", to(server := servers(slam)))
    with forward.connect() as conn:
        conn.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            conn.recv(1)
    assert f"the connection was reset by 127.0.0.1:{server.port}" in forward.stop()[1]


def test_a_reset_of_the_near_end_is_a_reset_of_the_far_end(servers, forwards):
    server = servers()
    forward = forwards("-L", to(server))
    conn = forward.connect()
    conn.sendall(b"x")
    assert conn.recv(1) == b"x"
    reset(conn)
    wait_until(lambda: server.failures, "the far end's error")
    assert isinstance(server.failures[0], ConnectionResetError)


def test_what_is_refused_is_said_and_the_next_connection_is_none_the_worse(servers, forwards):
    server = servers()
    forward = forwards("-L", to(server))
    server.close()
    with forward.connect() as conn:
        with pytest.raises(ConnectionResetError):
            conn.sendall(b"x")
            assert conn.recv(1)
            conn.recv(1)
    assert f"connection refused by 127.0.0.1:{server.port}" in forward.stop()[1]


def test_a_slow_reader_holds_up_nobody_else(servers, forwards):
    def pour(conn):
        for _ in range(400):
            conn.sendall(b"p" * 65536)

    slow, fast = forwards("-L", to(servers(pour))), forwards("-L", to(servers()))
    with slow.connect() as stuck:
        stuck.recv(1)
        with fast.connect() as conn:
            for _ in range(200):
                conn.sendall(b"ping")
                assert conn.recv(4)
        size = 1
        while data := stuck.recv(1 << 20):
            size += len(data)
        assert size == 400 * 65536


def digest_of(n, seed):
    data = random.Random(seed).randbytes(1 << 20)
    digest = hashlib.sha256()
    for i in range(n):
        digest.update(data)
    return data, digest.hexdigest()


def test_two_hundred_megabytes_each_way_are_the_same_bytes(servers, forwards):
    n = 200
    block, wanted = digest_of(n, 7)

    def both(conn):
        def send():
            for _ in range(n):
                conn.sendall(block)
            conn.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got.append(take(conn))
        sender.join()

    def take(conn):
        digest = hashlib.sha256()
        while data := conn.recv(1 << 20):
            digest.update(data)
        return digest.hexdigest()

    got = []
    forward = forwards("-L", to(servers(both)))
    with forward.connect() as conn:
        back = []
        reader = threading.Thread(target=lambda: back.append(take(conn)))
        reader.start()
        for _ in range(n):
            conn.sendall(block)
        conn.shutdown(socket.SHUT_WR)
        reader.join()
        wait_until(lambda: got, "the far end's digest")
        assert (back, got) == ([wanted], [wanted])


def test_a_hundred_connections_at_once_leave_nothing_behind(client, relay, agent, servers, forwards, new_entries):
    forward = forwards("-L", to(server := servers()))
    with forward.connect() as conn:  # whatever is made once
        conn.sendall(b"x")
        assert conn.recv(1) == b"x"
    pids = [relay.process.pid, forward.child.pid, *uplinks(agent)]
    assert len(pids) == 3
    wait_until(lambda: len(new_entries("connection.end")) == 1, "the end of the first")
    before = [fds(p) for p in pids]
    for _ in range(3):
        conns = [forward.connect() for _ in range(100)]
        for i, conn in enumerate(conns):
            conn.sendall(b"%04d" % i)
        for i, conn in enumerate(conns):
            assert conn.recv(4) == b"%04d" % i
            if i % 3 == 0:
                reset(conn)
            else:
                conn.close()
    assert server.served == 301
    wait_until(lambda: [fds(p) for p in pids] == before, "descriptors as before")
    # Above a hundred in a second share entries, and none is lost.
    def told():
        ends = [json.loads(e["Detail"]) for e in new_entries("connection.end")]
        return sum(d.get("Connections", 1) for d in ends) == 301
    wait_until(told, "the ledger's connections")


# --- the ledger -----------------------------------------------------------------------------------


def test_a_forward_and_its_connection_are_in_the_ledger(client, relay, agent, servers, forwards, new_entries):
    forward = forwards("-L", to(server := servers()))
    with forward.connect() as conn:
        conn.sendall(b"12345")
        assert conn.recv(5) == b"12345"
        conn.shutdown(socket.SHUT_WR)
        assert read_all(conn) == b""
    assert forward.stop()[0] == 0
    (end,) = wait_until(lambda: new_entries("connection.end"), "the entry")
    detail = json.loads(end["Detail"])
    assert end["Outcome"] == "ok" and end["Principal"].endswith("user/admin") and "web-01" not in end["Resource"]
    assert (detail["RemoteHost"], detail["RemotePort"]) == ("localhost", server.port)
    assert detail["RemoteAddress"] == f"127.0.0.1:{server.port}"
    assert (detail["BytesIn"], detail["BytesOut"]) == (5, 5)
    (start,) = new_entries("session.start")
    assert start["Detail"] == f"AWS-StartPortForwardingSession localhost:{server.port}"
    assert start["SessionId"] == end["SessionId"]
    (over,) = wait_until(lambda: new_entries("session.end"), "the session's end")
    assert over["Size"] == 10
    wait_until(lambda: not client.json("sessions", "ls", "--live")["Sessions"], "the end of all")


# --- Unix sockets, SOCKS and stdio ----------------------------------------------------------------


def test_unix_sockets_on_either_side(tmp_path, agent, servers, forwards):
    far, near = str(tmp_path / "far.sock"), str(tmp_path / "near.sock")
    servers(address=far, family=socket.AF_UNIX)
    forward = forwards("-L", f"{near}:unix:{far}")
    assert forward.said == [f"{near} -> unix:{far} via web-01    ready"]
    assert os.stat(near).st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as conn:
        conn.connect(near)
        conn.sendall(b"well")
        conn.shutdown(socket.SHUT_WR)
        assert read_all(conn) == b"well"
    assert forward.stop()[0] == 0
    assert not os.path.exists(near)


def test_the_agent_s_own_sockets_are_out_of_reach(client, agent, forwards, tmp_path):
    status = [os.path.join(agent.dir, n) for n in os.listdir(agent.dir)
              if os.path.exists(os.path.join(agent.dir, n)) and not os.path.isfile(os.path.join(agent.dir, n))
              and not os.path.isdir(os.path.join(agent.dir, n))]
    assert status, "the agent has a socket there"
    link = str(tmp_path / "innocent")
    os.symlink(status[0], link)
    for path in (status[0], link):
        forward = forwards("-L", f"0:unix:{path}")
        with forward.connect() as conn:
            with pytest.raises(ConnectionResetError):
                conn.recv(1)
                conn.recv(1)
        assert "is the agent's own" in forward.stop()[1]


def socks(forward, host, port, command=1, early=b""):
    conn = forward.connect()
    conn.sendall(b"\x05\x01\x00")
    assert conn.recv(2) == b"\x05\x00"
    try:
        address = b"\x01" + socket.inet_aton(host) if re.fullmatch(r"[0-9.]+", host) else None
    except OSError:
        address = None
    if ":" in host:
        address = b"\x04" + socket.inet_pton(socket.AF_INET6, host)
    if address is None:
        address = b"\x03" + bytes([len(host)]) + host.encode()
    conn.sendall(b"\x05" + bytes([command]) + b"\x00" + address + struct.pack(">H", port) + early)
    reply = b""
    while len(reply) < 10 and (data := conn.recv(10 - len(reply))):
        reply += data
    return conn, reply[1] if len(reply) == 10 else None


def test_socks_by_address_and_by_name(servers, forwards):
    forward = forwards("-D", "0")
    server = servers()
    for host in ("127.0.0.1", "localhost", "LOCALHOST.", "::ffff:127.0.0.1"):
        conn, reply = socks(forward, host, server.port, early=b"early")
        with conn:
            assert reply == 0, host
            conn.sendall(b" and late")
            conn.shutdown(socket.SHUT_WR)
            assert read_all(conn) == b"early and late"


def test_socks_says_what_went_wrong(servers, forwards):
    forward = forwards("-D", "0")
    server = servers()
    port = server.port
    server.close()
    cases = [("127.0.0.1", port, 1, 5), ("no-such-name.invalid", 80, 1, 4), ("169.254.169.254", 80, 1, 2),
             ("127.0.0.1", port, 2, 7), ("127.0.0.1", 0, 1, 1), ("a..b", 80, 1, 4)]
    for host, port, command, wanted in cases:
        conn, reply = socks(forward, host, port, command)
        with conn:
            assert reply == wanted, host
            assert conn.recv(1) == b""


@pytest.mark.parametrize("garbage", [
    b"GET / HTTP/1.1\r\n\r\n", b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", b"\x05\x00", b"\x05\x02\x01\x02", b"\x00" * 400,
    b"\x05\x01\x00\x05\x01\x00\x09\x00\x00\x00\x00", random.Random(5).randbytes(600)],
    ids=["http", "socks4", "no methods", "no such method", "zeroes", "no such address", "noise"])
def test_socks_garbage_gets_an_error_or_an_end(forwards, servers, garbage):
    forward = forwards("-D", "0")
    with forward.connect() as conn:
        conn.sendall(garbage)
        with contextlib.suppress(OSError):
            conn.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            assert len(read_all(conn)) <= 12
    conn, reply = socks(forward, "127.0.0.1", servers().port)
    conn.close()
    assert reply == 0


def test_stdio_is_a_pipe_to_the_port(client, agent, servers):
    server = servers()
    data = random.Random(3).randbytes(3_000_000)
    done = client.run("forward", "web-01", "--stdio", f"127.0.0.1:{server.port}", stdin=data, text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    server.close()
    assert "connection refused by" in client.fails("forward", "web-01", "--stdio", f"127.0.0.1:{server.port}", code=1)


# --- what is not let through ----------------------------------------------------------------------


def test_bad_words_are_told_before_anybody_is_asked(client, agent):
    for spec, why in [("80", "HOST:PORT is wanted"), ("80:a:b", "number from 1"), ("x:80:h:1", "address"),
                      ("70000:h:1", "0 to 65535"), ("80:h:0", "number from 1"), ("80:::1:80", "brackets"),
                      ("80:256.1.1.1:80", "ends as an address"), (f"80:unix:{'x' * 5}", "absolute path")]:
        assert why in client.fails("forward", "web-01", "-L", spec, code=2), spec
    assert "forward what" in client.fails("forward", "web-01", code=2)
    assert "stands alone" in client.fails("forward", "web-01", "-D", "0", "--stdio", "h:1", code=2)


def add_user(client, tmp_path, name, statements):
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    who = client.add_user(tmp_path, name)
    client.ok("policy", "put", name, str(path))
    client.ok("policy", "attach", name, "--user", name)
    return who


ALLOW = {"Effect": "Allow", "Action": "ssm:*", "Resource": "*"}


def test_a_policy_names_destinations(client, tmp_path, agent, servers, forwards, new_entries):
    good, bad = servers(), servers()
    ann = add_user(client, tmp_path, "ann", [
        {"Effect": "Allow", "Action": ["ssm:Describe*", "ssm:ListTags*"], "Resource": "*"},
        {"Effect": "Allow", "Action": "ssm:StartSession", "Resource": "*", "Condition": {
            "StringEqualsIfExists": {"hawser:RemoteHost": "localhost"},
            "NumericEqualsIfExists": {"hawser:RemotePort": good.port}}}])
    assert "may not ssm:StartSession" in ann.fails("forward", "web-01", "-L", to(bad), code=1)
    forward = forwards("-L", to(good), who=ann)
    with forward.connect() as conn:
        conn.sendall(b"x")
        assert conn.recv(1) == b"x"
    forward = forwards("-D", "0", who=ann)
    for server, wanted in ((good, 0), (bad, 2)):
        conn, reply = socks(forward, "127.0.0.1", server.port)
        conn.close()
        assert reply == wanted
    assert "ann may not reach 127.0.0.1" in forward.stop()[1]
    (denied,) = [e for e in new_entries("connection.end") if e["Outcome"] == "denied"]
    assert json.loads(denied["Detail"])["RemotePort"] == bad.port


def test_the_node_itself_is_another_permission_than_what_is_behind_it(client, tmp_path, agent, servers, forwards):
    server = servers()
    bob = add_user(client, tmp_path, "bob", [ALLOW, {
        "Effect": "Deny", "Action": "ssm:StartSession", "Resource": "arn:aws:ssm:*:*:document/AWS-StartPortForwardingSession"}])
    for host in ("localhost", "127.0.0.1", "127.1", "[::1]", "0x7f.1", "[::ffff:127.0.0.1]", "127.99.1.2"):
        assert "may not" in bob.fails("forward", "web-01", "-L", f"0:{host}:{server.port}", code=1), host
    own = socket.gethostname()
    forward = forwards("-D", "0", who=bob)
    for host in ("127.0.0.1", "localhost", own):
        conn, reply = socks(forward, host, server.port)
        conn.close()
        assert reply in (2, 4), host
    assert server.served == 0


def test_guarded_addresses_need_their_name_in_a_policy(client, tmp_path, agent, forwards):
    for host in ("169.254.169.254", "0xa9fea9fe", "[::ffff:a9fe:a9fe]", "0.0.0.0", "224.0.0.1", "[fe80::1]"):
        assert "may not" in client.fails("forward", "web-01", "-L", f"0:{host}:80", code=1), host
    eve = add_user(client, tmp_path, "eve", [ALLOW, dict(ALLOW, Condition={
        "StringEquals": {"hawser:RemoteHost": "169.254.169.254"}})])
    forwards("-L", "0:169.254.169.254:80", who=eve)
    assert "may not" in eve.fails("forward", "web-01", "-L", "0:169.254.169.253:80", code=1)


def test_a_permission_that_is_taken_away_ends_the_forward(client, tmp_path, agent, servers, forwards):
    server = servers()
    carl = add_user(client, tmp_path, "carl", [ALLOW])
    forward = forwards("-L", to(server), who=carl)
    with forward.connect() as conn:
        conn.sendall(b"x")
        assert conn.recv(1) == b"x"
        client.ok("policy", "detach", "carl", "--user", "carl")
        with pytest.raises(ConnectionResetError):
            while conn.recv(1):
                pass
    code, err = forward.ended()
    assert code == 1 and "carl may not ssm:StartSession" in err, err


# --- who is killed --------------------------------------------------------------------------------


def test_a_client_that_is_killed_resets_both_ends(client, relay, agent, servers, forwards):
    server = servers()
    forward = forwards("-L", to(server))
    conn = forward.connect()
    conn.sendall(b"x")
    assert conn.recv(1) == b"x"
    forward.child.kill()
    wait_until(lambda: server.failures, "the far end's error")
    assert isinstance(server.failures[0], ConnectionResetError)
    with pytest.raises(ConnectionResetError):
        conn.recv(1)
    conn.close()
    wait_until(lambda: not client.json("sessions", "ls", "--live")["Sessions"], "the session's end")


def test_a_node_that_is_killed_ends_the_forward_with_the_reason(relay, agent, servers, forwards, new_entries):
    forward = forwards("-L", to(server := servers()))
    with forward.connect() as conn:
        conn.sendall(b"x")
        assert conn.recv(1) == b"x"
        for pid in uplinks(agent):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ConnectionResetError):
            while conn.recv(1):
                pass
    wait_until(lambda: server.failures, "the far end's error")
    assert isinstance(server.failures[0], ConnectionResetError)
    code, err = forward.child.wait(PATIENCE), forward.child.stderr.read()
    assert code == 1 and "its agent was started anew" in err, err
    (end,) = wait_until(lambda: new_entries("connection.end"), "the entry")
    assert end["Outcome"] == "failed" and "its agent was started anew" in end["Reason"]


def test_a_session_that_is_killed_ends_its_forward(client, agent, servers, forwards):
    wait_until(lambda: not client.json("sessions", "ls", "--live")["Sessions"], "the end of others")
    forward = forwards("-L", to(servers()))
    (session,) = client.json("sessions", "ls", "--live")["Sessions"]
    client.ok("sessions", "kill", session["SessionId"])
    assert forward.child.wait(PATIENCE) == 1
    assert "ended" in forward.child.stderr.read()


def test_the_machine_s_own_policy_holds_for_forwards(client, tmp_path, agents, servers):
    path = tmp_path / "node.policy"
    path.write_text("deny document AWS-StartPortForwardingSession\nallow user nobody-here\n")
    agents("web-02", start=False).start("--policy", str(path))
    server = servers()
    said = client.fails("forward", "web-02", "-L", to(server), code=1)
    assert "this machine does not allow the document AWS-StartPortForwardingSession" in said
    path.write_text("allow document AWS-StartPortForwardingSession\n")
    done = client.run("forward", "web-02", "--stdio", f"127.0.0.1:{server.port}", stdin="well")
    assert done.stdout == "well", done.stderr


# --- in the background ----------------------------------------------------------------------------


def test_a_forward_in_the_background_is_listed_and_ended(client, agent, servers):
    server = servers()
    assert "no forward runs" in client.run("forwards", "ls").stderr
    done = client.run("forward", "web-01", "-L", to(server), "-f")
    assert done.returncode == 0, done.stderr
    port = int(re.match(r"127\.0\.0\.1:(\d+) -> ", done.stdout)[1])
    (one,) = client.json("forwards", "ls")["Forwards"]
    pid = one["Pid"]
    try:
        assert one["Forwards"] == [f"127.0.0.1:{port} -> 127.0.0.1:{server.port}"] and one["TargetName"] == "web-01"
        (name,) = os.listdir(os.path.join(client.home, "forwards"))
        assert os.stat(os.path.join(client.home, "forwards", name)).st_mode & 0o777 == 0o600
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as conn:
            conn.sendall(b"x")
            assert conn.recv(1) == b"x"
        assert "no forward in the background" in client.fails("forwards", "kill", "1", code=1)
        assert "kill which" in client.fails("forwards", "kill", code=2)
    finally:
        client.ok("forwards", "kill", str(pid))
    assert client.json("forwards", "ls")["Forwards"] == []
    assert os.listdir(os.path.join(client.home, "forwards")) == []
    wait_until(lambda: not client.json("sessions", "ls", "--live")["Sessions"], "the session's end")


def test_a_file_of_another_process_signals_nobody(client, agent):
    folder = os.path.join(client.home, "forwards")
    os.makedirs(folder, 0o700, exist_ok=True)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        path = os.path.join(folder, f"{bystander.pid}.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"Pid": bystander.pid, "Ticks": 1, "TargetName": "web-01"}, f)
        with open(os.path.join(folder, "7.json"), "w", encoding="utf-8") as f:
            f.write("garbage")
        client.ok("forwards", "kill", "--all")
        assert bystander.poll() is None
        assert os.listdir(folder) == []
    finally:
        bystander.kill()
        bystander.wait()
