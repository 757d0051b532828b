"""./dev try, with programs that are built already."""

import os
import re
import subprocess

import pexpect
import pytest

from support.relay import BUILD, wait_until

DEV = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "dev"))


@pytest.fixture
def env(tmp_path):
    made = dict(os.environ, HAWSER_BUILD=os.path.abspath(BUILD), HAWSER_TRY=str(tmp_path / "try"), TERM="xterm")
    yield made
    wait_until(lambda: not started(made), "the end of what it started")


def started(env):
    """Processes that name its folder."""
    return subprocess.run(["pgrep", "-f", env["HAWSER_TRY"]], stdout=subprocess.PIPE, text=True).stdout.split()


def dev_try(env, *args, stdin=""):
    return subprocess.run([DEV, "try", *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, env=env, timeout=90)


def test_it_runs_standard_input_and_says_how_to_replay(env):
    first = dev_try(env, stdin="echo from-$((40 + 2))\nexit 3\n")
    assert first.returncode == 3, first.stderr
    assert "from-42" in first.stdout
    assert started(env) == []
    again = re.search(r"\./dev try replay (\S+)", first.stderr).group(1)
    assert "from-42" in dev_try(env, "replay", again).stdout
    text = re.search(r"\./dev try (audit export .*)", first.stderr).group(1)
    assert "from-42" in dev_try(env, *text.split()).stdout
    assert dev_try(env, "ls", "-o", "name").stdout == "web-01\nweb-02\n"


def test_on_a_terminal(env):
    child = pexpect.spawn(DEV, ["try"], env=env, encoding="utf-8", timeout=90)
    child.expect("recorded; ~\\? for help")
    child.sendline("echo from-$((40 + 2)); tty; exit 4")
    child.expect("from-42\r\n/dev/pts/")
    child.expect("dev: +\\./dev try replay [a-z]+-[0-9a-f]{17}")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 4


def test_a_terminal_that_closes_leaves_nothing(env):
    child = pexpect.spawn(DEV, ["try"], env=env, encoding="utf-8", timeout=90)
    child.expect("recorded; ~\\? for help")
    child.ptyproc.fileobj.close()
    os.waitpid(child.pid, 0)
    child.ptyproc.closed = child.ptyproc.terminated = child.closed = True
