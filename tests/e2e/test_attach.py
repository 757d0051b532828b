"""Shells that are left and come back to, from anywhere; watched, and typed into by several."""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios

import pytest

from support.fleet import Client
from support.relay import PATIENCE, program, wait_until
from support.screens import Screen
from support.standing import agent, agents, client, relay, where  # noqa: F401

PROMPT = "READY>"


@pytest.fixture
def screens():
    """screen(client, "shell", "web-01", cols=80, rows=24): all are closed at the test's end."""
    made = []

    def make(*args, **kwargs):
        made.append(Screen(*args, **kwargs))
        return made[-1]

    yield make
    for screen in made:
        screen.close()


@pytest.fixture(autouse=True)
def none_is_left(client):
    """Each test begins without a session, whichever ran before it: a client that a test's end cuts leaves its shell."""
    def look():
        left = client.ok("sessions", "ls", "--live", "-o", "name").split()
        for session in left:
            client.run("sessions", "kill", session)
        return not left
    wait_until(look, "the end of what a test left")


@pytest.fixture(scope="module")
def laptop(client, relay, where):
    """The same person, logged in on another machine."""
    invite = client.json("user", "invite", "admin")["Invite"]
    (where / "laptop").mkdir()
    return Client(where / "laptop", relay, invite)


def shell(screen):
    screen.expect("recorded")
    screen.line("PS1='READ''Y> '; unset PROMPT_COMMAND; clear; echo be''gun")
    screen.expect("begun\n" + PROMPT)
    return screen


def sessions(client, *args):
    return client.json("sessions", "ls", *args)["Sessions"]


def only(client):
    """The one live session."""
    (session,) = sessions(client, "--live")
    return session


def leave(screen):
    screen.key("Enter")
    screen.type("~d")


def away(client):
    return wait_until(lambda: [s for s in sessions(client, "--live") if s["Status"] == "Disconnected"], "it is let go of")


# --- one's own ------------------------------------------------------------------------------------


def test_a_shell_is_left_and_taken_up_on_another_machine(client, agent, laptop, screens):
    here = shell(screens(client, "shell", "web-01"))
    session = only(client)["SessionId"]
    assert only(client)["Status"] == "Connected"
    here.line("mine=4711; clear; echo still-$((40+2))")
    here.expect("still-42")
    leave(here)
    assert here.status() == 0
    here.expect(f"hawser: detached from {session}; hawser attach {session} takes it up again")
    (gone,) = away(client)
    assert "DisconnectedDate" in gone
    assert "Disconnected" in client.ok("sessions", "ls")
    assert [s["SessionId"] for s in sessions(client, "--detached")] == [session]
    there = screens(laptop, "attach")
    there.expect("still-42")
    there.line("echo $mine$((40+2))")
    there.expect("471142")
    wait_until(lambda: only(client)["Status"] == "Connected", "its user is back")
    assert sessions(client, "--detached") == []
    there.line("exit 5")
    assert there.status() == 5


def test_a_terminal_that_is_there_is_let_go_of(client, agent, laptop, screens):
    here = shell(screens(client, "shell", "web-01"))
    session = only(client)["SessionId"]
    there = screens(laptop, "attach", session[-6:])
    assert here.status() == 255
    here.expect(f"hawser: detached from {session}: attached from 127.0.0.1; "
                f"hawser attach {session} takes it up again")
    there.expect("begun")
    back = screens(client, "attach", session[:-3])
    assert there.status() == 255
    back.expect("begun")
    back.key("Enter")
    back.type("~.")
    assert back.status() == 255
    back.expect("ended by you")
    wait_until(lambda: not sessions(client, "--live"), "its end")


@pytest.mark.parametrize("program", ["less", "vim"])
def test_a_full_screen_is_there_again(client, agent, laptop, screens, tmp_path, program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    path = tmp_path / "text"
    path.write_text("".join(f"line {i} {'é漢' * (i % 20)}\n" for i in range(1, 200)))
    command = {"less": "LESS= less -N text", "vim": "vim -u NONE -c 'set number ruler mouse=a' text"}[program]
    here = shell(screens(client, "shell", "web-01"))
    here.line(f"cd {tmp_path}; clear; {command}")
    here.expect("line 20")
    here.type("G" if program == "less" else "G5k3l")
    here.expect("line 199")
    before = wait_until(lambda: settled(here), "a screen that stands still")
    here.type("\r~d" if program == "less" else "0\r~d")
    assert here.status() == 0
    there = screens(laptop, "attach")
    there.expect("line 199")
    if program == "less":
        wait_until(lambda: there.state() == before, "the same screen")
    assert there.state()[3] == "1", "the alternate screen"
    there.type("g" if program == "less" else "gg")
    there.expect("line 1 ")
    there.type("q" if program == "less" else ":q\r")
    there.expect(PROMPT)
    there.line("echo out-$((40+2))")
    there.expect("out-42")
    there.line("exit")
    assert there.status() == 0


def settled(screen):
    first = screen.state()
    return first if screen.state() == first else None


def test_leaving_a_full_screen_puts_the_terminal_back(client, agent, screens, tmp_path):
    path = tmp_path / "text"
    path.write_text("word\n" * 100)
    here = shell(screens(client, "shell", "web-01"))
    here.line(f"LESS= less {path}; tput smkx")
    here.expect("word")
    wait_until(lambda: here.state()[3] == "1", "the alternate screen")
    leave(here)
    assert here.status() == 0
    here.expect("hawser: detached from")
    assert here.state()[3] == "0"


def waiting(fd):
    """How many bytes could be read of it. A terminal keeps 4095 for its reader, and some behind them."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def read_until(fd, wanted):
    seen = b""
    while wanted not in seen:
        assert select.select([fd], [], [], PATIENCE)[0], seen[-1000:]
        seen += os.read(fd, 65536)
    return seen


def test_a_terminal_that_lags_behind_is_put_back_when_its_client_is_stopped(client, agent):
    person, terminal = pty.openpty()
    env = dict(client.env, TERM="xterm-256color")
    child = subprocess.Popen([program("hawser"), "shell", "web-01"], env=env, stdin=terminal, stdout=terminal,
                             stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        os.write(person, b"printf '\\033[?1049hon''ly'; yes\r")
        read_until(person, b"only")
        wait_until(lambda: waiting(person) == 4095, "more than the terminal takes")
        session = only(client)["SessionId"]
        child.terminate()
        read_until(person, b"\x18\x1b[?1049l")
        assert child.wait(PATIENCE) == 128 + signal.SIGTERM
        client.ok("sessions", "kill", session)
    finally:
        child.kill()
        child.wait()
        os.close(person)
        os.close(terminal)


def test_tab_stops_that_came_with_the_screen_are_put_back(client, agent, laptop, screens):
    here = shell(screens(client, "shell", "web-01"))
    usual = here.ask("pane_tabs")
    here.line("clear; printf '\\033[3g\\033[5G\\033H\\r'; echo se''t")
    here.expect("set")
    wait_until(lambda: here.ask("pane_tabs") == "4", "the stop that was set")
    leave(here)
    assert here.status() == 0
    assert here.ask("pane_tabs") == usual
    there = screens(laptop, "attach")
    there.expect("set")
    wait_until(lambda: there.ask("pane_tabs") == "4", "the same stop")
    there.line("exit")
    assert there.status() == 0
    assert there.ask("pane_tabs") == usual


def test_what_it_wrote_meanwhile_is_shown(client, agent, laptop, screens):
    here = shell(screens(client, "shell", "web-01"))
    here.line("clear; (sleep 1; seq 1 30000; echo do''ne) &")
    here.expect("READY>")
    leave(here)
    assert here.status() == 0
    wait_until(lambda: "done" in client.ok("audit", "export", only(client)["SessionId"], "--format", "raw"), "its end")
    there = screens(laptop, "attach")
    there.expect("done")
    there.expect("30000")
    assert "not shown" not in there.text()
    there.line("exit")
    assert there.status() == 0


def test_the_size_is_that_of_the_new_terminal(client, agent, laptop, screens):
    here = shell(screens(client, "shell", "web-01"))
    leave(here)
    assert here.status() == 0
    there = screens(laptop, "attach", cols=132, rows=43)
    there.expect("begun")
    there.line("stty size")
    there.expect("43 132")
    there.line("exit")
    assert there.status() == 0


def test_who_loses_the_terminal_leaves_the_shell(client, agent, laptop, screens):
    here = shell(screens(client, "shell", "web-01"))
    here.line("mine=4711")
    here.close()
    away(client)
    there = screens(laptop, "attach")
    there.expect("begun")
    there.line("echo $mine$((40+2))")
    there.expect("471142")
    there.line("exit")
    assert there.status() == 0


def test_keys_typed_just_before_it_is_left_arrive(client, agent, laptop, screens):
    here = shell(screens(client, "shell", "web-01"))
    here.type("echo arr''ived\r~d")
    assert here.status() == 0
    there = screens(laptop, "attach")
    there.expect("arrived")
    there.line("exit")
    assert there.status() == 0


def test_it_is_taken_up_after_the_relay_was_killed(client, agent, relay, laptop, screens):
    here = shell(screens(client, "shell", "web-01"))
    here.line("mine=4711; clear; echo still-$((40+2))")
    here.expect("still-42")
    leave(here)
    assert here.status() == 0
    away(client)
    relay.kill9()
    relay.start()
    agent.wait_online()
    there = screens(laptop, "attach")
    there.expect("still-42")
    there.line("echo $mine$((40+2))")
    there.expect("471142")
    there.line("exit 3")
    assert there.status() == 3


def test_without_a_name_it_is_the_only_one(client, agent, screens):
    assert "none of your sessions is detached" in client.fails("attach", code=255)
    ids = []
    for _ in range(2):
        here = shell(screens(client, "shell", "web-01"))
        leave(here)
        assert here.status() == 0
    wait_until(lambda: len(sessions(client, "--detached")) == 2, "both")
    said = client.fails("attach", code=255)
    assert "2 of your sessions are detached: name one of them" in said
    for session in sessions(client, "--detached"):
        assert re.search(f"{session['SessionId']} on web-01, detached (now|\\d+s ago)", said), said
        client.ok("sessions", "kill", session["SessionId"])
    assert ids == []


def test_a_file_is_typed_into_it_and_it_goes_on(client, agent, screens):
    here = shell(screens(client, "shell", "web-01"))
    session = only(client)["SessionId"]
    leave(here)
    assert here.status() == 0
    done = client.run("attach", session, stdin="mine=4711\n")
    assert done.returncode == 0, done.stderr
    there = screens(client, "attach", session)
    there.expect("mine=4711")
    there.line("echo $mine$((40+2))")
    there.expect("471142")
    there.line("exit")
    assert there.status() == 0


# --- what cannot be attached ----------------------------------------------------------------------


def test_what_is_over_unknown_or_no_shell_is_said(client, agent):
    assert client.run("shell", "web-01", stdin="exit 3\n").returncode == 3
    over = sessions(client)[0]
    said = client.fails("attach", over["SessionId"], code=255)
    assert f"{over['SessionId']} has ended: exit status 3" in said
    assert f"hawser replay {over['SessionId']}" in said
    assert "no session that you may see is 'ffffff'" in client.fails("attach", "ffffff", code=255)
    assert "no session" in client.fails("attach", "admin-0123456789abcdef0", code=255)
    child = client.popen("exec", "web-01", "--", "sleep 60")
    try:
        running = wait_until(lambda: sessions(client, "--live"), "the command")[0]["SessionId"]
        for args in (["attach"], ["attach", "--join"], ["sessions", "watch"]):
            assert "is no shell" in client.fails(*args, running, code=255)
    finally:
        child.kill()
        child.wait()
    assert "--join wants a session" in client.fails("attach", "--join")


# --- others ---------------------------------------------------------------------------------------


@pytest.fixture
def person(client, tmp_path):
    """Makes somebody who may do this with any session, until the test's end: person("carol", "hawser:WatchSession")."""
    made = []

    def make(name, *actions):
        user = client.add_user(tmp_path, name)
        made.append(name)
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}))
        client.ok("policy", "put", f"of-{name}", str(path))
        client.ok("policy", "attach", f"of-{name}", "--user", name)
        return user

    yield make
    for name in made:
        client.ok("user", "rm", name)


def test_who_may_watches_and_who_may_not_is_told(client, agent, screens, person):
    carol = person("carol", "hawser:WatchSession", "ssm:ResumeSession", "ssm:DescribeSessions")
    dave = person("dave", "ssm:DescribeSessions")
    here = shell(screens(client, "shell", "web-01"))
    session = only(client)["SessionId"]
    here.line("clear; echo secret-$((40+2))")
    here.expect("secret-42")
    for args in (["sessions", "watch"], ["attach", "--join"], ["attach"]):
        said = dave.fails(*args, session, code=255)
        assert "dave" in said or "only its owner" in said, said
    there = screens(carol, "sessions", "watch", session[-6:])
    there.expect(f"hawser: watching session {session} on web-01; no key is sent, Ctrl-C leaves")
    there.expect("secret-42")
    assert f"watching session {session}" in there.words(history=True), "it can be looked at later"
    here.expect("carol watches this session")
    there.line("echo never-$((40+2))")
    here.line("echo shown-$((40+2))")
    there.expect("shown-42")
    here.expect("shown-42")
    assert "never" not in here.text()
    there.key("C-c")
    assert there.status() == 0
    there.expect(f"hawser: left {session}; hawser sessions watch {session} takes it up again")
    here.expect("carol left")
    assert "only its owner attaches to it" in carol.fails("attach", session, code=255)
    here.line("exit")
    assert here.status() == 0
    said = client.ok("audit", "export", session, "--format", "raw")
    assert "never" not in said


def test_a_watcher_whose_terminal_is_smaller_is_told(client, agent, screens, person):
    carol = person("carol", "hawser:WatchSession", "ssm:DescribeSessions")
    here = shell(screens(client, "shell", "web-01", cols=100, rows=30))
    there = screens(carol, "sessions", "watch", only(client)["SessionId"], cols=60, rows=20)
    there.expect("the session's terminal has 100x30, and yours 60x20: make it larger to see all")
    here.line("stty size")
    here.expect("30 100")
    here.line("exit")
    here.status()
    there.status()


def test_a_watcher_sees_the_end(client, agent, screens, person):
    carol = person("carol", "hawser:WatchSession", "ssm:DescribeSessions")
    here = shell(screens(client, "shell", "web-01"))
    there = screens(carol, "sessions", "watch", only(client)["SessionId"])
    there.expect("begun")
    here.line("exit 4")
    assert here.status() == 4
    assert there.status() == 4


def test_a_watcher_of_before_the_relay_was_killed_is_told_what_to_do(client, agent, relay, screens, person):
    carol = person("carol", "hawser:WatchSession", "ssm:DescribeSessions")
    here = shell(screens(client, "shell", "web-01"))
    session = only(client)["SessionId"]
    there = screens(carol, "sessions", "watch", session)
    there.expect("begun")
    relay.kill9()
    relay.start()
    there.expect(f"forgets who looks on: hawser sessions watch {session} asks again")
    assert there.status() == 255
    here.line("echo goes-$((40+2))")
    here.expect("goes-42")
    here.line("exit")
    assert here.status() == 0


def test_two_type_and_the_recording_says_who(client, agent, screens, person):
    carol = person("carol", "hawser:JoinSession", "ssm:DescribeSessions")
    here = shell(screens(client, "shell", "web-01"))
    session = only(client)["SessionId"]
    there = screens(carol, "attach", "--join", session)
    there.expect("begun")
    here.expect("carol types into this session")
    there.line("echo hers-$((40+2))")
    here.expect("hers-42")
    here.line("echo mine-$((40+2))")
    there.expect("mine-42")
    leave(there)
    assert there.status() == 0
    there.expect(f"hawser: left {session}; hawser attach --join {session} takes it up again")
    here.expect("carol left")
    here.line("exit 0")
    assert here.status() == 0
    exported = client.ok("audit", "export", session, "--format", "json")
    assert "carol" in exported
    assert "carol" in client.ok("audit", "export", session, "--format", "text", "--typed")


# --- idle -----------------------------------------------------------------------------------------


def test_an_idle_shell_is_detached_and_waits(apart, screens):
    client, _ = apart(idle_seconds=6)
    here = shell(screens(client, "shell", "web-01"))
    session = only(client)["SessionId"]
    here.expect("hawser: idle: this session is detached in 3 seconds unless something happens")
    assert here.status() == 255
    here.expect(f"hawser: detached from {session}: idle for 6 seconds; hawser attach {session} takes it up again")
    away(client)
    there = screens(client, "attach")
    there.expect("begun")
    there.line("exit 3")
    assert there.status() == 3


def test_an_old_session_is_ended(apart, screens):
    client, _ = apart(max_session_seconds=6)
    here = shell(screens(client, "shell", "web-01"))
    here.expect("hawser: this session ends in 3 seconds: it may be no older")
    assert here.status() == 255
    here.expect("no session may be older than 6 seconds")
    assert os.path.exists(client.home)
    assert not sessions(client, "--live")
