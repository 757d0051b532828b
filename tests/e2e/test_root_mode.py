"""The agent as root: three kinds of processes, each with no more than it needs, and shells that are logins."""

import os
import shlex
import shutil
import signal
import subprocess
import sys

import pexpect
import pytest

from support import accounts
from support.accounts import Accounts
from support.fleet import Node
from support.machine import possible
from support.relay import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(not possible(), reason="it takes root, and accounts of its own")

# Numbers of this run's own: others may run beside it.
RUN = f".{os.getpid()}"


@pytest.fixture
def machine():
    made = Accounts()
    yield made
    made.remove()


@pytest.fixture
def agent(machine, client):
    node = Node(machine.base, client, "web-01", rootless=False, wrap=machine.wrap, agent=machine.agent)
    node.start()
    yield node
    node.stop()


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def uids(pid):
    return set(status_of(pid)["Uid"].split())


def words_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        return f.read().decode().split("\0")


def pick(agent, test):
    return [pid for pid in agent.processes() if test(pid)]


def uplink_of(agent):
    return pick(agent, lambda pid: words_of(pid)[1:2] == ["uplink"])[0]


def holder_of(agent):
    return wait_until(lambda: pick(agent, lambda pid: status_of(pid)["Name"] == "hawser-holder"), "the holder")[0]


def running(marker):
    return [int(pid) for pid in subprocess.run(["pgrep", "-f", f"^{marker}"], stdout=subprocess.PIPE).stdout.split()]


def network_sockets(pid):
    """Numbers of the process's sockets that are the Internet's."""
    known = set()
    for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"):
        path = f"/proc/{pid}/net/{kind}"
        if os.path.exists(path):
            with open(path, encoding="ascii") as f:
                known |= {line.split()[8 if kind == "packet" else 9] for line in f.readlines()[1:]}
    held = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    return {x for x in held if x.startswith("socket:[") and x[8:-1] in known}


def test_each_process_has_what_it_needs_and_no_more(client, agent):
    sleeper = client.popen("exec", "web-01", "--", f"exec sleep 8642{RUN}", stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: running(f"sleep 8642{RUN}"), "the program")
        holder = holder_of(agent)
        monitor, uplink = agent.process.pid, uplink_of(agent)
        assert words_of(monitor)[0].endswith("hawser-node-monitor")
        assert uids(monitor) == {"0"} and uids(uplink) == {str(accounts.NODE)} and uids(holder) == {str(accounts.HAWSER)}
        assert status_of(uplink)["Groups"].split() == [str(accounts.NODE)]
        assert int(status_of(uplink)["CapEff"], 16) == int(status_of(uplink)["CapPrm"], 16) == 0
        assert status_of(uplink)["NoNewPrivs"] == "1"
        assert status_of(monitor)["NoNewPrivs"] == status_of(holder)["NoNewPrivs"] == "0"
        assert network_sockets(uplink) and not network_sockets(monitor) and not network_sockets(holder)
    finally:
        sleeper.kill()
        sleeper.wait()


def test_what_the_confined_network_process_says_of_the_machine(client, agent):
    facts = wait_until(lambda: (n := client.json("ls", "web-01")["InstanceInformationList"][0]).get("KernelVersion") and n, "the facts")
    with open("/etc/os-release", encoding="utf-8") as f:
        release = dict(line.strip().split("=", 1) for line in f if "=" in line)
    assert facts["PlatformName"] == release["ID"].strip('"')
    assert facts["KernelVersion"] == os.uname().release


def test_the_next_agent_has_what_the_last_one_started(client, agent):
    """Another user's, over sockets that are the network process's alone, through its sandbox."""
    child = client.popen("exec", "web-01", "--", "id -un; read x; sudo -n true; echo $x; exit 8",
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "hawser\n"
    holder = holder_of(agent)
    note, = os.listdir(os.path.join(agent.dir, "sessions"))
    kept = os.stat(os.path.join(agent.dir, "sessions", note))
    assert (kept.st_uid, kept.st_mode & 0o777) == (accounts.NODE, 0o600)
    os.kill(uplink_of(agent), signal.SIGKILL)
    wait_until(lambda: "session.adopted" in agent.log, "the next network process")
    first = uplink_of(agent)
    agent.process.kill()
    agent.process.wait()
    wait_until(lambda: not os.path.exists(f"/proc/{first}"), "the end of the network process")
    agent.start()
    out, err = child.communicate("word\n", timeout=PATIENCE)
    assert (out, child.returncode) == ("word\n", 8), err
    run = os.path.join(agent.dir, "run")
    wait_until(lambda: not os.path.exists(f"/proc/{holder}"), "the end of the holder")
    wait_until(lambda: not os.listdir(run), "the end of its socket, which a user cannot remove")
    assert os.listdir(os.path.join(agent.dir, "sessions")) == []


def test_files_belong_to_the_network_process_and_sockets_are_its_alone(client, agent):
    sleeper = client.popen("exec", "web-01", "--", f"exec sleep 8643{RUN}", stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: running(f"sleep 8643{RUN}"), "the program")
        key, run = (os.stat(os.path.join(agent.dir, x)) for x in ("node.key", "run"))
        assert (key.st_uid, key.st_mode & 0o777) == (accounts.NODE, 0o600)
        assert (run.st_uid, run.st_gid, run.st_mode & 0o777) == (0, accounts.NODE, 0o710)
        (name,) = os.listdir(os.path.join(agent.dir, "run"))
        sock = os.stat(os.path.join(agent.dir, "run", name))
        assert (sock.st_uid, sock.st_mode & 0o777) == (accounts.NODE, 0o600)
        for secret in (os.path.join(agent.dir, "node.key"), os.path.join(agent.dir, "run", name), "/etc/shadow"):
            assert client.run("exec", "web-01", "--", f"cat {secret}").returncode == 1
        read = ["setpriv", f"--reuid={accounts.NODE}", f"--regid={accounts.NODE}", "--clear-groups", "cat", "/etc/shadow"]
        assert subprocess.run(read, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout == b""
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_session_is_its_user_s_login(client, agent, machine):
    ask = "id -un; id -G; echo $HOME $USER $LOGNAME $SHELL; pwd; umask; grep -E 'NoNewPrivs|Seccomp:|CapEff' /proc/self/status"
    for user, number, shell in (("hawser", accounts.HAWSER, "/bin/bash"), ("ann", accounts.ANN, "/bin/sh")):
        target = "web-01" if user == "hawser" else f"{user}@web-01"
        home = f"{machine.homes}/{user}"
        assert client.ok("exec", target, "--", ask).split("\n")[:-1] == [
            user, f"{number} {accounts.CREW}", f"{home} {user} {user} {shell}", home, "0022",
            "CapEff:\t0000000000000000", "NoNewPrivs:\t0", "Seccomp:\t0"]
    assert client.ok("exec", "root@web-01", "--", "id -u; id -G; pwd").split() == ["0", "0", "/root"]
    assert client.ok("exec", "homeless@web-01", "--", "pwd") == "/\n"
    assert "/nonexistent" in client.run("exec", "homeless@web-01", "--", "true").stderr


def test_its_terminal_is_its_user_s(client, agent):
    out = client.run("shell", "web-01", "--", "stat -c '%U %G %a' $(tty); echo > $(tty); tty -s && echo good").stdout
    assert "hawser tty 620\n" in out and "good\n" in out


def test_root_s_shell_can_all_that_root_can(client, agent):
    child = client.spawn("shell", "root@web-01", "--", "export PS1=; echo o''n; exec sh")
    child.expect("on\r\n")

    def ask(command):
        child.sendline(f"stty -echo; {command}; echo EN''D")
        child.expect("END\r\n")
        return child.before.split("\r\n")[-2]

    assert ask("touch /usr/hawser-e2e && rm /usr/hawser-e2e && echo written") == "written"
    assert ask("su ann -c 'id -un'") == "ann"
    assert ask("sudo -u ann id -un 2> /dev/null") == "ann"
    assert ask("su ann -c 'tty -s && echo a terminal'") == "a terminal"
    child.sendline("exit")
    child.expect(pexpect.EOF)


def test_sudo_of_a_user_is_not_crippled(client, agent):
    """It refuses for want of a password, and not because it cannot become root."""
    said = client.run("exec", "web-01", "--", "sudo -n true").stderr
    assert "password" in said and "no new privileges" not in said, said


def test_sudo_of_a_user_who_may_works(client, agent):
    for command in ("exec", "shell"):
        done = client.run(command, "ann@web-01", "--", "sudo -n true && sudo -n grep -E 'Uid|NoNewPrivs|Seccomp:' /proc/self/status")
        said = [line for line in done.stderr.splitlines() if "unable to resolve host" not in line]
        assert done.returncode == 0 and len(said) <= 1, done
        assert done.stdout.split("Uid:")[1].split() == ["0"] * 4 + ["NoNewPrivs:", "0", "Seccomp:", "0"], done


def test_the_network_process_is_confined_and_no_other(client, agent):
    sleeper = client.popen("exec", "web-01", "--", f"exec sleep 8648{RUN}", stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: running(f"sleep 8648{RUN}"), "the program")
        modes = {pid: status_of(pid)["Seccomp"] for pid in agent.processes()}
        assert {pid for pid, mode in modes.items() if mode != "0"} == {uplink_of(agent)}, modes
        assert modes[uplink_of(agent)] == "2"
    finally:
        sleeper.kill()
        sleeper.wait()


def test_the_machine_s_policy_counts_for_root_and_its_other_names(client, agent, machine):
    agent.stop()
    policy = os.path.join(machine.base, "node.policy")
    with open(policy, "w", encoding="utf-8") as f:
        f.write("deny user root\nallow user hawser\nallow uid 4203-4299\n")
    os.chmod(policy, 0o644)
    agent.start("--policy", policy)
    assert client.ok("exec", "web-01", "--", "id -un") == "hawser\n"
    assert client.ok("exec", "ann@web-01", "--", "id -un") == "ann\n"
    assert "does not allow the user root" in client.fails("exec", "root@web-01", "--", "true", code=255)
    assert "does not allow the user daemon" in client.fails("exec", "daemon@web-01", "--", "true", code=255)
    assert "another name of root" in client.fails("exec", "toor@web-01", "--", "true", code=255)
    os.chown(policy, accounts.HAWSER, 0)
    assert f"belongs to uid {accounts.HAWSER}" in client.fails("exec", "web-01", "--", "true", code=255)
    os.chown(policy, 0, 0)
    assert client.ok("exec", "web-01", "--", "id -un") == "hawser\n"


def test_root_has_one_name_without_a_policy_too(client, agent):
    assert client.ok("exec", "root@web-01", "--", "id -u") == "0\n"
    assert "toor is another name of root: ask for root by name" in client.fails("exec", "toor@web-01", "--", "true", code=255)


def test_accounts_that_have_no_shell(client, agent):
    barred = client.run("exec", "barred@web-01", "--", "echo never")
    assert barred.returncode == 1 and "not available" in barred.stdout, barred
    assert "not available" in client.run("shell", "barred@web-01").stdout
    err = client.fails("exec", "broken@web-01", "--", "true", code=255)
    assert "/nonexistent/shell, the shell of broken" in err
    assert "no user nobody-here" in client.fails("shell", "nobody-here@web-01", code=255)


def test_who_kills_the_own_holder_ends_the_own_session(client, agent):
    child = client.popen("exec", "web-01", "--",
                         f"sleep 8644{RUN} & setsid sleep 8645{RUN} & echo $PPID; read go; kill -9 $PPID; exec sleep 8646{RUN}",
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert int(child.stdout.readline()) == holder_of(agent)
        err = child.communicate("go\n", timeout=PATIENCE)[1]
        assert child.returncode == 255 and "killed" in err, err
        wait_until(lambda: not running(f"sleep 864[46]{RUN}"), "the end of what it started")
    finally:
        for pid in running(f"sleep 864[456]{RUN}"):  # what has a session of its own stays, as after a logout
            os.kill(pid, signal.SIGKILL)
    assert client.ok("exec", "web-01", "--", "echo well") == "well\n"
    assert uids(agent.process.pid) == {"0"}


@pytest.mark.relay(resume_seconds=1)
def test_what_su_started_ends_with_its_session(client, agent):
    """Another user's program, started by a program that the holder may not signal."""
    child = client.popen("exec", "root@web-01", "--", f"su ann --session-command 'sleep 8647{RUN}'",
                         stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: running(f"sleep 8647{RUN}"), "su to work")
    child.kill()
    child.wait()
    child.stderr.close()
    wait_until(lambda: not running(f"sleep 8647{RUN}"), "the end of what su started")
    wait_until(lambda: not os.listdir(os.path.join(agent.dir, "run")), "the end of its socket")


@pytest.mark.parametrize("command", ["exec", "shell"])
def test_what_became_another_user_s_ends_with_its_session(client, agent, machine, command):
    """The session's own program, which the holder may not signal once it is root's in every way, as doas makes it."""
    become = shutil.copy(shutil.which("setpriv"), os.path.join(machine.base, "become"))
    os.chmod(become, 0o4755)
    child = client.popen(command, "ann@web-01", "--", f"exec {become} --reuid=0 --regid=0 --clear-groups sleep 8650{RUN}",
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: running(f"sleep 8650{RUN}"), "it to work")
    try:
        client.ok("sessions", "kill", os.listdir(os.path.join(agent.dir, "run"))[0].removesuffix(".sock"))
        child.wait(PATIENCE)
        wait_until(lambda: not running(f"sleep 8650{RUN}"), "the end of the program")
        wait_until(lambda: not os.listdir(os.path.join(agent.dir, "run")), "the end of its socket")
    finally:
        for pid in running(f"sleep 8650{RUN}"):
            os.kill(pid, signal.SIGKILL)


def test_what_is_another_user_s_ends_with_an_agent_that_is_stopped(client, agent):
    child = client.popen("exec", "ann@web-01", "--", f"sudo -n nohup sleep 8651{RUN} > /dev/null 2>&1; true",
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: running(f"sleep 8651{RUN}"), "sudo to work")
    agent.stop()
    child.kill()
    child.wait()
    try:
        wait_until(lambda: not running(f"sleep 8651{RUN}"), "the end of what sudo started")
        assert not os.listdir(os.path.join(agent.dir, "run"))
    finally:
        for pid in running(f"sleep 8651{RUN}"):
            os.kill(pid, signal.SIGKILL)


# Numbers of the kernel's calls: keyctl to join a keyring, add_key, request_key.
KEYRINGS = {"x86_64": (250, 248, 249), "aarch64": (219, 217, 218)}
JOIN = "import ctypes, os, sys; ctypes.CDLL(None).syscall({}, 1, None); os.execvp(sys.argv[1], sys.argv[1:])"
ADD = "import ctypes; print(ctypes.CDLL(None).syscall({}, b'user', b'hawser-e2e', b'x', 1, -3) > 0)"
FIND = "import ctypes; print(ctypes.CDLL(None).syscall({}, b'user', b'hawser-e2e', None, 0) > 0)"


def test_sessions_share_no_keyring(client, machine):
    """A service has one, which all that it starts would have: what one user puts there others would find."""
    join, add, find = KEYRINGS[os.uname().machine]
    node = Node(machine.base, client, "web-01", rootless=False, agent=machine.agent,
                wrap=[*machine.wrap, sys.executable, "-c", JOIN.format(join)])
    python = lambda user, text: client.ok("exec", f"{user}@web-01", "--", f"/usr/bin/python3 -c {shlex.quote(text)}")
    node.start()
    try:
        assert python("ann", f"{ADD.format(add)}; {FIND.format(find)}") == "True\nTrue\n", "a session has one that it may use"
        assert python("hawser", FIND.format(find)) == python("root", FIND.format(find)) == "False\n"
    finally:
        node.stop()


def as_the_network_process(script, *args):
    subprocess.run(["setpriv", f"--reuid={accounts.NODE}", f"--regid={accounts.NODE}", "--clear-groups",
                    "sh", "-c", script, "sh", *args], check=True)


def test_the_network_process_s_user_cannot_choose_for_root(client, agent):
    """The directory is its own, and so is what it puts there: root must not go by it."""
    conf = os.path.join(agent.dir, "node.conf")
    assert os.stat(conf).st_uid == 0
    agent.stop()
    as_the_network_process('sed "s/^run_as.*/run_as = root/; s/^agent_user.*/agent_user = root/" "$1" > "$1.new" && mv -f "$1.new" "$1"', conf)
    agent.start()
    assert uids(uplink_of(agent)) == {str(accounts.NODE)}
    assert client.ok("exec", "web-01", "--", "id -un") == "hawser\n"
    assert "run_as and agent_user" in agent.log and "chown root" in agent.log
    os.chown(conf, 0, 0)
    agent.stop()
    agent.start(wait=False)
    assert agent.process.wait(PATIENCE) == 1
    assert "must not be root" in agent.log


def test_the_administrator_s_settings_hold(client, agent):
    agent.stop()
    conf = os.path.join(agent.dir, "node.conf")
    with open(conf, encoding="utf-8") as f:
        text = f.read().replace("run_as = hawser\n", "run_as = ann\n")
    with open(conf, "w", encoding="utf-8") as f:
        f.write(text)
    agent.start()
    assert client.ok("exec", "web-01", "--", "id -un") == "ann\n"


def test_a_deregistered_machine_joins_again(client, agent):
    client.ok("node", "rm", "web-01")
    wait_until(lambda: not os.path.exists(os.path.join(agent.dir, "node.key")), "the end of its key")
    agent.stop()
    agent.join()
    agent.start()
    assert os.stat(os.path.join(agent.dir, "node.key")).st_uid == accounts.NODE
    assert client.ok("exec", "web-01", "--", "echo back") == "back\n"
