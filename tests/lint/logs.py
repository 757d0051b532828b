#!/usr/bin/env python3
"""Checks that what a line of the log says in sentences is one value, whatever is in it.

    logs.py               checks the programs' sources
    logs.py --self-test   checks that each rule catches what it is there for
"""

import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CALL = re.compile(r"\b(?:log_(?:event|error|warn|info|debug)|say)\(")
# Keys whose values come from elsewhere, or are sentences.
SENTENCES = ("why", "text", "refused", "message", "software")
QUOTERS = ("log_value(", "quoted(")
CONVERSION = re.compile(r'%(?!%)[-+ #0-9.*]*(?:hh|h|ll|l|z|j|" PRI[a-zA-Z0-9]+ ?"?)?[a-zA-Z]?')


def arguments(text, at):
    """The arguments of the call whose parenthesis ends before `at`."""
    found, depth, quoted, start = [], 1, False, at
    while at < len(text):
        c = text[at]
        if quoted:
            at += c == "\\"
            quoted = c != '"'
        elif c == '"':
            quoted = True
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
            if depth == 0:
                return found + [text[start:at]]
        elif c == "," and depth == 1:
            found.append(text[start:at])
            start = at + 1
        at += 1
    return []


def wrong(call):
    """What is wrong with the arguments of a call, or None."""
    place = next((i for i, a in enumerate(call) if "%" in a and '"' in a), None)
    if place is None:
        return None
    at = place
    for m in CONVERSION.finditer(call[place]):
        at += 1 + m[0].count("*")
        before = call[place][:m.start()]
        if before.endswith('\\"'):
            return "has quotes around a value that may have some itself: say key=%s with log_value()"
        key = re.search(r"([a-z_]+)=$", before)
        if m[0] == "%s" and key and key[1] in SENTENCES and not call[at].strip().startswith(QUOTERS):
            return f"says {key[1]}=%s without log_value()"
    return None


def check(name, text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.S)
    for m in CALL.finditer(text):
        what = wrong(arguments(text, m.end()))
        if what:
            yield f"{name}:{text.count(chr(10), 0, m.start()) + 1}: {what}"


def self_test():
    good = ['log_warn(s, "a.b", "why=%s", log_value(err.text));', 'log_info(s, "a.b", "n=%d why=\\"as it is\\"", n);',
            'log_event(l, LEVEL, "a", "n=%016" PRIx64 " why=%s", n, log_value(f(a, b)));', 'say("error", "x why=%s", quoted(t, why));',
            'log_info(s, "a.b", "%s", said);', 'log_info(s, "a.b", "state=%s", name);']
    bad = ['log_warn(s, "a.b", "why=\\"%s\\"", err.text);', 'log_warn(s, "a.b", "why=%s", err.text);',
           'log_event(l, LEVEL, "a", "n=%016" PRIx64 " why=%s", n, err.text);', 'say("error", "x path=%s why=%s", p, strerror(e));',
           'log_warn(s, "a.b", "n=%.*s text=%s", n, t, "log_value(");']
    missed = [c for c in good if list(check("", c))] + [c for c in bad if len(list(check("", c))) != 1]
    print("\n".join(f"judged wrongly: {c}" for c in missed), end="\n" if missed else "")
    return 1 if missed else 0


def main():
    if "--self-test" in sys.argv:
        return self_test()
    problems, calls = [], 0
    for folder in ("proto", "audit", "relay", "node", "client"):
        for path in sorted(glob.glob(os.path.join(ROOT, folder, "**/*.c"), recursive=True)):
            with open(path, encoding="utf-8") as f:
                text = f.read()
            calls += len(CALL.findall(text))
            problems += check(os.path.relpath(path, ROOT), text)
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems or calls < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
