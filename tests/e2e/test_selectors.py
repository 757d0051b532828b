"""Saved selectors: put once, and then meant by every command, and by the AWS CLI, under the asker's own policies."""

import json

import pytest
from support import aws
from support.relay import wait_until
from support.standing import agents, cli, client, key, relay, ssm, where  # noqa: F401

SHELL = "AWS-RunShellScript"


@pytest.fixture(scope="module")
def fleet(agents):
    return [agents("web-01", "--tag", "Role=web", "--tag", "Env=prod"), agents("web-02", "--tag", "Role=web"),
            agents("db-01", "--tag", "Role=db", "--tag", "Env=prod")]


@pytest.fixture(autouse=True)
def none_is_saved(client):
    """Each test begins without a selector, whichever ran before it."""
    left = client.ok("selector", "ls", "-o", "name").split()
    if left:
        client.ok("selector", "rm", *left)


@pytest.fixture(scope="module")
def ids(fleet, ssm):
    return {n["Name"]: n["InstanceId"] for n in ssm.describe_instance_information()["InstanceInformationList"]}


def names(client, *selectors):
    return client.ok("ls", *selectors, "-o", "name").split()


def target(*groups):
    return [{"Key": "resource-groups:Name", "Values": list(groups)}]


def results(ssm, command):
    """How it ended, by node."""
    def look():
        found = ssm.list_command_invocations(CommandId=command)["CommandInvocations"]
        over = all(i["Status"] not in ("Pending", "InProgress", "Delayed", "Cancelling") for i in found)
        return {i["InstanceId"]: i["StatusDetails"] for i in found} if over else None
    return wait_until(look, f"the end of {command}")


def test_a_selector_s_life(client, fleet):
    client.ok("selector", "put", "web", "tag:Role=web", "-d", "what serves pages")
    client.ok("selector", "put", "@prod-web", "tag:Role=web,tag:Env=prod")
    client.ok("selector", "put", "two", "db-01", "web-02")
    assert names(client, "@web") == ["web-01", "web-02"]
    assert names(client, "@prod-web") == ["web-01"]
    assert names(client, "@two") == ["db-01", "web-02"]
    assert names(client, "@web,tag:Env=prod") == ["web-01"]
    assert names(client, "@prod-web", "db-01") == ["db-01", "web-01"]

    table = client.ok("selector", "ls")
    assert [line.split() for line in table.splitlines()] == [
        ["NAME", "SELECTOR"], ["prod-web", "tag:Role=web,tag:Env=prod"], ["two", "Key=Name,Values=db-01,web-02"],
        ["web", "tag:Role=web"]]
    assert client.ok("selector", "ls", "-o", "name").split() == ["prod-web", "two", "web"]
    shown = client.json("selector", "show", "web")
    assert shown["Description"] == "what serves pages" and shown["Targets"] == [{"Key": "tag:Role", "Values": ["web"]}]

    client.ok("selector", "put", "web", "db-*")
    assert names(client, "@web") == ["db-01"]
    client.ok("selector", "rm", "web", "two")
    assert "no resource group is named web" in client.fails("ls", "@web", code=4)
    assert "no resource group is named web" in client.fails("selector", "show", "web")
    assert "no resource group is named web" in client.fails("selector", "rm", "web")


@pytest.mark.parametrize("words, said", [
    (["x", "os:debian"], "cannot be saved"), (["x", "tag:A!=b"], "cannot be saved"), (["x", "web-[01-20]"], "cannot be saved"),
    (["x", "@y"], "no other groups"), (["x", "tag:A=b", "tag:C=d"], "all names"), (["x", "web-01", "mi-0123456789abcdef0"], "together"),
    (["a b", "web-01"], "letters"), (["x"], "wants")])
def test_what_cannot_be_saved(client, words, said):
    assert said in client.fails("selector", "put", *words)
    assert client.json("selector", "ls")["Groups"] == []


def test_it_runs_where_it_means_at_that_time(client, ssm, fleet, ids):
    client.ok("selector", "put", "web", "tag:Role=web")
    out = client.ok("run", "--target", "@web", "--gather", "--", "echo", "here")
    assert "web-[01-02] (2)" in out and "here" in out
    client.ok("node", "tag", "db-01", "Role=web")
    sent = ssm.send_command(DocumentName=SHELL, Parameters={"commands": ["true"]}, Targets=target("web"))["Command"]
    client.ok("node", "tag", "db-01", "Role=db")
    assert sent["TargetCount"] == 3 and sent["Targets"] == target("web")
    assert results(ssm, sent["CommandId"]) == {i: "Success" for i in ids.values()}

    client.ok("selector", "put", "db", "db-01")
    both = ssm.send_command(DocumentName=SHELL, Parameters={"commands": ["true"]}, Targets=target("db", "web") + [
        {"Key": "tag:Env", "Values": ["prod"]}])["Command"]
    assert both["TargetCount"] == 2 and set(results(ssm, both["CommandId"])) == {ids["web-01"], ids["db-01"]}


def test_the_aws_cli_takes_it(cli, client, ssm, ids):
    client.ok("selector", "put", "web", "tag:Role=web")
    sent = cli.ok("send-command", "--document-name", SHELL, "--targets", "Key=resource-groups:Name,Values=web",
                  "Key=resource-groups:ResourceTypeFilters,Values=AWS::SSM::ManagedInstance",
                  "--parameters", json.dumps({"commands": ["true"]}))["Command"]
    assert sent["TargetCount"] == 2
    assert set(results(ssm, sent["CommandId"])) == {ids["web-01"], ids["web-02"]}
    said = cli.fails("ResourceNotFoundException", "send-command", "--document-name", SHELL, "--targets",
                     "Key=resource-groups:Name,Values=webb", "--parameters", json.dumps({"commands": ["true"]}))
    assert said == "no resource group is named webb"
    said = cli.fails("ValidationException", "send-command", "--document-name", SHELL, "--targets",
                     "Key=resource-groups:ResourceTypeFilters,Values=AWS::S3::Bucket", "--parameters", json.dumps({"commands": ["true"]}))
    assert "AWS::SSM::ManagedInstance" in said


@pytest.mark.parametrize("times", [1, 2])
def test_a_type_alone_is_not_all_nodes(client, cli, ssm, fleet, times):
    targets = [{"Key": "resource-groups:ResourceTypeFilters", "Values": ["AWS::SSM::ManagedInstance"]}] * times
    before = cli.ok("list-commands")
    with pytest.raises(ssm.exceptions.ClientError) as refused:
        ssm.send_command(DocumentName=SHELL, Parameters={"commands": ["true"]}, Targets=targets)
    error = refused.value.response["Error"]
    assert error["Code"] == "ValidationException" and "needs a resource-groups:Name" in error["Message"], error
    assert cli.ok("list-commands") == before
    said = client.fails("api", "CreateResourceGroup", "--input", json.dumps({"Name": "all", "Targets": targets}))
    assert "leave resource-groups:ResourceTypeFilters out" in said


def test_one_that_fits_nobody_is_nobody(client, ssm, fleet):
    client.ok("selector", "put", "nobody", "tag:Role=none")
    assert "no node that you may see is '@nobody'" in client.fails("run", "--target", "@nobody", "--", "true", code=4)
    sent = ssm.send_command(DocumentName=SHELL, Parameters={"commands": ["true"]}, Targets=target("nobody"))["Command"]
    assert (sent["TargetCount"], sent["Status"], sent["StatusDetails"]) == (0, "Failed", "NoInstancesInTag")


def test_it_widens_nothing(tmp_path, relay, client, ids):
    client.ok("selector", "put", "web", "tag:Role=web")
    client.ok("selector", "put", "all", "*")
    rae = client.add_user(tmp_path, "rae")
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["ssm:SendCommand", "ssm:DescribeInstanceInformation", "ssm:ListCommandInvocations"],
         "Resource": ["arn:aws:ssm:*:*:managed-instance/*"], "Condition": {"StringEquals": {"ssm:resourceTag/Env": "prod"}}},
        {"Effect": "Allow", "Action": "ssm:SendCommand", "Resource": "arn:aws:ssm:*:*:document/*"},
        {"Effect": "Allow", "Action": "resource-groups:GetGroup", "Resource": "arn:aws:resource-groups:*:*:group/web"}]}
    client.ok("policy", "put", "prod-only", "-", stdin=json.dumps(policy))
    client.ok("policy", "attach", "prod-only", "--user", "rae")
    ssm = aws.client(relay, aws.Key(client, "rae"))

    assert names(rae, "@web") == ["web-01"]
    sent = ssm.send_command(DocumentName=SHELL, Parameters={"commands": ["true"]}, Targets=target("web"))["Command"]
    own = aws.client(relay, aws.Key(client, "admin"))
    # web-02 is one that rae neither sees nor may send to: for her there is none
    assert results(own, sent["CommandId"]) == {ids["web-01"]: "Success"} and sent["TargetCount"] == 1

    # whoever may not read what is saved learns nothing of it, be it there or not
    for group in ("all", "nothing"):
        with pytest.raises(ssm.exceptions.ClientError) as denied:
            ssm.send_command(DocumentName=SHELL, Parameters={"commands": ["true"]}, Targets=target(group))
        assert denied.value.response["Error"]["Code"] == "AccessDeniedException"
        assert "resource-groups:GetGroup" in denied.value.response["Error"]["Message"]
        assert "resource-groups:GetGroup" in rae.fails("ls", f"@{group}")
    for words in (["put", "web", "*"], ["put", "mine", "*"], ["rm", "web"]):
        assert "may not" in rae.fails("selector", *words)
    assert names(client, "@web") == ["web-01", "web-02"]


def test_a_document_for_another_system_is_told_apart(client, ssm, ids):
    ssm.create_document(Name="windows-only", DocumentType="Command", Content=json.dumps({
        "schemaVersion": "2.2", "mainSteps": [{"action": "aws:psModule", "name": "one", "inputs": {"runCommand": ["x"]}}]}))
    assert ssm.describe_document(Name="windows-only")["Document"]["PlatformTypes"] == ["Windows"]
    listed = {d["Name"]: d["PlatformTypes"] for d in ssm.list_documents()["DocumentIdentifiers"]}
    assert listed["windows-only"] == ["Windows"] and listed[SHELL] == ["Linux"]
    with pytest.raises(ssm.exceptions.UnsupportedPlatformType) as refused:
        ssm.send_command(DocumentName="windows-only", InstanceIds=[ids["web-01"]])
    assert "Windows" in str(refused.value)
    sent = ssm.send_command(DocumentName="windows-only", Targets=[{"Key": "tag:Role", "Values": ["web"]}])["Command"]
    assert results(ssm, sent["CommandId"]) == {ids["web-01"]: "InvalidPlatform", ids["web-02"]: "InvalidPlatform"}
    over = ssm.list_commands(CommandId=sent["CommandId"])["Commands"][0]
    assert (over["Status"], over["ErrorCount"], over["CompletedCount"]) == ("Failed", 0, 2)
