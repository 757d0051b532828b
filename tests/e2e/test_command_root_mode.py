"""Commands of an agent that is root's: they run as who was named, with what that one has, and with nothing of the agent's."""

import json
import os
import re

import pytest

from support import accounts
from support.accounts import Accounts
from support.fleet import Node
from support.machine import possible
from support.relay import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(not possible(), reason="it takes root, and accounts of its own")

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@pytest.fixture
def machine():
    made = Accounts()
    yield made
    made.remove()


@pytest.fixture
def start(machine, client):
    """Starts the agent with these settings."""
    made = []

    def run(**settings):
        node = Node(machine.base, client, "web-01", rootless=False, wrap=machine.wrap, agent=machine.agent)
        with open(os.path.join(node.dir, "node.conf"), encoding="utf-8") as f:
            text = f.read()
        for key, value in settings.items():
            text = re.sub(rf"(?m)^#? *{key} *=.*\n", "", text) + f"{key} = {value}\n"
        with open(os.path.join(node.dir, "node.conf"), "w", encoding="utf-8") as f:
            f.write(text)
        made.append(node.start())
        return node

    yield run
    for node in made:
        node.stop()


def says(client, script):
    """What a script writes that must succeed."""
    done = client.run("run", "-t", "web-01", "-q", "-", stdin=script)
    head, _, out = done.stdout.partition("\n")
    assert done.returncode == 0 and head == "-- web-01  exit 0", done
    return out


def status_of(client):
    return dict(line.split(":\t", 1) for line in says(client, "cat /proc/self/status").splitlines() if ":\t" in line)


WHO = "id -un; id -u; id -g; id -G; echo $HOME; echo $USER; echo $LOGNAME; echo $SHELL; pwd; umask"


@pytest.mark.parametrize("name, number, shell", [("hawser", accounts.HAWSER, "/bin/bash"), ("ann", accounts.ANN, "/bin/sh")])
def test_a_command_is_who_it_runs_as(client, start, machine, name, number, shell):
    start(command_run_as=name)
    own = [f"{machine.homes}/{name}", name, name, shell, "/", "0022"]
    assert says(client, WHO).splitlines() == [name, str(number), str(number), f"{number} {accounts.CREW}", *own]
    status = status_of(client)
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(number)}
    assert status["Groups"].split() == [str(number), str(accounts.CREW)]
    assert {int(status[c], 16) for c in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    # It is nobody's ancestor that is confined: `sudo` works as in a shell.
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("0", "0")
    if name == "ann":
        assert says(client, "sudo -n id -u") == "0\n"


def test_a_command_is_root_when_nothing_is_said(client, start):
    start()
    assert says(client, WHO).splitlines() == ["root", "0", "0", "0", "/root", "root", "root", "/bin/bash", "/", "0022"]
    status = status_of(client)
    with open("/proc/self/status", encoding="ascii", errors="replace") as f:
        mine = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert [status[c] for c in CAPABILITIES[1:4]] == [mine[c] for c in CAPABILITIES[1:4]]
    assert int(status["CapAmb"], 16) == int(status["CapInh"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("0", "0")


def test_nothing_of_the_agent_s_is_in_it(client, start):
    node = start(command_run_as="ann")
    fds = dict(re.findall(r" (\d+) -> (.*)", says(client, "ls -l /proc/$$/fd; true")))
    assert fds.pop("0") == "/dev/null" and fds.pop("1").startswith("pipe:") and fds.pop("2").startswith("pipe:")
    script = {n: to for n, to in fds.items() if "hawser-script" in to}
    # The script itself, as whoever reads it has opened it; nothing else.
    assert "60" in script and set(fds) == set(script), fds
    names = {line.partition("=")[0] for line in says(client, "env").splitlines()}
    assert names <= {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "PWD", "OLDPWD", "SHLVL", "_", "MAIL", "TERM",
                     "AWS_SSM_INSTANCE_ID", "AWS_SSM_PLATFORM_NAME", "AWS_SSM_PLATFORM_VERSION", "SSM_COMMAND_ID"}, names
    status = status_of(client)
    assert {int(status[k], 16) for k in ("SigBlk", "SigIgn", "SigPnd", "ShdPnd")} == {0}
    facts = says(client, "ps -o pid= -o sid= -o tty= -p $$; cat /proc/$$/oom_score_adj; cat /proc/$$/coredump_filter").split()
    assert facts[2] == "?" and facts[3] == "0"
    with open(f"/proc/{node.process.pid}/limits", encoding="ascii") as f:
        agents = f.read()
    assert "Max core file size" in agents
    for secret in ("node.key", "commands", "sessions"):
        done = client.run("run", "-t", "web-01", "-q", "--", f"cat {node.dir}/{secret} || ls {node.dir}/{secret}")
        assert done.returncode == 1 and "Permission denied" in done.stdout, done


def test_a_script_is_not_to_be_changed_while_it_runs(client, start):
    start(command_run_as="ann")
    assert says(client, "(echo echo more >> /proc/self/fd/60) 2> /dev/null || echo not changed; echo end") == "not changed\nend\n"


def test_directories_and_users_that_are_not_to_be_had(client, start, machine):
    start(command_run_as="ann")
    locked = os.path.join(machine.base, "locked")
    os.mkdir(locked, 0o700)
    node = client.json("ls")["InstanceInformationList"][0]["InstanceId"]
    sent = json.loads(client.ok("api", "SendCommand", "--input", json.dumps({
        "DocumentName": "AWS-RunShellScript", "InstanceIds": [node],
        "Parameters": {"commands": ["true"], "workingDirectory": [locked]}})))["Command"]["CommandId"]
    done = client.run("runs", "output", "-q", sent)
    assert done.returncode == 1 and "cannot change to the directory" in done.stdout and "Permission denied" in done.stdout, done


@pytest.mark.parametrize("who, why", [("nobody-here", "no user nobody-here"), ("toor", "another name of root")])
def test_who_is_not_there_runs_nothing(client, start, tmp_path, who, why):
    start(command_run_as=who)
    done = client.run("run", "-t", "web-01", "-q", "--", f"touch {tmp_path}/ran")
    assert done.returncode == 1 and why in done.stdout, done
    assert not (tmp_path / "ran").exists()


def test_orders_and_output_are_not_for_other_users(client, start, machine):
    """On the node's disk they are the network process's, which is nobody else."""
    node = start(command_run_as="ann")
    gate = os.path.join(machine.homes, "ann", "gate")
    child = client.popen("run", "-t", "web-01", "-q", "--", f"echo secret; until [ -e {gate} ]; do sleep 0.05; done")
    folder = os.path.join(node.dir, "commands")
    try:
        wait_until(lambda: any(n.endswith(".out") for n in os.listdir(folder)), "its output on the disk")
        assert os.stat(folder).st_mode & 0o077 == 0 and os.stat(folder).st_uid == accounts.NODE
        for name in os.listdir(folder):
            found = os.stat(os.path.join(folder, name))
            assert (found.st_uid, found.st_mode & 0o777) == (accounts.NODE, 0o600), name
        assert child.poll() is None
    finally:
        open(gate, "w").close()
        if child.wait(PATIENCE) != 0:
            raise AssertionError("the command failed")
