"""Bad input, made from the API's own model: each length, pattern, enum and range of each member of each operation that SSM
has and we have, just within and just beyond; and what no model says: crowds of targets, bombs, other types than were meant."""

import json
import re

import botocore.loaders
import pytest

from support import aws
from support.relay import wait_until

MODEL = botocore.loaders.Loader().load_service_model("ssm", "service-2")
SHAPES, OPERATIONS = MODEL["shapes"], MODEL["operations"]
NODE = "mi-" + "0" * 17
COMMAND = "00000000-0000-4000-8000-000000000000"
CONTENT = json.dumps({"schemaVersion": "2.2", "mainSteps": [
    {"action": "aws:runShellScript", "name": "first", "inputs": {"runCommand": ["true"]}}]})
SHELL = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}
NOBODY = [{"Key": "tag:Nobody", "Values": ["x"]}]

# Of each operation good requests, which are then made bad in one place.
BASES = {
    "SendCommand": [dict(SHELL, Targets=NOBODY), dict(SHELL, InstanceIds=[NODE])],
    "CancelCommand": [{"CommandId": COMMAND}, {"CommandId": COMMAND, "InstanceIds": [NODE]}],
    "ListCommands": [{}, {"Filters": [{"key": "Status", "value": "Success"}]}],
    "ListCommandInvocations": [{}, {"Filters": [{"key": "Status", "value": "Success"}]}],
    "GetCommandInvocation": [{"CommandId": COMMAND, "InstanceId": NODE}],
    "CreateDocument": [{"Name": "made", "Content": CONTENT, "DocumentType": "Command"}],
    "GetDocument": [{"Name": "AWS-RunShellScript"}],
    "DescribeDocument": [{"Name": "AWS-RunShellScript"}],
    "ListDocuments": [{}, {"Filters": [{"Key": "Owner", "Values": ["Self"]}]}],
    "ListDocumentVersions": [{"Name": "AWS-RunShellScript"}],
    "UpdateDocument": [{"Name": "there", "Content": CONTENT, "DocumentVersion": "$LATEST"}],
    "UpdateDocumentDefaultVersion": [{"Name": "there", "DocumentVersion": "1"}],
    "DeleteDocument": [{"Name": "nowhere"}],
    "DescribeInstanceInformation": [{}, {"Filters": [{"Key": "PingStatus", "Values": ["Online"]}]}],
    "CreateActivation": [{"IamRole": "role"}],
    "DescribeActivations": [{}],
    "DeleteActivation": [{"ActivationId": COMMAND}],
    "AddTagsToResource": [{"ResourceType": "ManagedInstance", "ResourceId": NODE, "Tags": [{"Key": "k", "Value": "v"}]}],
    "RemoveTagsFromResource": [{"ResourceType": "ManagedInstance", "ResourceId": NODE, "TagKeys": ["k"]}],
    "ListTagsForResource": [{"ResourceType": "ManagedInstance", "ResourceId": NODE}],
    "StartSession": [{"Target": NODE}],
    "TerminateSession": [{"SessionId": "nobody-00000000000000000"}],
    "DescribeSessions": [{"State": "Active"}],
    "GetConnectionStatus": [{"Target": NODE}],
    "DeregisterManagedInstance": [{"InstanceId": NODE}],
}

WORDS = ["", " ", "a", "ab", "abc", "a b", "a/b", "a:b", "x.y_z-1", "!", "a!", "é", "$", "$LATEST", "$DEFAULT", "$latest", "0", "1", "7",
         "010", "50", "99", "100", "1%", "0%", "10%", "99%", "100%", "101%", "200%", "010%", "00%", "-1", "-1%", "+1", "1.5", "1 ", " 1",
         "%", "50%%", "1e3", "1000000", "9999999", NODE, NODE + "0", NODE[:-1], "mi-zzzzzzzzzzzzzzzzz", "mi-" + "G" * 17, "i-12345678",
         "i-1234567890abcdef0", COMMAND, COMMAND[:-1], COMMAND.replace("-", "_"), "Sha256", "a\nb", "a\tb", "a\0b", "1\n", "\x7f"]


def pattern_of(shape):
    """The model's patterns are Java's."""
    text = shape["pattern"].replace("\\p{L}", "a-zA-Zé").replace("\\p{Z}", " ").replace("\\p{N}", "0-9")
    return re.compile(re.sub(r"\$(?=\)|\||$)", r"\\Z", text))


def fits(shape, text):
    return shape.get("min", 0) <= len(text) <= shape.get("max", 1 << 20) and ("pattern" not in shape or pattern_of(shape).search(text))


def texts(shape):
    """(value, whether it is good)"""
    if "enum" in shape:
        yield from ((word, True) for word in shape["enum"])
        yield from ((word, False) for word in ("Nonsense", shape["enum"][0].swapcase(), shape["enum"][0] + " ", ""))
        return
    most, least = shape.get("max", 0), shape.get("min", 0)
    for text in ["a" * n for n in (least - 1, least, most, most + 1) if n > 0] + (WORDS if "pattern" in shape else []):
        yield text, fits(shape, text)
    if least > 0:
        yield "", False


def numbers(shape):
    for n in {shape[k] for k in ("min", "max") if k in shape}:
        yield n, True
    if "min" in shape:
        yield from ((n, False) for n in (shape["min"] - 1, -1, -(1 << 31), -(1 << 63)) if n < shape["min"])
    if "max" in shape:
        yield from ((n, False) for n in (shape["max"] + 1, 1 << 31, 1 << 62) if n > shape["max"])


def sample(shape):
    """A value that should do."""
    kind = shape["type"]
    if kind == "string":
        wanted = [word for word in ["abc", NODE, COMMAND, "1", "tag:Nobody"] if fits(shape, word)]
        return shape["enum"][0] if "enum" in shape else wanted[0] if wanted else "a" * shape.get("min", 1)
    if kind == "list":
        return [sample(SHAPES[shape["member"]["shape"]]) for _ in range(max(1, shape.get("min", 1)))]
    if kind == "map":
        return {sample(SHAPES[shape["key"]["shape"]]): sample(SHAPES[shape["value"]["shape"]])}
    if kind == "structure":
        return {name: sample(SHAPES[shape["members"][name]["shape"]]) for name in shape.get("required", [])}
    return {"boolean": False, "timestamp": 2_000_000_000}.get(kind, shape.get("min", 1))


def variants(shape, value, where=""):
    """(where, value with one thing changed, whether it is still good)"""
    kind = shape["type"]
    if kind == "string":
        yield from ((where, text, good) for text, good in texts(shape))
    elif kind in ("integer", "long"):
        yield from ((where, n, good) for n, good in numbers(shape))
    elif kind == "list":
        member = SHAPES[shape["member"]["shape"]]
        one = value[0] if value else sample(member)
        for n, good in ((shape.get("max", 0) + 1, False), (shape.get("min", 0) - 1, False)):
            if n >= 0 and (n == 0 or "max" in shape):
                yield where, [one] * n, good
        yield from ((w, [v], good) for w, v, good in variants(member, one, where + "[]"))
    elif kind == "structure":
        for name in shape.get("required", []):
            yield f"{where}.{name}", {k: v for k, v in value.items() if k != name}, False
        for name, member in shape["members"].items():
            inner = SHAPES[member["shape"]]
            for w, v, good in variants(inner, value.get(name, sample(inner)), f"{where}.{name}"):
                yield w, {**value, name: v}, good


# What the model forbids and we take, and what it allows and we refuse, each for a reason.
TAKEN = re.compile("|".join((
    r"SendCommand\.Targets\[\]\.Values",  # `hawser run` names more than 50 nodes by their ids
    r"SendCommand\.(OutputS3|NotificationConfig|CloudWatch|AlarmConf|ServiceRole).*",  # each is refused once it means something
    r"CreateActivation\.IamRole",  # nobody has one
    r"CreateActivation\.RegistrationMetadata.*",
    r"(CreateActivation|CreateDocument|AddTagsToResource)\.Tags\[\]\.Value",  # a tag may be a word alone
    r"ListDocuments\.Filters\[\]\.Values\[\]",  # which no document has
)))
REFUSED = re.compile("|".join((
    r"SendCommand\.(OutputS3|NotificationConfig|CloudWatch|AlarmConf).*",
    r"SendCommand\.Targets\[\]\.Values\[\]",  # beside InstanceIds, and without a key
    r"(CreateDocument|UpdateDocument)\.(Attachments|Requires|DocumentType|DocumentFormat).*",  # kinds of documents that are not had
    r"GetDocument\.DocumentFormat",
    r"(ListCommands|ListCommandInvocations|DescribeSessions)\.Filters\[\]\.(key|value)",  # a value that does not go with its key
    r"ListDocuments\.(Filters\[\]\.Values\[\]|DocumentFilterList.*)",  # the one without a key, the other beside Filters
    r"DescribeInstanceInformation\.InstanceInformationFilterList.*",  # likewise
)))


@pytest.fixture
def loose(relay, key):
    """boto3, which sends whatever it is told to."""
    return aws.client(relay, key, parameter_validation=False)


def call(loose, operation, request):
    """(the error's code or None, its message)"""
    method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
    try:
        getattr(loose, method)(**request)
        return None, ""
    except loose.exceptions.ClientError as e:
        return e.response["Error"]["Code"], e.response["Error"]["Message"]


def cases(operation, good):
    shape, seen = SHAPES[OPERATIONS[operation]["input"]["shape"]], set()
    for base in BASES[operation]:
        for where, request, is_good in variants(shape, base):
            text = json.dumps(request, sort_keys=True)
            if is_good == good and text not in seen:
                seen.add(text)
                yield where, request


def state(client, ssm):
    return (len(ssm.list_commands()["Commands"]), [d["Name"] for d in ssm.list_documents(
        Filters=[{"Key": "Owner", "Values": ["Self"]}])["DocumentIdentifiers"]], len(ssm.describe_activations()["ActivationList"]),
        client.json("sessions", "ls")["Sessions"])


def test_what_the_model_forbids_is_refused_and_changes_nothing(client, ssm, loose):
    ssm.create_document(Name="there", Content=CONTENT.replace("first", "second"), DocumentType="Command")
    before, wrong, n = state(client, ssm), [], 0
    for operation in BASES:
        named = {"ValidationException"} | {e["shape"] for e in OPERATIONS[operation].get("errors", [])} - {"InternalServerError"}
        for where, request in cases(operation, False):
            n += 1
            if TAKEN.fullmatch(operation + where):
                continue
            code, message = call(loose, operation, request)
            if code not in named:
                wrong.append(f"{operation}{where}: {code} {message[:100]}: {json.dumps(request)[:200]}")
    assert not wrong, f"{len(wrong)} of {n}\n" + "\n".join(wrong)
    assert n > 500 and state(client, ssm) == before


def test_what_the_model_allows_is_not_called_invalid(ssm, loose):
    ssm.create_document(Name="there", Content=CONTENT.replace("first", "second"), DocumentType="Command")
    wrong, n = [], 0
    for operation in BASES:
        for where, request in cases(operation, True):
            n += 1
            if REFUSED.fullmatch(operation + where):
                continue
            code, message = call(loose, operation, request)
            if code in ("ValidationException", "SerializationException", "InternalServerError"):
                wrong.append(f"{operation}{where}: {code} {message[:100]}: {json.dumps(request)[:200]}")
    assert not wrong, f"{len(wrong)} of {n}\n" + "\n".join(wrong)
    assert n > 200


# --- what no model says ---------------------------------------------------------------------------------


def refused(key, relay, operation, body):
    """(the error's code, its message) of a request made by hand."""
    status, _, answer = aws.Request(relay, key, operation, body).sign().send()
    assert 400 <= status < 500, (status, answer)
    return answer["__type"], answer.get("message", answer.get("Message", ""))


BAD_REQUESTS = [
    (b"", "ValidationException"),
    (b"[]", "SerializationException"),
    (b"null", "SerializationException"),
    (b"{", "SerializationException"),
    (b'{"DocumentName": "x"}}', "SerializationException"),
    (b'{"DocumentName": "\xff"}', "SerializationException"),
    (b'{"DocumentName": "\\ud800"}', "SerializationException"),
    (b'{"DocumentName": ' + b"[" * 50000, "SerializationException"),
    (b'{"DocumentName": "AWS-RunShellScript", "DocumentName": "AWS-StartSSHSession"}', "SerializationException"),
    ({"DocumentName": 7}, "ValidationException"),
    ({"DocumentName": ["AWS-RunShellScript"]}, "ValidationException"),
    ({"DocumentName": {"S": "AWS-RunShellScript"}}, "ValidationException"),
    ({"DocumentName": None}, "ValidationException"),
    ({}, "ValidationException"),
    (dict(SHELL), "ValidationException"),
    (dict(SHELL, Targets=NOBODY, InstanceIds=[NODE]), "ValidationException"),
    (dict(SHELL, InstanceIds=NODE), "ValidationException"),
    (dict(SHELL, InstanceIds=[7]), "ValidationException"),
    (dict(SHELL, InstanceIds=[None]), "ValidationException"),
    (dict(SHELL, InstanceIds=[NODE], TimeoutSeconds="60"), "ValidationException"),
    (dict(SHELL, InstanceIds=[NODE], TimeoutSeconds=60.5), "ValidationException"),
    (dict(SHELL, InstanceIds=[NODE], TimeoutSeconds=1e300), "ValidationException"),
    (dict(SHELL, InstanceIds=[NODE], TimeoutSeconds=True), "ValidationException"),
    (dict(SHELL, InstanceIds=[NODE], MaxErrors=5), "ValidationException"),
    (dict(SHELL, InstanceIds=[NODE], Parameters=[]), "ValidationException"),
    (dict(SHELL, InstanceIds=[NODE], Parameters={"commands": "true"}), "ValidationException"),
    (dict(SHELL, InstanceIds=[NODE], Parameters={"commands": [["true"]]}), "ValidationException"),
    (dict(SHELL, InstanceIds=[NODE], Parameters={"commands": ["true"], "nothing": ["x"]}), "InvalidParameters"),
    (dict(SHELL, InstanceIds=[NODE], Parameters={"commands": ["true"], "executionTimeout": ["soon"]}), "InvalidParameters"),
    (dict(SHELL, InstanceIds=[NODE], Parameters={}), "InvalidParameters"),
    (dict(SHELL, InstanceIds=[NODE], Parameters={"commands": ["x" * 100_000]}), "InvalidParameters"),
    (dict(SHELL, InstanceIds=[NODE], Parameters={f"p{i}": ["x"] for i in range(201)}), "ValidationException"),
    (dict(SHELL, InstanceIds=[NODE] * 2), "InvalidInstanceId"),
    (dict(SHELL, InstanceIds=[NODE]), "InvalidInstanceId"),
    (dict(SHELL, Targets=[]), "ValidationException"),
    (dict(SHELL, Targets=[{}]), "ValidationException"),
    (dict(SHELL, Targets=[{"Key": "tag:Role"}] * 6), "ValidationException"),
    (dict(SHELL, Targets=[{"Key": "nothing", "Values": ["x"]}]), "ValidationException"),
    (dict(SHELL, Targets=[{"Key": "tag:", "Values": ["x"]}]), "ValidationException"),
    (dict(SHELL, Targets=[{"Key": "InstanceIds", "Values": []}]), "ValidationException"),
    (dict(SHELL, Targets=NOBODY, MaxConcurrency="0"), "ValidationException"),
    (dict(SHELL, Targets=NOBODY, MaxConcurrency="0%"), "ValidationException"),
    (dict(SHELL, Targets=NOBODY, MaxConcurrency="101%"), "ValidationException"),
    (dict(SHELL, Targets=NOBODY, MaxConcurrency="-1"), "ValidationException"),
    (dict(SHELL, Targets=NOBODY, MaxErrors="-1"), "ValidationException"),
    (dict(SHELL, Targets=NOBODY, MaxErrors="101%"), "ValidationException"),
    (dict(SHELL, Targets=NOBODY, DocumentName="AWS-StartSSHSession"), "InvalidDocument"),
    (dict(SHELL, Targets=NOBODY, DocumentName="nothing"), "InvalidDocument"),
    (dict(SHELL, Targets=NOBODY, DocumentVersion="2"), "InvalidDocumentVersion"),
    (dict(SHELL, Targets=NOBODY, DocumentHash="0" * 64, DocumentHashType="Sha256"), "InvalidDocument"),
    (dict(SHELL, Targets=NOBODY, DocumentHash="0" * 40, DocumentHashType="Sha1"), "ValidationException"),
]


def test_bad_requests_to_send_a_command(key, relay, ssm):
    wrong = []
    for body, code in BAD_REQUESTS:
        got, message = refused(key, relay, "SendCommand", body)
        if got != code:
            wrong.append(f"{got} {message[:100]}, not {code}: {body if isinstance(body, bytes) else json.dumps(body)}"[:300])
    assert not wrong, "\n".join(wrong)
    assert ssm.list_commands()["Commands"] == []


def test_crowds_of_ids(key, relay, ssm):
    """Within a request that is not too long there is room for some thousand, and more are refused in words."""
    for n, by_ids, by_targets in ((51, (400, "ValidationException"), (400, "InvalidInstanceId")),
                                  (8000, (400, "ValidationException"), (400, "InvalidInstanceId")),
                                  (100_000, (413, "ValidationException"), (413, "ValidationException"))):
        ids = [f"mi-{i:017x}" for i in range(n)]
        for request, wanted in ((dict(SHELL, InstanceIds=ids), by_ids),
                                (dict(SHELL, Targets=[{"Key": "InstanceIds", "Values": ids}]), by_targets)):
            status, _, answer = aws.Request(relay, key, "SendCommand", request).sign().send()
            assert (status, answer["__type"]) == wanted, answer
    assert ssm.list_commands()["Commands"] == []


def bomb(levels):
    names = [f"x{i}" for i in range(levels)]
    return "a: &x0 [y, y, y, y, y, y, y, y, y]\n" + "".join(
        f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip(names, names[1:]))


BAD_DOCUMENTS = [
    ("", "ValidationException"),
    (" ", "InvalidDocumentContent"),
    ("{}", "InvalidDocumentSchemaVersion"),
    ("a: &a [*a]\n", "InvalidDocumentContent"),
    ("<<: &a {<<: *a}\n", "InvalidDocumentContent"),
    (bomb(30), "InvalidDocumentContent"),
    ("schemaVersion: '2.2'\nmainSteps: &s\n- {action: aws:runShellScript, name: abc, inputs: {runCommand: *s}}\n", "InvalidDocumentContent"),
    ("[" * 30_000, "InvalidDocumentContent"),
    ("- " * 30_000, "InvalidDocumentContent"),
    ("{\"a\":" * 10_000, "InvalidDocumentContent"),
    ("? " * 10_000, "InvalidDocumentContent"),
    ("!!python/object/apply:os.system ['true']\n", "InvalidDocumentContent"),
    ("%YAML 9.9\n---\nschemaVersion: '2.2'\n", "InvalidDocumentContent"),
    ("schemaVersion: '2.2'\n---\nschemaVersion: '2.2'\n", "InvalidDocumentContent"),
    (json.dumps({**json.loads(CONTENT), "description": "x" * (65536 - len(CONTENT) - len(', "description": ""') + 1)}),
     "MaxDocumentSizeExceeded"),
    ("x" * 100_000, "MaxDocumentSizeExceeded"),
    (json.dumps({**json.loads(CONTENT), "parameters": {f"p{i}": {"type": "String"} for i in range(1000)}}), "InvalidDocumentContent"),
    (json.dumps({**json.loads(CONTENT), "parameters": {"p": {"type": "String", "allowedPattern": "("}}}), "InvalidDocumentContent"),
    (json.dumps({**json.loads(CONTENT), "parameters": {"p": {"type": "Nonsense"}}}), "InvalidDocumentContent"),
    (json.dumps({**json.loads(CONTENT), "parameters": {"p_q": {"type": "String"}}}), "InvalidDocumentContent"),
    (json.dumps({**json.loads(CONTENT), "schemaVersion": "2.1"}), "InvalidDocumentSchemaVersion"),
    (json.dumps({**json.loads(CONTENT), "mainSteps": []}), "InvalidDocumentContent"),
]


def test_bad_documents(relay, ssm, loose):
    wrong = []
    for content, code in BAD_DOCUMENTS:
        for kind in ("JSON", "YAML", None):
            got, message = call(loose, "CreateDocument", {"Name": "bad", "Content": content, "DocumentType": "Command",
                                                          **({"DocumentFormat": kind} if kind else {})})
            if got != code:
                wrong.append(f"{got} {message[:100]}, not {code}: {kind} {content[:100]}")
    assert not wrong, "\n".join(wrong)
    assert ssm.list_documents(Filters=[{"Key": "Owner", "Values": ["Self"]}])["DocumentIdentifiers"] == []
    assert relay.alive()


def test_a_document_of_64_kib_is_taken(ssm):
    room = 65536 - len(json.dumps({**json.loads(CONTENT), "description": ""}))
    content = json.dumps({**json.loads(CONTENT), "description": "x" * room})
    assert len(content) == 65536
    ssm.create_document(Name="large", Content=content, DocumentType="Command")
    assert ssm.get_document(Name="large")["Content"] == content


def test_a_pattern_that_takes_for_ever_is_given_up(ssm, loose):
    content = {**json.loads(CONTENT), "parameters": {"p": {"type": "String", "allowedPattern": "^(a+)+$"}}}
    ssm.create_document(Name="slow", Content=json.dumps(content), DocumentType="Command")
    code, message = call(loose, "SendCommand", {"DocumentName": "slow", "Targets": NOBODY, "Parameters": {"p": ["a" * 5000 + "!"]}})
    assert code == "InvalidParameters", message
    assert wait_until(lambda: ssm.list_commands() is not None, "the next answer")


# --- by the other doors ---------------------------------------------------------------------------------

DOORS = [
    ({"MaxConcurrency": "101%"}, "ValidationException"), ({"MaxConcurrency": "0"}, "ValidationException"),
    ({"MaxErrors": "-1"}, "ValidationException"),
    ({"TimeoutSeconds": 2592001}, "ValidationException"), ({"Comment": "x" * 101}, "ValidationException"),
    ({"DocumentName": "nothing"}, "InvalidDocument"), ({"DocumentVersion": "9"}, "InvalidDocumentVersion"),
    ({"InstanceIds": [NODE]}, "InvalidInstanceId"), ({"Parameters": {"x": ["y"]}}, "InvalidParameters"),
    ({"InstanceIds": [f"mi-{i:017x}" for i in range(51)]}, "ValidationException"),
]


def test_hawser_api_and_the_aws_cli_say_the_same(client, cli, ssm, tmp_path):
    path = tmp_path / "request"
    for bad, code in DOORS:
        path.write_text(json.dumps({**SHELL, **({} if "InstanceIds" in bad else {"Targets": NOBODY}), **bad}))
        said = cli.fails(code, "send-command", "--cli-input-json", f"file://{path}")
        err = client.fails("api", "SendCommand", "--input", f"@{path}")
        assert said[:20] in err, (bad, said, err)
    assert ssm.list_commands()["Commands"] == []
