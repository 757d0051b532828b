"""No secret is where it does not belong: process lists, logs, store, ledger, recordings."""

import base64
import glob
import json
import os
import shutil
import signal
import subprocess

import pexpect
import pytest

from support import audit
from support.relay import PATIENCE, program, wait_until

PROMPT = "Password: "
TYPED = "correct-horse-8d11"


def forms(secret):
    """As it may lie about: as text, and as what the text stands for."""
    found = {secret.encode()}
    for decode in (bytes.fromhex, lambda s: base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))):
        try:
            raw = decode(secret)
        except ValueError:
            continue
        if len(raw) >= 16:
            found.add(raw)
    return found


def files_with(secret, *folders, but=()):
    """Paths of all files under the folders that hold the secret."""
    hits = []
    for path in (p for f in folders for p in glob.glob(f"{f}/**", recursive=True, include_hidden=True)):
        if os.path.isfile(path) and os.path.relpath(path, folders[0]) not in but:
            with open(path, "rb") as f:
                data = f.read()
            if any(form in data for form in forms(secret)):
                hits.append(path)
    return hits


def test_no_secret_lies_about(client, agents, relay, tmp_path):
    """One of each is used, and then looked for in everything that anybody wrote."""
    made = client.json("activation", "create", "--limit", "1")
    unused = client.json("activation", "create", "--limit", "1")
    agent = agents(start=False)
    agent.start("--log-level", "debug")
    invite = client.json("user", "add", "alice")["Invite"]
    ticket = client.ok("api", "StartSession", f"Target={client.json('ls')['InstanceInformationList'][0]['InstanceId']}")
    joined = subprocess.run(
        [program("hawser-node"), "join", relay.url, f"{made['ActivationId']}:{made['ActivationCode']}", "--dir",
         str(tmp_path / "second"), "--name", "second"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=True).stdout

    child = client.spawn("shell", "web-01", "--", f"read -s -p '{PROMPT}' x; echo; echo got-${{#x}}; read y; exit")
    child.expect(PROMPT)
    session = client.json("sessions", "ls", "--live")["Sessions"][0]["SessionId"]
    child.sendline(TYPED)
    child.expect(f"got-{len(TYPED)}")
    child.sendline("shown-4c02")
    child.wait()
    agent.stop()
    relay.stop()

    with open(os.path.join(relay.dir, "master.key"), encoding="ascii") as f:
        master = f.read().strip()
    secrets = {
        "activation code": made["ActivationCode"], "unused activation code": unused["ActivationCode"],
        "the administrator's invite": relay.invite, "invite": invite, "ticket": json.loads(ticket)["TokenValue"],
        "typed password": TYPED, "master key": master}
    ledger = repr(audit.ledger(relay.dir)).encode()
    assert b"CreateActivation" in ledger and b"StartSession" in ledger
    others = [r.bytes for r in audit.journal(relay.dir) if r.type not in (audit.LEDGER, audit.DATA)]
    for name, secret in secrets.items():
        assert not files_with(secret, relay.dir, relay.log_path, but=("master.key",)), name
        assert not files_with(secret, agent.dir, agent.log_path, str(tmp_path / "second")), name
        assert secret not in joined + agent.join_output, name
        assert secret.encode() not in ledger and not any(secret.encode() in x for x in others), name
        assert not files_with(secret, client.home), name
    with open(os.path.join(relay.dir, "relay.db"), "rb") as f:
        assert f.read(16) == b"SQLite format 3\0"

    relay.start()
    exports = [["cast"], ["text"], ["text", "--typed"], ["raw"], ["raw", "--typed"], ["json"]]
    for form in exports:
        out = client.ok("audit", "export", session, "--format", *form)
        assert TYPED not in out and base64.b64encode(TYPED.encode()).decode()[:16] not in out, form
    assert "shown-4c02" in client.ok("audit", "export", session, "--format", "text", "--typed")


CANARY = "canary-93fe-never-in-clear"
WAYS = {
    # what runs, what it asks, how often it is answered
    "read": ("read -s -p 'Password: ' x; echo; echo got-${#x}", "Password: ", 1),
    "ssh-keygen": ("ssh-keygen -q -t ed25519 -f {tmp}/made; echo got-$?", "assphrase.*: ", 2),
    "sudo": ("setpriv --reuid=nobody --clear-groups sudo -k true; echo got-$?", "assword.*: ", 1),
    "masked": ("read -s -p 'Which: ' x; echo secret=$x; echo ssh-keygen -N $x; echo got-${#x}", "Which: ", 1),
}


def masked(relay, agent):
    relay.stop()
    with open(os.path.join(relay.dir, "masks"), "w", encoding="ascii") as f:
        f.write("secret=\\K\\S+\n-N \\K\\S+\n")
    relay.start()
    agent.wait_online()


@pytest.mark.parametrize("way", WAYS)
def test_a_canary_is_nowhere_in_clear_during_its_session_and_after_it(client, agent, relay, tmp_path, way):
    command, prompt, times = WAYS[way]
    if way in ("sudo", "ssh-keygen") and shutil.which(way) is None:
        pytest.skip(f"no {way} here")
    places = (relay.dir, relay.log_path, agent.dir, agent.log_path, client.home)
    masked(relay, agent)
    child = client.spawn("shell", "web-01", "--", command.replace("{tmp}", str(tmp_path)) + "; read y; exit")
    live = wait_until(lambda: client.json("sessions", "ls", "--live")["Sessions"], "its session")
    session = live[0]["SessionId"]
    for _ in range(times):
        child.expect(prompt)
        child.sendline(CANARY)
    if way == "sudo":  # it asks again, and gives up
        for _ in range(2):
            child.expect(prompt)
            child.sendline(CANARY)
    child.expect(r"got-\d")
    assert not files_with(CANARY, *places), "while it is open"
    exported = client.ok("audit", "export", session, "--format", "json")
    assert CANARY not in exported and not files_with(CANARY, *places), "once it was read"
    child.sendline("end")
    child.expect(pexpect.EOF)
    child.wait()
    wait_until(lambda: os.path.exists(os.path.join(relay.dir, "recordings", session + ".rec")), "its recording")
    assert not files_with(CANARY, *places), "after it"
    for form in (["text"], ["text", "--typed"], ["cast"], ["raw"], ["json"]):
        assert CANARY not in client.ok("audit", "export", session, "--format", *form), form
    if way == "masked":
        assert "secret=" + "*" * len(CANARY) in client.ok("audit", "export", session, "--format", "text")
    relay.stop()
    assert not files_with(CANARY, *places), "with the relay stopped"
    relay.start()


def test_an_unsealed_hidden_line_goes_with_its_journal_segment(client, agent, relay):
    """Without an auditors' key what was typed hidden is dropped, and only its count kept."""
    child = client.spawn("shell", "web-01", "--", f"read -s -p '{PROMPT}' x; exit")
    child.expect(PROMPT)
    child.sendline(TYPED)
    child.wait()
    for _ in range(3):  # a start begins a segment, and older ones go once what they hold is elsewhere
        relay.stop()
        relay.start()
    wait_until(lambda: not any(TYPED.encode() in r.bytes for r in audit.journal(relay.dir) if r.type == audit.DATA),
               "the end of the old segments")


@pytest.mark.parametrize("what", ["join", "login"])
def test_a_process_list_shows_no_token(client, relay, tmp_path, what):
    if what == "join":
        made = client.json("activation", "create", "--limit", "1")
        secret = made["ActivationCode"]
        command = [program("hawser-node"), "join", relay.url, f"{made['ActivationId']}:{secret}", "--dir", str(tmp_path / "n")]
    else:
        secret = client.json("user", "add", "bob")["Invite"]
        command = [program("hawser"), "--home", str(tmp_path / "bob"), "login", relay.url, secret]
    os.kill(relay.pid, signal.SIGSTOP)  # whoever waits for it can be looked at
    child = None
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def shown():
            with open(f"/proc/{child.pid}/cmdline", "rb") as f:
                return f.read()

        wait_until(lambda: b"sha256" in shown() and secret.encode() not in shown(), "the token to be wiped")
        assert child.poll() is None
        with open(f"/proc/{child.pid}/environ", "rb") as f:
            assert secret.encode() not in f.read()
    finally:
        os.kill(relay.pid, signal.SIGCONT)
        if child is not None:
            assert child.wait(PATIENCE) == 0
