#!/usr/bin/env python3
"""Checks that the store's SQL keeps to what SQLite and PostgreSQL share.

    sql_subset.py               checks relay/store/, but for db.c, which is SQLite's driver
    sql_subset.py --self-test   checks that each rule catches what it is there for

It looks at C's string literals, joined where C joins them.
"""

import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DRIVER = {"db.c"}

FORBIDDEN = [
    (r"\b(AUTOINCREMENT|IDENTITY|BIGSERIAL)\b", "numbers its rows itself: ids are ours"),
    (r"\b(now|datetime|strftime|julianday|date|time|to_char|extract|date_part)\s*\(|\bCURRENT_\w+",
     "asks the database for the time: the clock is ours"),
    (r"\bSKIP\s+LOCKED\b|\bFOR\s+(UPDATE|SHARE)\b", "locks rows: one writer does that"),
    (r"\b(string_agg|group_concat|array_agg|strpos|instr|greatest|least|concat|concat_ws|ifnull|iif|nvl)\s*\(",
     "one database has this function, the other has not"),
    (r"->|\bjson\w*", "JSON stays out of queries: use a table"),
    (r"::", "SQLite reads $1::text as a parameter's name: use CAST"),
    (r"\b(GLOB|LIKE|ILIKE|SIMILAR|REGEXP)\b|~", "patterns differ: compare in C"),
    (r"\bINSERT\s+OR\b|\bREPLACE\s+INTO\b", "use ON CONFLICT"),
    (r"\b(rowid|oid|ctid|PRAGMA|sqlite_\w+|pg_\w+)\b", "belongs to one database"),
    (r"\bWITHOUT\s+ROWID\b|\bSTRICT\b|\bCOLLATE\b", "belongs to one database"),
    (r"\b(INTEGER|INT|REAL|DOUBLE|BLOB|BYTEA|BOOLEAN|DATETIME|TIMESTAMP|VARCHAR)\b",
     "columns are TEXT or BIGINT"),
    (r"\?|:[a-z@]", "parameters are $1, $2, ..."),
    (r'"', "identifiers need no quotes"),
    (r"\bBEGIN\s+(IMMEDIATE|EXCLUSIVE)\b", "belongs to the driver"),
    (r"\b(user|order|group|table|end|limit|offset|value|values)\s+(TEXT|BIGINT)\b",
     "a reserved word as a column's name"),
]
RULES = [(re.compile(p, re.I), why) for p, why in FORBIDDEN]

STATEMENT = re.compile(
    r"^\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|WITH|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b")
COMMENT = re.compile(r"/\*.*?\*/", re.S)
MACRO = re.compile(r"^#define[ \t]+([A-Z_]+)((?:[ \t]|\\\n)+(?:\"(?:[^\"\\\n]|\\.)*\"(?:[ \t]|\\\n)*)+)$", re.M)
# Literals, and names of macros that stand for literals, side by side.
JOINED = re.compile(r'"(?:[^"\\\n]|\\.)*"(?:\s*(?:"(?:[^"\\\n]|\\.)*"|[A-Z_]{3,}(?=\s*["),;])))*')
PIECE = re.compile(r'"((?:[^"\\\n]|\\.)*)"|([A-Z_]{3,})')


def literals(text):
    """Every joined literal, as (line, its text)."""
    text = COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    macros = {m.group(1): "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', m.group(2)))
              for m in MACRO.finditer(text)}
    for m in JOINED.finditer(text):
        parts = [macros.get(p.group(2), "") if p.group(2) else p.group(1)
                 for p in PIECE.finditer(m.group())]
        line = text.count("\n", 0, m.start()) + 1
        yield line, "".join(parts).replace('\\"', '"')


def check(text):
    found = []
    for line, sql in literals(text):
        if not STATEMENT.match(sql):
            continue
        for rule, why in RULES:
            hit = rule.search(sql)
            if hit:
                found.append((line, f"{hit.group()!r}: {why}"))
    return found


def main():
    wrong = statements = 0
    for path in sorted(glob.glob(os.path.join(ROOT, "relay/store/*.c"))):
        if os.path.basename(path) in DRIVER:
            continue
        with open(path, encoding="utf-8") as f:
            text = f.read()
        statements += sum(1 for _, sql in literals(text) if STATEMENT.match(sql))
        for line, why in check(text):
            print(f"{os.path.relpath(path, ROOT)}:{line}: {why}")
            wrong += 1
    if statements < 40:
        print(f"found only {statements} statements: does this still read the sources rightly?")
        wrong += 1
    return wrong


BAD = [
    'x("SELECT now()");',
    'x("SELECT a FROM t WHERE b = $1::text");',
    'x("SELECT a FROM t "\n\t"WHERE b LIKE $1");',
    'x("INSERT OR REPLACE INTO t VALUES (1)");',
    'x("CREATE TABLE t (a INTEGER)");',
    'x("SELECT a FROM t WHERE b = ?");',
    'x("SELECT a->>\'b\' FROM t");',
    'x("BEGIN IMMEDIATE");',
    'x("CREATE TABLE t (" \n " user TEXT NOT NULL)");',
    '#define COLS "a, ifnull(b, 1)"\nx("SELECT " COLS " FROM t");',
]
GOOD = [
    'x("SELECT a FROM t WHERE (a, b) < ($1, $2) ORDER BY a DESC");',
    'x("now() is only a text");',
    'x("INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = excluded.a RETURNING a");',
    '/* "SELECT now()" */ x("SELECT 1");',
]


def self_test():
    wrong = 0
    for text in BAD:
        if not check(text):
            print(f"not caught: {text}")
            wrong += 1
    for text in GOOD:
        for _, why in check(text):
            print(f"caught wrongly: {text}: {why}")
            wrong += 1
    return wrong


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--self-test"]):
        sys.exit(__doc__)
    sys.exit(1 if (self_test() if sys.argv[1:] else main()) else 0)
