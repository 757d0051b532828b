"""What an operator does to a relay: backup and restore."""

import glob
import os
import re
import shutil
import subprocess

import pytest

from support import audit
from support.relay import PATIENCE, program, wait_until
from test_witness import status

SECRET = "canary-7c1e-typed-and-shown"


def operate(*args, stdin=None, text=True):
    return subprocess.run([program("hawser-relay"), *args], input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=text, timeout=2 * PATIENCE, check=False)


def verify(folder, *args):
    done = subprocess.run([program("hawser"), "audit", "verify", "--offline", "--dir", str(folder), *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout


@pytest.fixture
def keys(client, tmp_path):
    """Key pair of whoever keeps backups: the public half's file and the private half's."""
    private = os.path.join(client.home, "auditor.key")
    public = tmp_path / "ops.pub"
    public.write_text(client.ok("audit", "keygen"))
    return str(public), private


@pytest.fixture
def words(tmp_path):
    """A passphrase's file."""
    path = tmp_path / "words"
    path.write_text("correct horse\n")
    path.chmod(0o600)
    return str(path)


def test_a_relay_that_lost_its_directory_comes_back_from_its_backup(relay, client, agents, keys, tmp_path):
    agent = agents()
    second = agents("web-02")
    public, private = keys
    file = str(tmp_path / "relay.hwb")
    assert client.ok("exec", "web-01", "--", f"echo {SECRET}") == f"{SECRET}\n"
    client.ok("run", "--target", "web-01", "--", f"seq 20000; echo {SECRET}")
    run = client.json("runs", "ls")["Commands"][0]["CommandId"]
    shell = client.spawn("shell", "web-01")
    shell.sendline("echo before-$((40 + 2))")
    shell.expect("before-42")

    # Sessions come and go while it is taken.
    busy = client.popen("exec", "web-02", "--", "for i in $(seq 300); do echo $i; sleep 0.02; done", stdout=subprocess.DEVNULL)
    done = operate("backup", "--dir", relay.dir, "--to", public, file)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ files, .*when the ledger had \d+ entries", done.stderr), done.stderr
    entries = int(re.search(r"had (\d+) entries", done.stderr)[1])
    assert "recovery.key still lies" in done.stderr
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert not os.path.exists(os.path.join(relay.dir, "backup.tmp"))
    busy.kill()
    busy.wait()
    with open(file, "rb") as f:
        sealed = f.read()
    with open(os.path.join(relay.dir, "master.key"), encoding="ascii") as f:
        master = f.read().strip()
    assert SECRET.encode() not in sealed and master.encode() not in sealed and bytes.fromhex(master) not in sealed
    assert "begin_backup" in str(audit.ledger(relay.dir)) or "BeginBackup" in str(audit.ledger(relay.dir))

    # More work, of which the backup knows nothing; nodes hear of it, one renews its certificate, and all is lost.
    for _ in range(8):
        client.ok("ls")
    agent.stop()
    agent.start()
    size = lambda: int((re.match(r"agrees at (\d+) entries", status(agent).get("Witness", "")) or [0, 0])[1])
    wait_until(lambda: size() > entries, "a head that the backup has not", 3 * PATIENCE)
    relay.kill9()
    shutil.rmtree(relay.dir)

    checked = operate("restore", "--verify", "--key", private, file)
    assert checked.returncode == 0 and "it can be restored" in checked.stderr, checked.stderr
    restored = operate("restore", "--dir", relay.dir, "--key", private, file)
    assert restored.returncode == 0, restored.stderr
    assert "hawser-relay recover --dir" in restored.stderr and f"had {entries} entries" in restored.stderr
    assert not os.path.exists(os.path.join(relay.dir, "restore.tmp"))
    code, said = verify(relay.dir, "--master-key", os.path.join(relay.dir, "master.key"))
    assert code in (0, 2) and "BROKEN" not in said, said

    recovered = operate("recover", "--dir", relay.dir, "--recovery-key", os.path.join(relay.dir, "recovery.key"))
    assert recovered.returncode == 0, recovered.stderr
    relay.start()
    agent.wait_online()
    second.wait_online()
    wait_until(lambda: status(agent).get("WitnessState") == "Agrees", "the node's consent", 3 * PATIENCE)
    wait_until(lambda: client.run("exec", "web-01", "--", "echo again").stdout == "again\n", "a session")
    assert SECRET in client.ok("runs", "output", run, "web-01")
    shell.close(force=True)
    kinds = [e["Kind"] for e in audit.ledger(relay.dir)]
    assert kinds.count("relay.restored") == 1
    relay.stop()
    code, said = verify(relay.dir, "--witnesses", os.path.join(agent.dir, "witness"))
    assert code == 0 and said.rstrip().endswith("INTACT"), said
    relay.start()
    assert [e["Kind"] for e in audit.ledger(relay.dir)].count("relay.restored") == 1


def test_a_certificate_of_the_time_that_was_lost_is_taken_once(relay, node, words, tmp_path):
    """A node renewed after the backup was made: it is let in with what the restored relay does not know."""
    file = str(tmp_path / "relay.hwb")
    assert operate("backup", "--dir", relay.dir, "--passphrase-file", words, file).returncode == 0
    relay.kill9()
    shutil.rmtree(relay.dir)
    assert operate("restore", "--dir", relay.dir, "--passphrase-file", words, file).returncode == 0
    relay.start()
    newer = relay.forge("node", node.id)
    relay.link(newer, "node").close()
    relay.wait_for_log("node.adopted")

    def refused(identity):
        try:
            relay.link(identity, "node").close()
        except Exception:  # whichever way the door says so
            return True
        return False
    wait_until(lambda: refused(node), "the end of the certificate before")
    assert refused(relay.forge("node", node.id))
    relay.link(newer, "node").close()


def test_a_relay_that_stands_still_is_backed_up_by_a_passphrase_and_through_a_pipe(relay, client, agent, words, tmp_path):
    client.ok("exec", "web-01", "--", "echo here")
    relay.stop()
    wrong = tmp_path / "wrong"
    wrong.write_text("battery staple\n")
    wrong.chmod(0o600)
    piped = operate("backup", "--dir", relay.dir, "--passphrase-file", words, "-", text=False)
    assert piped.returncode == 0, piped.stderr
    to = str(tmp_path / "copy")
    refused = operate("restore", "--dir", to, "--passphrase-file", str(wrong), "-", stdin=piped.stdout, text=False)
    assert refused.returncode == 1 and b"not the backup's passphrase" in refused.stderr
    assert operate("restore", "--dir", to, "--passphrase-file", words, "-", stdin=piped.stdout, text=False).returncode == 0
    code, said = verify(to)
    assert code == 0 and said.rstrip().endswith("INTACT"), said
    for name in ("ca.key", "master.key", "ledger.key", "relay.conf", "ca.crt"):
        with open(os.path.join(relay.dir, name), "rb") as a, open(os.path.join(to, name), "rb") as b:
            assert a.read() == b.read(), name
    assert {os.path.basename(f) for f in glob.glob(f"{relay.dir}/recordings/*.rec")} == \
        {os.path.basename(f) for f in glob.glob(f"{to}/recordings/*.rec")}
    light = operate("backup", "--dir", relay.dir, "--passphrase-file", words, "--without-recordings", "-", text=False)
    assert light.returncode == 0 and b"recordings/*.rec beside" in light.stderr and len(light.stdout) < len(piped.stdout)
    relay.start()


def test_what_is_no_good_backup_leaves_the_directory_alone(relay, words, tmp_path):
    file = str(tmp_path / "relay.hwb")
    assert operate("backup", "--dir", relay.dir, file).returncode == 1  # to nobody
    assert operate("backup", "--dir", relay.dir, "--passphrase-file", words, file).returncode == 0
    with open(file, "rb") as f:
        good = f.read()
    to = str(tmp_path / "copy")

    def restore(data):
        done = operate("restore", "--dir", to, "--passphrase-file", words, "-", stdin=data, text=False)
        assert done.returncode == 1 and os.listdir(to) == [], done.stderr
        return done.stderr.decode()
    assert "damaged" in restore(good[:-1])
    assert "damaged" in restore(good[:len(good) // 2] + bytes([good[len(good) // 2] ^ 1]) + good[len(good) // 2 + 1:])
    assert "is no backup" in restore(b"#!/bin/sh\n" * 20)
    assert "format" in restore(good[:14] + b"9\n" + good[16:])
    # A directory that holds anything is no place for it.
    taken = operate("restore", "--dir", relay.dir, "--passphrase-file", words, file)
    assert taken.returncode == 1 and "is not empty" in taken.stderr
    assert relay.healthy()
    # Nowhere to write: nothing is left.
    nowhere = operate("backup", "--dir", relay.dir, "--passphrase-file", words, str(tmp_path / "no" / "such"))
    assert nowhere.returncode == 1 and not os.path.exists(os.path.join(relay.dir, "backup.tmp"))
