"""What is started on a node goes on when the agent there dies, and is the next agent's."""

import os
import re
import signal
import subprocess

import pytest

from support.relay import PATIENCE, wait_until
from test_node import alive, sockets, status, uplink


def roster(agent):
    return os.listdir(os.path.join(agent.dir, "sessions"))


def holders(agent):
    """Those that run for this agent or an earlier one."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                holds = f.read() == "hawser-holder\n"
            if holds and os.path.samefile(f"/proc/{pid}/fd/4", os.path.join(agent.dir, "run")):
                found.append(int(pid))
        except OSError:
            pass
    return found


def nothing_stays(agent):
    wait_until(lambda: not sockets(agent), "the end of the holder's socket")
    wait_until(lambda: not roster(agent), "the end of what was noted of it")
    wait_until(lambda: not holders(agent), "the end of the holder")
    wait_until(lambda: len(agent.processes()) == 2, "the end of its processes")


def kill_uplink(agent):
    first = uplink(agent)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: uplink(agent) not in (None, first) and status(agent).returncode == 0, "the next agent")


def kill_all(agent):
    """As after a crash of the whole service: the monitor and the process that speaks to the relay."""
    first = uplink(agent)
    agent.process.kill()
    agent.process.wait()
    wait_until(lambda: not alive(first), "the end of the network process")
    agent.start()


def restart(agent):
    """As systemctl restart does it."""
    agent.process.send_signal(signal.SIGUSR1)
    assert agent.process.wait(PATIENCE) == 0
    agent.start()


DEATHS = pytest.mark.parametrize("die", [kill_uplink, kill_all, restart])
LINES = 400000


@DEATHS
def test_a_command_of_many_nodes_goes_on_and_runs_once(client, agent, die, tmp_path):
    child = client.popen("run", "--target", "web-01", "--", f"echo begun; echo x >> {tmp_path}/ran; "
                         f"until test -e {tmp_path}/go; do sleep 0.05; done; seq 1 100000; exit 5",
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until((tmp_path / "ran").exists, "its start")
    die(agent)
    (tmp_path / "go").touch()
    out, err = child.communicate(timeout=2 * PATIENCE)
    assert child.returncode == 1, err
    assert out.splitlines()[0].endswith("exit 5")
    assert out.splitlines()[1:] == ["begun", *map(str, range(1, 100001))]
    assert (tmp_path / "ran").read_text() == "x\n"


@pytest.mark.parametrize("signo", [signal.SIGUSR1, signal.SIGTERM])
def test_an_agent_that_has_hardly_begun_stops_in_order(agents, signo):
    """The network process is there, and may not have come to where it hears of signals."""
    agent = agents(start=False)
    for _ in range(5):
        agent.start(wait=False)
        wait_until(lambda: uplink(agent), "the network process")
        agent.process.send_signal(signo)
        assert agent.process.wait(PATIENCE) == 0, agent.log


@DEATHS
def test_a_command_goes_on_and_its_output_is_whole(client, agent, die):
    """It is paced by its input, so that the agent dies in the middle of both."""
    child = client.popen(
        "exec", "web-01", "--", f"read x; seq 1 {LINES}; while read x; do echo got $x; done; exit 7",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: roster(agent), "the session")
    child.stdin.write("go\n")
    child.stdin.flush()
    assert [child.stdout.readline() for _ in range(1000)] == [f"{i}\n" for i in range(1, 1001)]
    die(agent)
    assert [child.stdout.readline() for _ in range(LINES - 1000)] == [f"{i}\n" for i in range(1001, LINES + 1)]
    for i in range(5):
        child.stdin.write(f"{i}\n")
        child.stdin.flush()
        if i == 2:
            die(agent)
    child.stdin.close()
    child.stdin = None
    out, err = child.communicate(timeout=PATIENCE * 2)
    assert out == "".join(f"got {i}\n" for i in range(5)), err
    assert child.returncode == 7, err
    nothing_stays(agent)


@DEATHS
def test_a_shell_goes_on(client, agent, die):
    child = client.spawn("shell", "web-01")
    child.sendline("stty -echo; PS1=; x=kept; echo ready=$$=")
    child.expect(r"ready=(\d+)=")
    shell = int(child.match.group(1))
    die(agent)
    child.sendline("echo it=$x=$$=")
    child.expect(f"it=kept={shell}=")
    child.sendline("(sleep 1; echo late=$x=) & ")
    die(agent)
    child.expect("late=kept=")
    child.sendline("exit 5")
    child.wait()
    assert child.exitstatus == 5
    wait_until(lambda: not alive(shell), "the end of the shell")
    nothing_stays(agent)


@pytest.mark.parametrize("die", [kill_uplink, kill_all])
def test_a_status_that_no_agent_saw_arrives(client, agent, tmp_path, die):
    gate = tmp_path / "gate"
    child = client.popen(
        "exec", "web-01", "--", f"echo begun; while ! test -e {gate}; do sleep 0.05; done; echo last; exit 9",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "begun\n"
    holder, = holders(agent)
    os.kill(uplink(agent), signal.SIGSTOP)
    gate.touch()
    wait_until(lambda: not children(holder), "the end of the program")
    die(agent)
    out, err = child.communicate(timeout=PATIENCE * 2)
    assert (out, child.returncode) == ("last\n", 9), err
    nothing_stays(agent)


def children(pid):
    """Those that live."""
    done = subprocess.run(["ps", "-o", "stat=", "--ppid", str(pid)], stdout=subprocess.PIPE, text=True)
    return [s for s in done.stdout.split() if not s.startswith("Z")]


def test_an_agent_that_is_stopped_ends_what_it_has(client, agent):
    child = client.popen("exec", "web-01", "--", "sleep 4331", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: roster(agent), "the session")
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(PATIENCE) == 0
    assert child.wait(PATIENCE) == 255
    assert b"stopped" in child.stderr.read()
    child.stderr.close()
    wait_until(lambda: not sockets(agent) and not roster(agent), "the end of it")


def test_what_no_agent_comes_back_for_ends(client, agents):
    agent = agents(start=False).start("--grace", "1")
    child = client.popen("exec", "web-01", "--", "sleep 4332 & echo pid=$!=; wait", stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    sleeper = int(re.match(r"pid=(\d+)=", child.stdout.readline()).group(1))
    agent.process.kill()
    agent.process.wait()
    wait_until(lambda: not alive(sleeper), "the end of its grace")
    agent.start()
    assert child.wait(PATIENCE * 2) == 255
    child.communicate()
    nothing_stays(agent)
