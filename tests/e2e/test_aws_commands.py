"""Documents and Run Command by way of the unmodified AWS CLI and boto3, with real nodes."""

import json
import re

import pytest
from botocore.exceptions import WaiterError

from support import aws
from support.relay import wait_until
from support.standing import agents, cli, client, key, relay, ssm, where  # noqa: F401

SHELL = "AWS-RunShellScript"
WAIT = {"Delay": 1, "MaxAttempts": 60}
GREET = {
    "schemaVersion": "2.2", "description": "says hello",
    "parameters": {"who": {"type": "String", "default": "world", "allowedPattern": "^[a-z]+$"}},
    "mainSteps": [{"action": "aws:runShellScript", "name": "greet", "inputs": {"runCommand": ["echo hello {{ who }}"]}}]}


@pytest.fixture(autouse=True)
def none_is_kept(ssm):
    """Each test begins without a document of its own, whichever ran before it."""
    own = [{"Key": "Owner", "Values": ["Self"]}]
    for left in ssm.list_documents(Filters=own)["DocumentIdentifiers"]:
        ssm.delete_document(Name=left["Name"])


@pytest.fixture(scope="module")
def fleet(agents):
    return [agents(f"web-0{i}", "--tag", "Role=web", "--tag", f"Number={i}") for i in (1, 2, 3)]


@pytest.fixture(scope="module")
def ids(fleet, ssm):
    """The nodes' ids, by name."""
    nodes = ssm.describe_instance_information()["InstanceInformationList"]
    return {n["Name"]: n["InstanceId"] for n in nodes}


def over(ssm, command):
    """The command, when it has ended."""
    def look():
        found = ssm.list_commands(CommandId=command)["Commands"][0]
        return found if found["Status"] not in ("Pending", "InProgress", "Cancelling") else None
    return wait_until(look, f"the end of {command}")


def send(ssm, *lines, **how):
    how.setdefault("DocumentName", SHELL)
    return ssm.send_command(Parameters={"commands": list(lines)}, **how)["Command"]["CommandId"]


# --- documents -----------------------------------------------------------------------------------


def test_a_document_s_life(cli, ssm):
    made = cli.ok("create-document", "--name", "greet", "--document-type", "Command", "--content", json.dumps(GREET))
    assert made["DocumentDescription"]["Status"] == "Active"
    assert made["DocumentDescription"]["DocumentVersion"] == made["DocumentDescription"]["DefaultVersion"] == "1"
    assert made["DocumentDescription"]["Parameters"] == [{"Name": "who", "Type": "String", "DefaultValue": "world"}]
    with pytest.raises(ssm.exceptions.DocumentAlreadyExists):
        ssm.create_document(Name="greet", Content=json.dumps(GREET), DocumentType="Command")

    with pytest.raises(ssm.exceptions.DuplicateDocumentContent):
        ssm.update_document(Name="greet", Content=json.dumps(GREET), DocumentVersion="$LATEST")
    newer = dict(GREET, description="says hello again")
    assert ssm.update_document(Name="greet", Content=json.dumps(newer), DocumentVersion="$LATEST",
                               VersionName="again")["DocumentDescription"]["DocumentVersion"] == "2"
    assert json.loads(ssm.get_document(Name="greet")["Content"]) == GREET
    assert json.loads(ssm.get_document(Name="greet", VersionName="again")["Content"]) == newer
    assert ssm.get_document(Name="greet", DocumentFormat="YAML", DocumentVersion="2")["Content"].count("\n") > 5
    ssm.update_document_default_version(Name="greet", DocumentVersion="2")
    assert ssm.describe_document(Name="greet")["Document"]["DefaultVersion"] == "2"
    versions = cli.ok("list-document-versions", "--name", "greet")["DocumentVersions"]
    assert [(v["DocumentVersion"], v["IsDefaultVersion"]) for v in versions] == [("2", True), ("1", False)]

    with pytest.raises(ssm.exceptions.InvalidDocumentOperation):
        ssm.delete_document(Name="greet", DocumentVersion="2")
    ssm.delete_document(Name="greet", DocumentVersion="1")
    with pytest.raises(ssm.exceptions.InvalidDocumentVersion):
        ssm.get_document(Name="greet", DocumentVersion="1")
    cli.ok("delete-document", "--name", "greet")
    with pytest.raises(ssm.exceptions.InvalidDocument):
        ssm.get_document(Name="greet")


def test_documents_are_listed_by_their_filters_and_paged(cli, ssm):
    for i in range(7):
        ssm.create_document(Name=f"greet-{i}", Content=json.dumps(GREET), DocumentType="Command",
                            Tags=[{"Key": "Team", "Value": "a" if i < 3 else "b"}])
    own = [{"Key": "Owner", "Values": ["Self"]}]
    pages = list(ssm.get_paginator("list_documents").paginate(Filters=own, PaginationConfig={"PageSize": 3}))
    assert len(pages) == 3 and sum(len(p["DocumentIdentifiers"]) for p in pages) == 7
    found = cli.ok("list-documents", "--filters", "Key=tag:Team,Values=a")["DocumentIdentifiers"]
    assert [d["Name"] for d in found] == ["greet-0", "greet-1", "greet-2"]
    assert SHELL in [d["Name"] for d in cli.ok("list-documents", "--page-size", "2")["DocumentIdentifiers"]]


@pytest.mark.parametrize("content, error", [
    ("{", "InvalidDocumentContent"), ("mainSteps: [", "InvalidDocumentContent"),
    (json.dumps(dict(GREET, schemaVersion="9.9")), "InvalidDocumentSchemaVersion"),
    (json.dumps(dict(GREET, mainSteps=GREET["mainSteps"] * 2)), "InvalidDocumentContent"),
    (json.dumps(dict(GREET, description="x" * 65536)), "MaxDocumentSizeExceeded"),
    ("a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n"
                                                     for a, b in zip("abcdefgh", "bcdefghi")), "InvalidDocumentContent")])
def test_bad_documents(relay, ssm, content, error):
    with pytest.raises(ssm.exceptions.ClientError) as refused:
        ssm.create_document(Name="bad-one", Content=content, DocumentType="Command")
    assert refused.value.response["Error"]["Code"] == error, refused.value
    assert relay.alive()


@pytest.mark.parametrize("name", ["AWS-Mine", "amazonMine", "Amzn-Mine"])
def test_names_of_the_system_are_not_to_be_had(ssm, name):
    with pytest.raises(ssm.exceptions.ClientError):
        ssm.create_document(Name=name, Content=json.dumps(GREET), DocumentType="Command")


# --- commands ------------------------------------------------------------------------------------


def test_a_command_by_id(cli, ssm, ids):
    node = ids["web-01"]
    sent = cli.ok("send-command", "--document-name", SHELL, "--instance-ids", node, "--comment", "greets",
                  "--parameters", json.dumps({"commands": ["echo out $AWS_SSM_INSTANCE_ID", "echo err >&2"]}))["Command"]
    assert sent["TargetCount"] == 1 and sent["InstanceIds"] == [node] and sent["Comment"] == "greets"
    cli.ok("wait", "command-executed", "--command-id", sent["CommandId"], "--instance-id", node)
    got = ssm.get_command_invocation(CommandId=sent["CommandId"], InstanceId=node)
    assert (got["Status"], got["StatusDetails"], got["ResponseCode"]) == ("Success", "Success", 0)
    assert (got["StandardOutputContent"], got["StandardErrorContent"]) == (f"out {node}\n", "err\n")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", got["ExecutionStartDateTime"])
    assert re.fullmatch(r"PT\d+(\.\d+)?S", got["ExecutionElapsedTime"])
    listed = cli.ok("list-command-invocations", "--command-id", sent["CommandId"], "--details")["CommandInvocations"]
    assert listed[0]["InstanceName"] == "web-01"
    assert listed[0]["CommandPlugins"][0]["Output"] == f"out {node}\n\n----------ERROR-------\nerr\n"


def test_a_command_by_tag_keeps_its_limits(ssm, ids, tmp_path):
    command = send(ssm, f"echo x >> {tmp_path}/ran", "exit 3", Targets=[{"Key": "tag:Role", "Values": ["web"]}],
                   MaxConcurrency="1", MaxErrors="1")
    ended = over(ssm, command)
    assert (ended["Status"], ended["TargetCount"], ended["CompletedCount"], ended["ErrorCount"]) == ("Failed", 3, 3, 2)
    details = [i["StatusDetails"] for i in ssm.list_command_invocations(CommandId=command)["CommandInvocations"]]
    assert sorted(details) == ["Failed", "Failed", "Terminated"]
    assert (tmp_path / "ran").read_text() == "x\n" * 2
    with pytest.raises(WaiterError):
        ssm.get_waiter("command_executed").wait(CommandId=command, InstanceId=ids["web-01"], WaiterConfig=WAIT)


def test_a_document_with_a_parameter(ssm, ids):
    ssm.create_document(Name="greet", Content=json.dumps(GREET), DocumentType="Command")
    node = ids["web-02"]
    for given, said in (({}, "hello world\n"), ({"who": ["moon"]}, "hello moon\n")):
        command = ssm.send_command(InstanceIds=[node], DocumentName="greet", Parameters=given)["Command"]["CommandId"]
        ssm.get_waiter("command_executed").wait(CommandId=command, InstanceId=node, WaiterConfig=WAIT)
        assert ssm.get_command_invocation(CommandId=command, InstanceId=node)["StandardOutputContent"] == said
    for bad in ({"who": ["MOON"]}, {"whom": ["moon"]}):
        with pytest.raises(ssm.exceptions.InvalidParameters):
            ssm.send_command(InstanceIds=[node], DocumentName="greet", Parameters=bad)


def test_what_runs_is_cancelled(cli, ssm, ids, tmp_path):
    node = ids["web-03"]
    command = send(ssm, f"echo $$ > {tmp_path}/pid", "exec sleep 600", InstanceIds=[node])
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), "its start")
    cli.ok("cancel-command", "--command-id", command)
    assert over(ssm, command)["Status"] == "Cancelled"
    assert ssm.get_command_invocation(CommandId=command, InstanceId=node)["Status"] == "Cancelled"
    pid = (tmp_path / "pid").read_text().strip()
    wait_until(lambda: not _lives(pid), "the end of its process")


def _lives(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_output_is_cut_where_ssm_cuts_it(ssm, ids):
    node = ids["web-01"]
    command = send(ssm, "yes 0123456 | head -c 100000", "yes abcdefg | head -c 100000 >&2", InstanceIds=[node])
    assert over(ssm, command)["Status"] == "Success"
    got = ssm.get_command_invocation(CommandId=command, InstanceId=node)
    assert len(got["StandardOutputContent"]) == 24000 and got["StandardOutputContent"].endswith("--output truncated--")
    assert len(got["StandardErrorContent"]) == 8000
    plugin = ssm.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"][0]["CommandPlugins"][0]
    assert len(plugin["Output"]) <= 2500 and "---Output truncated---" in plugin["Output"]


def test_output_that_grows_in_json_is_listed(ssm, ids):
    steps = [{"action": "aws:runShellScript", "name": f"step{i:02}",
              "inputs": {"runCommand": [r"printf '\033%.0s' $(seq 2400)"]}} for i in range(30)]
    ssm.create_document(Name="colours", Content=json.dumps({"schemaVersion": "2.2", "mainSteps": steps}), DocumentType="Command")
    sent = ssm.send_command(DocumentName="colours", InstanceIds=[ids["web-01"]])["Command"]["CommandId"]
    assert over(ssm, sent)["Status"] == "Success"
    found = ssm.list_command_invocations(CommandId=sent, Details=True)["CommandInvocations"]
    assert [p["Output"] for p in found[0]["CommandPlugins"]] == ["\x1b" * 2400] * 30


def test_typed_exceptions(ssm, ids):
    node = ids["web-01"]
    good = {"DocumentName": SHELL, "Parameters": {"commands": ["true"]}}
    for error, bad in (
            ("InvalidInstanceId", {"InstanceIds": ["mi-00000000000000000"]}),
            ("DuplicateInstanceId", {"InstanceIds": [node, node]}),
            ("InvalidDocument", {"InstanceIds": [node], "DocumentName": "nothing"}),
            ("InvalidDocumentVersion", {"InstanceIds": [node], "DocumentVersion": "7"}),
            ("InvalidParameters", {"InstanceIds": [node], "Parameters": {}})):
        with pytest.raises(getattr(ssm.exceptions, error)):
            ssm.send_command(**dict(good, **bad))
    for bad in ({"MaxConcurrency": "0"}, {"MaxConcurrency": "101%"}, {"MaxErrors": "-1"}, {"MaxErrors": "010"},
                {"Targets": [{"Key": "tag:Role", "Values": ["web"]}]}, {"DocumentHash": "0" * 64, "DocumentHashType": "Sha256"}):
        with pytest.raises(ssm.exceptions.ClientError):
            ssm.send_command(InstanceIds=[node], **good, **bad)
    with pytest.raises(ssm.exceptions.ClientError):
        ssm.send_command(**good)
    for error, call in (
            ("InvalidCommandId", lambda: ssm.cancel_command(CommandId="0" * 8 + "-0000-4000-8000-" + "0" * 12)),
            ("InvocationDoesNotExist", lambda: ssm.get_command_invocation(
                CommandId="0" * 8 + "-0000-4000-8000-" + "0" * 12, InstanceId=node))):
        with pytest.raises(getattr(ssm.exceptions, error)):
            call()


def test_a_document_within_a_step_is_asked_for_as_the_command_was_sent(client, relay, tmp_path, ssm, ids):
    """With an access key there is nothing to say of a second factor, and the address is the one that it came from."""
    ssm.create_document(Name="inner", Content=json.dumps(GREET), DocumentType="Command")
    ssm.create_document(Name="outer", DocumentType="Command", Content=json.dumps(
        {"schemaVersion": "2.2", "mainSteps": [{"action": "aws:runDocument", "name": "run", "inputs": {
            "documentType": "SSMDocument", "documentPath": "inner"}}]}))
    client.ok("user", "add", "ann")
    ann, ended = aws.client(relay, aws.Key(client, "ann")), {}
    for name, condition in (("factor", {"Bool": {"aws:MultiFactorAuthPresent": "false"}}),
                            ("here", {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}})):
        document = tmp_path / "ann.json"
        document.write_text(json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "ssm:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "ssm:GetDocument", "Resource": "*", "Condition": condition}]}))
        client.ok("policy", "put", "ann", str(document))
        client.ok("policy", "attach", "ann", "--user", "ann")
        command = ann.send_command(DocumentName="outer", InstanceIds=[ids["web-01"]])["Command"]["CommandId"]
        ended[name] = over(ssm, command)["Status"]
    assert ended == {"factor": "Success", "here": "Failed"}


def test_who_may_not_send_does_not(client, relay, tmp_path, ssm, ids):
    client.ok("user", "add", "bea")
    document = tmp_path / "bea.json"
    document.write_text(json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "ssm:SendCommand", "Resource": "arn:aws:ssm:*:*:document/AWS-RunShellScript"},
        {"Effect": "Allow", "Action": "ssm:SendCommand", "Resource": "*",
         "Condition": {"StringEquals": {"ssm:resourceTag/Number": "1"}}},
        {"Effect": "Allow", "Action": ["ssm:List*", "ssm:Get*"], "Resource": "*"}]}))
    client.ok("policy", "put", "bea", str(document))
    client.ok("policy", "attach", "bea", "--user", "bea")
    bea = aws.client(relay, aws.Key(client, "bea"))
    assert over(ssm, send(bea, "true", InstanceIds=[ids["web-01"]]))["Status"] == "Success"
    with pytest.raises(bea.exceptions.ClientError) as refused:
        send(bea, "true", InstanceIds=[ids["web-01"], ids["web-02"]])
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    command = send(bea, "true", Targets=[{"Key": "tag:Role", "Values": ["web"]}])
    over(ssm, command)
    details = [i["StatusDetails"] for i in ssm.list_command_invocations(CommandId=command)["CommandInvocations"]]
    assert sorted(details) == ["AccessDenied", "AccessDenied", "Success"]
