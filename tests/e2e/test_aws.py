"""The second front door: the AWS CLI and boto3, unmodified, against a real relay over TLS."""

import datetime
import json
import os
import socket
import ssl
import time

import pytest

from support import audit, aws
from support.relay import wait_until

NOW = datetime.timezone.utc
UNKNOWN_KEY = "the access key is not known here, or no longer good"
# Those who make mistakes on purpose are not to be held back for them.
patient = pytest.mark.relay(login_failures=30000)


@pytest.fixture
def signed(relay, key):
    """Makes signed requests by hand, by the administrator's key."""
    def make(operation="ListUsers", body=b"{}", **how):
        return aws.Request(relay, key, operation, body, **how)

    return make


@pytest.fixture
def person(client, relay, tmp_path):
    """Makes users with a key and policies: (user's key, boto3's client)."""
    def make(name, *policies):
        client.ok("user", "add", name)
        for i, document in enumerate(policies):
            path = os.path.join(str(tmp_path), f"{name}-{i}.json")
            with open(path, "w", encoding="utf-8") as f:
                json.dump({"Version": "2012-10-17", "Statement": document}, f)
            client.ok("policy", "put", f"{name}-{i}", path)
            client.ok("policy", "attach", f"{name}-{i}", "--user", name)
        made = aws.Key(client, name)
        return made, aws.client(relay, made)

    return make


def entries(relay, **wanted):
    return [e for e in audit.ledger(relay.dir) if all(e.get(k) == v for k, v in wanted.items())]


def names(answer):
    return [row["Name"] for row in answer["InstanceInformationList"]]


# --- nodes and tags --------------------------------------------------------------------------------


def test_nodes_are_listed_filtered_and_paged(relay, client, cli, ssm, agents):
    agents("web-01", "--tag", "Env=prod")
    made = client.json("activation", "create", "--limit", "11", "--tag", "Env=test")
    for i in range(11):
        relay.join(made, f"db-{i:02}")

    whole = cli.ok("describe-instance-information")["InstanceInformationList"]
    assert sorted(row["Name"] for row in whole) == [f"db-{i:02}" for i in range(11)] + ["web-01"]
    web = next(row for row in whole if row["Name"] == "web-01")
    assert web["PingStatus"] == "Online" and web["PlatformType"] == "Linux" and web["ResourceType"] == "ManagedInstance"
    paged = cli.ok("describe-instance-information", "--page-size", "5")["InstanceInformationList"]
    assert [row["InstanceId"] for row in paged] == [row["InstanceId"] for row in whole]
    assert len(cli.ok("describe-instance-information", "--max-items", "7")["InstanceInformationList"]) == 7

    pages = list(ssm.get_paginator("describe_instance_information").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["InstanceInformationList"]) for page in pages] == [5, 5, 2]
    assert "NextToken" in pages[0] and "NextToken" not in pages[2]
    assert sum((names(page) for page in pages), []) == [row["Name"] for row in whole]

    of_tag = cli.ok("describe-instance-information", "--filters", "Key=tag:Env,Values=prod")
    assert names(of_tag) == ["web-01"]
    assert names(ssm.describe_instance_information(
        Filters=[{"Key": "InstanceIds", "Values": [web["InstanceId"]]}])) == ["web-01"]
    assert names(ssm.describe_instance_information(
        InstanceInformationFilterList=[{"key": "PingStatus", "valueSet": ["Online"]}])) == ["web-01"]
    registered = ssm.describe_instance_information(
        Filters=[{"Key": "InstanceIds", "Values": [web["InstanceId"]]}])["InstanceInformationList"][0]["RegistrationDate"]
    assert abs(datetime.datetime.now(NOW) - registered) < datetime.timedelta(minutes=5)

    with pytest.raises(ssm.exceptions.InvalidFilterKey):
        ssm.describe_instance_information(Filters=[{"Key": "Colour", "Values": ["red"]}])
    with pytest.raises(ssm.exceptions.InvalidNextToken):
        ssm.describe_instance_information(NextToken="no-such-token")


def test_tags_come_and_go(client, cli, ssm, agents):
    agents("web-01", start=False)
    node = client.json("node", "show", "web-01")["InstanceId"]
    of_node = ("--resource-type", "ManagedInstance", "--resource-id", node)

    tags = [{"Key": "Env", "Value": "prod"}, {"Key": "Näme", "Value": "wëb 🦀"}]
    assert cli.ok("add-tags-to-resource", *of_node, "--tags", json.dumps(tags)) is None
    assert cli.ok("list-tags-for-resource", *of_node)["TagList"] == tags
    answer = ssm.remove_tags_from_resource(ResourceType="ManagedInstance", ResourceId=node, TagKeys=["Env"])
    assert set(answer) == {"ResponseMetadata"}
    assert ssm.list_tags_for_resource(ResourceType="ManagedInstance", ResourceId=node)["TagList"] == tags[1:]

    with pytest.raises(ssm.exceptions.InvalidResourceId):
        ssm.list_tags_for_resource(ResourceType="ManagedInstance", ResourceId="mi-00000000000000000")
    with pytest.raises(ssm.exceptions.InvalidResourceType):
        ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/x")
    with pytest.raises(ssm.exceptions.TooManyTagsError):
        ssm.add_tags_to_resource(ResourceType="ManagedInstance", ResourceId=node,
                                 Tags=[{"Key": f"k{i}", "Value": "v"} for i in range(50)])
    code, message, status, _ = aws.failure(
        ssm.add_tags_to_resource, ResourceType="ManagedInstance", ResourceId=node,
        Tags=[{"Key": "k" * 129, "Value": "v"}])
    assert (code, status) == ("ValidationException", 400) and "Tags[0].Key" in message


# --- activations -----------------------------------------------------------------------------------


def test_a_node_joins_with_an_activation_that_the_cli_made(relay, cli, ssm):
    made = cli.ok("create-activation", "--iam-role", "none", "--default-instance-name", "app",
                  "--registration-limit", "2", "--tags", "Key=Env,Value=prod", "--expiration-date",
                  (datetime.datetime.now(NOW) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert len(made["ActivationId"]) == 36 and len(made["ActivationCode"]) >= 20
    node = relay.join(made, "app-01")

    (listed,) = cli.ok("describe-activations")["ActivationList"]
    assert (listed["ActivationId"], listed["RegistrationsCount"], listed["RegistrationLimit"]) == (
        made["ActivationId"], 1, 2)
    assert ssm.list_tags_for_resource(ResourceType="ManagedInstance", ResourceId=node.id)["TagList"] == [
        {"Key": "Env", "Value": "prod"}]

    assert cli.ok("delete-activation", "--activation-id", made["ActivationId"]) is None
    assert cli.ok("describe-activations")["ActivationList"] == []
    with pytest.raises(ssm.exceptions.InvalidActivationId):
        ssm.delete_activation(ActivationId=made["ActivationId"])
    ssm.deregister_managed_instance(InstanceId=node.id)
    with pytest.raises(ssm.exceptions.InvalidInstanceId):
        ssm.deregister_managed_instance(InstanceId=node.id)


# --- sessions --------------------------------------------------------------------------------------


def test_a_session_starts_is_seen_and_is_terminated(relay, client, cli, ssm, agents):
    agents("web-01")
    agents("web-02", start=False)
    node, away = (client.json("node", "show", name)["InstanceId"] for name in ("web-01", "web-02"))

    assert cli.ok("get-connection-status", "--target", node) == {"Target": node, "Status": "connected"}
    assert ssm.get_connection_status(Target=away)["Status"] == "notconnected"

    started = ssm.start_session(Target=node, Reason="a look")
    assert started["SessionId"].startswith("admin-") and started["TokenValue"]
    assert started["StreamUrl"].startswith("wss://")
    (live,) = cli.ok("describe-sessions", "--state", "Active")["Sessions"]
    assert (live["SessionId"], live["Target"]) == (started["SessionId"], node)
    assert live["Owner"].endswith("user/admin")

    ended = cli.ok("terminate-session", "--session-id", started["SessionId"])
    assert ended == {"SessionId": started["SessionId"]}
    wait_until(lambda: ssm.describe_sessions(State="Active")["Sessions"] == [], "the session's end")
    assert [s["SessionId"] for s in ssm.describe_sessions(State="History")["Sessions"]] == [started["SessionId"]]

    with pytest.raises(ssm.exceptions.TargetNotConnected):
        ssm.start_session(Target=away)
    assert cli.fails("TargetNotConnected", "start-session", "--target", away)
    assert entries(relay, Action="ssm:StartSession", Principal="arn:aws:iam::000000000000:user/admin")


# --- who is let in ---------------------------------------------------------------------------------


def test_the_ledger_names_the_key_and_the_request(relay, client, key, ssm, agents):
    agents("web-01", start=False)
    node = client.json("node", "show", "web-01")["InstanceId"]
    answer = ssm.add_tags_to_resource(
        ResourceType="ManagedInstance", ResourceId=node, Tags=[{"Key": "a", "Value": "b"}])
    intent, outcome = entries(relay, RequestId=answer["ResponseMetadata"]["RequestId"])
    assert intent["Principal"] == outcome["Principal"] == "arn:aws:iam::000000000000:user/admin"
    assert intent["Reason"].endswith(f"; signed with {key.id}")
    assert intent["SourceAddress"] == "127.0.0.1"
    assert key.secret not in repr(list(audit.ledger(relay.dir)))
    used = client.json("key", "ls", "admin")["AccessKeyMetadata"][0]
    assert used["LastUsedDate"] >= used["CreateDate"]


@patient
def test_a_wrong_secret_and_an_unknown_key(tmp_path, relay, cli, key):
    wrong = aws.client(relay, key, retries=4, secret="x" * 40)
    code, _, status, again = aws.failure(wrong.describe_instance_information)
    assert (code, status, again) == ("InvalidSignatureException", 403, 0)

    nobody = type("Nobody", (), {"id": "HWAKNOSUCHKEYNOSUCHK", "secret": key.secret, "user": "x"})
    assert aws.failure(aws.client(relay, nobody, retries=4).describe_instance_information) == (
        "UnrecognizedClientException", UNKNOWN_KEY, 403, 0)
    assert UNKNOWN_KEY in aws.Cli(tmp_path, relay, nobody).fails(
        "UnrecognizedClientException", "describe-instance-information")
    assert "not signed" not in cli.fails("MissingAuthenticationTokenException", "describe-activations", "--no-sign-request")
    told = [e for e in entries(relay, Outcome="denied") if "signed with HWAKNO" in e["Reason"]]
    assert len(told) == 2 and not any("Principal" in e for e in told)


@patient
def test_users_and_keys_that_are_off(client, relay, person):
    key, ssm = person("ann", {"Effect": "Allow", "Action": "ssm:*", "Resource": "*"})
    ssm.describe_instance_information()
    refusal = ("UnrecognizedClientException", UNKNOWN_KEY, 403, 0)

    client.ok("user", "disable", "ann")
    assert aws.failure(ssm.describe_instance_information) == refusal
    client.ok("user", "enable", "ann")
    ssm.describe_instance_information()
    client.ok("key", "disable", key.id, "--user", "ann")
    assert aws.failure(ssm.describe_instance_information) == refusal
    client.ok("key", "enable", key.id, "--user", "ann")
    ssm.describe_instance_information()
    client.ok("key", "rm", key.id, "--user", "ann")
    assert aws.failure(ssm.describe_instance_information) == refusal

    second = aws.Key(client, "ann")
    aws.client(relay, second).describe_instance_information()
    client.ok("user", "rm", "ann")
    assert aws.failure(aws.client(relay, second).describe_instance_information) == refusal
    why = [e["Reason"] for e in entries(relay, Outcome="denied")]
    assert any("the user ann is disabled" in w for w in why) and any("turned off" in w for w in why)


def test_policies_decide_as_on_links(client, person, agents):
    for name, team in (("web-01", "blue"), ("web-02", "red")):
        agents(name, "--tag", f"Team={team}", start=False)
    _, blue = person("ann", {
        "Effect": "Allow", "Action": "ssm:DescribeInstanceInformation", "Resource": "*",
        "Condition": {"StringEquals": {"ssm:resourceTag/Team": "blue"}, "IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}})
    assert names(blue.describe_instance_information()) == ["web-01"]
    code, message, status, again = aws.failure(blue.create_activation, IamRole="x")
    assert (code, status, again) == ("AccessDeniedException", 403, 0) and "ann may not ssm:CreateActivation" in message

    _, elsewhere = person("bob", {
        "Effect": "Allow", "Action": "ssm:*", "Resource": "*",
        "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}})
    assert aws.failure(elsewhere.describe_activations)[0] == "AccessDeniedException"
    _, two_factors = person("eve", {
        "Effect": "Allow", "Action": "ssm:*", "Resource": "*",
        "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}})
    assert aws.failure(two_factors.describe_activations)[0] == "AccessDeniedException"


def test_a_certificate_is_of_no_account_at_this_door(relay, client, signed):
    node = relay.join(client.json("activation", "create", "--limit", "1"), "web-01")
    with relay.connect(identity=node) as sock:
        status, _, body = signed("ListUsers").sign().send(sock=sock)
    assert status == 200 and [u["UserName"] for u in body["Users"]] == ["admin"]


def test_the_relay_s_certificate_is_for_the_host_that_it_is_advertised_by(tmp_path, relay, key):
    def certificate():
        with open(os.path.join(relay.dir, "relay.crt"), "rb") as f:
            return f.read()

    by_name = aws.Cli(tmp_path, relay, key, "localhost")
    assert "SSL validation failed" in by_name.run("describe-activations").stderr
    relay.stop()
    relay.set(advertise=f"localhost:{relay.port}")
    relay.start()
    assert by_name.ok("describe-activations")["ActivationList"] == []
    aws.client(relay, key).describe_activations()

    once = certificate()
    relay.stop()
    relay.start()
    assert certificate() == once
    relay.stop()
    relay.set(advertise=f"no*name:{relay.port}")
    relay.start()
    assert certificate() == once and "relay.unnamed" in relay.log


@pytest.mark.relay(login_failures=1)
def test_who_guesses_is_held_back_and_fills_no_ledger(relay, key, signed):
    began, attempts = time.monotonic(), []

    def wait():
        """How long the relay lets a guesser wait, in seconds."""
        r = signed("ListUsers").sign()
        r.body = b"[]"
        status, headers, body = r.send()
        attempts.append(body["__type"])
        assert (status, body["__type"]) in ((403, "InvalidSignatureException"), (429, "ThrottlingException"))
        return int(headers.get("Retry-After", 0))

    wait_until(lambda: wait() >= 8, "a long wait", 120)
    assert aws.failure(aws.client(relay, key).describe_activations)[0::2] == ("ThrottlingException", 429)
    assert 3 <= attempts.count("InvalidSignatureException") <= 5
    assert len([e for e in entries(relay) if e["Kind"] == "alarm"]) == 1
    assert len(entries(relay, Outcome="denied")) <= min(len(attempts) + 1, 62 + time.monotonic() - began)
    assert relay.metrics()["hawser_attempts_held_back_total"] == attempts.count("ThrottlingException") + 1


# --- connections -----------------------------------------------------------------------------------


@patient
def test_a_bad_signature_ends_the_connection(relay, signed):
    with relay.connect() as sock:
        assert signed("ListUsers").sign().send(sock=sock)[0] == 200
        r = signed("ListUsers").sign()
        r.body = b"[]"
        status, headers, _ = r.send(sock=sock)
        assert (status, headers["Connection"]) == (403, "close")
        assert sock.recv(1) == b""
    wait_until(lambda: relay.metrics()["hawser_connections_signed"] == 0, "the seat's end")


def test_a_hundred_requests_on_one_connection(relay, ssm):
    before = relay.metrics()["hawser_connections_accepted_total"]
    ids = {ssm.describe_activations()["ResponseMetadata"]["RequestId"] for _ in range(100)}
    assert len(ids) == 100
    assert relay.metrics()["hawser_connections_accepted_total"] == before + 1
    assert relay.metrics()["hawser_connections_signed"] == 1
    assert relay.metrics()["hawser_connections_unauthenticated"] == 0


@pytest.mark.relay(max_signed=1)
def test_beyond_the_seats_each_request_has_a_connection_of_its_own(relay, key, ssm):
    ssm.describe_activations()
    other = aws.client(relay, key)
    for _ in range(5):
        answer = other.describe_activations()
        assert answer["ResponseMetadata"]["HTTPHeaders"]["connection"] == "close"
    assert "connection" not in ssm.describe_activations()["ResponseMetadata"]["HTTPHeaders"]


@pytest.mark.relay(signed_idle_seconds=1)
def test_a_connection_that_asks_no_more_ends(relay, ssm, signed):
    with relay.connect() as sock:
        assert signed("ListUsers").sign().send(sock=sock)[0] == 200
        assert sock.recv(1) == b""
    ssm.describe_activations()
    wait_until(lambda: relay.metrics()["hawser_connections_signed"] == 0, "the seat's end")
    ssm.describe_activations()


def trickle(sock, data):
    """Sends a byte now and then until the other side has enough; how long that took."""
    began = time.monotonic()
    sock.settimeout(0.1)
    try:
        for byte in data:
            sock.sendall(bytes([byte]))
            try:
                if sock.recv(1) == b"":
                    break
            except (TimeoutError, socket.timeout, ssl.SSLWantReadError):
                pass
    except (ConnectionError, ssl.SSLError):
        pass
    return time.monotonic() - began


@pytest.mark.relay(header_timeout_seconds=1, signed_idle_seconds=2)
def test_who_sends_a_body_or_head_by_the_byte_is_cut_off(relay, signed):
    slow = signed("ListUsers", b'{"Later": "' + b"x" * 1000 + b'"}').sign().bytes()
    head, _, body = slow.partition(b"\r\n\r\n")
    with relay.connect() as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert 0.5 < trickle(sock, body) < 30
    with relay.connect() as sock:
        assert 0.5 < trickle(sock, slow) < 30
    with relay.connect() as sock:
        assert signed("ListUsers").sign().send(sock=sock)[0] == 200
        assert 0.5 < trickle(sock, slow) < 30
    with relay.connect() as sock:
        assert signed("ListUsers").sign().send(sock=sock)[0] == 200
        sock.sendall(head + b"\r\n\r\n")
        assert 0.5 < trickle(sock, body) < 30
    assert relay.metrics()["hawser_header_timeouts_total"] >= 3
    assert relay.healthy()


def test_lists_of_nothing_have_their_member(client, cli):
    assert client.json("runs", "ls") == {"Commands": []}
    assert cli.ok("list-commands") == {"Commands": []}
    assert cli.ok("list-command-invocations") == {"CommandInvocations": []}
