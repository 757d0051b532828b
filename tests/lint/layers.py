#!/usr/bin/env python3
"""Checks that dependencies point one way, and that no file says what none should.

    layers.py               checks the whole project
    layers.py --self-test   checks that each rule catches what it is there for

CMake's lists say what each folder links; since every file may include by its path from the
project's root, only reading the #include lines tells whether they keep to it.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What a folder may include besides itself. The longest prefix of a file's path decides.
BELOW = {
    "proto/base": [],
    "proto/sandbox": ["proto/base"],
    "proto/schema": ["proto/base"],
    "proto/trust": ["proto/base", "proto/schema"],
    "proto/document": ["proto/base", "proto/schema"],
    "proto/wire": ["proto/base", "proto/schema"],
    "audit": ["proto"],
    "relay": ["proto", "audit", "relay"],
    "relay/objects": ["proto/base", "proto/trust"],
    "relay/stream": ["proto", "audit"],
    "relay/store": ["proto/base", "proto/schema"],
    "relay/policy": ["proto/base"],
    "relay/documents": ["proto/base", "proto/schema"],
    "relay/fanout": ["proto/base", "proto/schema"],
    "relay/core": [
        "proto", "audit", "relay/store", "relay/policy", "relay/documents", "relay/fanout",
        "relay/objects", "relay/stream"],
    "relay/services": [
        "proto", "audit", "relay/store", "relay/policy", "relay/documents", "relay/fanout",
        "relay/objects", "relay/core"],
    "relay/edge": ["proto", "audit", "relay/store", "relay/policy", "relay/core"],
    "node": ["proto", "audit", "node"],
    # Root's half of the agent, and what is the parent of users' programs: nothing that parses.
    "node/monitor": ["proto/base", "node/holder"],
    "node/holder": ["proto/base", "node/monitor"],
    # Root's too, for the time of an upgrade: it reads a signed manifest, and nothing else of a relay's.
    "node/upgrade": ["proto/base", "proto/trust"],
    # Root's too, with anybody's modules in it.
    "node/pam": ["proto/base", "node/holder", "node/monitor"],
    "client": ["proto", "audit", "client"],
    "tests": [""],
}

# Single files that may include more: the error codes are a table of the schema.
ALSO = [
    (re.compile(r"proto/base/err\.[ch]$"), re.compile(r"proto/schema/\w+\.def$")),
    (re.compile(r"proto/wire/(?:enrol|ws_tls)\.[ch]$"), re.compile(r"proto/trust/")),
]

# Headers of libraries that only some files may see: (header, the files that may).
GUARDED = [
    (
        re.compile(r"libwebsockets"),
        re.compile(r"relay/edge/|proto/wire/ws_\w*\.c$|proto/base/loop\.c$|tests/"),
        "only the link files and the loop include libwebsockets",
    ),
    (
        re.compile(r"(msgpack|openssl/|event2/|libwebsockets)"),
        re.compile(r"(?!node/(monitor|holder)/)"),
        "the monitor and the holder stand on libc alone",
    ),
    (
        re.compile(r"security/pam"),
        re.compile(r"node/pam/|tests/"),
        "only what becomes the program asks PAM",
    ),
    (
        re.compile(r"seccomp\.h"),
        re.compile(r"proto/sandbox/|tests/"),
        "only the sandbox includes libseccomp",
    ),
    (
        re.compile(r"proto/sandbox/"),
        re.compile(r"proto/sandbox/|relay/cli/|node/uplink\w*\.[ch]$|tests/"),
        "only a whole process enters a sandbox: the relay, and the node's network process",
    ),
]

# Written in pieces, so that this file does not say them either.
WORDS = [
    (re.compile("TO" + "DO|FIX" + "ME"), "finish it, or say it in docs/"),
    (re.compile(r"/wo" + r"rk/|\.\./sha" + r"red"), "names a path of somebody's machine"),
    (
        re.compile(r"://[^/\s\"']*(regis" + r"try|mir" + r"ror|py" + r"pi|npm" + r"js|arti"
                   + r"factory|nex" + r"us|deb" + r"ian\.org/deb" + r"ian)"),
        "names a package registry: the machine's own configuration says which",
    ),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
SERVICE = re.compile(r"relay/services/([^/]+)/")


def folder_of(path):
    """The longest key of BELOW that path lies in, or None."""
    found = [f for f in BELOW if path.startswith(f + "/")]
    return max(found, key=len) if found else None


def may_include(path, target):
    folder = folder_of(path)
    if folder is None or target.startswith(folder + "/"):
        return True
    if any(p.match(path) and t.match(target) for p, t in ALSO):
        return True
    return any(target.startswith(below and below + "/") for below in BELOW[folder])


def check_include(path, bracket, target, exists):
    """What is wrong with one #include, or None."""
    for header, allowed, why in GUARDED:
        if header.match(target) and not allowed.match(path):
            return f"includes <{target}>: {why}"
    if bracket == "<":
        return None
    if not exists(target):
        return f'includes "{target}", which is no path from the project\'s root'
    if not may_include(path, target):
        return f'includes "{target}": {folder_of(path)} does not stand on it'
    mine, other = SERVICE.match(path), SERVICE.match(target)
    if mine and other and mine.group(1) != other.group(1):
        return f'includes "{target}": a service knows nothing of another one'
    return None


def check(path, text, exists):
    """All complaints about one file, as (line, sentence)."""
    found = []
    if path.endswith((".c", ".h", ".def")):
        for m in INCLUDE.finditer(text):
            wrong = check_include(path, m.group(1), m.group(2), exists)
            if wrong:
                found.append((text.count("\n", 0, m.start(2)) + 1, wrong))
    for pattern, why in WORDS:
        for m in pattern.finditer(text):
            found.append((text.count("\n", 0, m.start()) + 1, f"says {m.group()!r}: {why}"))
    return found


def project_files():
    """Paths from the root of what belongs to the project, also where git is not to be had."""
    try:
        out = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        return sorted(set(out.decode().split("\0")) - {""})
    except (OSError, subprocess.CalledProcessError):
        found = []
        for where, dirs, files in os.walk(ROOT):
            dirs[:] = [d for d in dirs if d not in (".git", "build", "__pycache__")]
            found += [os.path.relpath(os.path.join(where, f), ROOT) for f in files]
        return sorted(found)


def check_project():
    wrong = 0
    for path in project_files():
        full = os.path.join(ROOT, path)
        if path.startswith("tests/fuzz/corpus/") or not os.path.isfile(full):
            continue
        with open(full, "rb") as f:
            raw = f.read()
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            continue
        for line, why in check(path, text, lambda t: os.path.isfile(os.path.join(ROOT, t))):
            print(f"{path}:{line}: {why}")
            wrong += 1
    return wrong


BAD = [
    ("proto/base/buf.c", '#include "proto/schema/schema.h"'),
    ("proto/base/buf.c", '#include "proto/schema/errors.def"'),
    ("proto/schema/schema.c", '#include "proto/wire/frame.h"'),
    ("proto/wire/frame.c", '#include "audit/journal.h"'),
    ("proto/wire/frame.c", '#include "proto/trust/ca.h"'),
    ("proto/wire/frame.c", '#include "frame.h"'),
    ("audit/journal.c", '#include "relay/core/op.h"'),
    ("relay/store/store.c", '#include "relay/core/op.h"'),
    ("relay/core/op.c", '#include "relay/services/nodes/nodes.h"'),
    ("relay/core/op.c", '#include "node/agent.h"'),
    ("node/agent.c", '#include "client/main.h"'),
    ("client/ls.c", '#include "relay/core/op.h"'),
    ("relay/services/nodes/nodes.c", '#include "relay/services/runs/runs.h"'),
    ("relay/core/op.c", "#include <libwebsockets.h>"),
    ("proto/wire/frame.c", "#  include <libwebsockets.h>"),
    ("proto/wire/ws_link.h", "#include <libwebsockets.h>"),
    ("node/monitor/main.c", "#include <msgpack.h>"),
    ("node/holder/holder.c", "#include <openssl/ssl.h>"),
    ("node/holder/holder.c", '#include "proto/wire/frame.h"'),
    ("node/holder/holder.c", '#include "proto/sandbox/sandbox.h"'),
    ("node/agent.c", '#include "proto/sandbox/sandbox.h"'),
    ("relay/core/op.c", '#include "proto/sandbox/sandbox.h"'),
    ("relay/core/op.c", "#include <seccomp.h>"),
    ("node/holder/entry.c", "#include <security/pam_appl.h>"),
    ("node/pam/stages.c", '#include "node/config.h"'),
    ("proto/sandbox/calls.c", '#include "proto/schema/schema.h"'),
    ("client/ls.c", "/* TO" "DO: later */"),
    ("dev", "cd /wo" "rk/main"),
    ("docs/a.md", "see ../sha" "red/X.md"),
    ("dev", "deb http://mir" "ror.example.net/x"),
]

GOOD = [
    ("proto/base/err.h", '#include "proto/schema/errors.def"'),
    ("proto/schema/schema.c", '#include "proto/base/err.h"'),
    ("proto/wire/ws_link.c", "#include <libwebsockets.h>"),
    ("proto/base/loop.c", "#include <libwebsockets.h>"),
    ("relay/edge/http.c", "#include <libwebsockets.h>"),
    ("relay/services/nodes/nodes.c", '#include "relay/services/nodes/nodes.h"'),
    ("relay/services/nodes/nodes.c", '#include "relay/core/op.h"'),
    ("relay/main.c", '#include "relay/edge/edge.h"'),
    ("relay/core/op.c", "#include <openssl/evp.h>"),
    ("node/monitor/main.c", '#include "node/holder/holder.h"'),
    ("relay/cli/confine.c", '#include "proto/sandbox/sandbox.h"'),
    ("node/uplink_sandbox.c", '#include "proto/sandbox/sandbox.h"'),
    ("proto/sandbox/calls.c", "#include <seccomp.h>"),
    ("node/pam/stages.c", "#include <security/pam_appl.h>"),
    ("tests/unit/test_op.c", '#include "relay/core/op.h"'),
    ("docs/a.md", "https://example.net/manual, work/main and the word shared"),
]


def exists_in_self_test(target):
    return "/" in target


def self_test():
    wrong = 0
    for path, text in BAD:
        if not check(path, text + "\n", exists_in_self_test):
            print(f"not caught: {path}: {text}")
            wrong += 1
    for path, text in GOOD:
        for _, why in check(path, text + "\n", exists_in_self_test):
            print(f"caught wrongly: {path}: {text}: {why}")
            wrong += 1
    return wrong


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--self-test"]):
        sys.exit(__doc__)
    sys.exit(1 if (self_test() if sys.argv[1:] else check_project()) else 0)
