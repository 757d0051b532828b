"""Completion of hawser's words in real shells, and the names that it keeps."""

import os
import re
import shutil
import socket
import time

import pexpect
import pytest

from support.relay import BUILD, PATIENCE, wait_until

SHELLS = {
    "bash": ("bash", ["--norc", "-i"], 'set -u; IFS=; eval "$(hawser completion bash)"'),
    "zsh": ("zsh", ["-f", "-i"], 'autoload -Uz compinit; compinit -u -D; eval "$(hawser completion zsh)"'),
    "fish": ("fish", ["--no-config", "-i"], "hawser completion fish | source"),
}


def environment(client, home):
    return dict(os.environ, PATH=f"{BUILD}:{os.environ['PATH']}", HAWSER_HOME=client.home, HOME=str(home), TERM="dumb",
                PS1="READY ", PROMPT="READY ", LC_ALL="C.UTF-8")


def words(client, *line):
    said = client.ok("completion", "words", "--", *line).splitlines()
    return said[0], [each.split("\t")[0] for each in said[1:]]


@pytest.mark.parametrize("name", SHELLS)
def test_a_name_is_completed_in(name, client, agent, tmp_path):
    program, args, setup = SHELLS[name]
    assert shutil.which(program), f"no {program} here"
    shell = pexpect.spawn(program, args, env=environment(client, tmp_path), encoding="utf-8", timeout=PATIENCE,
                          dimensions=(24, 200))
    shell.sendline(setup + "; echo is-re''ady")
    shell.expect("is-ready")
    (tmp_path / "only-one-policy.json").write_text("{}")
    for typed, completed in (("shell root@we", "shell root@web-01"), ("ls --outp", "ls --output"),
                             (f"policy put x {tmp_path}/only-o", f"policy put x {tmp_path}/only-one-policy.json"),
                            (f"run --script={tmp_path}/only-o", f"run --script={tmp_path}/only-one-policy.json"),
                            ("shell root@web-\x1b[D\x1b[D", "shell root@web-01")):
        shell.send(f"hawser {typed}\t")
        shell.send("\x01echo got: \r")  # at the line's start: it is shown and not run
        shell.expect(f"[\n\r]got: hawser {re.escape(completed)}(b-)?\\s")  # what stood behind the cursor
    shell.sendline("exit")
    shell.expect(pexpect.EOF)


def test_names_are_kept_and_had_anew(client, agents):
    agents("web-01")
    assert words(client, "shell", "w") == ("words", ["web-01"]), "the first time it is waited for"
    agents("web-02")
    assert words(client, "shell", "w") == ("words", ["web-01"]), "a kept one is young enough"
    kept = os.path.join(client.home, "names", "nodes")
    os.utime(kept, (time.time() - 60,) * 2)
    assert words(client, "shell", "w") == ("words", ["web-01"]), "nobody waits for the relay"
    wait_until(lambda: words(client, "shell", "w")[1] == ["web-01", "web-02"], "the new node's name")
    assert os.stat(kept).st_mode & 0o777 == 0o600
    client.ok("logout")
    assert not os.path.exists(os.path.dirname(kept))
    assert words(client, "shell", "w") == ("words", [])


def test_names_of_a_wrong_clock_are_had_anew(client, agents):
    agents("web-01")
    assert words(client, "shell", "w")[1] == ["web-01"]
    agents("web-02")
    os.utime(os.path.join(client.home, "names", "nodes"), (time.time() + 86400,) * 2)
    wait_until(lambda: words(client, "shell", "w")[1] == ["web-01", "web-02"], "the new node's name")


def test_a_folder_that_others_write_to_is_left_alone(client, agent):
    folder = os.path.join(client.home, "names")
    os.mkdir(folder)
    with open(os.path.join(folder, "nodes"), "w", encoding="ascii") as f:
        f.write("web-of-somebody\n")
    os.chmod(folder, 0o777)
    assert words(client, "shell", "w") == ("words", [])
    assert os.listdir(folder) == ["nodes"]
    os.chmod(folder, 0o700)
    assert words(client, "shell", "w")[1] == ["web-of-somebody"]


def test_another_login_has_names_of_its_own(client, relay, agent):
    assert words(client, "shell", "w")[1] == ["web-01"]
    invite = client.ok("user", "add", "ann").split()[-1]
    client.ok("login", relay.url, invite)
    assert not os.path.exists(os.path.join(client.home, "names"))


def test_what_is_refused_is_not_asked_for_again(client, relay, tmp_path):
    """Whoever may not list users does not fill the ledger with refusals by pressing a key."""
    ann = client.add_user(tmp_path / "ann", "ann")
    for _ in range(3):
        assert words(ann, "user", "show", "") == ("words", [])
        wait_until(lambda: os.stat(os.path.join(ann.home, "names", "users")).st_mtime > time.time() + 60, "the refusal")
    denied = client.ok("audit", "ls", "--user", "ann", "-o", "jsonl")
    assert denied.count("ListUsers") <= 1


def test_a_relay_that_is_gone_is_not_waited_for(client, relay, agent):
    assert words(client, "shell", "w")[1] == ["web-01"]
    relay.stop()
    os.utime(os.path.join(client.home, "names", "nodes"), (0, 0))
    started = time.monotonic()
    assert words(client, "shell", "w")[1] == ["web-01"]
    assert time.monotonic() - started < PATIENCE / 2
    assert words(client, "shell", "--re")[1] == ["--reason"]
    relay.start()


def test_names_are_had_by_way_of_the_proxy_of_the_line(client, agents):
    """Nothing listens at the one that is named: without it there are names."""
    agents("web-01")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        assert words(client, "shell", "--proxy", proxy, "w") == ("words", [])
