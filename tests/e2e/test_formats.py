"""Everything that lists or shows has the same formats, and each can be read by a program."""

import json
import subprocess

import pytest
import yaml

from support.relay import program

# What is called for each command that has -o; "..." stands for the session, command or activation that there is.
CALLS = {
    "status": [], "doctor": ["web-01"], "version": [], "ls": [], "node show": ["web-01"], "selector ls": [], "selector show": ["web"],
    "activation ls": [], "activation create": ["--limit", "1"], "user ls": [], "user show": ["admin"],
    "user add": ["{new}"], "user invite": ["ann"], "group ls": [], "group show": ["blue"], "key ls": [], "key create": [],
    "policy ls": [], "policy show": ["narrow"], "policy put": ["narrow", "{policy}"],
    "policy test": ["admin", "StartSession", "web-01"], "policy who-can": ["StartSession", "web-01"],
    "document ls": [], "document get": ["AWS-RunShellScript"], "document versions": ["hello"], "document put": ["hello-{new}", "{document}"],
    "forwards ls": [], "run": ["-t", "web-01", "-q", "--", "echo out; echo 'a: b' >&2"], "runs ls": [], "runs show": ["last"],
    "runs output": ["last"], "runs retry": ["--all", "-q", "last"], "sessions ls": [], "sessions show": ["{session}"],
    "audit ls": [], "audit tail": [], "audit show": ["{session}"], "audit grep": ["hid", "--since", "1d"],
    "audit hold": ["--session", "{session}", "--reason", "case 1"], "audit holds": [], "audit verify": [],
    "audit unseal": ["{session}"], "api": ["GetCallerIdentity"], "release ls": [],
}
BARE = {"api"}  # a reply has no name
ELSEWHERE = {"node upgrade"}  # wants a signed release: its own test has one


def commands():
    """Those whose completion offers -o."""
    said = subprocess.run([program("hawser"), "completion", "words", "--", ""], stdout=subprocess.PIPE, text=True, check=True).stdout
    for first in [line.split("\t")[0] for line in said.splitlines()[1:]]:
        for second in [None, *words(first, "")]:
            name = f"{first} {second}" if second else first
            if "--output" in words(*name.split(), "--"):
                yield name


def words(*line):
    said = subprocess.run([program("hawser"), "completion", "words", "--", *line], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.splitlines()
    return [each.split("\t")[0] for each in said[1:]] if line[-1] == "--" or said[0] == "words" else []


@pytest.fixture
def world(client, agent, tmp_path):
    """Something of each kind."""
    policy, document = tmp_path / "narrow.json", tmp_path / "hello.json"
    policy.write_text('{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}')
    document.write_text(json.dumps({"schemaVersion": "2.2", "mainSteps": [
        {"action": "aws:runShellScript", "name": "hello", "inputs": {"runCommand": ["echo hello"]}}]}))
    client.ok("audit", "keygen", "--no-passphrase")
    for line in (["user", "add", "ann"], ["group", "create", "blue"], ["group", "add", "blue", "ann"],
                 ["selector", "put", "web", "web-*"], ["policy", "put", "narrow", policy], ["document", "put", "hello", document]):
        client.ok(*map(str, line))
    client.ok("exec", "web-01", "--", "echo hid \xe2\x80\xa8")
    session = client.ok("sessions", "ls", "-o", "name").split()[0]
    client.ok("run", "-t", "web-01", "-q", "--", "true")
    return {"session": session, "policy": str(policy), "document": str(document)}


def read(form, text):
    if form == "json":
        return json.loads(text)
    if form == "jsonl":
        return [json.loads(line) for line in text.splitlines()]
    return yaml.safe_load(text) if form == "yaml" else text


def test_every_command_that_shows_has_every_format(client, world):
    assert set(commands()) == set(CALLS) | ELSEWHERE, "what has -o, and what is tried here"
    new, wrong = 0, []
    for name, args in CALLS.items():
        got = {}
        for form in ("json", "yaml", "jsonl", "name"):
            new += 1
            line = [*name.split(), "-o", form, *(arg.format(**world, new=f"user{new}") for arg in args)]
            done = client.run(*line)
            if form == "name" and name in BARE:
                assert done.returncode == 2
                continue
            try:
                assert done.returncode == 0, done.stderr
                got[form] = read(form, done.stdout)
            except (AssertionError, ValueError, yaml.YAMLError) as e:
                wrong.append(f"{' '.join(line)}: {e}\n{done.stdout}")
        if "json" in got and "yaml" in got and type(got["json"]) is not type(got["yaml"]):
            wrong.append(f"{name}: yaml has another shape than json")
        if "json" in got and "yaml" in got and isinstance(got["json"], dict) and set(got["json"]) != set(got["yaml"]):
            wrong.append(f"{name}: yaml has {sorted(got['yaml'])}, json {sorted(got['json'])}")
    assert not wrong, "\n".join(wrong)

    for line in (["node", "show", "web-01"], ["policy", "show", "narrow"], ["sessions", "show", world["session"]],
                 ["runs", "output", "last"], ["document", "get", "AWS-RunShellScript"], ["group", "show", "blue"]):
        one, other = (read(form, client.ok(*line, "-o", form)) for form in ("json", "yaml"))
        for each in (one, other):
            each.pop("LastPingDateTime", None)
        assert one == other, line
