"""What people's own directories keep of a relay's ledger: whoever rewrites it is caught by the next command."""

import glob
import hashlib
import os
import shutil
import subprocess

import pytest

from support.fleet import Client
from support.relay import PATIENCE, Relay, program, wait_until
from support import certs, merkle


def kept(client, suffix=""):
    (path,) = [p for p in glob.glob(os.path.join(client.home, "witness-*" + suffix))
               if suffix or not p.endswith((".lock", ".evidence"))]
    return path


def forget_the_time(client):
    """The next command looks, however short ago the last did."""
    os.utime(kept(client, ".lock"), (0, 0))


def size_kept(client):
    with open(kept(client), encoding="utf-8") as f:
        return int(f.read().split("kept ")[1].splitlines()[2])


def head(client):
    return merkle.parse_head(client.json("api", "GetLedgerHead")["Head"])


def recover(relay):
    done = subprocess.run([program("hawser-relay"), "recover", "--dir", relay.dir, "--recovery-key",
                           os.path.join(relay.dir, "recovery.key")], text=True, check=False, timeout=PATIENCE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def rolled_back(relay, client, tmp_path):
    """The relay's directory as it was, though the client saw it grow since."""
    client.ok("user", "ls")
    relay.stop()
    shutil.copytree(relay.dir, tmp_path / "copy")
    relay.start()
    before = head(client).size
    for _ in range(8):
        client.ok("user", "ls")
    wait_until(lambda: head(client).size > before + 8, "a newer head")
    client.ok("status")
    relay.stop()
    shutil.move(relay.dir, tmp_path / "lost")
    shutil.copytree(tmp_path / "copy", relay.dir)
    relay.start()
    return relay


def test_a_head_is_kept_and_follows_the_ledger(client):
    client.ok("user", "ls")
    first = size_kept(client)
    mode = os.stat(kept(client)).st_mode
    assert mode & 0o777 == 0o600
    done = client.run("user", "ls")
    assert done.stderr == "" and size_kept(client) == first  # not more often than once a minute
    wait_until(lambda: head(client).size > first, "a newer head")
    forget_the_time(client)
    assert client.run("user", "ls").stderr == "" and size_kept(client) > first
    assert not glob.glob(os.path.join(client.home, "*.evidence"))


def test_an_older_copy_is_reported_by_the_next_command_and_healed_by_its_recovery(rolled_back, client):
    done = client.run("user", "ls", "-o", "json")
    assert done.returncode == 0 and done.stdout.lstrip()[0] in "[{", done.stdout
    assert "WARNING" in done.stderr and "the ledger went back" in done.stderr and "hawser audit verify" in done.stderr
    evidence = kept(client, ".evidence")
    assert evidence in done.stderr and os.stat(evidence).st_mode & 0o777 == 0o600
    assert client.run("user", "ls").stderr == ""  # said once a minute
    forget_the_time(client)
    assert "WARNING" in client.run("api", "GetLedgerHead").stderr

    client.ok("logout")
    assert os.path.exists(kept(client)) and os.path.exists(evidence)
    rolled_back.stop()
    recover(rolled_back)
    rolled_back.start()
    again = Client(os.path.dirname(client.home), rolled_back)
    again.ok("login", rolled_back.url, subprocess.run(
        [program("hawser-relay"), "admin", "--dir", rolled_back.dir, "invite"], check=True, text=True,
        stdout=subprocess.PIPE).stdout.split()[-1])

    def recovered():  # until it has signed a head of its new epoch it shows the last one of the old
        said = again.run("user", "ls").stderr
        return said if "recovered by its recovery key" in said else None
    assert "WARNING" not in wait_until(recovered, "the recovery")
    assert again.run("user", "ls").stderr == ""  # told once, also where it was looked less than a minute before
    forget_the_time(client)
    assert again.run("user", "ls").stderr == ""


def test_a_damaged_file_is_said_and_never_overwritten(client):
    client.ok("user", "ls")
    path = kept(client)
    with open(path, "r+b") as f:
        whole = f.read()
        damaged = whole[:30] + (b"8" if whole[30:31] == b"7" else b"7") + whole[31:]
        f.seek(0)
        f.write(damaged)
    forget_the_time(client)
    done = client.run("user", "ls")
    assert done.returncode == 0 and "is damaged" in done.stderr and client.home in done.stderr
    assert open(path, "rb").read() == damaged
    os.unlink(path)
    forget_the_time(client)
    assert client.run("user", "ls").stderr == "" and size_kept(client) > 0


def test_two_at_once_keep_one_head(client):
    client.ok("user", "ls")
    for _ in range(5):
        forget_the_time(client)
        both = [client.popen("status", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
        for one in both:
            said = one.communicate(timeout=PATIENCE)
            assert one.returncode == 0 and said[1] == "", said
    assert size_kept(client) > 0


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists("/usr/bin/setpriv"), reason="root writes everywhere")
def test_a_directory_that_cannot_be_written_is_no_failure(client, tmp_path):
    client.ok("user", "ls")
    os.unlink(kept(client))
    os.unlink(kept(client, ".lock"))
    as_nobody = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    os.chmod(client.home, 0o555)
    for name in ("config", "ca.crt", "user.crt", "user.key"):
        if as_nobody:
            os.chown(os.path.join(client.home, name), 65534, -1)
    for parent in (os.path.dirname(client.home), tmp_path, *tmp_path.parents):
        if os.stat(parent).st_uid == os.geteuid() and str(parent).startswith("/tmp/"):
            os.chmod(parent, 0o755)
    done = subprocess.run([*as_nobody, program("hawser"), "user", "ls", "-o", "name"], text=True, check=False, timeout=PATIENCE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=client.env)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot be kept in") == 1, done.stderr
    os.chmod(client.home, 0o700)


def verdict(client, *args):
    done = client.run("audit", "verify", *args)
    return done.returncode, done.stderr + done.stdout


def test_verify_asks_the_relay_its_nodes_and_what_was_kept(relay, client, agents, tmp_path):
    agents()
    agents("web-02")
    wait_until(lambda: "witnesses 2 of 2 agree" in verdict(client)[1], "what the nodes say")
    code, said = verdict(client)
    assert code == 0 and said.rstrip().endswith("INTACT") and "ledger ok" in said, said
    anchors = tmp_path / "anchors"
    for _ in range(3):
        with open(anchors, "a", encoding="utf-8") as f:
            f.write(client.json("api", "GetLedgerHead")["Head"])
        client.ok("user", "ls")
    code, said = verdict(client, "--head", str(anchors))
    assert code == 0 and "3 kept heads checked" in said, said
    found = client.json("audit", "verify", "--head", str(anchors))
    assert found["Verdict"] == "Intact" and found["KeptHeads"] == 3 and found["Ledger"]["WitnessesAgree"] == 2
    assert found["Ledger"]["State"] == "Agrees" and "Recordings" not in found

    # With the files of the same fleet both are said; without a relay the files speak for themselves.
    wait_until(lambda: verdict(client, "--dir", relay.dir, "--head", str(anchors))[0] == 0, "the last entries to be filed")
    code, said = verdict(client, "--dir", relay.dir, "--head", str(anchors))
    assert "recordings ok" in said and "witnesses 2 of 2 agree" in said and "3 kept heads" in said, said
    code, said = verdict(client, "--dir", relay.dir, "--offline")
    assert code == 0 and "witnesses" not in said, said
    with open(anchors, "a", encoding="utf-8") as f:
        f.write("hawser/ and then nothing")
    code, said = verdict(client, "--head", str(anchors))
    assert code == 2 and "is no signed head" in said and "byte" in said, said
    relay.stop()
    code, said = verdict(client, "--dir", relay.dir)
    assert code == 0 and "the relay was not asked" in said, said
    assert verdict(client)[0] == 2
    assert verdict(client, "--offline")[0] == 2


def test_verify_takes_the_authority_that_this_client_knows(relay, client, tmp_path):
    """Who makes up a ledger makes up the authority that lies beside it, too: a later one of the same fleet, which names it."""
    relay.stop()
    code, said = verdict(client, "--dir", relay.dir, "--offline")
    assert code == 0, said
    other = Relay(tmp_path / "other").start()
    other.stop()
    with open(os.path.join(other.dir, "ledger", "epochs"), "rb") as f:
        first = hashlib.sha256(f.read().split(b"\n\n")[0] + b"\n\n").hexdigest()
    fleet = relay.ca.fleet()
    certs.make_key(str(tmp_path / "key"))
    certs.openssl("req", "-x509", "-new", "-key", str(tmp_path / "key"), "-subj", f"/CN=Hawser fleet {fleet}", "-days", "30",
                  "-addext", f"subjectAltName=URI:hawser://{fleet}/authority/2,URI:hawser://{fleet}/ledger/{first}",
                  "-out", other.ca.cert)
    code, said = verdict(client, "--dir", other.dir, "--offline")
    assert code == 1 and "ledger/epochs" in said and "not signed by the fleet's authority" in said, said
    # Who says which certificate is believed.
    code, said = verdict(client, "--dir", other.dir, "--offline", "--ca", other.ca.cert)
    assert code == 0, said


def test_verify_names_who_saw_another_ledger(rolled_back, client, tmp_path):
    anchors = tmp_path / "anchors"
    anchors.write_text(client.json("api", "GetLedgerHead")["Head"], encoding="utf-8")
    code, said = verdict(client, "--head", str(anchors))
    assert code == 1 and "broken  this client: the ledger went back" in said and said.rstrip().endswith("BROKEN"), said
    assert "ledger BROKEN" in said
    found = client.run("audit", "verify", "-o", "json")
    assert found.returncode == 1 and '"Verdict": "Broken"' in found.stdout and '"State": "Rollback"' in found.stdout
    # The same from files alone: what this client keeps is what a witness keeps.
    code, said = verdict(client, "--dir", rolled_back.dir, "--witnesses", kept(client), "--offline")
    assert code == 1 and "older copy" in said and "ledger BROKEN" in said, said
    rolled_back.stop()
    recover(rolled_back)
    rolled_back.start()
    wait_until(lambda: verdict(client)[0] == 0, "the recovery to be seen")
