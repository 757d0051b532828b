#!/usr/bin/env python3
"""Checks that each kind of ledger entry that is promised is written somewhere, and stands in the docs.

    entries.py               checks proto/schema/entries.def, docs/api.md, and what relay/ and audit/ write
    entries.py --self-test   checks that each rule catches what it is there for
"""

import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# A kind stands in a call that writes it, in one that is handed on to such a call, or in a row that one is filled from.
WRITES = re.compile(r"\b(?:ledger_(?:append|commit)|\w*note|\w*tell\w*|\w*record\w*|\w*write\w*|\w*entry\w*)\s*\([^;{}]*?\bENTRY_([A-Z_]+)\b"
                    r"|(?:\.kind|\bkind)\s*=[^;]*?\bENTRY_([A-Z_]+)\b|\?\s*ENTRY_([A-Z_]+)\b|:\s*ENTRY_([A-Z_]+)\b|[{,(]\s*ENTRY_([A-Z_]+)\s*[,})]")
READERS = re.compile(r"/(verify\w*|ledger_reader|search\w*|lookup)\.c$")


def promised(table):
    return dict(re.findall(r'^HW_ENTRY\((\w+), "([^"]+)"', table, re.M))


def statements(text):
    """What of a text names a kind: each from the end of what comes before it, so that a search starts at few places."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"[^\n;]*[=!]=\s*ENTRY_\w+[^\n;]*", "", text)  # what only asks
    return [s for s in re.split(r"[;}]", text) if "ENTRY_" in s]


def written(sources):
    found = set()
    for text in sources:
        if "ENTRY_" not in text:
            continue
        for statement in statements(text):
            for groups in WRITES.findall(statement):
                found |= {g for g in groups if g}
    return found


def check(table, sources, docs):
    kinds = promised(table)
    said = set(re.findall(r"^\| `([a-z.]+)` \|", docs, re.M))
    found = written(sources)
    problems = [f"nothing writes {name} ({kind})" for name, kind in kinds.items() if name not in found]
    problems += [f"docs/api.md does not know {kind}" for kind in kinds.values() if kind not in said]
    return problems


def self_test():
    table = 'HW_ENTRY(A, "a.a", "x")\nHW_ENTRY(B, "b.b", "y")\n'
    docs = "| `a.a` | x |\n| `b.b` | y |\n"
    good = ["ledger_commit(l, ENTRY_A, &e); f((struct r){.kind = ENTRY_B});"]
    cases = [(table, good, docs, 0), (table, ["ledger_append(l, ENTRY_A, &e);"], docs, 1), (table, good, "| `a.a` | x |\n", 1),
             (table, ["ledger_commit(l, ENTRY_A, &e); if (kind == ENTRY_B) x();"], docs, 1)]
    for table, sources, docs, n in cases:
        if len(check(table, sources, docs)) != n:
            print(f"{n} expected of {sources}: {check(table, sources, docs)}")
            return 1
    return 0


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def main():
    if "--self-test" in sys.argv:
        return self_test()
    paths = [p for folder in ("relay", "audit") for p in glob.glob(os.path.join(ROOT, folder, "**/*.c"), recursive=True)]
    problems = check(read("proto/schema/entries.def"), [read(p) for p in paths if not READERS.search(p)], read("docs/api.md"))
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
