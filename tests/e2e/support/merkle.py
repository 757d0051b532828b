"""The ledger's tree, proofs and signatures, by their descriptions alone: RFC 9162, signed notes, statements of epochs."""

import base64
import collections
import hashlib
import os
import subprocess
import tempfile

Head = collections.namedtuple("Head", "origin size root epoch time filed chain body key_id signature")
SPKI = bytes.fromhex("302a300506032b6570032100")  # of an Ed25519 key, before its 32 bytes


def leaf(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def root(leaves):
    """As RFC 9162 defines it, section 2.1.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node(root(leaves[:k]), root(leaves[k:]))


def inclusion(index, leaves):
    """PATH, section 2.1.3.1."""
    if len(leaves) <= 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if index < k:
        return inclusion(index, leaves[:k]) + [root(leaves[k:])]
    return inclusion(index - k, leaves[k:]) + [root(leaves[:k])]


def consistency(old, leaves, whole=True):
    """SUBPROOF, section 2.1.4.1."""
    if old == len(leaves):
        return [] if whole else [root(leaves)]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if old <= k:
        return consistency(old, leaves[:k], whole) + [root(leaves[k:])]
    return consistency(old - k, leaves[k:], False) + [root(leaves[:k])]


def hashes(text):
    raw = base64.b64decode(text or "")
    assert len(raw) % 32 == 0
    return [raw[i:i + 32] for i in range(0, len(raw), 32)]


def parse_head(text):
    body, _, signature = text.partition("\n\n")
    lines = body.split("\n")
    assert len(lines) == 6 and signature.startswith("\u2014 "), text
    _, filed, chain = lines[5].split(" ")
    raw = base64.b64decode(signature.split(" ")[2])
    return Head(lines[0], int(lines[1]), base64.b64decode(lines[2]), int(lines[3].split(" ")[1]),
                int(lines[4].split(" ")[1]), int(filed), base64.b64decode(chain), (body + "\n").encode(), raw[:4],
                raw[4:])


def parse_epochs(text):
    """A list of (fields, signed bytes, the whole statement)."""
    out = []
    for statement in filter(None, text.split("\n\n")):
        lines = statement.split("\n")
        assert lines[0] == "hawser ledger epoch v1", statement
        signed = "\n".join(lines[:-1]) + "\n"
        out.append((dict(line.split(" ", 1) for line in lines[1:]), signed.encode(), (statement + "\n\n").encode()))
    return out


def openssl_verifies(public_der, message, signature, digest=None):
    """With the openssl program."""
    with tempfile.TemporaryDirectory() as base:
        paths = {name: os.path.join(base, name) for name in ("key", "message", "signature")}
        for name, data in (("key", public_der), ("message", message), ("signature", signature)):
            with open(paths[name], "wb") as f:
                f.write(data)
        if digest is None:
            command = ["pkeyutl", "-verify", "-pubin", "-inkey", paths["key"], "-keyform", "DER", "-rawin", "-in",
                       paths["message"], "-sigfile", paths["signature"]]
        else:
            command = ["dgst", "-" + digest, "-verify", paths["key"], "-keyform", "DER", "-signature",
                       paths["signature"], paths["message"]]
        return subprocess.run(["openssl", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              check=False).returncode == 0


def check_epochs(text, ca_crt):
    """The keys of all epochs, after each statement was held against the one before."""
    ca = subprocess.run(["openssl", "x509", "-in", ca_crt, "-noout", "-pubkey"], check=True,
                        stdout=subprocess.PIPE).stdout
    authority = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=ca, check=True,
                               stdout=subprocess.PIPE).stdout
    keys, before = [], None
    for fields, signed, whole in parse_epochs(text):
        signature = base64.b64decode(fields["signature"])
        assert int(fields["epoch"]) == len(keys) + 1
        if before is None:
            assert fields["by"] == "authority" and fields["previous"] == "-"
            assert openssl_verifies(authority, signed, signature, "sha256")
        else:
            assert fields["previous"] == base64.b64encode(hashlib.sha256(before[2]).digest()).decode()
            by = {"ledger": "key", "recovery": "recovery"}[fields["by"]]
            assert openssl_verifies(SPKI + base64.b64decode(before[0][by]), signed, signature)
        keys.append(base64.b64decode(fields["key"]))
        before = (fields, signed, whole)
    return keys


def check_head(text, keys):
    head = parse_head(text)
    key = keys[head.epoch - 1]
    name = head.origin.rsplit("/", 1)[0] + f"/epoch-{head.epoch}"
    assert head.key_id == hashlib.sha256(name.encode() + b"\n\1" + key).digest()[:4]
    assert openssl_verifies(SPKI + key, head.body, head.signature)
    return head
