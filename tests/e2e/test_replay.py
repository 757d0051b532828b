"""Recordings: replayed, exported, kept."""

import json
import os
import subprocess

import pexpect
import pytest

from support.relay import PATIENCE, program


@pytest.fixture
def session(client, agent):
    """The id of a finished session that printed some of everything."""
    hostile = r"printf '\033]0;title\007\033]52;c;aGk=\007\033[c\033[6nplain\033[31mred\033[0m\n'"
    client.run("shell", "web-01", "--", f"echo first; {hostile}; printf 'caf\\303\\251 \\377\\n'; sleep 0.3; echo last",
               text=False)
    return client.json("sessions", "ls")["Sessions"][0]["SessionId"]


def test_raw_is_exactly_what_was_shown(client, session):
    raw = client.run("audit", "export", session, "--format", "raw", text=False).stdout
    assert raw.startswith(b"first\r\n\x1b]0;title\x07")
    assert b"caf\xc3\xa9 \xff\r\n" in raw
    assert raw.endswith(b"last\r\n")


def test_text_is_what_a_person_saw(client, session):
    text = client.ok("audit", "export", session, "--format", "text")
    assert "plainred\n" in text and "café \ufffd\n" in text
    assert "\x1b" not in text and "title" not in text


def test_cast_is_played_by_asciinema(client, session, tmp_path):
    cast = client.ok("audit", "export", session)
    head, *events = [json.loads(line) for line in cast.splitlines()]
    assert head["version"] == 2 and head["width"] > 0
    assert all(len(e) == 3 and e[1] in "oirm" for e in events)
    assert [e[0] for e in events] == sorted(e[0] for e in events)
    path = tmp_path / "it.cast"
    path.write_text(cast)
    player = pexpect.spawn(
        "asciinema", ["cat", str(path)], timeout=60,
        env=dict(os.environ, HOME=str(tmp_path), LANG="C.UTF-8", LC_ALL="C.UTF-8", TERM="xterm"))
    played = player.read()
    player.close()
    assert player.exitstatus == 0, played
    assert b"first" in played and b"last" in played


def test_a_replay_cannot_drive_the_auditor_s_terminal(client, session):
    out = client.run("replay", session, "--speed", "100", text=False).stdout
    assert b"first" in out and b"\x1b[31mred" in out
    for attack in (b"\x1b]", b"\x1b[c", b"\x1b[6n", b"\x07aGk"):
        assert attack not in out
    child = client.spawn("replay", session, "--speed", "100")
    child.expect("last")
    child.expect(pexpect.EOF)
    assert "\x1b]52" not in (child.before or "")


def test_a_session_is_found_by_the_end_of_its_id(client, session):
    assert "first" in client.ok("audit", "export", session[-6:], "--format", "text")
    assert "no-such" in client.fails("audit", "export", "no-such", "--format", "text")


def test_it_outlives_the_relay(client, session, relay):
    before = client.ok("audit", "export", session, "--format", "raw", text=False)
    relay.kill9()
    relay.start()
    assert client.ok("audit", "export", session, "--format", "raw", text=False) == before


def test_nothing_of_it_is_readable_on_the_disk(client, agent, relay):
    client.run("exec", "web-01", "--", "echo canary-8c1f; cat", stdin="canary-77ab\n")
    for needle in ("canary-8c1f", "canary-77ab"):
        found = subprocess.run(
            ["grep", "-rl", needle, f"{relay.dir}/journal", f"{relay.dir}/recordings", f"{relay.dir}/ledger"],
            stdout=subprocess.PIPE, text=True).stdout
        assert found == "", found


def test_a_replay_into_a_file_says_how_far_it_is(client, session, tmp_path):
    """A tenth of the speed makes the pause of it longer than the second after which it shows."""
    wanted = client.ok("audit", "export", session, "--format", "text")
    child = pexpect.spawn("sh", ["-c", f"exec '{program('hawser')}' replay {session} --speed 0.1 > '{tmp_path}/shown'"], env=client.env,
                          encoding="utf-8", timeout=PATIENCE * 2)
    child.expect(r"up to \d+ s of the session  \d+ B  ")
    child.expect(pexpect.EOF)
    shown = (tmp_path / "shown").read_text(errors="replace")
    assert "first" in shown and "last" in shown and "of the session" not in shown and "last" in wanted
