"""Requests that are signed by hand, and what is not quite one: a relay that stands hears them all."""

import concurrent.futures
import datetime
import http.client

import pytest

from support import aws
from support.standing import cli, client, key, relay, ssm, where  # noqa: F401

NOW = datetime.timezone.utc
SETTINGS = {"login_failures": 30000}  # who makes mistakes on purpose is not to be held back for them


@pytest.fixture
def signed(relay, key):  # noqa: F811
    """Makes signed requests by hand, by the administrator's key."""
    def make(operation="ListUsers", body=b"{}", **how):
        return aws.Request(relay, key, operation, body, **how)

    return make


# --- what is not quite signed ----------------------------------------------------------------------


def test_a_request_by_hand_is_as_good_as_any(signed):
    status, headers, body = signed("ListUsers").sign().send()
    assert status == 200 and body["Users"][0]["UserName"] == "admin"
    assert headers["Content-Type"] == "application/x-amz-json-1.1"
    assert len(headers["x-amzn-RequestId"]) == 36


@pytest.mark.parametrize("minutes, code", [
    (-4, None), (4, None), (-6, "InvalidSignatureException"), (6, "InvalidSignatureException"),
    (-60 * 24, "InvalidSignatureException")])
def test_clocks(signed, minutes, code):
    status, _, body = signed("ListUsers", when=datetime.datetime.now(NOW) + datetime.timedelta(minutes=minutes)).sign().send()
    assert (status, body.get("__type")) == ((403, code) if code else (200, None)), body
    if code:
        assert ("Signature expired" if minutes < 0 else "not yet current") in body["message"]


@pytest.mark.parametrize("header, value", [
    ("host", "127.0.0.2:1"), ("x-amz-target", "AmazonSSM.DeleteUser"), ("content-type", "application/json"),
    ("x-amz-date", None)])
def test_a_header_that_was_changed_on_its_way(signed, header, value):
    r = signed("ListUsers").sign()
    r.headers[header] = value or r.date[:-2] + ("1Z" if r.date[-2] == "0" else "0Z")
    assert r.code() == (403, "InvalidSignatureException")


def test_a_body_that_was_changed_on_its_way(signed):
    r = signed("ListUsers", {"MaxResults": 1}).sign()
    r.body = r.body.replace(b"1", b"2")
    assert r.code() == (403, "InvalidSignatureException")


def moved(r):
    r.scope[2] = "ssmmessages"


def yesterday(r):
    r.scope[0] = "20200101"


def without_target(r):
    r.signed.remove("x-amz-target")


def without_host(r):
    r.signed.remove("host")


def without_date(r):
    r.signed.remove("x-amz-date")


@pytest.mark.parametrize("change, status, code", [
    (moved, 403, "InvalidSignatureException"), (yesterday, 403, "InvalidSignatureException"),
    (without_target, 400, "IncompleteSignatureException"), (without_host, 400, "IncompleteSignatureException"),
    (without_date, 400, "IncompleteSignatureException")])
def test_signatures_for_something_else(signed, change, status, code):
    r = signed("ListUsers")
    change(r)
    assert r.sign().code() == (status, code)


@pytest.mark.parametrize("authorization", [
    "Basic YTpi", "Bearer x", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a/b/c/d/e",
    "AWS4-ECDSA-P256-SHA256 Credential=A/20261123/r/ssm/aws4_request, SignedHeaders=host, Signature=" + "0" * 64,
    "AWS4-HMAC-SHA256 " + "x" * 3000])
def test_other_authorizations(relay, signed, authorization):
    r = signed("ListUsers").sign()
    r.headers["authorization"] = authorization
    assert r.code() == (400, "IncompleteSignatureException")
    assert relay.healthy()


def test_headers_that_are_there_twice(relay, signed):
    for name in ("x-amz-target", "x-amz-date", "host", "authorization"):
        r = signed("ListUsers").sign()
        raw = r.bytes().replace(f"{name}: ".encode(), f"{name}: {r.headers[name]}\r\n{name}: ".encode(), 1)
        with relay.connect() as sock:
            sock.sendall(raw)
            status, _, body = aws.answer(sock)
        assert (status, body["__type"]) == (400, "IncompleteSignatureException"), (name, body)


def test_what_is_signed_in_the_query_is_not_served(signed):
    r = signed("ListUsers").sign()
    assert r.code("/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00") == (
        400, "MissingAuthenticationTokenException")


def test_bodies_without_a_length(relay, signed):
    r = signed("ListUsers").sign()
    r.headers["transfer-encoding"] = "chunked"
    assert r.code() == (411, "ValidationException")
    r = signed("ListUsers").sign()
    r.headers["content-length"] = "2, 2"
    assert r.code() == (400, "ValidationException")


# --- operations and bodies that there are not ------------------------------------------------------


def test_operations_that_there_are_not(ssm, cli, signed):
    code, message, status, again = aws.failure(ssm.get_inventory)
    assert (code, status, again) == ("UnknownOperationException", 400, 0) and "GetInventory" in message
    cli.fails("UnknownOperationException", "list-resource-data-sync")
    for operation in ("GetCallerIdentity", "RenewCertificate", "Login", "RegisterManagedInstance",
                      "UpdateInstanceInformation", "GetPendingInvocations", "", "listusers", "x" * 100):
        assert signed(operation).sign().code() == (400, "UnknownOperationException"), operation
    r = signed()
    r.headers["x-amz-target"] = "ListUsers"
    assert r.sign().code() == (400, "UnknownOperationException")


def test_bodies_that_are_not_json(relay, signed):
    for body in (b"{", b"[]", b"null", b"\xff", b"{} {}", b'{"a":1,"a":2}', b"[" * 50000):
        assert signed("ListUsers", body).sign().code() == (400, "SerializationException"), body[:20]
    for body in (b'{"MaxResults": 0}', b'{"MaxResults": "5"}', b'{"MaxResults": 1.5}', b'{"NextToken": []}'):
        assert signed("ListUsers", body).sign().code() == (400, "ValidationException"), body
    for body in (b"", b'{"MaxResults": null}', b'{"Later": {"x": [1, null]}}', b"  {}\n"):
        assert signed("ListUsers", body).sign().send()[0] == 200, body
    assert relay.healthy()


def test_a_body_over_the_limit(relay, key, signed):
    big = aws.client(relay, key, retries=4)
    tags = [{"Key": "k", "Value": "v" * 200000}]
    code, _, status, again = aws.failure(
        big.add_tags_to_resource, ResourceType="ManagedInstance", ResourceId="mi-00000000000000000", Tags=tags)
    assert (code, status, again) == ("ValidationException", 413, 0)
    r = signed("ListUsers", b'{"Later": "' + b"x" * (192 * 1024 - 13) + b'"}')
    assert len(r.body) == 192 * 1024
    assert r.sign().send()[0] == 200
    assert relay.healthy()


def test_a_client_that_waits_to_be_asked_for_its_body(relay, signed):
    r = signed("ListUsers").sign()
    r.headers["expect"] = "100-continue"
    head, _, body = r.bytes().partition(b"\r\n\r\n")
    with relay.connect() as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert aws.answer(sock)[0] == 200
    r.headers["expect"] = "miracles"
    assert r.code() == (417, "ValidationException")


# --- connections -----------------------------------------------------------------------------------


def test_a_refusal_of_a_known_user_keeps_the_connection(relay, signed):
    with relay.connect() as sock:
        for _ in range(3):
            assert signed("MakeCoffee").sign().send(sock=sock)[0] == 400
            assert signed("ListUsers", b"{").sign().send(sock=sock)[0] == 400
            assert signed("ListUsers").sign().send(sock=sock)[0] == 200
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        well = http.client.HTTPResponse(sock)
        well.begin()
        assert (well.status, well.read()) == (200, b"ok\n")
        assert signed("ListUsers").sign().send(sock=sock)[0] == 200


def test_many_at_once(relay, key, ssm):
    def ask(client):
        return [client.describe_activations()["ResponseMetadata"]["HTTPStatusCode"] for _ in range(20)]

    clients = [ssm] * 4 + [aws.client(relay, key) for _ in range(6)]
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        assert set(sum(pool.map(ask, clients), [])) == {200}
