"""Releases of the node's programs: made, shown, and refused when they are not what was signed."""

import os
import stat

import pytest

from support.fleet import Client
from support.relay import program

PROGRAMS = ("hawser-node", "hawser-node-monitor", "hawser-node-fetch")


@pytest.fixture
def person(tmp_path):
    """Somebody who is logged in nowhere, with a release key."""
    client = Client(tmp_path, None)
    client.key = str(tmp_path / "release.key")
    client.public = client.ok("release", "keygen", "--key", client.key)
    return client


def sign(client, path, programs, *args):
    client.ok("release", "sign", "--key", client.key, "--out", str(path), *args, *map(str, programs))
    return path


@pytest.fixture
def small(tmp_path, person):
    """A release of a program that is a script."""
    script = tmp_path / "hawser-node"
    script.write_text("#!/bin/sh\nexit 0\n")
    return sign(person, tmp_path / "small.release", [script], "--arch", "x86_64", "--release-version", "9.8.7-rc1")


# --- the file --------------------------------------------------------------------------------------


def test_release_is_signed_and_shown(tmp_path, person):
    assert stat.S_IMODE(os.stat(person.key).st_mode) == 0o600
    assert "exists already" in person.fails("release", "keygen", "--key", person.key)
    path = sign(person, tmp_path / "all.release", [program(name) for name in PROGRAMS], "--follows", "0.1.0")
    said = dict(line.split(None, 1) for line in person.ok("release", "show", str(path)).splitlines()
                if not line.startswith("file"))
    assert said["architecture"] == os.uname().machine
    assert said["follows"] == "0.1.0"
    assert said["version"] == person.ok("version").split()[1]
    assert person.public == f"key {said['key']}\n"
    assert int(said["bytes"]) == os.path.getsize(path)


def test_release_that_exists_is_not_replaced(small, tmp_path, person):
    before = small.read_bytes()
    assert "cannot make" in person.fails("release", "sign", "--key", person.key, "--out", str(small), "--arch",
                                         "x86_64", str(tmp_path / "hawser-node"))
    assert small.read_bytes() == before


@pytest.mark.parametrize("change, why", [
    (lambda b: b[:50], "cut off within its head"),
    (lambda b: b[:200], "cut off within its manifest"),
    (lambda b: b[:-1], "cut off within hawser-node"),
    (lambda b: b + b"\n", "bytes behind its last file"),
    (lambda b: b[:-2] + b"1\n", "hawser-node in the release is not what was signed"),
    (lambda b: b.replace(b"9.8.7", b"9.8.8"), "it was changed after it was signed"),
    (lambda b: b"X" + b[1:], "that is no release"),
], ids=["head", "manifest", "file", "longer", "byte", "version", "magic"])
def test_release_that_was_changed_is_refused(small, person, change, why):
    small.write_bytes(change(small.read_bytes()))
    assert why in person.fails("release", "show", str(small))


def test_what_cannot_be_signed_says_why(tmp_path, person):
    script = tmp_path / "hawser-node"
    script.write_text("#!/bin/sh\n")
    out = str(tmp_path / "out")
    base = ["release", "sign", "--key", person.key, "--out", out]
    assert "--arch does" in person.fails(*base, str(script), code=2)
    assert "is twice" in person.fails(*base, "--arch", "x86_64", str(script), str(script))
    assert "version such as 0.2.0" in person.fails(*base, "--arch", "x86_64", "--release-version", "2", str(script))
    assert "is no file" in person.fails(*base, "--arch", "x86_64", str(tmp_path))
    os.chmod(person.key, 0o644)
    assert "others may use the key" in person.fails(*base, "--arch", "x86_64", str(script))
    assert not os.path.exists(out)
