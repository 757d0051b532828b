"""hawser exec: clean streams and the exact exit status."""

import hashlib
import os
import random
import signal
import subprocess

from support.relay import PATIENCE, program, wait_until


def test_streams_are_apart_and_the_status_is_the_command_s(client, agent):
    done = client.run("exec", "web-01", "--", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)


def test_a_signal_s_death_is_128_and_its_number(client, agent):
    assert client.run("exec", "web-01", "--", "kill -TERM $$").returncode == 128 + signal.SIGTERM


def test_every_byte_goes_through_both_ways_and_the_end_of_input_too(client, agent):
    data = random.Random(1).randbytes(3 * 1024 * 1024)
    done = client.run("exec", "web-01", "--", "cat", stdin=data, text=False)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_a_command_that_reads_nothing_does_not_hang_its_client(client, agent):
    done = client.run("exec", "web-01", "--", "true", stdin=b"x" * 2_000_000, text=False)
    assert done.returncode == 0


def test_output_of_a_slow_reader_is_complete(client, agent):
    child = client.popen("exec", "web-01", "--", "seq 1 400000", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    digest, last = hashlib.sha256(), b""
    while chunk := os.read(child.stdout.fileno(), 4096):
        digest.update(chunk)
        last = chunk
    child.stdout.close()
    assert child.wait(PATIENCE) == 0
    expected = "".join(f"{i}\n" for i in range(1, 400001)).encode()
    assert digest.digest() == hashlib.sha256(expected).digest(), last[-40:]


def test_a_closed_pipe_ends_the_command(client, agent):
    line = f"'{program('hawser')}' exec web-01 -- yes | head -n 1"
    done = subprocess.run(["bash", "-c", line], env=client.env, stdout=subprocess.PIPE, timeout=PATIENCE)
    assert done.stdout == b"y\n"
    wait_until(lambda: not client.json("sessions", "ls", "--live")["Sessions"], "the session's end")


def test_words_are_joined_as_ssh_joins_them(client, agent):
    assert client.ok("exec", "web-01", "--", "echo", "a  b", "$((1+1))") == "a b 2\n"


def test_nothing_of_a_command_stays_when_its_client_is_killed(client, agent, relay):
    relay.stop()
    relay.set(resume_seconds=1)
    relay.start()
    agent.wait_online()
    mark = 300000 + os.getpid()  # a number of this run's own
    child = client.popen("exec", "web-01", "--", f"sleep {mark}", stdin=subprocess.DEVNULL)
    sleeping = lambda: subprocess.run(["pgrep", "-f", f"^sleep {mark}"], stdout=subprocess.PIPE).stdout.split()
    wait_until(sleeping, "the sleep")
    child.kill()
    child.wait()
    wait_until(lambda: not sleeping(), "the end of the sleep")


def test_a_node_that_is_not_there_says_so_with_255(client, agent):
    err = client.fails("exec", "web-99", "--", "true", code=255)
    assert "web-99" in err
    agent.stop()
    wait_until(lambda: client.run("exec", "web-01", "--", "true").returncode == 255, "the node away")
    assert "not connected" in client.fails("exec", "web-01", "--", "true", code=255)


def test_a_user_that_the_node_has_not_is_named(client, agent):
    err = client.fails("exec", "nobody-here@web-01", "--", "true", code=255)
    assert "nobody-here" in err
