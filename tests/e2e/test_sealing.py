"""What was typed hidden: sealed to the auditors' keys, and opened where these are."""

import base64
import json
import os
import re
import subprocess

import pexpect
import pytest

from support import audit
from support.fleet import Client
from support.relay import program

SECRET = "correct-horse-8d11"
PHRASE = "a phrase of mine"


def keygen(client, path, phrase=None):
    """The line that belongs into auditors.pub."""
    if phrase is None:
        return client.ok("audit", "keygen", "--key", str(path))
    child = client.spawn("audit", "keygen", "--key", str(path))
    child.expect("Passphrase for the key")
    child.sendline(phrase)
    child.expect("once more")
    child.sendline("another one")
    child.expect("They differ")
    for _ in range(2):
        child.expect(":")
        child.sendline(phrase)
    child.expect(r"([0-9a-f]{64} auditor [0-9a-f]{16})\r\n")
    line = child.match.group(1)
    child.expect(pexpect.EOF)
    return line + "\n"


def put_keys(relay, *lines):
    relay.stop()
    with open(os.path.join(relay.dir, "auditors.pub"), "w", encoding="ascii") as f:
        f.writelines(lines)
    relay.start()


def type_hidden(client, secret=SECRET):
    """The id of a session in which that was typed where nothing shows."""
    child = client.spawn("shell", "web-01", "--", "read -s -p 'Password: ' x; echo; echo got-${#x}; exit")
    child.expect("Password: ")
    session = client.json("sessions", "ls", "--live")["Sessions"][0]["SessionId"]
    child.sendline(secret)
    child.expect(f"got-{len(secret)}")
    child.expect(pexpect.EOF)
    child.wait()
    return session


def test_an_auditor_opens_what_was_typed_hidden(client, agent, relay, tmp_path):
    line = keygen(client, tmp_path / "ann.key", PHRASE)
    with open(tmp_path / "ann.key", encoding="ascii") as f:
        held = f.read()
    assert os.stat(tmp_path / "ann.key").st_mode & 0o777 == 0o600
    assert "private" not in held and "locked" in held and line.split()[0] in held
    put_keys(relay, "# the auditors of this fleet\n", line)
    agent.wait_online()
    session = type_hidden(client)

    child = client.spawn("audit", "unseal", session, "--key", str(tmp_path / "ann.key"), "--reason", "case 4711")
    child.expect("Passphrase of ")
    child.sendline("not it")
    child.expect("that is not the key's passphrase")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
    child = client.spawn("audit", "unseal", session, "--key", str(tmp_path / "ann.key"), "--reason", "case 4711")
    child.expect("Passphrase of ")
    child.sendline(PHRASE)
    child.expect(r"(\d\d:\d\d:\d\d)  " + SECRET + r"\^J\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0

    entries = audit.ledger(relay.dir)
    read = [e for e in entries if e["Kind"] == "sealed.read"]
    assert [(e["SessionId"], e["Reason"]) for e in read] == [(session, "case 4711")]  # not the one without a passphrase
    assert [e["Detail"] for e in entries if e["Kind"] == "auditor.keys"] == [line.split()[2]]
    shown = [json.loads(x) for x in client.ok("audit", "export", session, "--format", "json").splitlines()]
    assert SECRET not in json.dumps(shown) and not [e for e in shown if e.get("event") == "hidden" and e.get("bytes")]


def test_keys_take_turns_and_each_opens_its_own(client, agent, relay, tmp_path):
    first, second = (keygen(client, tmp_path / f"{i}.key") for i in range(2))
    sessions = []
    for n, keys in enumerate([(), (first,), (first, second), (second,)]):
        put_keys(relay, *keys)
        agent.wait_online()
        sessions.append(type_hidden(client, f"{SECRET}-{n}"))

    def opened(session, *keys):
        out = client.run("audit", "unseal", session, *(a for k in keys for a in ("--key", str(tmp_path / f"{k}.key"))),
                         "-o", "jsonl")
        return out.returncode, [base64.b64decode(json.loads(x).get("Bytes", "")).decode() for x in out.stdout.splitlines()]

    assert opened(sessions[0], 0, 1) == (0, [""])
    assert "dropped" in client.ok("audit", "unseal", sessions[0], "--key", str(tmp_path / "0.key"))
    typed = [f"{SECRET}-{n}\n" for n in range(4)]
    assert opened(sessions[1], 0) == (0, [typed[1]]) and opened(sessions[1], 1) == (1, [""])
    assert opened(sessions[2], 0) == opened(sessions[2], 1) == (0, [typed[2]])
    assert opened(sessions[3], 1) == opened(sessions[3], 0, 1) == (0, [typed[3]]) and opened(sessions[3], 0) == (1, [""])
    refusal = client.fails("audit", "unseal", sessions[3], "--key", str(tmp_path / "0.key"), code=1)
    assert "the key opens nothing of this session" in refusal and "--key may be given several times" in refusal


def test_who_may_read_a_recording_may_not_unseal_it(client, agent, relay, tmp_path):
    put_keys(relay, keygen(client, tmp_path / "ann.key"))
    agent.wait_online()
    invite = client.json("user", "add", "olga")["Invite"]
    client.ok("policy", "attach", "operator", "--user", "olga")
    olga = Client(tmp_path / "olga", relay, invite)
    session = type_hidden(olga)
    assert "got-" in olga.ok("audit", "export", session, "--format", "text")
    refusal = olga.fails("audit", "unseal", session, "--key", str(tmp_path / "ann.key"), code=1)
    assert "hawser:GetSealedInput" in refusal or "not allowed" in refusal or "no policy" in refusal, refusal
    assert SECRET in client.ok("audit", "unseal", session, "--key", str(tmp_path / "ann.key"))


@pytest.mark.parametrize("text", ["0000\n", "00" * 32 + "\n", "# x\n" + "zz" * 32 + "\n"])
def test_a_relay_does_not_start_with_keys_that_are_none(relay, text):
    relay.stop()
    with open(os.path.join(relay.dir, "auditors.pub"), "w", encoding="ascii") as f:
        f.write(text)
    with pytest.raises(AssertionError, match=r"auditors.pub: line \d: a line begins with the 64 hex digits"):
        relay.start()


def test_keygen_replaces_nothing_and_a_key_that_others_read_is_refused(client, tmp_path):
    path = tmp_path / "ann.key"
    keygen(client, path)
    before = path.read_bytes()
    assert "is not replaced" in client.fails("audit", "keygen", "--key", str(path), code=1)
    assert path.read_bytes() == before
    path.chmod(0o644)
    refusal = client.fails("audit", "unseal", "alice-0123456789abcdef0", "--key", str(path), code=1)
    assert "others may use the key in it" in refusal
    path.chmod(0o600)
    path.write_bytes(before.replace(b"private", b"pirate"))
    assert "damaged auditor's key" in client.fails("audit", "unseal", "x", "--key", str(path), code=1)
    missing = client.fails("audit", "unseal", "x", "--key", str(tmp_path / "none"), code=1)
    assert "cannot open" in missing and "hawser audit keygen makes one" in missing


def test_the_file_s_key_is_made_without_a_relay(tmp_path):
    out = subprocess.run([program("hawser"), "--home", str(tmp_path / "new"), "audit", "keygen"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True)
    assert re.fullmatch(r"[0-9a-f]{64} auditor [0-9a-f]{16}\n", out.stdout)
    assert (tmp_path / "new" / "auditor.key").exists() and "keep a copy" in out.stderr
