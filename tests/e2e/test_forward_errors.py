"""What a person reads when a forward, or a connection of one, comes to nothing."""

import contextlib
import os
import re
import socket
import struct
import subprocess
import threading
import time

import pytest

from support.forwards import read_all, to, to_port
from support.relay import PATIENCE, free_port


def talk(forward, data):
    """All that SOCKS answers to these bytes; a program that stops there has its say."""
    with forward.connect() as conn:
        conn.sendall(data)
        with contextlib.suppress(ConnectionResetError):
            return read_all(conn)


# --- the local end --------------------------------------------------------------------------------


def test_a_file_that_is_no_socket_is_left_alone(client, agent, tmp_path):
    precious = tmp_path / "notes"
    precious.write_text("not to be lost")
    said = client.fails("forward", "web-01", "-L", f"{precious}:db:5432", code=1)
    assert f"{precious} is there already, and is no socket" in said
    assert precious.read_text() == "not to be lost"
    link = tmp_path / "link"
    link.symlink_to(precious)
    client.fails("forward", "web-01", "-L", f"{link}:db:5432", code=1)
    assert link.is_symlink() and precious.read_text() == "not to be lost"


def test_a_socket_that_somebody_listens_on_is_theirs_and_one_that_was_left_is_replaced(client, agent, tmp_path, servers, forwards):
    path = str(tmp_path / "x.sock")
    listener = servers(address=path, family=socket.AF_UNIX)
    assert f"{path} is in use" in client.fails("forward", "web-01", "-L", f"{path}:db:5432", code=1)
    listener.close()
    assert os.path.exists(path)
    forward = forwards("-L", f"{path}:127.0.0.1:{servers().port}")
    with socket.socket(socket.AF_UNIX) as conn:
        conn.connect(path)
        conn.sendall(b"x")
        assert conn.recv(1) == b"x"
    assert forward.stop() == (0, "")


def test_an_address_or_folder_that_this_machine_does_not_have(client, agent, tmp_path):
    assert "cannot listen on 192.0.2.1:" in client.fails("forward", "web-01", "-L", "192.0.2.1:0:db:1", code=1)
    assert "No such file" in client.fails("forward", "web-01", "-L", f"{tmp_path}/none/x:db:1", code=1)


def test_one_port_twice_in_a_command(client, agent):
    port = free_port()
    said = client.fails("forward", "web-01", "-L", f"{port}:a:1", "-L", f"{port}:b:1", code=1)
    assert f"127.0.0.1:{port} is in use" in said


# --- the node -------------------------------------------------------------------------------------


def test_a_node_that_is_not_there(client, agents):
    node = agents(start=False)
    assert "is not connected" in (said := client.fails("forward", "web-01", "-L", "0:localhost:1", code=1)), said
    assert "no node" in (said := client.fails("forward", "nowhere", "-L", "0:localhost:1", code=1)), said
    node.start()


# --- the far end ----------------------------------------------------------------------------------


@pytest.fixture
def hole():
    """A port that answers nobody: its queue is full, so that what knocks is dropped without a word."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    for _ in range(4):
        waiting.append(socket.socket())
        waiting[-1].setblocking(False)
        waiting[-1].connect_ex(listener.getsockname())
    yield listener.getsockname()[1]
    for conn in [*waiting, listener]:
        conn.close()


def test_what_never_answers_is_given_up(client, agent, servers, forwards, hole):
    """All at the same time, as all of it is waiting."""
    plain, socks = forwards("-L", to_port(hole)), forwards("-D", "0")
    begun = time.monotonic()
    stdio = client.popen("forward", "web-01", "--stdio", f"127.0.0.1:{hole}", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    with plain.connect() as near, socks.connect() as asking, socks.connect() as slow, socks.connect() as silent:
        near.sendall(b"hello")
        asking.sendall(b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01" + struct.pack(">H", hole))
        slow.sendall(b"\x05\x01\x00\x05\x01\x00\x03\xff")
        dripping, refused = threading.Event(), []

        def drip():
            try:
                while not dripping.wait(0.2):
                    slow.sendall(b"a")
            except OSError as e:
                refused.append(e)

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(ConnectionResetError):
            near.recv(1)
        answer = read_all(asking)
        assert answer[:2] == b"\x05\x00" and answer[2:4] == b"\x05\x06", answer
        try:
            assert read_all(slow) == b""
        except ConnectionResetError as e:
            refused.append(e)
        with pytest.raises(ConnectionResetError):
            silent.recv(1)
        dripping.set()
        thread.join()
        # One of the two that use that socket at the same time is told of its reset, the other of its end.
        assert any(isinstance(e, ConnectionResetError) for e in refused), refused
        said = stdio.communicate(timeout=PATIENCE)[1]
        assert stdio.returncode == 1 and f"the connection to 127.0.0.1:{hole} timed out" in said
    assert 9 < time.monotonic() - begun < 60  # ten seconds each; the system's own are minutes
    assert f"127.0.0.1:{plain.port}: the connection to 127.0.0.1:{hole} timed out" in plain.stop()[1]
    said = socks.stop()[1]
    assert "did not ask for anything in time" in said and f"the connection to 127.0.0.1:{hole} timed out" in said, said


def test_a_name_that_is_none_is_told_as_the_node_found_it(client, agent, forwards):
    said = client.fails("forward", "web-01", "--stdio", "no-such-name.invalid:1", code=1)
    assert "no-such-name.invalid does not resolve on this node: " in said
    forward = forwards("-L", "0:no-such-name.invalid:1")
    with forward.connect() as conn, pytest.raises(ConnectionResetError):
        conn.recv(1)
    assert "no-such-name.invalid does not resolve on this node: " in forward.stop()[1]


# --- SOCKS ----------------------------------------------------------------------------------------

CONNECT = b"\x05\x01\x00"
V4 = b"\x01\x7f\x00\x00\x01\x00\x50"
NO = b"\x00\x01" + bytes(6)


NOT_SERVED = [
    (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n" * 20, b"", "does not speak SOCKS5"),
    (b"CONNECT a:443 HTTP/1.1\r\n\r\n", b"", "does not speak SOCKS5"),
    (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", b"", "does not speak SOCKS5"),
    (b"\x05\x00", b"\x05\xff", "wants to authenticate itself"),
    (b"\x05\xff" + bytes(range(1, 256)), b"\x05\xff", "wants to authenticate itself"),
    (CONNECT + b"\x05\x02\x00" + V4, b"\x05\x00\x05\x07" + NO, "only CONNECT is served"),
    (CONNECT + b"\x05\x03\x00" + V4, b"\x05\x00\x05\x07" + NO, "only CONNECT is served"),
    (CONNECT + b"\x05\x01\x00\x02" + V4[1:], b"\x05\x00\x05\x08" + NO, "no kind of address"),
    (CONNECT + b"\x05\x01\x00\x03\x00\x00\x50", b"\x05\x00\x05\x04" + NO, "a name that is none"),
    (CONNECT + b"\x05\x01\x00\x03\x03a\x00b\x00\x50", b"\x05\x00\x05\x04" + NO, "a name that is none"),
    (CONNECT + b"\x05\x01\x00\x03\x10unix:/run/x.sock\x00\x50", b"\x05\x00\x05\x04" + NO, "reaches no Unix sockets"),
    (CONNECT + b"\x05\x01\x00" + V4[:-2] + b"\x00\x00", b"\x05\x00\x05\x01" + NO, "port 0"),
    (CONNECT + b"\x04\x01\x00" + V4, b"\x05\x00\x05\x01" + NO, "no request of SOCKS5"),
]


def test_socks_that_is_not_served_is_told_on_both_sides(forwards):
    for data, answer, why in NOT_SERVED:
        forward = forwards("-D", "0")
        assert talk(forward, data) in (answer, answer or None), data
        said = forward.stop()[1]
        assert why in said and said.startswith(f"hawser: 127.0.0.1:{forward.port}: "), (data, said)


def test_a_greeting_of_255_methods_is_one_like_others(servers, forwards):
    forward, server = forwards("-D", "0"), servers()
    with forward.connect() as conn:
        conn.sendall(b"\x05\xff" + bytes(range(255, 0, -1))[:-1] + b"\x00")
        assert conn.recv(2) == b"\x05\x00"
        conn.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + struct.pack(">H", server.port) + b"early" * 50_000)
        conn.shutdown(socket.SHUT_WR)
        assert read_all(conn)[10:] == b"early" * 50_000


def test_socks_that_stops_in_the_middle_ends(forwards):
    forward = forwards("-D", "0")
    for n in (0, 1, 2, 3, 5, 8, 12):
        with forward.connect() as conn:
            conn.sendall((CONNECT + CONNECT + V4)[:n])
            conn.shutdown(socket.SHUT_WR)
            assert read_all(conn) == (b"\x05\x00" if n >= 3 else b"")
    assert forward.stop() == (0, "")


def test_no_failure_goes_untold_and_a_hundred_are_few_words(servers, forwards):
    server = servers()
    forward = forwards("-L", to(server))
    server.close()
    for _ in range(100):
        forward.connect().close()
    said = []
    while (n := sum(1 + int((re.search(r"and (\d+) more", line) or [0, 0])[1]) for line in said)) < 100:
        said.append(forward.child.stderr.readline())
        assert "connection refused by" in said[-1], said
    assert n == 100 and len(said) < 50, said
    assert forward.stop() == (0, "")


def test_failures_of_different_kinds_at_the_same_time_are_all_told(forwards):
    forward = forwards("-D", "0")
    talk(forward, b"GET / HTTP/1.1\r\n\r\n")
    talk(forward, CONNECT + b"\x05\x02\x00" + V4)
    talk(forward, CONNECT + b"\x05\x01\x00" + V4[:-2] + b"\x00\x00")
    said = [forward.child.stderr.readline() for _ in range(3)]
    assert [why in line for why, line in zip(("SOCKS5", "CONNECT", "port 0"), said)] == [True] * 3, said
