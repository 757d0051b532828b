"""What the processes of a running fleet may do, as the kernel tells it; and what a user's shell may."""

import os
import subprocess

import pytest

from support.machine import Machine, possible
from support.relay import program


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def words_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        return f.read().decode().split("\0")


def limits_of(pid):
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        return {line[:26].strip(): line[26:].split()[:2] for line in f.readlines()[1:]}


def confined(pid):
    status = status_of(pid)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status
    assert limits_of(pid)["Max core file size"] == ["0", "0"]
    threads = os.listdir(f"/proc/{pid}/task")
    assert {status_of(f"{pid}/task/{t}")["Seccomp"] for t in threads} == {"2"}
    return len(threads)


def uplink_of(agent):
    (pid,) = [pid for pid in agent.processes() if words_of(pid)[1:2] == ["uplink"]]
    return pid


def test_relay_and_network_process_are_confined_and_say_so(client, agent, relay):
    assert client.ok("exec", "web-01", "--", "echo well") == "well\n"
    assert confined(relay.pid) > 1
    confined(uplink_of(agent))
    for log, event in ((relay.log, "relay.sandbox"), (agent.log, "agent.sandbox")):
        (line,) = [x for x in log.splitlines() if event in x]
        assert "seccomp=on" in line and "landlock=" in line, line


def test_what_starts_users_programs_is_not(client, agent):
    """Nothing of the agent's is inherited that a login would not have: it started where the tests did."""
    out = client.ok("exec", "web-01", "--", "cat /proc/self/status /proc/self/limits; echo oom $(cat /proc/self/oom_score_adj)")
    status = dict(line.split(":\t", 1) for line in out.splitlines() if ":\t" in line)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("0", "0")
    assert status["SigBlk"] == status["SigIgn"] == "0" * 16
    mine = limits_of("self")
    theirs = {line[:26].strip(): line[26:].split()[:2] for line in out.splitlines() if line.startswith("Max ")}
    assert theirs == mine and "Max core file size" in mine
    with open("/proc/self/oom_score_adj", encoding="ascii") as f:
        assert f"oom {f.read().strip()}\n" in out
    for pid in agent.processes():
        if words_of(pid)[1:2] != ["uplink"]:
            assert (status_of(pid)["NoNewPrivs"], status_of(pid)["Seccomp"]) == ("0", "0"), words_of(pid)


def test_a_master_key_elsewhere_is_still_read(relays, tmp_path):
    relay = relays(name="other")
    relay.stop()
    elsewhere = tmp_path / "keys"
    elsewhere.mkdir()
    os.rename(os.path.join(relay.dir, "master.key"), elsewhere / "master.key")
    relay.start("--master-key", str(elsewhere / "master.key"))
    confined(relay.pid)
    relay.stop()
    relay.set(master_key=str(elsewhere / "master.key"))
    relay.start()


# Answers every question for an IPv4 address with 192.0.2.7, and has no other.
DNS = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 53))
print("ready", flush=True)
while True:
    q, who = s.recvfrom(512)
    end = q.index(b"\\0", 12) + 5
    four = q[end - 4:end - 2] == b"\\0\\1"
    head = q[:2] + b"\\x81\\x80\\0\\1" + (b"\\0\\1" if four else b"\\0\\0") + b"\\0\\0\\0\\0"
    s.sendto(head + q[12:end] + (b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\0\\0\\4" + bytes([192, 0, 2, 7]) if four else b""), who)
"""


@pytest.mark.skipif(not possible(), reason="root cannot make namespaces here")
def test_the_network_process_looks_up_names_also_when_the_network_changed(tmp_path):
    """resolv.conf is replaced, as it is when a lease is renewed, and not written to."""
    machine = Machine(tmp_path, "web")
    started = []

    def start(user, *command):
        started.append(subprocess.Popen([*machine.wrap(user), *command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=machine.env))
        return started[-1]

    def ask(process, name):
        process.stdin.write(name + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    try:
        machine.run(f"cp {os.path.abspath(program('tests/sandbox/sandbox_look_up'))} /var/look_up && mkdir -m 777 /var/own")
        machine.run("rm -f /etc/resolv.conf && echo nameserver 127.0.0.9 > /etc/resolv.conf")
        assert start(None, "/usr/bin/python3", "-c", DNS).stdout.readline() == "ready\n"
        inside = start("daemon", "/var/look_up", "/var/own")
        assert "seccomp=on" in inside.stdout.readline()
        assert ask(inside, "localhost") in ("127.0.0.1", "::1")
        assert ask(inside, "relay.example") != "192.0.2.7"
        machine.run("echo nameserver 127.0.0.1 > /etc/new && mv /etc/new /etc/resolv.conf")
        assert ask(inside, "relay.example") == "192.0.2.7"
    finally:
        for process in started:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        machine.remove()
