"""The local door: what root and the relay's own user can do on its machine when nobody else can do anything."""

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys

import pytest

from support import audit
from support.fleet import Client
from support.relay import PATIENCE, program, wait_until
from support.standing import relay as standing, where  # noqa: F401

ROOT = "arn:aws:iam::000000000000:local/root"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def run(relay, *args):
    return subprocess.run(
        [program("hawser-relay"), "admin", "--dir", relay.dir, *args], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)


def ok(relay, *args):
    done = run(relay, *args)
    assert done.returncode == 0, (args, done.stdout, done.stderr)
    return done.stdout


def fails(relay, *args, code=1):
    done = run(relay, *args)
    assert done.returncode == code, (args, done.stdout, done.stderr)
    return done.stderr


def rows(text):
    """A table's rows as lists of cells."""
    return [re.split(r" {2,}", line) for line in text.splitlines()[1:]]


def entries(relay, **wanted):
    return [e for e in audit.ledger(relay.dir) if all(e.get(k) == v for k, v in wanted.items())]


class Door:
    """A connection to the socket itself."""

    def __init__(self, relay):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(os.path.join(relay.dir, "local.sock"))
        self.lines = self.sock.makefile("rb")

    def send(self, data):
        self.sock.sendall(data)

    def answer(self):
        """The next answer; None when the connection has ended."""
        try:
            line = self.lines.readline()
        except ConnectionError:
            return None
        return json.loads(line) if line else None

    def ask(self, operation, **request):
        self.send(json.dumps({"Operation": operation, "Request": request}).encode() + b"\n")
        return self.answer()

    def close(self):
        self.lines.close()
        self.sock.close()


# --- when nobody gets in any more --------------------------------------------------------------------------


def forget_users(relay, sql):
    with sqlite3.connect(os.path.join(relay.dir, "relay.db")) as db:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute(sql)


def logs_in(relay, tmp_path, name, line):
    """Whether the last line of `invite` is for `hawser login`; the client that it made an administrator."""
    url, invite = line.splitlines()[-1].split(" ")
    assert url == relay.url
    client = Client(tmp_path / name, relay)
    client.ok("login", url, invite)
    assert name in [u["UserName"] for u in client.json("user", "ls")["Users"]]
    return client


def test_no_user_is_left(relay, tmp_path):
    relay.stop()
    forget_users(relay, "DELETE FROM user_account")
    relay.start()
    assert rows(ok(relay, "users")) == []
    client = logs_in(relay, tmp_path, "admin", ok(relay, "invite"))
    assert [u["UserName"] for u in client.json("user", "ls")["Users"]] == ["admin"]


def test_all_users_are_disabled(relay, client, tmp_path):
    relay.stop()
    forget_users(relay, "UPDATE user_account SET disabled = 1")
    relay.start()
    client.fails("ls")
    logs_in(relay, tmp_path, "second", ok(relay, "invite", "second"))
    assert ok(relay, "enable", "admin") == "enabled admin\n"
    client.ok("ls")


def test_the_invited_one_is_an_administrator_whatever_it_was(relay, client, tmp_path):
    bob = client.add_user(tmp_path, "bob")
    bob.fails("user", "ls")
    assert ok(relay, "disable", "bob") == "disabled bob\n"
    bob.fails("ls")
    logs_in(relay, tmp_path, "bob", ok(relay, "invite", "bob"))


def test_certificates_are_broken(relay, client):
    """What lies on the disk is gone; the relay that runs can still be asked."""
    for name in ("relay.crt", "relay.key", "ca.crt", "ca.key"):
        with open(os.path.join(relay.dir, name), "wb") as f:
            f.write(b"garbage")
    assert ok(relay, "invite").startswith(relay.url + " ")
    assert rows(ok(relay, "users"))[0][0] == "admin"


# --- listing and revoking ----------------------------------------------------------------------------------


def test_it_lists_what_there_is(relay, client, agent):
    assert rows(ok(relay, "nodes"))[0][1:3] == ["web-01", "Online"]
    assert rows(ok(relay, "users"))[0][:2] == ["admin", "Active"]
    assert "administrator" in [r[0] for r in rows(ok(relay, "policies"))]
    assert rows(ok(relay, "groups")) == []
    assert rows(ok(relay, "keys", "admin")) == []
    assert len(rows(ok(relay, "activations"))) == 1
    replies = [json.loads(line) for line in ok(relay, "nodes", "-o", "json").splitlines()]
    assert [n["Name"] for r in replies for n in r["InstanceInformationList"]] == ["web-01"]


def test_lists_of_many_pages(relay, client):
    for _ in range(60):
        client.ok("activation", "create")
    assert len(rows(ok(relay, "activations"))) == 60
    assert len(ok(relay, "activations", "-o", "json").splitlines()) == 2


def test_a_live_session_is_ended(relay, client, agent):
    session = client.popen("exec", agent.name, "--", "sleep", "600", stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        name = wait_until(lambda: rows(ok(relay, "sessions")), "the session")[0][0]
        assert ok(relay, "kill", name) == f"ended {name}\n"
        _, why = session.communicate(timeout=PATIENCE)
        assert session.returncode != 0 and "local/root" in why
    finally:
        if session.poll() is None:
            session.kill()
            session.communicate()
    assert rows(ok(relay, "sessions")) == []


def test_what_is_removed_is_gone(relay, client, agent, tmp_path):
    eve = client.add_user(tmp_path, "eve", admin=True)
    eve.ok("ls")
    assert ok(relay, "rm-user", "eve") == "removed eve\n"
    eve.fails("ls")
    node = rows(ok(relay, "nodes"))[0][0]
    assert ok(relay, "rm-node", node) == f"removed {node}\n"
    assert rows(ok(relay, "nodes")) == []
    activation = rows(ok(relay, "activations"))[0][0]
    ok(relay, "rm-activation", activation)
    assert rows(ok(relay, "activations")) == []


def test_a_key_is_removed_whoever_has_it(relay, client, tmp_path):
    client.add_user(tmp_path, "bob")
    made = client.json("api", "CreateAccessKey", "UserName=bob")
    key = made["AccessKeyId"]
    assert rows(ok(relay, "keys", "bob"))[0][:2] == [key, "Active"]
    assert ok(relay, "rm-key", key) == f"removed {key}\n"
    assert rows(ok(relay, "keys", "bob")) == []
    assert "nobody has" in fails(relay, "rm-key", key)


def test_policies_and_groups_are_taken_away(relay, client, tmp_path):
    client.add_user(tmp_path, "bob", admin=True)
    client.ok("api", "CreateGroup", "GroupName=crew")
    client.ok("api", "AddUserToGroup", "GroupName=crew", "UserName=bob")
    client.ok("api", "AttachPolicy", "PolicyName=auditor", "GroupName=crew")
    ok(relay, "detach", "administrator", "--user", "bob")
    ok(relay, "detach", "auditor", "--group", "crew")
    ok(relay, "leave", "crew", "--user", "bob")
    users = {r[0]: r for r in rows(ok(relay, "users", ))}
    assert "administrator" not in users["bob"] and "crew" not in users["bob"]


def test_what_is_wrong_is_said(relay):
    assert "no user" in fails(relay, "rm-user", "nobody")
    assert "mi-0" in fails(relay, "rm-node", "mi-0")
    for args in (["frobnicate"], [], ["users", "x"], ["keys"], ["detach", "x"], ["leave", "x"], ["users", "-o", "yaml"],
                 ["users", "--user", "x"], ["users", "--listen", "x"], ["users", "--nonsense"]):
        assert "--help" in fails(relay, *args, code=2)


# --- the ledger --------------------------------------------------------------------------------------------


def test_every_act_is_in_the_ledger(relay, client, tmp_path):
    client.add_user(tmp_path, "bob")
    ok(relay, "disable", "bob")
    ok(relay, "users")
    fails(relay, "rm-user", "nobody")
    assert Door(relay).ask("StartSession", Target="mi-0123456789abcdef0")["__type"] == "AccessDeniedException"
    relay.stop()
    mine = [(e["Kind"], e["Action"], e["Resource"], e["Outcome"]) for e in entries(relay, Principal=ROOT, SourceAddress="local")
            if e["Kind"] in ("decision", "outcome")]
    user = "arn:aws:iam::000000000000:user/"
    assert mine == [
        ("decision", "iam:UpdateUser", user + "bob", "allowed"), ("outcome", "iam:UpdateUser", user + "bob", "ok"),
        ("decision", "iam:ListUsers", "*", "allowed"),
        ("decision", "iam:DeleteUser", user + "nobody", "allowed"),
        ("outcome", "iam:DeleteUser", user + "nobody", "failed"),
        ("decision", "ssm:StartSession", "*", "denied")]


def test_an_invite_is_in_no_log(relay):
    invite = ok(relay, "invite").split(" ")[1].strip()
    relay.stop()
    assert invite not in relay.log
    assert invite not in repr(audit.ledger(relay.dir))


# --- who may -----------------------------------------------------------------------------------------------

# As somebody else, from inside of the directory: its path may be closed to all but root.
STRANGER = """
import os, socket, sys
os.chdir(sys.argv[1])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
for _ in range(int(sys.argv[2])):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    try:
        s.connect("local.sock")
    except PermissionError:
        print("closed")
        continue
    print(s.makefile().readline(), end="")
"""


def stranger(relay, times=1):
    return subprocess.run([sys.executable, "-c", STRANGER, relay.dir, str(times)], stdout=subprocess.PIPE, text=True,
                          check=True, timeout=PATIENCE).stdout.splitlines()


@as_root
def test_others_find_it_closed_and_are_refused_where_it_is_not(relay):
    sock = os.path.join(relay.dir, "local.sock")
    assert os.stat(sock).st_mode & 0o777 == 0o600
    os.chmod(relay.dir, 0o711)
    assert stranger(relay) == ["closed"]
    os.chmod(sock, 0o666)
    answers = [json.loads(line) for line in stranger(relay, 100)]
    assert {a["__type"] for a in answers} == {"AccessDeniedException"} and len(answers) == 100
    assert rows(ok(relay, "users"))[0][0] == "admin"
    relay.stop()
    refused = entries(relay, Kind="link.refused", SourceAddress="local")
    assert 0 < len(refused) <= 70
    assert {(e["Principal"], e["Outcome"]) for e in refused} == {(ROOT.replace("root", "65534"), "denied")}


@as_root
def test_the_command_believes_nobody_but_the_relay(relays):
    """Somebody who can write in the directory sets up a socket of that name."""
    relay = relays()
    relay.stop()
    liar = subprocess.Popen(
        [sys.executable, "-c", "import os, socket, sys, time\nos.chdir(sys.argv[1])\ns = socket.socket(socket.AF_UNIX)\n"
         "os.setgid(65534)\nos.setuid(65534)\ns.bind('local.sock')\ns.listen()\nprint('up', flush=True)\ntime.sleep(60)",
         relay.dir], stdout=subprocess.PIPE, text=True)
    try:
        os.chmod(relay.dir, 0o777)
        liar.kill()
        liar.wait()
        liar = subprocess.Popen(liar.args, stdout=subprocess.PIPE, text=True)
        assert liar.stdout.readline() == "up\n"
        assert "that is no relay" in fails(relay, "users")
    finally:
        liar.kill()
        liar.wait()
        liar.stdout.close()


def test_without_a_relay(relay, tmp_path):
    relay.stop()
    assert not os.path.exists(os.path.join(relay.dir, "local.sock"))
    assert "hawser-relay run --dir" in fails(relay, "users")
    relay.dir = str(tmp_path / "nothing")
    assert "nothing" in fails(relay, "users")


# --- the socket --------------------------------------------------------------------------------------------


def test_a_socket_that_a_killed_relay_left(relay):
    relay.kill9()
    assert os.path.exists(os.path.join(relay.dir, "local.sock"))
    assert "no relay is running" in fails(relay, "users")
    relay.start()
    ok(relay, "users")


@pytest.mark.parametrize("there", ["file", "link", "dangling"])
def test_what_lies_in_its_place_is_replaced_and_nothing_behind_it(relay, tmp_path, there):
    relay.stop()
    sock, other = os.path.join(relay.dir, "local.sock"), tmp_path / "other"
    if there == "file":
        with open(sock, "w", encoding="ascii") as f:
            f.write("x")
    else:
        os.symlink(other, sock)
        if there == "link":
            other.write_text("precious")
    relay.start()
    ok(relay, "users")
    assert not os.path.islink(sock)
    assert other.read_text() == "precious" if there == "link" else not other.exists()


def test_without_its_place_the_relay_runs_all_the_same(relay):
    relay.stop()
    os.mkdir(os.path.join(relay.dir, "local.sock"))
    relay.start()
    relay.wait_for_log(r"local\.closed .*local\.sock")


# --- bytes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [
    b"", b"x", b"{", b"[]", b"null", b"7", b'"ListUsers"', b"{}", b'{"Operation":7}', b'{"Operation":"ListUsers","Request":7}',
    b'{"Operation":"ListUsers","Operation":"ListUsers"}', b'{"Operation":""}', b'{"Operation":"NoSuchThing"}',
    b'{"Operation":"ListUsers","Request":{"MaxResults":"x"}}', b'{"Operation":"ListUsers\\u0000"}', b"\x00\xff\xfe\x1b[2J",
    b"[" * 100000, b'{"a":' * 20000, b'{"Operation":"' + b"A" * 100000 + b'"}'], ids=lambda g: f"{len(g)} bytes")
def test_what_is_no_request_is_answered_and_costs_no_more(standing, line):
    door = Door(standing)
    door.send(line + b"\n")
    answer = door.answer()
    assert answer["Status"] in (400, 404) and answer["message"] and answer["__type"], answer
    assert door.ask("ListUsers")["Status"] == 200
    door.close()


def test_requests_of_one_connection_are_answered_in_their_order(standing):
    door = Door(standing)
    door.send(b"".join(b'{"Operation":"ListUsers"}\nx%d\n{"Operation":"GetUser","Request":{"UserName":"u%d"}}\n' % (i, i)
                       for i in range(100)))
    for i in range(100):
        assert "Users" in door.answer()["Reply"]
        assert door.answer()["__type"] == "SerializationException"
        assert f"u{i}" in door.answer()["message"]
    door.close()


def test_a_request_may_come_byte_by_byte_and_end_the_input(standing):
    door = Door(standing)
    for i in b'{"Operation":"ListUsers"}\n':
        door.send(bytes([i]))
    door.sock.shutdown(socket.SHUT_WR)
    assert door.answer()["Status"] == 200
    assert door.answer() is None
    door.close()


def test_half_a_line_is_none(standing):
    door = Door(standing)
    door.send(b'{"Operation":"ListUsers"}')
    door.sock.shutdown(socket.SHUT_WR)
    assert "newline" in door.answer()["message"]
    assert door.answer() is None
    door.close()


def test_a_line_without_end(standing):
    door = Door(standing)
    try:
        door.send(b"x" * (1 << 20))
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert door.answer()["__type"] == "LimitExceededException"
    assert door.answer() is None
    door.close()
    ok(standing, "users")


def test_eight_at_once_and_the_others_are_told(relay):
    doors = [Door(relay) for _ in range(8)]
    for door in doors:
        assert door.ask("ListUsers")["Status"] == 200
    for _ in range(50):
        late = Door(relay)
        assert late.answer()["Status"] == 429
        late.close()
    assert "8 others" in fails(relay, "users")
    doors.pop().close()
    wait_until(lambda: run(relay, "users").returncode == 0, "a free place")
    for door in doors:
        assert door.ask("ListUsers")["Status"] == 200
        door.close()


def test_who_leaves_without_waiting_leaves_nothing_behind(relay):
    for _ in range(100):
        door = Door(relay)
        try:
            door.send(b'{"Operation":"ListUsers"}\n' * 20)
        except BrokenPipeError:
            pass  # eight others are still being served
        door.close()
    wait_until(lambda: run(relay, "users").returncode == 0, "a free place")


def test_the_relay_stops_while_somebody_is_connected(relay):
    door = Door(relay)
    assert door.ask("ListUsers")["Status"] == 200
    door.send(b'{"Operation":"ListUsers"}\n' * 50)
    relay.stop()
    door.close()
