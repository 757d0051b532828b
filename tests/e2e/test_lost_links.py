"""Links of a client that are lost: what a person sees, and what goes on afterwards."""

import os
import re
import signal
import socket
import subprocess
import threading
import time

import pexpect
import pytest

from support.line import Line
from support.relay import PATIENCE, wait_until

PROMPT = "READY> "


@pytest.fixture
def line(client, relay):
    """The only way of this client to its relay."""
    made = Line(relay.port)
    path = os.path.join(client.home, "config")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace(f":{relay.port}", f":{made.port}"))
    yield made
    made.close()


def shell(client, *args):
    child = client.spawn("shell", "web-01", *args)
    child.expect("recorded")
    child.sendline("bind 'set enable-bracketed-paste off'; PS1='READ''Y> '; stty -echo; unset PROMPT_COMMAND")
    child.expect(PROMPT)
    return child


# --- a shell --------------------------------------------------------------------------------------


def test_keys_typed_meanwhile_are_counted_and_arrive(client, agent, line):
    child = shell(client)
    line.cut()
    child.expect(re.escape("[hawser: the link to the relay was lost, waiting"))
    child.send("echo is-$((40+2))\r")
    child.expect("18 typed")
    line.mend()
    child.expect("is-42")
    child.expect(PROMPT)
    child.sendline("exit 7")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 7


def test_it_is_lost_again_and_again(client, agent, line):
    child = shell(client)
    for i in range(3):
        line.cut()
        line.mend()
        child.sendline(f"echo is-$((40+{i}))")
        child.expect(f"is-4{i}")
    child.sendline("exit")
    child.expect(pexpect.EOF)


def test_the_escape_ends_it_at_once(client, agent, line):
    child = shell(client)
    line.cut()
    child.expect("waiting")
    child.send("~.")
    child.expect("ended by you")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 255


def test_a_full_screen_is_shown_anew(client, agent, line, tmp_path):
    path = tmp_path / "text"
    path.write_text("".join(f"line {i}\n" for i in range(100)))
    child = shell(client)
    child.sendline(f"LESS= less {path}")
    child.expect("line 10")
    line.cut()
    child.expect("waiting")
    line.mend()
    child.expect("line 0")
    child.send("q")
    child.expect(PROMPT)
    child.sendline("exit")
    child.expect(pexpect.EOF)


def test_a_killed_relay_ends_nothing(client, agent, relay):
    child = shell(client)
    for i in range(2):
        relay.kill9()
        child.expect("the link to the relay was lost, waiting")
        child.send(f"echo is-$((40+{i}))\r")
        relay.start()
        child.expect(f"is-4{i}")
    child.sendline("exit 7")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 7


# --- exec -----------------------------------------------------------------------------------------


def start(client, *args):
    return client.popen("exec", *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_command_and_its_streams_go_on(client, agent, line):
    data = os.urandom(4 << 20)
    child = start(client, "web-01", "--", "cat; echo done >&2; exit 3")
    got = []
    reader = threading.Thread(target=lambda: got.append(child.stdout.read()))
    reader.start()
    for at in range(0, len(data), 1 << 20):
        child.stdin.write(data[at:at + (1 << 20)])
        child.stdin.flush()
        line.cut()
        line.mend()
    child.stdin.close()
    reader.join(PATIENCE)
    assert child.wait(PATIENCE) == 3
    assert got[0] == data
    said = child.stderr.read().splitlines(keepends=True)
    assert [x for x in said if not x.startswith(b"hawser: ")] == [b"done\n"]  # a slow machine is told of a wait


@pytest.mark.parametrize("quiet", [False, True])
def test_what_lasts_is_said_in_two_lines(client, agent, line, quiet):
    child = start(client, *(["-q"] if quiet else []), "web-01", "--", "cat; exit 5")
    child.stdin.write(b"one\n")
    child.stdin.flush()
    assert child.stdout.readline() == b"one\n"
    line.cut()
    if quiet:
        time.sleep(1.5)  # as long as it takes for the other one to speak
    else:
        assert child.stderr.readline() == b"hawser: the link to the relay was lost; waiting for it\n"
    line.mend()
    out, err = child.communicate(b"two\n", timeout=PATIENCE)
    assert out == b"two\n" and child.returncode == 5
    assert err == (b"" if quiet else b"hawser: connected again\n")


def test_ctrl_c_while_it_waits_ends_it(client, agent, line):
    child = start(client, "web-01", "--", "echo begun; exec sleep 60")
    assert child.stdout.readline() == b"begun\n"
    line.cut()
    assert b"waiting" in child.stderr.readline()
    child.send_signal(signal.SIGINT)
    assert child.wait(PATIENCE) == 128 + signal.SIGINT


# --- forwards -------------------------------------------------------------------------------------


@pytest.fixture
def echo():
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                conn, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=carry, args=(conn,), daemon=True).start()

    def carry(conn):
        while data := conn.recv(65536):
            conn.sendall(data)
        conn.close()

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


def test_connections_stay_open_and_new_ones_wait(client, agent, line, echo):
    child = client.popen("forward", "web-01", "-L", f"0:127.0.0.1:{echo}", stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    try:
        port = int(re.match(r"127\.0\.0\.1:(\d+) ", child.stdout.readline())[1])
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as conn:
            conn.sendall(b"before")
            assert conn.recv(100) == b"before"
            line.cut()
            assert child.stderr.readline() == "hawser: the link to the relay was lost; waiting for it\n"
            conn.sendall(b"meanwhile")
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as other:
                other.sendall(b"new")
                line.mend()
                assert conn.recv(100) == b"meanwhile"
                assert other.recv(100) == b"new"
        assert child.stderr.readline() == "hawser: connected again\n"
    finally:
        child.terminate()
        child.communicate(timeout=PATIENCE)
    assert child.returncode == 0


def test_one_in_the_background_says_what_it_waits_for(client, agent, line, echo):
    client.ok("forward", "web-01", "-L", f"0:127.0.0.1:{echo}", "-f")
    state = lambda: client.json("forwards", "ls")["Forwards"][0].get("Waiting", "")
    try:
        assert "live" in client.ok("forwards", "ls")
        line.cut()
        wait_until(lambda: "waiting for the relay" in state(), "the word")
        line.mend()
        wait_until(lambda: state() == "", "the end of it")
    finally:
        client.ok("forwards", "kill", "--all")
