"""Another authority for a fleet: nobody who comes by meanwhile loses anything, and who stays away is told why."""

import os
import re
import shutil
import subprocess

import pytest

from support import audit, certs
from support.fleet import Client, Node
from support.relay import PATIENCE, program, wait_until


def rotate(relay, *args):
    return subprocess.run([program("hawser-relay"), "rotate-keys", "--dir", relay.dir, "--what", "ca", *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)


def begin(relay):
    """Has another authority, and the relay's URL by it; the one of before is returned, too."""
    before = relay.url
    relay.stop()
    done = rotate(relay)
    assert done.returncode == 0, done.stderr
    relay.url = re.search(r"^the relay's URL is (\S+)$", done.stdout, re.M)[1]
    assert relay.url != before and relay.url.split("#")[0] == before.split("#")[0]
    relay.start()
    return before


def retire(relay, *args):
    relay.stop()
    done = rotate(relay, "--retire", *args)
    relay.start()
    return done


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as f:
        return f.read()


def fleet_of(who):
    return re.search(rb"^fleet (\S+)$", read(who.home, "config"), re.M)[1]


def issuer_is(folder, cert, ca):
    """Whether that very authority's key has signed it."""
    return subprocess.run(["openssl", "verify", "-partial_chain", "-CAfile", os.path.join(folder, ca), os.path.join(folder, cert)],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def renewed(folder, cert, root):
    return read(folder, "ca.crt") == root and issuer_is(folder, cert, "ca.crt")


def settled(node, root):
    """Whether it has a certificate by the new authority, and has dialled with it."""
    return renewed(node.dir, "node.crt", root) and node.log.rfind("link.up") > node.log.rfind("certificate.renewed") > 0


def verify(*args):
    done = subprocess.run([program("hawser"), "audit", "verify", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0 and done.stdout.rstrip().endswith("INTACT"), done.stdout


def test_a_fleet_has_another_authority_while_its_sessions_go_on(relay, client, agents, tmp_path):
    here, later = agents("web-01"), agents("web-02")
    bob = client.add_user(tmp_path, "bob", admin=True)
    shell = client.spawn("shell", "web-01")
    shell.sendline("echo here-$((40 + 2))")
    shell.expect("here-42")
    later.stop()
    first = read(relay.dir, "ca.crt")
    fleet = fleet_of(client)
    running = rotate(relay)
    assert running.returncode == 1 and "stop it first" in running.stderr

    old_url = begin(relay)
    second = read(relay.dir, "ca.crt")
    assert second != first
    shell.sendline("echo still-$((40 + 2))")
    shell.expect("still-42")

    # Who was there, or comes: knows the new one, and has a certificate by it.
    here.wait_online()
    wait_until(lambda: settled(here, second), "the node's renewal")
    client.ok("ls")
    assert fleet_of(client) == fleet
    assert renewed(client.home, "user.crt", second)
    assert relay.url.split("#")[1].encode() in read(client.home, "config")
    assert "authority.changed" in here.log
    assert relay.url.split("#")[1] in subprocess.run(
        [program("hawser-node"), "status", "--dir", here.dir], stdout=subprocess.PIPE, text=True, check=True).stdout

    # The URL of before still does, for machines and people that are set up by it.
    made = client.json("user", "add", "carol")
    carol = Client(tmp_path / "carol", relay)
    carol.ok("login", old_url, made["Invite"])
    assert read(carol.home, "ca.crt") == second and relay.url.split("#")[1].encode() in read(carol.home, "config")
    relay.url, new_url = old_url, relay.url
    third_node = agents("web-03")
    relay.url = new_url
    assert read(third_node.dir, "ca.crt") == second

    # Nobody is locked out unseen.
    assert "authority 1 still count" in subprocess.run(
        [program("hawser-relay"), "check", "--dir", relay.dir], stdout=subprocess.PIPE, text=True, check=False).stdout
    early = retire(relay)
    assert early.returncode == 1 and "web-02" in early.stderr and "web-01" not in early.stderr, early.stderr
    twice = rotate(relay)
    assert twice.returncode == 1
    later.start()
    wait_until(lambda: settled(later, second), "the second node's renewal")
    later.wait_online()
    assert bob.ok("exec", "web-02", "--", "echo well") == "well\n"

    done = retire(relay)
    assert done.returncode == 0 and "authority 1 is retired" in done.stdout, done.stderr
    for node in (here, later, third_node):
        node.wait_online()
    shell.sendline("echo again-$((40 + 2))")
    shell.expect("again-42")
    shell.sendline("exit")
    shell.wait()
    assert client.ok("exec", "web-02", "--", "echo well") == "well\n"
    late = Client(tmp_path / "late", relay)
    invite = client.json("user", "add", "dave")["Invite"]
    refused = late.fails("login", old_url, invite)
    assert "administrator" in refused, refused
    late.ok("login", relay.url, invite)
    again = retire(relay)
    assert again.returncode == 1 and "none to retire" in again.stderr

    # The ledger has its first statement by the authority of then, and all of it is proven by the one of now.
    here.wait_online()
    kinds = [(e["Kind"], e.get("Detail")) for e in audit.ledger(relay.dir) if e["Kind"].startswith("authority")]
    assert kinds == [("authority.changed", "authority 2"), ("authority.retired", "authority 1")]
    relay.stop()
    verify("--dir", relay.dir)
    relay.start()


def test_a_node_that_was_away_is_told_what_to_do(relay, client, agents):
    away = agents("web-01")
    away.stop()
    begin(relay)
    client.ok("ls")
    assert retire(relay).returncode == 1
    forced = retire(relay, "--force")
    assert forced.returncode == 0 and "join again" in forced.stderr, forced.stderr
    away.start(wait=False)
    wait_until(lambda: "by an earlier authority of this fleet, which may have been retired" in away.log, "the node's reason")
    away.stop()
    for name in ("node.key", "node.crt"):
        os.unlink(os.path.join(away.dir, name))
    away.name = "web-01b"
    away.join()
    away.start()
    assert client.ok("exec", "web-01b", "--", "echo well") == "well\n"


def test_who_has_the_key_of_a_retired_authority_has_nothing(relay, client, agent, tmp_path):
    """Neither as a user nor as the relay, to those who know the new one."""
    kept = tmp_path / "stolen"
    kept.mkdir()
    for name in ("ca.crt", "ca.key", "relay.crt", "relay.key"):
        shutil.copy(os.path.join(relay.dir, name), kept)
    thief = certs.Authority(str(kept / "ca.crt"), str(kept / "ca.key"))
    begin(relay)
    agent.wait_online()
    wait_until(lambda: settled(agent, read(relay.dir, "ca.crt")), "the node's renewal")
    client.ok("ls")
    assert retire(relay).returncode == 0

    home = tmp_path / "thief"
    shutil.copytree(client.home, home)
    forged = thief.issue(str(tmp_path), "thief", f"hawser://{fleet_of(client).decode()}/user/admin")
    shutil.copy(forged.cert, home / "user.crt")
    shutil.copy(forged.key, home / "user.key")
    os.chmod(home / "user.key", 0o600)
    false = Client(tmp_path, relay)
    false.home, false.env = str(home), {**false.env, "HAWSER_HOME": str(home)}
    assert "may have been retired" in false.fails("ls")

    # As the relay, with the very key and certificate that it had.
    relay.stop()
    for name in ("relay.crt", "relay.key"):
        shutil.copy(os.path.join(relay.dir, name), tmp_path / name)
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{relay.port}", "-cert", str(kept / "relay.crt"),
                               "-cert_chain", str(kept / "ca.crt"), "-key", str(kept / "relay.key"), "-tls1_3", "-quiet"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: "not signed by this fleet's CA" in client.fails("ls"), "what the client thinks of it")
    finally:
        server.kill()
        server.wait()
    relay.start()
    agent.wait_online()


@pytest.mark.parametrize("cut", ["before", "within"])
def test_one_that_was_cut_off_is_made_whole(relay, client, agent, cut):
    relay.stop()
    kept = {name: read(relay.dir, name) for name in ("ca.crt", "ca.key")}
    assert rotate(relay).returncode == 0
    fresh = {name: read(relay.dir, name) for name in ("ca.crt", "ca.key", "ca.before.crt", "ca.vouched.crt", "ca.untold")}
    # As it lay before anything was put in place, or when the certificate was and its key was not yet.
    ready = os.path.join(relay.dir, "ca.next")
    os.mkdir(ready, 0o700)
    for name in fresh:
        os.rename(os.path.join(relay.dir, name), os.path.join(ready, name))
    for name, data in kept.items():
        with open(os.open(os.path.join(relay.dir, name), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(fresh[name] if cut == "within" and name == "ca.crt" else data)
    if cut == "within":
        again = rotate(relay)
        assert again.returncode == 0 and "authority 2 issues" in again.stdout, again.stderr
    relay.start()
    assert not os.path.exists(ready) and read(relay.dir, "ca.crt") == fresh["ca.crt"]
    # Cut off when all was in place, and only a part of what had lain ready was removed.
    relay.stop()
    left = os.path.join(relay.dir, "ca.making")
    os.mkdir(left, 0o700)
    shutil.copy(os.path.join(relay.dir, "ca.key"), left)
    relay.start()
    assert not os.path.exists(left) and not os.path.exists(os.path.join(relay.dir, "ca.untold"))
    agent.wait_online()
    wait_until(lambda: settled(agent, fresh["ca.crt"]), "the node's renewal")
    assert client.ok("exec", "web-01", "--", "echo well") == "well\n"
    assert [e["Kind"] for e in audit.ledger(relay.dir) if e["Kind"].startswith("authority")] == ["authority.changed"]
