"""Users, groups, keys and policies: who may do what, told and tried with the real programs."""

import json
import os
import time

import pexpect

from support.fleet import Client
from support.relay import AT_ONCE, wait_until

SESSIONS = {
    "Version": "2012-10-17",
    "Statement": [
        {"Sid": "Blue", "Effect": "Allow", "Action": ["ssm:StartSession", "ssm:DescribeInstanceInformation"],
         "Resource": "arn:aws:ssm:*:*:managed-instance/*",
         "Condition": {"StringEquals": {"ssm:resourceTag/Team": "blue"}}},
        {"Sid": "Documents", "Effect": "Allow", "Action": "ssm:StartSession",
         "Resource": "arn:aws:ssm:*:*:document/*"},
    ],
}


def add(client, base, name, *args):
    """A user made with these arguments, logged in."""
    made = json.loads(client.ok("user", "add", name, *args, "-o", "json"))
    return Client(os.path.join(str(base), name), client.relay, made["Invite"])


def write(base, name, content):
    path = os.path.join(str(base), name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(content if isinstance(content, str) else json.dumps(content, indent=2))
    return path


def names(client, *selectors):
    return client.ok("ls", *selectors, "-o", "name").split()


def node_id(client, name):
    return client.json("node", "show", name)["InstanceId"]


def shell(client, node):
    child = client.spawn("shell", node)
    child.expect("recorded")
    child.sendline("echo here-$((40+2))")
    child.expect("here-42")
    return child


# --- users and groups ------------------------------------------------------------------------------


def test_a_user_from_invite_to_removal(client, tmp_path):
    client.ok("group", "create", "ops", "dev")
    ann = add(client, tmp_path, "ann", "--group", "ops", "--tag", "Team=blue", "--policy", "operator")

    shown = client.json("user", "show", "ann")
    assert (shown["Groups"], shown["AttachedPolicies"]) == (["ops"], ["operator"])
    assert shown["Tags"] == [{"Key": "Team", "Value": "blue"}]
    assert shown["Status"] == "Active"
    assert client.json("group", "show", "ops")["Users"] == ["ann"]

    client.ok("user", "tag", "ann", "Team=red", "OnCall=yes")
    client.ok("user", "untag", "ann", "OnCall")
    assert client.json("user", "show", "ann")["Tags"] == [{"Key": "Team", "Value": "red"}]
    client.ok("group", "add", "dev", "ann")
    client.ok("group", "remove", "ops", "ann")
    assert client.json("user", "show", "ann")["Groups"] == ["dev"]

    me = ann.json("status")
    assert (me["UserName"], me["Groups"], me["AttachedPolicies"]) == ("ann", ["dev"], ["operator"])
    assert "StartSession" in me["AllowedActions"] and "CreateUser" not in me["AllowedActions"]
    status = ann.ok("status")
    assert "from      127.0.0.1\n" in status and "policies  operator\n" in status
    assert "ResumeSession" in me["AllowedActions"] and "WatchSession" not in me["AllowedActions"]
    assert "sessions: " in status and len(status.splitlines()) <= 24

    client.ok("user", "rm", "ann")
    assert "ann" not in client.ok("user", "ls", "-o", "name").split()
    ann.fails("status", code=1)
    client.ok("group", "rm", "ops", "dev")
    assert "dev" not in client.ok("group", "ls", "-o", "name").split()


def test_the_administrator_may_do_everything_and_says_so(client):
    assert "may       everything\n" in client.ok("status")


def test_a_user_whose_policy_is_not_there_was_made_all_the_same(client):
    done = client.run("user", "add", "ann", "--policy", "no-such-policy")
    assert done.returncode == 1
    assert "ann was made all the same, but without the policy no-such-policy" in done.stderr
    assert "try: hawser policy attach no-such-policy --user ann" in done.stderr
    assert done.stdout.startswith(client.relay.url)
    assert client.json("user", "show", "ann")["Status"] == "Invited"


def test_of_several_users_the_one_that_is_not_there_is_said(client):
    client.ok("user", "add", "ann")
    said = client.fails("user", "disable", "ann", "no-such-user", code=1)
    assert "(1 of 2 were done)" in said
    assert client.json("user", "show", "ann")["Status"] == "Disabled"
    client.ok("user", "enable", "ann")
    assert client.json("user", "show", "ann")["Status"] == "Invited"


# --- keys ------------------------------------------------------------------------------------------


def test_an_access_key_shows_its_secret_once(client):
    client.ok("user", "add", "--service", "deploy")
    made = client.json("key", "create", "deploy")
    assert made["UserName"] == "deploy" and made["AccessKeyId"] and len(made["SecretAccessKey"]) >= 40
    listed = client.ok("key", "ls", "deploy", "-o", "json")
    assert made["SecretAccessKey"] not in listed
    assert [k["AccessKeyId"] for k in json.loads(listed)["AccessKeyMetadata"]] == [made["AccessKeyId"]]

    own = client.run("key", "create")
    assert "shown only now" in own.stderr
    identity, secret = (line.split()[1] for line in own.stdout.splitlines())
    assert secret not in own.stderr
    assert client.ok("key", "ls", "-o", "name").split() == [identity]

    said = client.fails("key", "rm", made["AccessKeyId"], code=1)
    assert f"try: hawser key rm {made['AccessKeyId']} --user USER" in said
    client.ok("key", "disable", made["AccessKeyId"], "--user", "deploy")
    assert client.json("key", "ls", "deploy")["AccessKeyMetadata"][0]["Status"] == "Inactive"
    client.ok("key", "enable", made["AccessKeyId"], "--user", "deploy")
    assert client.json("key", "ls", "deploy")["AccessKeyMetadata"][0]["Status"] == "Active"
    client.ok("key", "rm", made["AccessKeyId"], "--user", "deploy")
    assert client.json("key", "ls", "deploy")["AccessKeyMetadata"] == []


# --- policies --------------------------------------------------------------------------------------


def test_a_policy_goes_round_and_comes_back_as_it_was(client, tmp_path):
    text = json.dumps(SESSIONS, indent="\t") + "\n\n"
    path = write(tmp_path, "blue.json", text)
    client.ok("policy", "put", "blue", path, "--description", "the blue nodes")
    assert client.ok("policy", "show", "blue") == text
    assert client.ok("policy", "put", "blue-2", "-", stdin=client.ok("policy", "show", "blue")) == ""
    assert client.ok("policy", "show", "blue-2") == text

    client.ok("user", "add", "ann")
    client.ok("group", "create", "ops")
    client.ok("policy", "attach", "blue", "--user", "ann", "--group", "ops")
    shown = client.json("policy", "show", "blue")
    assert (shown["Users"], shown["Groups"], shown["Description"]) == (["ann"], ["ops"], "the blue nodes")
    assert "attached to users: ann\n" in client.run("policy", "show", "blue").stderr
    assert {"blue", "blue-2", "administrator"} <= set(client.ok("policy", "ls", "-o", "name").split())

    assert "try: hawser policy show blue" in client.fails("policy", "rm", "blue", code=1)
    client.ok("policy", "detach", "blue", "--user", "ann", "--group", "ops")
    client.ok("policy", "rm", "blue", "blue-2")
    client.fails("policy", "show", "blue", code=1)


def test_a_policy_cannot_steer_the_terminal_that_shows_it(client, tmp_path):
    document = {"Version": "2012-10-17", "Statement": {
        "Effect": "Deny", "Action": "ssm:*", "Resource": "*",
        "Condition": {"StringEquals": {"aws:PrincipalTag/Team": "\x9b2Jred"}}}}
    text = json.dumps(document, ensure_ascii=False, indent="\t")
    client.ok("policy", "put", "red", write(tmp_path, "red.json", text))
    assert client.ok("policy", "show", "red") == text + "\n"
    child = client.spawn("policy", "show", "red")
    child.expect(pexpect.EOF)
    assert '\t\t"Effect": "Deny"' in child.before
    assert "\x9b" not in child.before and "\\u{9b}2Jred" in child.before


def test_a_malformed_policy_is_refused_with_its_place(client, tmp_path):
    path = write(tmp_path, "bad.json", '{\n  "Version": "2012-10-17",\n  "Statement": {\n    "Effect": "Permit",\n'
                 '    "Action": "*", "Resource": "*"\n  }\n}\n')
    said = client.fails("policy", "put", "bad", path, code=1).splitlines()
    assert said[0].startswith(f"hawser: {path}:4:15: "), said
    assert said[1].endswith('"Effect": "Permit",')
    assert said[2].rstrip() == " " * said[1].index('"Permit"') + "^"
    client.fails("policy", "show", "bad", code=1)
    assert "is empty" in client.fails("policy", "put", "bad", "/dev/null", code=2)


def test_what_would_be_decided_and_why(client, agents, tmp_path):
    for name, team in (("web-01", "blue"), ("web-02", "red")):
        agents(name, "--tag", f"Team={team}", start=False)
    client.ok("policy", "put", "blue", write(tmp_path, "blue.json", SESSIONS))
    client.ok("group", "create", "ops")
    client.ok("policy", "attach", "blue", "--group", "ops")
    client.ok("user", "add", "ann", "--group", "ops")
    client.ok("user", "add", "bob")

    done = client.run("policy", "test", "ann", "StartSession", "web-01")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("allowed  ssm:StartSession on web-01 by ann\n")
    assert "by policy blue, statement 1 (Blue)" in done.stdout
    assert client.run("policy", "test", "group:ops", "ssm:StartSession", "web-01").returncode == 0

    done = client.run("policy", "test", "ann", "ssm:StartSession", "web-02")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("denied   ssm:StartSession on web-02 by ann\nbecause  ")
    assert "\nwould    policy blue, statement 1 (Blue): ssm:resourceTag/Team" in done.stdout

    done = client.run("policy", "test", "bob", "StartSession", "web-01", "-o", "json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["EvaluationResults"][0]["EvalDecision"] == "implicitDeny"
    client.fails("policy", "test", "nobody", "StartSession", "web-01", code=2)
    client.fails("policy", "test", "ann", "StartSession", "web-99", code=2)

    who = client.ok("policy", "who-can", "StartSession", "web-01")
    assert "policy blue, statement 1 (Blue)" in who
    assert set(client.ok("policy", "who-can", "StartSession", "web-01", "-o", "name").split()) == {"admin", "ann"}
    assert client.ok("policy", "who-can", "StartSession", "web-02", "-o", "name").split() == ["admin"]


# --- and what is then done -------------------------------------------------------------------------


def test_a_developer_sees_and_opens_the_nodes_of_the_team_alone(client, agents, tmp_path):
    agents("web-01", "--tag", "Team=blue")
    agents("web-02", "--tag", "Team=red")
    ann = add(client, tmp_path, "ann", "--tag", "Team=blue", "--policy", "developer")

    assert names(ann) == ["web-01"]
    assert ann.ok("exec", "web-01", "--", "echo there") == "there\n"
    assert "no node that you may see is named web-02" in ann.fails("exec", "web-02", "--", "true", code=255)
    assert "no node that you may see is 'web-02'" in ann.fails("ls", "web-02", code=4)

    hidden = node_id(client, "web-02")
    for command in (("shell", hidden), ("exec", hidden, "--", "true")):
        said = ann.fails(*command, code=255, stdin="")
        assert "ssm:StartSession" in said and f"managed-instance/{hidden}" in said
        assert "try: hawser status" in said
        assert "web-02" not in said and "red" not in said
    assert "may not iam:CreateUser" in ann.fails("user", "add", "eve", code=1)


def test_who_may_see_no_node_is_told_that_there_may_be_some(client, agents, tmp_path):
    agents("web-01", "--tag", "Team=red", start=False)
    ann = add(client, tmp_path, "ann", "--tag", "Team=blue", "--policy", "developer")
    assert names(ann) == []
    assert "none that you may see" in ann.run("ls").stderr


def test_somebody_without_a_policy_may_do_nothing_and_is_told_so(client, agents, tmp_path):
    agents("web-01", start=False)
    bob = add(client, tmp_path, "bob")
    assert "bob may not ssm:DescribeInstanceInformation" in bob.fails("ls", code=1)
    assert "may       nothing" in bob.ok("status")


def test_a_policy_may_want_its_document_named(client, agent, tmp_path):
    document = "SSM-SessionManagerRunShell"
    ann = add(client, tmp_path, "ann")
    client.ok("policy", "put", "named", write(tmp_path, "named.json", {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "ssm:DescribeInstanceInformation", "Resource": "*"},
        {"Effect": "Allow", "Action": "ssm:StartSession",
         "Resource": ["arn:aws:ssm:*:*:managed-instance/*", f"arn:aws:ssm:*:*:document/{document}"],
         "Condition": {"BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"}}}]}))
    client.ok("policy", "attach", "named", "--user", "ann")
    ann.fails("shell", "web-01", stdin="", code=255)
    done = ann.run("shell", "web-01", "--document", document, stdin="echo from-$((40+2))\n")
    assert "from-42" in done.stdout, done.stderr


def test_disabling_a_user_cuts_a_live_shell_at_once(client, agent, tmp_path):
    ann = add(client, tmp_path, "ann", "--policy", "operator")
    child = shell(ann, "web-01")
    client.ok("user", "disable", "ann")
    done = time.monotonic()
    child.expect(pexpect.EOF)
    assert time.monotonic() - done < AT_ONCE
    child.close()
    assert child.exitstatus == 255
    ann.fails("status", code=1)
    client.ok("user", "enable", "ann")
    assert ann.json("status")["UserName"] == "ann"


def test_taking_a_policy_away_cuts_what_it_allowed(client, agent, tmp_path):
    client.ok("group", "create", "ops")
    client.ok("policy", "attach", "operator", "--group", "ops")
    ann = add(client, tmp_path, "ann", "--group", "ops")
    child = shell(ann, "web-01")
    client.ok("policy", "detach", "operator", "--group", "ops")
    done = time.monotonic()
    child.expect(pexpect.EOF)
    assert time.monotonic() - done < AT_ONCE
    wait_until(lambda: not client.json("sessions", "ls", "--live")["Sessions"], "the session's end")
    assert "ann may not" in ann.fails("ls", code=1)
