"""The agent's processes: who they are, what they cost, and what stays when one of them dies."""

import json
import os
import signal
import socket
import subprocess

from support.relay import PATIENCE, program, wait_until

SANITIZED = b"__asan_init" in open(program("hawser-node"), "rb").read()


def field(pid, name):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return next(line.split(":", 1)[1].strip() for line in f if line.startswith(name + ":"))


def uplink(agent):
    """The process that speaks to the relay."""
    for pid in agent.processes():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if b"uplink" in f.read().split(b"\0")[:2]:
                    return pid
        except OSError:
            pass  # it has ended meanwhile
    return None


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def sockets(agent):
    return [n for n in os.listdir(os.path.join(agent.dir, "run")) if n.endswith(".sock")]


def status(agent, *args):
    return subprocess.run(
        [program("hawser-node"), "status", "--dir", agent.dir, *args], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)


def test_an_idle_agent_is_two_processes_and_small(agent):
    pids = agent.processes()
    assert len(pids) == 2
    if SANITIZED:
        return
    rss = lambda: sum(int(field(pid, "VmRSS").split()[0]) for pid in pids)
    wait_until(lambda: rss() <= 10 * 1024, f"at most 10 MB, not {rss()} KiB")


def test_the_network_process_alone_is_confined(client, agent):
    pid = uplink(agent)
    assert field(pid, "NoNewPrivs") == "1"
    with open(f"/proc/{pid}/limits", encoding="utf-8") as f:
        assert next(line for line in f if line.startswith("Max core file size")).split()[4:6] == ["0", "0"]
    said = client.ok("exec", "web-01", "--", "grep NoNewPrivs /proc/self/status; ulimit -Hc")
    assert said == "NoNewPrivs:\t0\n" + subprocess.run(
        ["bash", "-c", "ulimit -Hc"], stdout=subprocess.PIPE, text=True, check=True).stdout


def test_nothing_stays_of_a_session(client, agent):
    before = set(agent.processes())
    child = client.spawn("shell", "web-01")
    child.sendline("sleep 4321 & echo pid=$!=")
    child.expect(r"pid=(\d+)=")
    sleeper = int(child.match.group(1))
    assert len(sockets(agent)) == 1
    child.sendline("exit 6")
    child.wait()
    assert child.exitstatus == 6
    wait_until(lambda: not alive(sleeper), "the end of what ran in the background")
    wait_until(lambda: not sockets(agent), "the end of its socket")
    assert set(agent.processes()) == before


def test_a_killed_network_process_is_started_again(client, agent):
    first = uplink(agent)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: uplink(agent) not in (None, first), "the next one")
    wait_until(lambda: status(agent).returncode == 0, "the link")
    assert client.ok("exec", "web-01", "--", "echo again") == "again\n"


def test_the_network_process_ends_with_the_monitor(client, agent):
    first = uplink(agent)
    agent.process.kill()
    agent.process.wait()
    wait_until(lambda: not alive(first), "the end of the network process")
    agent.start()
    assert client.ok("exec", "web-01", "--", "echo back") == "back\n"


def test_it_stops_when_it_is_told_to(client, agent):
    child = client.popen("exec", "web-01", "--", "sleep 4323", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: sockets(agent), "the session")
    pids = agent.processes()
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(PATIENCE) == 0
    assert child.wait(PATIENCE) == 255
    child.stderr.close()
    wait_until(lambda: not any(alive(pid) for pid in pids), "the end of all of its processes")
    assert status(agent).returncode == 1
    assert "stopped" in status(agent).stdout


def test_a_deregistered_node_drops_its_key_and_says_so(client, agent):
    client.ok("node", "rm", "web-01")
    wait_until(lambda: "deregistered" in status(agent).stdout, "the word")
    assert status(agent).returncode == 1
    assert not os.path.exists(os.path.join(agent.dir, "node.key"))
    assert agent.process.poll() is None
    agent.stop()
    done = subprocess.run(
        [program("hawser-node"), "run", "--dir", agent.dir, "--rootless"], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
    assert done.returncode == 10 and "deregistered" in done.stdout and "join" in done.stdout, done


def test_status_as_json(agent):
    wait_until(lambda: status(agent).returncode == 0, "the link")
    said = json.loads(status(agent, "-o", "json").stdout)
    assert said["Name"] == "web-01" and said["State"] == "connected" and said["Sessions"] == 0
    assert said["InstanceId"].startswith("mi-") and said["CertificateAuthority"].startswith("sha256:")


def test_status_passes_nothing_on_that_steers_the_terminal(agent):
    """Who answers may be in other hands; who asks may be root."""
    agent.stop()
    with socket.socket(socket.AF_UNIX) as liar:
        path = os.path.join(agent.dir, "status.sock")
        liar.bind(f"/proc/self/fd/{os.open(agent.dir, os.O_RDONLY)}/status.sock" if len(path) > 100 else path)
        liar.listen()
        asking = subprocess.Popen([program("hawser-node"), "status", "--dir", agent.dir], stdout=subprocess.PIPE)
        there, _ = liar.accept()
        there.sendall("1state \x1b]0;owned\x07 \u009b2J\n\0{}\0".encode())
        there.close()
        assert asking.communicate(timeout=PATIENCE)[0] == b"state ?]0;owned? ??2J\n"
    with open(os.path.join(agent.dir, "deregistered"), "w", encoding="utf-8") as f:
        f.write("\x1b[2J\n")
    os.remove(os.path.join(agent.dir, "node.crt"))
    os.remove(path)
    said = status(agent).stdout
    assert "deregistered" in said and "\x1b" not in said
