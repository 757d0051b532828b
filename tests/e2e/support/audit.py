"""Reads a relay's journal and ledger as they lie on the disk, by their description and not by the relay's own code."""

import collections
import ctypes
import ctypes.util
import glob
import hashlib
import hmac
import os
import struct

from . import wire

LEDGER, START, DATA, ECHO, REWIND, RESIZE, STREAM_END, NOTE, END = range(1, 10)
HEAD = 128
LEDGER_OPEN, LEDGER_ERASED = 1, 2

Record = collections.namedtuple("Record", "type stream flags author session offset time bytes")
_crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
for _name in ("EVP_CIPHER_CTX_new", "EVP_aes_256_gcm"):
    getattr(_crypto, _name).restype = ctypes.c_void_p


class Corrupt(Exception):
    pass


def _open(key, nonce, aad, sealed):
    """AES-256-GCM; the last 16 bytes are the tag."""
    body, tag = sealed[:-16], sealed[-16:]
    out, n = ctypes.create_string_buffer(len(body) + 16), ctypes.c_int()
    ctx = ctypes.c_void_p(_crypto.EVP_CIPHER_CTX_new())
    try:
        good = (
            _crypto.EVP_DecryptInit_ex(ctx, ctypes.c_void_p(_crypto.EVP_aes_256_gcm()), None, key, nonce) == 1
            and _crypto.EVP_DecryptUpdate(ctx, None, ctypes.byref(n), aad, len(aad)) == 1
            and _crypto.EVP_DecryptUpdate(ctx, out, ctypes.byref(n), body, len(body)) == 1
            and _crypto.EVP_CIPHER_CTX_ctrl(ctx, 0x11, 16, tag) == 1  # EVP_CTRL_AEAD_SET_TAG
            and _crypto.EVP_DecryptFinal_ex(ctx, ctypes.create_string_buffer(16), ctypes.byref(n)) == 1)
    finally:
        _crypto.EVP_CIPHER_CTX_free(ctx)
    if not good:
        raise Corrupt("does not verify")
    return out.raw[:len(body)]


def _derive(key, label):
    """HKDF-SHA256 of one block, without a salt."""
    secret = hmac.digest(bytes(32), key, hashlib.sha256)
    return hmac.digest(secret, label + b"\x01", hashlib.sha256)


def _master(relay_dir):
    with open(os.path.join(relay_dir, "master.key"), encoding="ascii") as f:
        return bytes.fromhex(f.read().strip())


def _frames(data, at):
    while at + 8 <= len(data):
        (n,) = struct.unpack_from("<I", data, at)
        if n < 16 or at + 8 + n > len(data):
            return
        yield at, data[at + 8:at + 8 + n]
        at += 8 + n


def segments(relay_dir):
    """Paths of the journal's segments, the oldest first."""
    return sorted(glob.glob(os.path.join(relay_dir, "journal", "journal-*.seg")))


def frames(path):
    """(byte offset, length) of each whole record in a segment."""
    with open(path, "rb") as f:
        return [(at, 8 + len(sealed)) for at, sealed in _frames(f.read(), HEAD)]


def journal(relay_dir):
    """All records that are whole, in order."""
    wrap = _derive(_master(relay_dir), b"hawser journal")
    records = []
    for path in segments(relay_dir):
        with open(path, "rb") as f:
            data = f.read()
        if len(data) < HEAD:
            continue
        first, ledger_first, created = struct.unpack_from("<QQQ", data, 8)
        aad = b"hawser journal segment %016x %016x %016x" % (first, ledger_first, created)
        key = _open(wrap, data[32:44], aad, data[44:92])
        for at, sealed in _frames(data, HEAD):
            pos = first + at - HEAD
            plain = _open(key, bytes(4) + struct.pack(">Q", pos), struct.pack("<QI", pos, len(sealed)), sealed)
            records.append(Record(*struct.unpack_from("<BBBxIQQQ", plain), plain[32:]))
    return records


def _ledger_files(relay_dir):
    wrap = _derive(_master(relay_dir), b"hawser ledger")
    entries = {}
    for path in sorted(glob.glob(os.path.join(relay_dir, "ledger", "ledger-*.log"))):
        with open(path, "rb") as f:
            data = f.read()
        (first,) = struct.unpack_from("<Q", data, 8)
        key = _open(wrap, data[16:28], b"hawser ledger file %016x" % first, data[28:76])
        for i, (_, rest) in enumerate(_frames(data, HEAD), first):
            (flags,) = struct.unpack_from("<I", rest)
            stored = rest[68:]
            if flags & LEDGER_ERASED:
                continue
            entries[i] = stored if flags & LEDGER_OPEN else _open(
                key, stored[:12], b"hawser ledger entry %016x" % i, stored[12:])
    return entries


def ledger(relay_dir):
    """All entries, decoded, in order; no number may be missing."""
    entries = _ledger_files(relay_dir)
    for r in journal(relay_dir):
        if r.type == LEDGER:
            if entries.setdefault(r.offset, r.bytes) != r.bytes:
                raise Corrupt(f"ledger entry {r.offset} is not the same in journal and ledger")
    numbers = sorted(entries)
    if numbers and numbers != list(range(numbers[0], numbers[-1] + 1)):
        raise Corrupt(f"the ledger has gaps: {numbers}")
    return [wire.unpack(entries[i])[0] for i in numbers]


def signed(relay_dir):
    """How many entries the last signed head is of."""
    with open(os.path.join(relay_dir, "ledger", "heads"), "rb") as f:
        data = f.read()
    return struct.unpack_from("<Q", data, 8 + 160 * ((len(data) - 8) // 160 - 1) + 8)[0] if len(data) >= 168 else 0


def session_number(session_id):
    return int.from_bytes(hashlib.sha256(session_id.encode()).digest()[:8], "little")


def stream(relay_dir, session_id, number):
    """The bytes of a session's stream that are in the journal, by their offsets."""
    out = bytearray()
    for r in journal(relay_dir):
        if r.session != session_number(session_id) or r.stream != number:
            continue
        if r.type == REWIND:
            del out[r.offset:]
        elif r.type == DATA:
            assert r.offset == len(out), f"a hole at {len(out)}: the next record is at {r.offset}"
            out += r.bytes
    return bytes(out)
