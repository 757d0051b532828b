"""PAM on a node: who may not come in, and what becomes of the limits, umask and environment of who does."""

import os
import re
import subprocess

import pexpect
import pytest

from support import accounts, audit
from support.accounts import Accounts
from support.fleet import Node
from support.machine import possible
from support.relay import wait_until

pytestmark = pytest.mark.skipif(not possible(), reason="it takes root, and accounts of its own")

SHIPPED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "node", "pam", "hawser.pam")
PERMIT = "account required pam_permit.so\nsession required pam_permit.so\n"


@pytest.fixture
def machine():
    made = Accounts()
    yield made
    made.remove()


@pytest.fixture
def start(machine, client):
    """Starts the agent with these settings; without any it has what join wrote."""
    made = []

    def run(mode=0o644, **settings):
        node = Node(machine.base, client, "web-01", rootless=False, wrap=machine.wrap, agent=machine.agent)
        path = os.path.join(node.dir, "node.conf")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for key, value in settings.items():
            text = re.sub(rf"(?m)^{key} =.*\n", "", text) + f"{key} = {value}\n"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        made.append(node.start())
        return node

    yield run
    for node in made:
        node.stop()


@pytest.fixture
def shipped(machine):
    with open(SHIPPED, encoding="utf-8") as f:
        machine.service("hawser", f.read())


def settings_of(node):
    with open(os.path.join(node.dir, "node.conf"), encoding="utf-8") as f:
        return dict(line.strip().split(" = ", 1) for line in f if " = " in line)


def says(client, script):
    """What a command's script writes that must succeed."""
    done = client.run("run", "-t", "web-01", "-q", "-", stdin=script)
    head, _, out = done.stdout.partition("\n")
    assert done.returncode == 0 and head == "-- web-01  exit 0", done
    return out


def loginuid_can_be_set():
    return subprocess.run(["sh", "-c", "echo 4201 > /proc/self/loginuid"], stderr=subprocess.DEVNULL).returncode == 0


def test_a_machine_that_has_the_package_s_service_goes_by_it(client, machine, start, shipped):
    node = start(command_run_as="ann")
    assert settings_of(node)["pam"] == "hawser"
    script = "id -un; umask; cat /proc/self/loginuid; echo; grep -c hawser-node-pam /proc/$$/maps; true"
    for who, uid, out in (("hawser", accounts.HAWSER, client.ok("exec", "web-01", "--", script)),
                          ("root", 0, client.ok("exec", "root@web-01", "--", script)),
                          ("ann", accounts.ANN, says(client, script))):
        name, umask, login, maps = out.split()
        assert (name, umask, maps) == (who, "0022", "0"), out
        if loginuid_can_be_set():
            assert login == str(uid)
    child = client.spawn("shell", "web-01")
    child.sendline("tty; echo at-$((6 * 7)); exit 3")
    child.expect("/dev/pts/[0-9]+\r\n")
    child.expect("at-42")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


def test_one_that_has_not_does_without(client, machine, start):
    node = start()
    assert settings_of(node)["pam"] == "off"
    assert client.ok("exec", "web-01", "--", "echo well") == "well\n"


def test_an_expired_account_gets_nothing_and_is_told_why(client, relay, machine, start, shipped, tmp_path):
    node = start(command_run_as="ann")
    assert client.ok("exec", "ann@web-01", "--", "echo well") == "well\n"
    machine.expire("ann")
    why = "the account ann has expired (PAM: "
    assert why in client.fails("exec", "ann@web-01", "--", f"touch {tmp_path}/ran", code=255)
    assert why in client.fails("shell", "ann@web-01", code=255)
    done = client.run("run", "-t", "web-01", "-q", "--", f"touch {tmp_path}/ran")
    assert done.returncode == 1 and why in done.stdout, done
    assert not (tmp_path / "ran").exists()
    assert client.ok("exec", "web-01", "--", "echo well") == "well\n"
    assert "monitor.denied" in node.log
    told = [e for e in audit.ledger(relay.dir) if why in repr(e)]
    assert {(e["Kind"], e["Outcome"]) for e in told} >= {("session.end", "denied")}, told


def test_what_a_writable_file_says_of_pam_does_not_count(client, machine, start, shipped):
    machine.service("lax", PERMIT)
    machine.expire("hawser")
    node = start(mode=0o666, pam="lax")
    assert "with pam = hawser" in node.log
    assert "the account hawser has expired" in client.fails("exec", "web-01", "--", "true", code=255)


def test_nobody_but_root_while_logins_are_closed(client, machine, start):
    closed = os.path.join(machine.base, "nologin")
    machine.service("site", f"account required pam_nologin.so file={closed}\n{PERMIT}")
    start(pam="site")
    assert client.ok("exec", "web-01", "--", "echo well") == "well\n"
    with open(closed, "w", encoding="utf-8") as f:
        f.write("Back at\n  nine.\n")
    assert "PAM lets hawser not in (service site, account: Back at nine.)" in client.fails("exec", "web-01", "--", "true", code=255)
    assert client.ok("exec", "root@web-01", "--", "echo well") == "well\n"
    os.remove(closed)
    assert client.ok("exec", "web-01", "--", "echo well") == "well\n"


def test_who_may_come_in_from_where(client, machine, start):
    rules = os.path.join(machine.base, "access.conf")
    with open(rules, "w", encoding="utf-8") as f:
        f.write("+:hawser:hawser\n-:ALL:ALL\n")  # what is no terminal is called so
    machine.service("site", f"account required pam_access.so accessfile={rules}\n{PERMIT}")
    start(pam="site")
    assert client.ok("exec", "web-01", "--", "echo well") == "well\n"
    assert "PAM lets ann not in" in client.fails("exec", "ann@web-01", "--", "true", code=255)
    assert "PAM lets hawser not in" in client.fails("shell", "web-01", code=255)


def test_limits_are_the_programs_and_not_their_holders(client, machine, start):
    limits = os.path.join(machine.base, "limits.conf")
    with open(limits, "w", encoding="utf-8") as f:
        f.write("hawser - nofile 99\nhawser hard core 0\nann - nofile 88\n@crew - fsize 4000\n")
    machine.service("site", f"account required pam_permit.so\nsession required pam_limits.so conf={limits}\n")
    start(pam="site", command_run_as="ann")
    script = "ulimit -n; ulimit -Hn; ulimit -f; sed -n 's/^Max open files *//p' /proc/$PPID/limits"
    soft, hard, size, holder = client.ok("exec", "web-01", "--", script).splitlines()
    assert (soft, hard, size) == ("99", "99", "4000") and not holder.startswith("99 ")
    assert says(client, "ulimit -n").strip() == "88"
    assert client.ok("exec", "root@web-01", "--", "ulimit -n").strip() not in ("99", "88")


def test_what_modules_give_and_who_they_are(client, machine, start):
    given, seen, script = (os.path.join(machine.base, x) for x in ("given", "seen", "look"))
    with open(given, "w", encoding="utf-8") as f:
        f.write("SITE=north\nHOME=/elsewhere\nLD_AUDIT=/x\nHAWSER_SESSION=forged\n")
    with open(script, "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\necho $(id -u) $PAM_USER $PAM_SERVICE $PAM_TTY $PAM_TYPE >> {seen}\n")
    os.chmod(script, 0o755)
    machine.service("site", f"account required pam_permit.so\nsession required pam_env.so conffile=/dev/null envfile={given}\n"
                            f"session required pam_umask.so umask=0027\nsession required pam_exec.so {script}\n")
    start(pam="site", command_run_as="ann")
    show = "echo $SITE $HOME $LD_AUDIT; umask"
    assert client.ok("exec", "web-01", "--", show) == f"north {machine.homes}/hawser\n0027\n"
    assert client.ok("exec", "web-01", "--", "test $HAWSER_SESSION != forged && echo own") == "own\n"
    assert says(client, show) == f"north {machine.homes}/ann\n0027\n"
    assert "north" in client.run("shell", "web-01", "--", "echo $SITE").stdout
    with open(seen, encoding="utf-8") as f:
        *commands, shell = [line.split() for line in f]
    assert commands == [["0", "hawser", "site", "hawser", "open_session"]] * 2 + [["0", "ann", "site", "hawser", "open_session"]]
    assert shell[:3] + shell[4:] == ["0", "hawser", "site", "open_session"] and shell[3].startswith("/dev/pts/")


def test_a_service_that_denies_and_one_that_is_not_there(client, machine, start, tmp_path):
    machine.service("site", "account required pam_permit.so\nsession required pam_deny.so\n")
    start(pam="site")
    assert "PAM lets hawser not in (service site, session: " in client.fails("exec", "web-01", "--", f"touch {tmp_path}/ran", code=255)
    os.remove(os.path.join(machine.etc, "pam.d", "site"))
    assert "this node has no PAM service site" in client.fails("exec", "web-01", "--", f"touch {tmp_path}/ran", code=255)
    assert not (tmp_path / "ran").exists()


def test_sessions_end_as_without(client, machine, start, shipped):
    """A program's control group, session and processes are what they are otherwise."""
    node = start()
    gate = os.path.join(machine.homes, "hawser", "gate")
    child = client.popen("run", "-t", "web-01", "-q", "--", f"sleep 0.01; touch {gate}; exec sleep 86499", stdout=subprocess.DEVNULL)
    wait_until(lambda: os.path.exists(gate), "the command")
    tree = node.processes()
    names = [open(f"/proc/{pid}/comm", encoding="ascii").read().strip() for pid in tree]
    assert "hawser-node-pam" not in names and names.count("sleep") == 1, names
    asleep = tree[names.index("sleep")]
    command = client.json("runs")["Commands"][0]["CommandId"]
    client.ok("runs", "cancel", command)
    child.wait(60)
    wait_until(lambda: not os.path.exists(f"/proc/{asleep}"), "the end of what it ran")


def test_a_rootless_agent_asks_nobody(client, agents):
    node = agents(start=False)
    with open(os.path.join(node.dir, "node.conf"), "a", encoding="utf-8") as f:
        f.write("pam = no-such-service\n")
    node.start()
    assert client.ok("exec", "web-01", "--", "echo well") == "well\n"
