#!/usr/bin/env python3
"""Compares the relay's evaluator with model.py on random policies and requests.

    differential.py PROGRAM [--count PAIRS] [--seed SEED]

PROGRAM is policy_decide. The same seed makes the same pairs. A difference is printed with its line
of input, and ends the run.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter

import model

REQUESTS = 12  # of each set of documents
LINES = 500  # given to the program at once

# Few of each, so that they meet.
ACTIONS = ["ssm:StartSession"] * 4 + [
           "ssm:StartSession", "ssm:startsession", "SSM:StartSession", "ssm:TerminateSession",
           "ssm:DescribeSessions", "hawser:GetRecording", "iam:PutPolicy", "iam:StartSession"]
ACTION_PATTERNS = ["*"] * 6 + ["ssm:*"] * 4 + [
                   "*", "ssm:*", "ssm:StartSession", "SSM:STARTSESSION", "ssm:*Session",
                   "s?m:*", "ssm:????????????", "*:*", "*:StartSession", "iam:*", "ssm:Start*",
                   "ssm:*Session*", "ssm:?tart?ession", "hawser:GetRecording", "ssm:**s"]
ARN = "arn:aws:ssm:eu:1:"
RESOURCES = ["*", ARN + "managed-instance/mi-01", ARN + "managed-instance/mi-02",
             ARN + "session/ann-01", ARN + "session/ann-x-01", ARN + "session/bob-01",
             ARN + "session/ann", ARN + "session/a*-01", ARN + "document/AWS-Start",
             "arn:aws:ssm:eu::document/AWS-Start", ARN + "document/\u00e9t\u00e9\u20ac",
             ARN + "parameter/a/b:c", ARN + "session/", "arn:aws:iam::1:user/ann"]
RESOURCE_PATTERNS = ["*"] * 12 + [ARN + "*"] * 6 + [
                     "*", ARN + "*", "arn:aws:ssm:*:*:*", "arn:*:*:*:*:*", ARN + "session/*",
                     ARN + "managed-instance/mi-0?", ARN + "managed-instance/mi-01",
                     ARN + "Managed-Instance/*", "arn:aws:ssm:*:*:session/${aws:username}-*",
                     "arn:aws:ssm:*:*:session/${aws:userid}-*",
                     "arn:aws:ssm:*:*:session/${aws:username}*",
                     "arn:aws:ssm:*:*:session/${aws:username}-**",
                     "arn:aws:ssm:*:*:session/${AWS:UserName, 'bob'}-*",
                     "arn:aws:ssm:*:*:session/${aws:username}-?1",
                     "arn:aws:ssm:*:*:session/${aws:username}",
                     "arn:aws:ssm:*:*:*/${aws:PrincipalTag/Team, 'ann'}-*",
                     "arn:aws:ssm:*:*:*/${ssm:ResourceTag/Team}*", ARN + "session/a${*}-01",
                     ARN + "session/${*}*", ARN + "document/\u00e9?\u00e9?",
                     ARN + "document/???", ARN + "document/*??\u20ac", ARN + "document/?t?*??", ARN + "*?",
                     "arn:aws:ssm:eu::document/AWS-*", ARN + "*/*-*-*", ARN + "*a*n*-0*1",
                     ARN + "session/${aws:TagKeys, 'ann'}-*", ARN + "${aws:nothing}",
                     ARN + "session/${aws:nothing, ''}*", "arn:aws:iam::1:user/${aws:username}"]
WORDS = ["ann", "Ann", "ann-x", "bob", "a*", "", "web", "WEB", "an?", "root", "\u00e9"]
PATTERNS = WORDS + ["*", "?", "a*", "a?n", "*n*", "${aws:username}", "${aws:username}-*", "root",
                    "${aws:PrincipalTag/Team}", "${aws:nothing}", "${aws:nothing, 'ann'}",
                    "${*}", "a${*}", "${aws:username}x", "*${?}", "w${$}", "ro${aws:nothing, 'ot'}"]
ARNS = ["arn:aws:iam::1:user/ann", "arn:aws:iam::1:user/bob", "arn:aws:iam:eu:1:user/ann",
        "arn:aws:iam::1:group/a:b", "ann", "arn:aws:iam::1", "*"]
ARN_PATTERNS = ["arn:aws:iam::1:user/*", "arn:aws:iam::*:user/ann", "arn:aws:*:user/ann:a:b:c",
                "arn:aws:iam:*:1:*", "*", "arn:aws:iam::1:user/${aws:username}",
                "arn:aws:iam::${aws:nothing}:user/*", "arn:?ws:iam::1:*:b", "arn:*:*:*:*:*",
                "arn:aws:iam::${aws:PrincipalTag/N, '1'}:*"]
NUMBERS = ["0", "1", "-1", "1.5", "1.50", "01", "2", "999999999999999999", "-0", "-1.5", "+1"]
DATES = ["0", "86400", "1970-01-02", "1970-01-01T00:00:00Z", "1970-01-02T01:00:00+01:00",
         "1970-01-01T23:59:59.999999999Z", "2000-02-29", "2000-02-29T12:30Z", "951782400",
         "1969-12-31T22:30:00-01:30"]
IPS = ["10.0.0.1", "10.0.1.1", "::ffff:10.0.0.1", "2001:db8::1", "::1", "192.168.1.200",
       "2001:DB8:0::0:1", "0.0.0.0"]
NETS = IPS + ["10.0.0.0/8", "10.0.0.0/24", "0.0.0.0/0", "::/0", "2001:db8::/32", "10.0.0.1/31",
              "::ffff:10.0.0.0/104", "192.168.1.128/25", "::ffff:0:0/96", "2001:db8::/127"]
TRUTHS = ["true", "false", "TRUE", "False"]
BYTES = ["YW5u", "Ym9i", "", "YQ==", "YSo="]
BAD_VALUES = ["x", "1.", "1e3", "1970-02-29", "1970-01-01T00:00:00", "10.0.0.0/33", "10.0.0",
              "::/129", "10.0.0.0/08", "yes", "YW5u=", "YR==", "${aws:username", "${}", "${x}",
              "${aws:username, ann}", "arn:aws", "1970-13-01", "::1%lo", "1970-01-01T24:00Z",
              "1234567890123456789", "0.1234567890", "010.0.0.1", "arn:a:b:c:d:"]

TEXT_KEYS = ["aws:username", "AWS:UserName", "ssm:resourceTag/Team", "aws:ResourceTag/TEAM",
             "aws:PrincipalTag/Team", "aws:RequestTag/Team", "hawser:RunAs", "hawser:SessionOwner",
             "aws:nothing", "aws:TagKeys", "aws:userid"]
# What goes with what: operators, keys, values of documents, values of requests.
FAMILIES = [
    (["StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase",
      "StringLike", "StringNotLike"], TEXT_KEYS, PATTERNS),
    (["StringEquals", "StringLike"], ["hawser:RunAs"], PATTERNS),
    (["ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike"], ["aws:PrincipalArn"], ARN_PATTERNS),
    (["Numeric" + o for o in model.ORDERS], ["aws:MultiFactorAuthAge", "aws:Numbers"], NUMBERS),
    (["Date" + o for o in model.ORDERS], ["aws:CurrentTime"], DATES),
    (["IpAddress", "NotIpAddress"], ["aws:SourceIp"], NETS),
    (["Bool"], ["aws:SecureTransport", "ssm:SessionDocumentAccessCheck"], TRUTHS),
    (["BinaryEquals"], ["aws:username"], BYTES),
]


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def chance(self, percent):
        return self.r.randrange(100) < percent

    def some(self, choices, most=3):
        """One as it is, or a list of some."""
        if self.chance(60):
            return self.r.choice(choices)
        return [self.r.choice(choices) for _ in range(self.r.randint(1, most))]

    def condition(self):
        if self.chance(8):
            key = self.r.choice(TEXT_KEYS + ["aws:SourceIp"])
            return "Null", {key: self.some(TRUTHS + [True, False], 2)}
        operators, keys, values = self.r.choice(FAMILIES)
        operator = self.r.choice(operators)
        if self.chance(25):
            operator += "IfExists"
        if self.chance(25):
            operator = self.r.choice(["ForAllValues:", "ForAnyValue:"]) + operator
        if self.chance(1):
            values = values + BAD_VALUES
        wanted = self.some(values)
        if operator.startswith("Bool") and self.chance(20):
            wanted = self.chance(50)
        if "Numeric" in operator and self.chance(20):
            wanted = self.r.choice([0, 1, -1, 1.5, [1, 2]])
        return operator, {key: wanted for key in self.r.sample(keys, min(len(keys), 1 + self.chance(10)))}

    def conditions(self):
        block = {}
        for _ in range(self.r.choice([0, 0, 1, 1, 1, 2, 3])):
            operator, keys = self.condition()
            block.setdefault(operator, {}).update(keys)
        return block

    def statement(self, number):
        s = {"Effect": "Allow" if self.chance(70) else "Deny"}
        if self.chance(30):
            s["Sid"] = f"S{number}"
        not_action, not_resource = self.chance(12), self.chance(12)
        s["NotAction" if not_action else "Action"] = self.some(ACTION_PATTERNS)
        s["NotResource" if not_resource else "Resource"] = self.some(RESOURCE_PATTERNS)
        block = self.conditions()
        if block or self.chance(5):
            s["Condition"] = block
        items = list(s.items())
        self.r.shuffle(items)
        return dict(items)

    def spoil(self, document):
        """Makes it malformed, or nearly so."""
        found = document["Statement"]
        s = self.r.choice(found) if isinstance(found, list) else found
        name = self.r.choice(list(s))
        how = self.r.randrange(8)
        if how == 0:
            del s[name]
        elif how == 1:
            s[name] = self.r.choice([[], {}, None, 1, "", "allow", [1], [[]], True, 1.5])
        elif how == 2:
            s[self.r.choice(["Action", "NotAction", "NotResource", "Principal", "action", "X",
                             "Condition", "Sid"])] = self.r.choice(["*", "ssm:x", {}])
        elif how == 3:
            document[self.r.choice(["Id", "Version", "Statement", "X"])] = self.r.choice(
                ["2012-10-17", "2008-10-17", "x", 1, [], {}])
        elif how == 4:
            s["Condition"] = self.r.choice([
                {"StringEqual": {"aws:username": "ann"}}, {"stringEquals": {"aws:username": "a"}},
                {"StringEquals": {}}, {"StringEquals": {"username": "a"}}, {},
                {"StringEquals": {"aws:username": []}}, {"NullIfExists": {"a:b": "true"}},
                {"ForAllValues:Null": {"a:b": "true"}}, {"ForAnyValues:StringLike": {"a:b": "*"}},
                {"StringEquals": {"a:b ": "x"}}, {"StringEquals": {"a:b": None}},
                {"StringEqualsIfExistsIfExists": {"a:b": "x"}}, {"Null": {"a:b": "maybe"}},
                {"StringEquals": {":b": "x"}}, {"StringEquals": {"a:": "x"}}])
        elif how == 5:
            s["Action"] = self.r.choice(["ssm", "ssm:", ":x", "ssm:a:b", "ssm:a b", "**", "s*:*"])
        elif how == 6:
            s["Resource"] = self.r.choice(["arn:aws:ssm", "arn:a:b:c:d:", "x", "**", "ARN:a:b:c:d:e",
                                           "arn:a:b:c:d:${", "arn:a:b:c:d:${x:y", "arn:::::x",
                                           "arn:a:b:c:d:${x:y, 'z}'}", "arn:a:b:c:${x:y}"])
        else:
            document["Statement"] = [s, dict(s)]
        return document

    def mangle(self, text):
        at = self.r.randrange(len(text))
        how = self.r.randrange(3)
        if how == 0:
            return text[:at] + text[at + 1:]
        if how == 1:
            return text[:at] + self.r.choice('"{}[],:\\ \n0x\0\x01') + text[at:]
        return text[:at] + text[at:at + 8] + text[at:]

    def document(self):
        found = [self.statement(i) for i in range(self.r.choice([1, 1, 2, 3]))]
        document = {"Version": "2012-10-17", "Statement": found}
        if len(found) == 1 and self.chance(50):
            document["Statement"] = found[0]
        if self.chance(10):
            document["Version"] = "2008-10-17"
        elif self.chance(5):
            del document["Version"]
        if self.chance(6):
            document = self.spoil(document)
        text = json.dumps(document, ensure_ascii=self.chance(50),
                          indent=self.r.choice([None, 1]))
        return self.mangle(text) if self.chance(3) else text

    def tags(self):
        if self.chance(30):
            return None
        names = ["team", "owner", "n", "\u00e9"]
        return {k: self.r.choice(WORDS) for k in self.r.sample(names, self.r.randint(0, 3))}

    def keys(self):
        many = lambda words, most: [self.r.choice(words) for _ in range(self.r.randint(0, most))]
        one = lambda words: [self.r.choice(words)]
        every = {
            "aws:username": one(WORDS), "aws:userid": one(WORDS), "aws:tagkeys": many(WORDS, 3),
            "hawser:runas": one(["root", "ann", "web", "r*", "*"]),
            "hawser:sessionowner": one(WORDS), "aws:principalarn": one(ARNS),
            "aws:multifactorauthage": one(NUMBERS + ["x", "1e1"]),
            "aws:numbers": many(NUMBERS + ["x"], 3), "aws:currenttime": one(DATES + ["now"]),
            "aws:sourceip": one(IPS + ["10.0.0.0/8", "x", "::1%lo"]),
            "aws:securetransport": one(TRUTHS + ["x"]),
            "ssm:sessiondocumentaccesscheck": one(TRUTHS),
        }
        kept = {k: v for k, v in every.items() if self.chance(75)}
        if self.chance(5) and "hawser:runas" in kept:
            kept["hawser:runas"] = ["root", "ann"]
        return kept

    def request(self):
        r = {
            "action": self.r.choice(ACTIONS), "resource": self.r.choice(RESOURCES),
            "keys": self.keys(), "resource_tags": self.tags(), "principal_tags": self.tags(),
            "request_tags": self.tags(),
        }
        if self.chance(15):
            r["alias"] = self.r.choice(RESOURCES)
        if self.chance(20):
            r["named_key"] = self.r.choice(["hawser:runas"] * 4 + ["aws:username"])
            r["literal"] = self.chance(50)
        return r

    def pair(self):
        return {"documents": [self.document() for _ in range(self.r.choice([1, 1, 2, 3]))],
                "requests": [self.request() for _ in range(REQUESTS)]}


def read(text):
    try:
        return model.Document(text)
    except model.Malformed:
        return None


def answer(pair, tally):
    documents = [read(t) for t in pair["documents"]]
    tally.update("malformed" if d is None else "well-formed" for d in documents)
    words = ["".join("x" if d is None else "o" for d in documents)]
    for r in pair["requests"]:
        request = model.Request(**r)
        letters = model.misses(documents, request)
        verdict, i, k = model.decide(documents, letters)
        misses = "".join(letters)
        may = "+" if model.may_ever(documents, request) else "-"
        words.append(f"{verdict}.{i}.{k}{may}{misses}")
        tally[verdict] += 1
        tally.update(f"statement {m}" for m in misses)
    return " ".join(words)


def compare(program, pairs, tally):
    """The program works while the model does."""
    lines = [json.dumps(p, ensure_ascii=True) for p in pairs]
    with tempfile.TemporaryFile("w+") as given:
        given.write("\n".join(lines) + "\n")
        given.flush()
        given.seek(0)
        with subprocess.Popen([program], stdin=given, stdout=subprocess.PIPE, text=True) as run:
            ours = [answer(p, tally) for p in pairs]
            theirs = run.stdout.read().splitlines()
    if run.returncode != 0 or len(theirs) != len(pairs):
        sys.exit(f"{len(pairs)} lines went in, {len(theirs)} came back, exit {run.returncode}")
    for line, mine, other in zip(lines, ours, theirs):
        if mine != other:
            sys.exit(f"a difference\nmodel:   {mine}\nprogram: {other}\n{line}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=100000, help="pairs of policies and request")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    maker, tally, done = Maker(args.seed), Counter(), 0
    while done < args.count:
        pairs = [maker.pair() for _ in range(min(LINES, -(-(args.count - done) // REQUESTS)))]
        compare(args.program, pairs, tally)
        done += len(pairs) * REQUESTS
    print(f"seed {args.seed}: {done} pairs, no difference")
    for name, n in sorted(tally.items()):
        print(f"  {name:12} {n:8}")
    shares = {v: tally[v] / done for v in ("allow", "deny", "none")}
    print("  " + ", ".join(f"{v} {s:.1%}" for v, s in shares.items()))
    if args.count >= 10000 and min(shares.values()) < 0.05:
        sys.exit("one of the verdicts is too rare for the run to mean much")


if __name__ == "__main__":
    main()
