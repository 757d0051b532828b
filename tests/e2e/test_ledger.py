"""Heads and proofs of a running relay against a verifier of our own; `audit verify` and what tends to the ledger."""

import base64
import glob
import os
import pathlib
import shutil
import subprocess

from support import audit, merkle
from support.relay import PATIENCE, program, wait_until


def entries(relay):
    """The canonical bytes of all entries, by their numbers."""
    found = audit._ledger_files(relay.dir)
    for r in audit.journal(relay.dir):
        if r.type == audit.LEDGER:
            found.setdefault(r.offset, r.bytes)
    return found


def tend(relay, *args, code=0):
    done = subprocess.run([program("hawser-relay"), args[0], "--dir", relay.dir, *args[1:]], text=True, check=False,
                          timeout=PATIENCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == code, done.stdout
    return done.stdout


def verify(directory, *args):
    done = subprocess.run([program("hawser"), "audit", "verify", "--dir", str(directory), *args], text=True,
                          check=False, timeout=PATIENCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def test_heads_and_proofs_are_those_of_the_rfc(relay, client):
    """Every inclusion and consistency proof of a small ledger is the one that RFC 9162 says."""
    first = client.json("api", "GetLedgerHead")
    for _ in range(5):
        client.ok("ls")
    wait_until(lambda: merkle.parse_head(client.json("api", "GetLedgerHead")["Head"]).size
               > merkle.parse_head(first["Head"]).size, "a newer head")
    second = client.json("api", "GetLedgerHead")
    keys = merkle.check_epochs(second["Epochs"], os.path.join(relay.dir, "ca.crt"))
    a, b = merkle.check_head(first["Head"], keys), merkle.check_head(second["Head"], keys)
    assert not merkle.openssl_verifies(merkle.SPKI + keys[0], b.body + b"x", b.signature)

    found = entries(relay)
    leaves = [merkle.leaf(found[i]) for i in range(b.size)]
    assert merkle.root(leaves) == b.root and merkle.root(leaves[:a.size]) == a.root
    for i in range(b.size):
        proof = client.json("api", "GetInclusionProof", f"Sequence={i}", f"Size={b.size}")
        assert base64.b64decode(proof["LeafHash"]) == leaves[i]
        assert merkle.hashes(proof.get("Hashes")) == merkle.inclusion(i, leaves)
    for old in range(1, b.size + 1):
        proof = client.json("api", "GetConsistencyProof", f"OldSize={old}", f"Size={b.size}")
        assert merkle.hashes(proof.get("Hashes")) == merkle.consistency(old, leaves)


def test_verify_says_intact_and_names_what_is_not(relay, client, agents, tmp_path):
    """Offline, of a running relay and of a stopped one, without and with the master key."""
    agents()
    assert client.run("exec", "web-01", "--", "echo recorded").returncode == 0
    recordings = os.path.join(relay.dir, "recordings", "*.rec")
    wait_until(lambda: glob.glob(recordings) and verify(relay.dir)[0] == 0, "the recording, and the last entries to be filed")
    code, said = verify(relay.dir)
    assert code == 0 and said.rstrip().endswith("INTACT"), said
    head = tmp_path / "head"
    head.write_text(client.json("api", "GetLedgerHead")["Head"], encoding="utf-8")
    relay.stop()
    code, said = verify(relay.dir, "--head", str(head))
    assert code == 0 and "1 session, " in said, said
    code, said = verify(relay.dir, "--master-key", os.path.join(relay.dir, "master.key"))
    assert code == 0, said

    tape = glob.glob(os.path.join(relay.dir, "recordings", "*.rec"))[0]
    with open(tape, "r+b") as f:
        f.seek(-3, os.SEEK_END)
        byte = f.read(1)[0]
        f.seek(-3, os.SEEK_END)
        f.write(bytes([byte ^ 1]))
    code, said = verify(relay.dir)
    assert code == 1 and os.path.basename(tape) in said and said.rstrip().endswith("BROKEN"), said
    assert verify(tmp_path / "nothing")[0] == 2
    assert verify(relay.dir, "--nonsense")[0] == 2


def test_a_key_is_rotated_and_an_entry_erased(relay, client):
    """The proofs go on, and what was erased is nowhere."""
    client.ok("ls")
    before = client.json("api", "GetLedgerHead")
    tend(relay, "rotate-ledger-key", code=1)  # it runs
    relay.stop()
    assert "epoch 2" in tend(relay, "rotate-keys", "--what", "ledger")
    for _ in range(2):  # old segments of the journal go
        relay.start()
        client.ok("ls")
        wait_until(lambda: len(audit.segments(relay.dir)) == 1, "the journal's old segments to go")
        relay.stop()
    found = audit._ledger_files(relay.dir)
    number = next(i for i in sorted(found) if b"decision" in found[i])
    assert "erased" in tend(relay, "erase", "--entry", str(number), "--reason", "a test")
    assert "no entry" in tend(relay, "erase", "--entry", "100000", "--reason", "a test", code=1)
    assert number not in audit._ledger_files(relay.dir)
    code, said = verify(relay.dir)  # who has no master key finds the entry that says so
    assert code == 0 and "(1 erased)" in said, said
    relay.start()
    client.ok("ls")
    after = client.json("api", "GetLedgerHead")
    keys = merkle.check_epochs(after["Epochs"], os.path.join(relay.dir, "ca.crt"))
    a, b = merkle.check_head(before["Head"], keys), merkle.check_head(after["Head"], keys)
    assert (a.epoch, b.epoch, len(keys)) == (1, 2, 2)
    proof = client.json("api", "GetConsistencyProof", f"OldSize={a.size}", f"Size={b.size}")
    assert merkle.hashes(proof["Hashes"])
    proof = client.json("api", "GetInclusionProof", f"Sequence={number}", f"Size={b.size}")
    assert base64.b64decode(proof["LeafHash"]) == merkle.leaf(found[number])
    relay.stop()
    code, said = verify(relay.dir)
    assert code == 0 and "(1 erased)" in said, said


def test_a_restored_relay_is_recovered_by_its_key_alone(relay, client, tmp_path):
    client.ok("ls")
    relay.stop()
    copy = tmp_path / "copy"
    shutil.copytree(relay.dir, copy)
    relay.start()
    before = merkle.parse_head(client.json("api", "GetLedgerHead")["Head"]).size
    for _ in range(5):
        client.ok("ls")
    wait_until(lambda: merkle.parse_head(client.json("api", "GetLedgerHead")["Head"]).size > before + 4, "a newer head")
    head = client.json("api", "GetLedgerHead")["Head"]
    relay.stop()
    lost = tmp_path / "lost"
    shutil.move(relay.dir, lost)
    shutil.copytree(copy, relay.dir)
    kept = tmp_path / "head"
    kept.write_text(head, encoding="utf-8")
    code, said = verify(relay.dir, "--head", str(kept))
    assert code == 1 and "older copy" in said, said

    subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", tmp_path / "other"], check=True)
    os.chmod(tmp_path / "other", 0o600)
    assert "not the ledger's recovery key" in tend(relay, "recover", "--recovery-key", str(tmp_path / "other"), code=1)

    # Entries that cannot be read make no tree: the one that is there stays.
    ledger, tree = min(pathlib.Path(relay.dir, "ledger").glob("ledger-*.log")), pathlib.Path(relay.dir, "ledger", "tree")
    good, hashes = ledger.read_bytes(), tree.read_bytes()
    ledger.write_bytes(good[:20] + bytes([good[20] ^ 1]) + good[21:])
    tend(relay, "recover", "--recovery-key", os.path.join(relay.dir, "recovery.key"), code=1)
    assert tree.read_bytes() == hashes
    ledger.write_bytes(good)

    assert "epoch 2" in tend(relay, "recover", "--recovery-key", os.path.join(relay.dir, "recovery.key"))
    relay.start()
    client.ok("ls")
    after = client.json("api", "GetLedgerHead")
    keys = merkle.check_epochs(after["Epochs"], os.path.join(relay.dir, "ca.crt"))
    assert merkle.check_head(after["Head"], keys).epoch == 2
    assert "by recovery" in after["Epochs"]
    relay.stop()
    code, said = verify(relay.dir)
    assert code == 0, said
