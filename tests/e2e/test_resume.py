"""Both lines of a session are cut while much goes through it, both ways: all of it arrives, once."""

import os
import re
import socket
import subprocess
import threading
import types

import pytest

from support.fleet import Client, Node
from support.line import Line
from support.relay import PATIENCE, wait_until

SIZE = 4 << 20
PIECE = 256 << 10


@pytest.fixture
def lines(relay):
    made = [Line(relay.port), Line(relay.port)]
    yield made
    for line in made:
        line.close()


@pytest.fixture
def far(tmp_path, relay, lines):
    """A user and a node, each with a line of its own to the relay."""
    urls = [types.SimpleNamespace(url=relay.url.replace(f":{relay.port}", f":{line.port}")) for line in lines]
    user = Client(tmp_path / "far", urls[0], relay.invite)
    via = types.SimpleNamespace(json=user.json, ok=user.ok, relay=urls[1])
    node = Node(tmp_path, via, "web-01").start()
    yield user
    node.stop()


def pour(write, data, lines):
    """Writes it in pieces; whenever some have gone, one of the lines is cut, or both."""
    for i, at in enumerate(range(0, len(data), PIECE)):
        write(data[at:at + PIECE])
        if i % 4 == 3:
            hit = [lines[:1], lines[1:], lines][i // 4 % 3]
            for line in hit:
                line.cut()
            for line in hit:
                line.mend()


def read_all(conn, into):
    while data := conn.recv(65536):
        into += data


def test_a_forward_s_bytes_arrive_whole_both_ways(far, lines):
    there, back = os.urandom(SIZE), os.urandom(SIZE)
    came = [bytearray(), bytearray()]
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        conn, _ = server.accept()
        with conn:
            sender = threading.Thread(target=lambda: (conn.sendall(back), conn.shutdown(socket.SHUT_WR)))
            sender.start()
            read_all(conn, came[0])
            sender.join(PATIENCE)

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    child = far.popen("forward", "web-01", "-L", f"0:127.0.0.1:{server.getsockname()[1]}", "-q",
                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        port = int(re.match(r"127\.0\.0\.1:(\d+) ", child.stdout.readline())[1])
        with socket.create_connection(("127.0.0.1", port), timeout=2 * PATIENCE) as conn:
            reader = threading.Thread(target=read_all, args=(conn, came[1]))
            reader.start()
            wait_until(lambda: came[1], "the far end: a connection that is not there yet does not outlive its link")
            pour(conn.sendall, there, lines)
            conn.shutdown(socket.SHUT_WR)
            reader.join(2 * PATIENCE)
        serving.join(PATIENCE)
        assert bytes(came[0]) == there and bytes(came[1]) == back
    finally:
        child.terminate()
        child.communicate(timeout=PATIENCE)
        server.close()


def test_a_command_s_bytes_arrive_whole_and_its_status(far, lines):
    data = os.urandom(SIZE)
    child = far.popen("exec", "-q", "web-01", "--", "cat; exit 7", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    got = []
    reader = threading.Thread(target=lambda: got.append(child.stdout.read()))
    reader.start()
    pour(lambda piece: (child.stdin.write(piece), child.stdin.flush()), data, lines)
    child.stdin.close()
    reader.join(2 * PATIENCE)
    assert child.wait(PATIENCE) == 7
    assert got == [data]
