"""hawser shell on a real terminal."""

import hashlib
import os
import re
import signal
import subprocess

import pexpect

from support.relay import wait_until
from support.standing import agent, agents, client, relay, where  # noqa: F401

PROMPT = "READY> "


def shell(client, *args, **kwargs):
    child = client.spawn("shell", *args, **kwargs)
    child.expect("recorded")
    child.sendline("bind 'set enable-bracketed-paste off'; PS1='READ''Y> '; stty -echo; unset PROMPT_COMMAND")
    child.expect(PROMPT)
    return child


def ask(child, command):
    child.sendline(command)
    child.expect(PROMPT)
    return child.before.replace("\r\n", "\n").strip()


def test_it_is_a_login_shell_on_a_terminal_of_its_own(client, agent):
    child = shell(client, "web-01", rows=43, cols=132)
    assert ask(child, "stty size") == "43 132"
    assert ask(child, "tty").startswith("/dev/pts/")
    assert ask(child, "echo $TERM") == "xterm-256color"
    assert ask(child, "shopt -q login_shell && echo login") == "login"
    assert ask(child, "ps -o tpgid= -p $$ | tr -d ' '") != "-1"
    assert ask(child, "id -un; pwd; echo $HOME").split("\n")[1] == ask(child, "echo $HOME")
    child.sendline("exit 5")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 5


def test_a_resize_reaches_the_program(client, agent):
    child = shell(client, "web-01")
    child.setwinsize(50, 111)
    wait_until(lambda: ask(child, "stty size") == "50 111", "the new size")
    child.sendline("exit")
    child.expect(pexpect.EOF)


def test_ctrl_c_is_data_and_ends_the_command_not_the_session(client, agent):
    child = shell(client, "web-01")
    mark = 200000 + os.getpid()
    child.sendline(f"sleep {mark}; echo after-$?")
    wait_until(lambda: subprocess.run(["pgrep", "-f", f"^sleep {mark}"], stdout=subprocess.PIPE).stdout, "the sleep")
    child.send("\x03")
    child.expect(PROMPT)
    assert ask(child, "echo alive") == "alive"
    child.sendline("exit")
    child.expect(pexpect.EOF)


def test_the_terminal_is_restored_after_the_end_and_after_a_kill(client, agent):
    for signo in (None, signal.SIGTERM, signal.SIGKILL):
        child = pexpect.spawn("/bin/bash", ["--norc"], env=client.env, encoding="utf-8", timeout=60)
        child.sendline("PS1='LOC''AL> '; stty -a | tr ';' '\\n' | grep -c . ; stty -g")
        child.expect("LOCAL> ")
        before = re.findall(r"[0-9a-f:]{40,}", child.before)[-1]
        child.sendline(f"'{os.environ['HAWSER_BUILD']}/hawser' shell web-01")
        child.expect("recorded")
        if signo is None:
            child.sendline("exit")
        else:
            pids = wait_until(lambda: subprocess.run(
                ["pgrep", "-P", str(child.pid), "-x", "hawser"], stdout=subprocess.PIPE).stdout.split(), "the client")
            os.kill(int(pids[0]), signo)
        child.expect("LOCAL> ")

        def restored():
            child.sendline("stty -g; echo EN''D")
            child.expect("END")
            return re.findall(r"[0-9a-f:]{40,}", child.before)[-1] == before

        wait_until(restored, f"the terminal's modes after {signo}")
        child.close(force=True)


def test_a_hidden_password_is_not_in_the_recording(client, agent):
    child = shell(client, "web-01")
    child.sendline("echo visible-word; read -s -p 'Password: ' x; echo; echo got-${#x}")
    child.expect("Password: ")
    child.sendline("correct-horse")
    child.expect("got-13")
    child.expect(PROMPT)
    child.sendline("exit")
    child.expect(pexpect.EOF)
    session = client.json("sessions", "ls")["Sessions"][0]["SessionId"]
    for form in (["text"], ["text", "--typed"], ["raw"], ["raw", "--typed"], ["cast"], ["json"]):
        assert "correct-horse" not in client.ok("audit", "export", session, "--format", *form)
    assert "visible-word" in client.ok("audit", "export", session, "--format", "text", "--typed")
    assert "got-13" in client.ok("audit", "export", session, "--format", "text")


def test_without_a_terminal_it_runs_what_standard_input_holds(client, agent):
    done = client.run("shell", "web-01", stdin="echo from-$((40+2))\nexit 3\n")
    assert "from-42" in done.stdout
    assert done.returncode == 3, done.stderr


def test_the_end_of_standard_input_is_the_end_of_the_shell(client, agent):
    done = client.run("shell", "web-01", stdin="sleep 0.7\necho from-$((40+2))\n")
    assert "from-42" in done.stdout
    assert done.returncode == 0, done.stderr
    assert "got-5" in client.run("shell", "web-01", "--", "echo got-$(wc -c)", stdin="word\n").stdout


def test_a_command_on_a_terminal(client, agent):
    done = client.run("shell", "web-01", "--", "tty && exit 4", stdin="")
    assert "/dev/pts/" in done.stdout
    assert done.returncode == 4


def test_a_megabyte_is_pasted_whole(client, agent):
    paste = bytes(range(256)) * 3907  # a megabyte, invalid UTF-8 among it
    child = client.popen(
        "shell", "web-01", "--", f"stty raw -echo; echo ready; head -c {len(paste)} | sha256sum",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert b"ready" in child.stdout.readline()
    out, _ = child.communicate(paste, timeout=60)
    assert hashlib.sha256(paste).hexdigest().encode() in out, out[-300:]


def test_hanging_up_ends_all_of_the_session_s_processes(client, agent):
    child = shell(client, "web-01")
    mark = 100000 + os.getpid()  # a number of this run's own
    ask(child, f"sleep {mark} & disown; (trap '' HUP; exec sleep {mark}) & disown")
    running = lambda: subprocess.run(["pgrep", "-f", f"^sleep {mark}"], stdout=subprocess.PIPE).stdout.split()
    wait_until(lambda: len(running()) == 2, "both sleeps")
    child.send("\r~.")
    child.expect(pexpect.EOF)
    wait_until(lambda: not running(), "the end of what it started")


def test_escapes(client, agent):
    child = shell(client, "web-01")
    child.send("\r~?")
    child.expect("~\\.")
    child.send("\r~~x")
    child.expect(pexpect.TIMEOUT, timeout=0.2)
    child.sendline("")
    child.expect(PROMPT)
    child.send("\r~.")
    child.expect(pexpect.EOF)


def test_root_works_in_it_as_on_a_console(client, agent):
    """sudo and su need a process that may still gain privileges, and a terminal that is theirs."""
    if os.geteuid() != 0:
        return
    child = shell(client, "web-01")
    assert ask(child, "touch /usr/hawser-e2e && rm /usr/hawser-e2e && echo written") == "written"
    assert ask(child, "grep NoNewPrivs /proc/self/status | tr -dc 0-9") == "0"
    assert ask(child, "su -s /bin/sh nobody -c 'id -un'") == "nobody"
    assert ask(child, "sudo -u nobody id -un 2> /dev/null") == "nobody"
    child.sendline("exit")
    child.expect(pexpect.EOF)


def test_a_terminated_session_says_by_whom(client, agent, tmp_path):
    child = shell(client, "web-01")
    session = client.json("sessions", "ls")["Sessions"][0]["SessionId"]
    client.ok("sessions", "kill", session)
    child.expect("admin")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 255


def test_a_node_that_goes_is_waited_for_and_then_told_on_the_terminal(apart):
    client, agent = apart(resume_seconds=3, detached_seconds=3)
    child = shell(client, "web-01")
    agent.vanish()
    child.expect("hawser: the link to node web-01 was lost, waiting")
    child.expect("\nhawser: .* node")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 255
