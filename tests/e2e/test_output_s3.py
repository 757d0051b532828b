"""Output of commands in a bucket: sent by real clients, kept by a storage that proves each signature."""

import json
import re

import pytest
from support import aws
from support.relay import wait_until
from support.storage import SECRET, Storage

SHELL = "AWS-RunShellScript"


@pytest.fixture
def storage(tmp_path):
    made = Storage(tmp_path)
    yield made
    made.close()
    assert made.wrong == []


@pytest.fixture
def relay(relays, storage, request):
    mark = request.node.get_closest_marker("relay")
    return relays(**storage.settings(**(mark.kwargs if mark else {})))


@pytest.fixture
def node_id(agent, client):
    return client.json("ls")["InstanceInformationList"][0]["InstanceId"]


def send(ssm, node, *lines, bucket="logs", **how):
    return ssm.send_command(
        DocumentName=SHELL, InstanceIds=[node], Parameters={"commands": list(lines)}, OutputS3BucketName=bucket,
        **how)["Command"]["CommandId"]


def invocation(client, command, node):
    return json.loads(client.ok("api", "GetCommandInvocation", f"CommandId={command}", f"InstanceId={node}"))


def uploaded(client, command, node, status="Success", seconds=60):
    def look():
        found = invocation(client, command, node)
        return found if found.get("OutputUploadStatus") == status else None
    return wait_until(look, f"the upload of {command}", seconds)


def key_of(command, node, stream, prefix="", step="PatchLinux"):
    return f"logs/{prefix}{command}/{node}/awsrunShellScript/{step}/{stream}"


def only(storage, command, stream):
    found = [k for k in storage.objects if command in k and k.endswith("/" + stream)]
    return found[0] if len(found) == 1 else None


# --- it arrives ------------------------------------------------------------------------------------


def test_the_aws_cli_has_output_put_into_a_bucket(cli, client, storage, node_id):
    sent = cli.ok("send-command", "--document-name", SHELL, "--instance-ids", node_id, "--parameters",
                  json.dumps({"commands": ["echo out", "echo err >&2"]}), "--output-s3-bucket-name", "logs",
                  "--output-s3-key-prefix", "a b/ünï/x+y", "--output-s3-region", "eu-other-2")["Command"]
    assert (sent["OutputS3BucketName"], sent["OutputS3KeyPrefix"], sent["OutputS3Region"]) == ("logs", "a b/ünï/x+y", "eu-other-2")
    command = sent["CommandId"]
    uploaded(client, command, node_id)
    under = f"logs/a b/ünï/x+y/{command}/{node_id}/awsrunShellScript/"
    assert {k: v for k, v in storage.objects.items()} == {
        only(storage, command, "stdout"): b"out\n", only(storage, command, "stderr"): b"err\n"}
    assert all(re.fullmatch(re.escape(under) + r"[\w.-]+/std(out|err)", k) for k in storage.objects), storage.objects

    got = cli.ok("get-command-invocation", "--command-id", command, "--instance-id", node_id)
    assert got["StandardOutputUrl"].startswith(f"{storage.url}/logs/a%20b/%C3%BCn%C3%AF/x%2By/{command}/{node_id}/awsrunShellScript/")
    assert got["StandardOutputUrl"].endswith("/stdout") and got["StandardErrorUrl"].endswith("/stderr")
    assert got["StandardOutputContent"] == "out\n"
    plugin = cli.ok("list-command-invocations", "--command-id", command, "--details")["CommandInvocations"][0]["CommandPlugins"][0]
    assert plugin["OutputS3BucketName"] == "logs" and plugin["StandardOutputUrl"] == got["StandardOutputUrl"]
    assert plugin["OutputS3KeyPrefix"] == f"a b/ünï/x+y/{command}/{node_id}/awsrunShellScript"
    assert cli.ok("list-commands", "--command-id", command)["Commands"][0]["OutputS3BucketName"] == "logs"
    shown = client.ok("runs", "show", command)
    assert "s3://logs/a b/ünï/x+y/: 1 uploaded, 0 waiting, 0 given up" in shown


@pytest.mark.relay(s3_part_mib=5)
def test_large_output_is_sent_in_parts_and_whole(client, ssm, storage, node_id):
    command = send(ssm, node_id, "head -c 12000000 /dev/zero | tr '\\0' 'x'", "echo end")
    uploaded(client, command, node_id, seconds=120)
    assert storage.objects[only(storage, command, "stdout")] == b"x" * 12000000 + b"end\n"
    puts = [p for m, p in storage.seen if m == "PUT"]
    assert len(puts) == 3 and all("partNumber=" in p for p in puts) and storage.parts == {}


@pytest.mark.relay(s3_part_mib=5)
def test_a_part_that_fails_is_sent_again_and_what_is_given_up_is_taken_back(client, ssm, storage, node_id):
    failures = {"left": 5}

    def plan(handler):
        if "partNumber=2" in handler.path and failures["left"] > 0:
            failures["left"] -= 1
            if failures["left"] % 2:
                handler.cut()
            else:
                handler.rfile.read(int(handler.headers["Content-Length"]))
                handler.fail(500, "InternalError")
            return True
        return False

    storage.plan = plan
    command = send(ssm, node_id, "head -c 12000000 /dev/zero")
    uploaded(client, command, node_id, seconds=120)
    assert storage.objects[only(storage, command, "stdout")] == bytes(12000000)
    assert failures["left"] == 0 and storage.parts == {}
    assert sum(m == "DELETE" for m, _ in storage.seen) == 1  # after three tries of one part


def test_nothing_written_is_nothing_put(client, ssm, storage, node_id):
    command = send(ssm, node_id, "true")
    assert uploaded(client, command, node_id)["StandardErrorUrl"].endswith("/stderr")
    assert storage.objects == {}


def test_a_command_that_fails_is_uploaded_too(client, ssm, storage, node_id):
    command = send(ssm, node_id, "echo before; exit 3")
    assert uploaded(client, command, node_id)["Status"] == "Failed"
    assert storage.objects[only(storage, command, "stdout")].startswith(b"before\n")


# --- it does not, for a while ------------------------------------------------------------------------


def test_trouble_is_waited_out(client, ssm, storage, node_id):
    for trouble in ("cut", "refused", "error", "throttled"):
        wait_out(client, ssm, storage, node_id, trouble)


def wait_out(client, ssm, storage, node_id, trouble):
    left = {"n": 2}

    def plan(handler):
        if left["n"] == 0:
            return False
        left["n"] -= 1
        if trouble == "cut":
            handler.cut()
        else:
            handler.rfile.read(int(handler.headers["Content-Length"]))
            handler.fail(*{"refused": (403, "AccessDenied"), "error": (503, "SlowDown"), "throttled": (429, "Busy")}[trouble])
        return True

    storage.plan = plan
    command = send(ssm, node_id, "echo late")
    found = uploaded(client, command, node_id)
    assert found["Status"] == "Success" and "OutputUploadDetails" not in found
    assert storage.objects[only(storage, command, "stdout")] == b"late\n"
    assert left["n"] == 0


@pytest.mark.relay(s3_timeout_seconds=1)
def test_a_storage_that_says_nothing_is_given_up_on_and_tried_again(client, ssm, storage, node_id):
    left = {"n": 1}

    def plan(handler):
        if left["n"] == 0:
            return False
        left["n"] -= 1
        handler.hang(5)
        return True

    storage.plan = plan
    command = send(ssm, node_id, "echo patient")
    uploaded(client, command, node_id)
    assert storage.objects[only(storage, command, "stdout")] == b"patient\n"


def test_what_waits_outlives_the_relay(relay, client, ssm, storage, node_id):
    storage.plan = lambda handler: handler.cut() or True
    commands = [send(ssm, node_id, f"echo {i}") for i in range(3)]
    for command in commands:
        wait_until(lambda c=command: invocation(client, c, node_id)["Status"] == "Success", "the command's end")
    assert invocation(client, commands[0], node_id)["OutputUploadStatus"] == "Pending"
    relay.wait_for_log("uploads.trouble")
    relay.kill9()
    storage.plan = lambda handler: False
    relay.start()
    for i, command in enumerate(commands):
        uploaded(client, command, node_id)
        assert storage.objects[only(storage, command, "stdout")] == f"{i}\n".encode()


# --- it never does -----------------------------------------------------------------------------------


@pytest.mark.relay(s3_retry_seconds=1)
def test_a_bucket_that_there_is_not_is_given_up_and_says_so(relay, client, ssm, storage, node_id):
    command = send(ssm, node_id, "echo kept here", bucket="no-such-bucket")
    found = uploaded(client, command, node_id, status="Failed")
    assert found["Status"] == "Success" and found["StandardOutputContent"] == "kept here\n"
    assert "no bucket no-such-bucket" in found["OutputUploadDetails"] and "NoSuchBucket" in found["OutputUploadDetails"]
    assert "1 given up: " in client.ok("runs", "show", command)
    relay.wait_for_log(f"upload.failed.*{command}")
    # nobody else waits for it
    uploaded(client, send(ssm, node_id, "echo mine"), node_id)


@pytest.mark.relay(s3_retry_seconds=2)
def test_a_storage_with_another_certificate_gets_nothing(relay, client, ssm, storage, node_id):
    storage.use_certificate(*storage.make_certificate("impostor"))
    command = send(ssm, node_id, "echo secret")
    found = uploaded(client, command, node_id, status="Failed")
    assert "is not known to be the storage" in found["OutputUploadDetails"]
    assert storage.seen == []


# --- each bucket a host ------------------------------------------------------------------------------


def test_a_bucket_that_is_no_host_holds_up_nobody_else(relay, client, ssm, storage, node_id):
    relay.stop()
    relay.set(s3_endpoint=f"https://localhost:{storage.port}", s3_path_style=0)
    relay.start()
    with pytest.raises(ssm.exceptions.ClientError) as refused:
        send(ssm, node_id, "true", bucket="my.logs")
    assert "s3_path_style" in refused.value.response["Error"]["Message"]

    other = send(ssm, node_id, "echo lost", bucket="impostors")  # no name of the certificate
    wait_until(lambda: "is not known to be the storage" in invocation(client, other, node_id).get("OutputUploadDetails", ""),
               "an attempt")
    command = send(ssm, node_id, "echo mine")
    uploaded(client, command, node_id)
    assert storage.objects[only(storage, command, "stdout")] == b"mine\n"
    assert "uploads.trouble" not in relay.log
    assert invocation(client, other, node_id)["OutputUploadStatus"] == "Pending"


# --- what is refused ---------------------------------------------------------------------------------


NO_PLACES = [
    (dict(OutputS3BucketName="a/b"), "bucket"),
    (dict(OutputS3BucketName="Logs"), "small letters"), (dict(OutputS3BucketName="..."), "bucket"), (dict(OutputS3BucketName="b" * 64), None),
    (dict(OutputS3BucketName="logs", OutputS3KeyPrefix="a/../b"), "OutputS3KeyPrefix"),
    (dict(OutputS3BucketName="logs", OutputS3KeyPrefix="a//b"), "OutputS3KeyPrefix"),
    (dict(OutputS3BucketName="logs", OutputS3KeyPrefix="."), "OutputS3KeyPrefix"),
    (dict(OutputS3BucketName="logs", OutputS3KeyPrefix="x" * 501), None),
    (dict(OutputS3BucketName="logs", OutputS3KeyPrefix="a\nb"), None),
    (dict(OutputS3BucketName="logs", OutputS3Region="eu/1"), "OutputS3Region"),
    (dict(OutputS3KeyPrefix="alone"), "OutputS3BucketName")]


def test_what_is_no_place_is_refused(relay, ssm, node_id):
    for how, word in NO_PLACES:
        with pytest.raises(ssm.exceptions.ClientError) as refused:
            ssm.send_command(DocumentName=SHELL, InstanceIds=[node_id], Parameters={"commands": ["true"]}, **how)
        error = refused.value.response["Error"]
        if word is not None:
            assert error["Code"] == "InvalidOutputFolder" and word in error["Message"], (how, error)
        else:
            assert error["Code"] in ("InvalidOutputFolder", "ValidationException"), (how, error)
    assert relay.alive()


def test_who_may_send_may_not_thereby_write_to_buckets(tmp_path, relay, client, storage, node_id):
    user = client.add_user(tmp_path, "rae")
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["ssm:SendCommand", "ssm:GetCommandInvocation"], "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs/team/*"}]}
    client.ok("policy", "put", "sender", "-", stdin=json.dumps(policy))
    client.ok("policy", "attach", "sender", "--user", "rae")
    ssm = aws.client(relay, aws.Key(client, "rae"))
    for how in (dict(), dict(OutputS3KeyPrefix="teams"), dict(OutputS3KeyPrefix="other/team"), dict(OutputS3KeyPrefix="te*")):
        with pytest.raises(ssm.exceptions.ClientError) as denied:
            send(ssm, node_id, "true", **how)
        assert denied.value.response["Error"]["Code"] == "AccessDeniedException"
        assert "s3:PutObject" in denied.value.response["Error"]["Message"]
    command = send(ssm, node_id, "echo mine", OutputS3KeyPrefix="/team/")
    uploaded(client, command, node_id)
    assert only(storage, command, "stdout").startswith("logs/team/")
    assert user is not None


def test_the_secret_is_nowhere(relay, client, ssm, storage, node_id):
    uploaded(client, send(ssm, node_id, "true"), node_id)
    assert SECRET not in relay.log
    with open(f"/proc/{relay.pid}/cmdline", "rb") as f:
        assert SECRET.encode() not in f.read()


BAD_SETTINGS = [
    (dict(s3_endpoint="https://"), "s3_endpoint"), (dict(s3_endpoint="ftp://127.0.0.1"), "s3_endpoint"),
    (dict(s3_endpoint="http://storage.example"), "in clear"), (dict(s3_access_key_id=""), "s3_access_key_id"),
    (dict(s3_secret_file="nowhere"), "s3_secret_file"), (dict(s3_ca_file="nowhere"), "s3_ca_file"),
    (dict(s3_region="x"), "s3_region"), (dict(s3_path_style=0), "set s3_path_style = 1")]


def test_settings_that_are_not_good_are_said_at_the_start(relay, storage):
    relay.stop()
    for settings, word in BAD_SETTINGS:
        relay.set(**{**storage.settings(), **settings})
        before = len(relay.log)
        with pytest.raises(AssertionError):
            relay.start()
        assert word in relay.log[before:], relay.log[before:]


def test_a_secret_that_others_may_read_is_not_used(relay, storage, tmp_path):
    relay.stop()
    (tmp_path / "s3.secret").chmod(0o644)
    with pytest.raises(AssertionError):
        relay.start()
    assert "s3_secret_file" in relay.log and "others may use the key" in relay.log, relay.log


def test_without_a_storage_a_bucket_is_refused(relays, tmp_path):
    relay = relays(name="plain")
    from support.fleet import Client
    who = Client(tmp_path / "someone", relay, relay.invite)
    said = who.fails("api", "SendCommand", "--input", json.dumps(
        {"DocumentName": SHELL, "Targets": [{"Key": "tag:a"}], "Parameters": {"commands": ["true"]}, "OutputS3BucketName": "logs"}))
    assert "which has no s3_endpoint" in said
