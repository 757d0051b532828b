"""The relay's port: who is let in, and what the rest costs."""

import base64
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import time

import pytest

from support import audit, certs, wire
from support.door import POST, Watch, client_hello, ended, refusal, still_well
from support.fleet import Client
from support.relay import PATIENCE, Relay, program, wait_until
from support.wire import CLOSE, CONT, PING, PONG, TEXT, WebSocket

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """One relay for many bad requests, none of which may change it."""
    base = tmp_path_factory.mktemp("standing")
    relay = Relay(base).start()
    yield relay
    relay.stop()


@pytest.fixture(scope="module")
def inside(standing):
    """The identity of its first user."""
    return standing.login(standing.invite, "admin")


def status_of(sock):
    """The status of an answer; None when the connection ended without one."""
    data = b""
    try:
        while b"\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return None
            data += more
    except (ssl.SSLError, ConnectionError):
        return None
    return int(data.split(b" ")[1])


# --- certificates --------------------------------------------------------------------------------------


def refused_in_handshake(relay, identity):
    """The handshake fails: not a byte of HTTP is answered."""
    before = relay.metrics()["hawser_connections_bad_certificate_total"]
    try:
        sock = relay.connect(identity)
    except (ssl.SSLError, ConnectionError):
        pass
    else:
        with sock:
            with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                if not sock.recv(100):
                    raise EOFError
    assert relay.metrics()["hawser_connections_bad_certificate_total"] == before + 1


def test_link_needs_a_certificate(relay):
    answer = refusal(relay, None)
    assert answer.status == 403
    assert b'"__type":"CertificateError"' in answer.body


def test_users_and_nodes_get_links(relay, admin, node):
    with relay.link(admin).sock, relay.link(node, "node").sock:
        assert relay.metrics()["hawser_links"] == 2


def test_certificate_of_another_authority(relay, tmp_path):
    other = certs.Authority.make(str(tmp_path), "other")
    refused_in_handshake(relay, other.issue(str(tmp_path), "x", "hawser://x/user/admin"))


def test_authority_of_the_same_name(relay, tmp_path):
    """One that only calls itself our fleet's."""
    name = f"Hawser fleet {relay.ca.fleet()}"
    other = certs.Authority.make(str(tmp_path), name)
    refused_in_handshake(
        relay, other.issue(str(tmp_path), "x", f"hawser://{relay.ca.fleet()}/user/admin"))


def test_self_signed_certificate(relay, tmp_path):
    refused_in_handshake(
        relay, certs.self_signed(str(tmp_path), f"hawser://{relay.ca.fleet()}/user/admin"))


def test_the_relays_own_certificate_opens_no_link(relay):
    refused_in_handshake(relay, certs.Identity(
        os.path.join(relay.dir, "relay.crt"), os.path.join(relay.dir, "relay.key"), "relay"))


def test_relay_certificate_for_clients(relay):
    """Our CA never makes one; should it, it is no user's."""
    assert refusal(relay, relay.forge("relay", "relay", usage="clientAuth")).status == 403


def test_certificate_signed_by_a_user(relay, admin, tmp_path):
    """A user's key signs no certificates, however long the chain."""
    forged = certs.Authority(admin.cert, admin.key).issue(
        str(tmp_path), "x", f"hawser://{relay.ca.fleet()}/user/admin")
    with open(forged.cert, "ab") as chain, open(admin.cert, "rb") as issuer:
        chain.write(issuer.read())
    refused_in_handshake(relay, forged)


def test_signed_by_our_authority_and_not_by_the_rules(standing):
    """The handshake is where a certificate is verified, and it is as strict as everybody else."""
    refused_in_handshake(standing, standing.forge("user", "admin", says_by_which_key=False))


@pytest.mark.parametrize("uri", [
    "hawser://000000000000/user/admin", "hawser://FLEET/user/", "hawser://FLEET/node/admin",
    "hawser://FLEET/root/admin", "https://FLEET/user/admin", "hawser://FLEET/user/a%64min",
    "hawser://FLEET/user/admin/x"])
def test_strange_identities(standing, tmp_path, uri):
    """Well signed, but for nobody of ours."""
    identity = standing.ca.issue(str(tmp_path), "x", uri.replace("FLEET", standing.ca.fleet()))
    assert refusal(standing, identity).status == 403


def test_two_identities_in_one_certificate(relay, tmp_path):
    fleet = relay.ca.fleet()
    identity = relay.ca.issue(
        str(tmp_path), "x", f"hawser://{fleet}/user/admin,URI:hawser://{fleet}/user/other")
    assert refusal(relay, identity).status == 403


def test_unknown_holders(relay):
    assert refusal(relay, relay.forge("user", "mallory")).status == 403
    assert refusal(relay, relay.forge("node", "mi-0123456789abcdef0")).status == 403


def test_role_is_the_certificates(relay, admin, node):
    """HELLO can't claim another role or another name than the certificate's."""
    for identity, role, name in ((admin, "node", "admin"), (node, "user", node.id),
                                 (admin, "relay", "admin"), (admin, "user", "somebody")):
        link = WebSocket.upgrade(relay, identity)
        link.send(wire.pack([wire.HELLO, 0, wire.Link.hello(role, name)]))
        link.closed()
        link.close()
    still_well(relay)


def test_expired_user(relay):
    """A user has no grace, but is told in words."""
    answer = refusal(relay, relay.forge("user", "admin", start_days=-3, days=1))
    assert answer.status == 403
    assert b'"__type":"ExpiredTokenException"' in answer.body


def test_not_yet_valid(relay):
    assert refusal(relay, relay.forge("user", "admin", start_days=3)).status == 403


def test_an_outdated_serial_is_a_clone(relay, node):
    """In its grace or not: a certificate that the relay did not issue last, or before that, is refused."""
    assert refusal(relay, relay.forge("node", node.id, start_days=-60, days=30)).status == 403
    assert refusal(relay, relay.forge("node", node.id)).status == 403


def test_an_expired_node_may_renew_and_nothing_else(relay, node):
    """For a year, with the certificate that it last had."""
    late = relay.forge("node", node.id, start_days=-60, days=30, serial=node.serial)
    link = relay.link(late, "node")
    with pytest.raises(wire.Failed) as refused:
        link.request("GetCallerIdentity")
    assert refused.value.code in ("AccessDeniedException", "ExpiredTokenException")
    _, csr = certs.request(relay.base, "again")
    assert link.request("RenewCertificate", CertificateSigningRequest=csr)["Certificate"]


def test_an_expired_node_has_no_endless_grace(relay, node):
    assert refusal(relay, relay.forge(
        "node", node.id, start_days=-500, days=30, serial=node.serial)).status == 403


def test_http_without_a_certificate_still_works_beside_a_bad_link(relay):
    assert refusal(relay, None).status == 403
    assert relay.http("GET", "/healthz")[0] == 200


# --- TLS -----------------------------------------------------------------------------------------------


def test_tls_1_2_is_refused(relay):
    with relay.tcp() as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        relay.tls(version=ssl.TLSVersion.TLSv1_2).wrap_socket(raw)
    still_well(relay)


def s_client(relay, *args, data=b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
    return subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{relay.port}", "-CAfile", relay.ca.cert,
         "-ign_eof", *args], input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
        check=False).stdout.decode(errors="replace")


def test_what_the_handshake_says(relay):
    out = s_client(relay, "-alpn", "h2,http/1.1")
    assert "Verify return code: 0 (ok)" in out
    assert "TLS_AES_128_GCM_SHA256" in out
    assert "ALPN protocol: http/1.1" in out
    assert re.search("(Server|Peer) Temp Key: X25519", out)  # as older and newer ones of openssl call it
    assert "Post-Handshake New Session Ticket" not in out
    # Of all authorities in the world it names one.
    named = re.search(r"Acceptable client certificate CA names\n(.*?)\nRequested", out, re.S).group(1)
    assert named.replace(" = ", "=").splitlines() == [f"CN=Hawser fleet {relay.ca.fleet()}"]


def test_a_handshake_with_a_retry(relay):
    """The peer guesses a group that we don't have: it costs a round trip, no more."""
    out = s_client(relay, "-groups", "P-384:P-256")
    assert re.search("(Server|Peer) Temp Key: ECDH, prime256v1", out) and "200 OK" in out


def test_no_session_is_resumed(relay):
    context = relay.tls()
    with context.wrap_socket(relay.tcp()) as first:
        first.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status_of(first) == 200
        session = first.session
        assert not session or not session.has_ticket
    with context.wrap_socket(relay.tcp(), session=session) as second:
        assert not second.session_reused


def test_other_names_change_nothing(relay):
    """Neither the name in the TLS handshake nor that in the head leads to another door."""
    with relay.tls().wrap_socket(relay.tcp(), server_hostname="metrics") as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: metrics\r\n\r\n")
        assert status_of(sock) == 404


def test_plain_http_is_told(relay):
    with relay.tcp() as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        raw.settimeout(30)
        assert raw.recv(4096).startswith(b"HTTP/1.1 400 ")
        assert ended(raw)


def test_hello_in_crumbs(relay):
    """A ClientHello may come byte by byte."""
    hello = client_hello(relay)
    with relay.tcp() as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(hello)):
            raw.sendall(hello[i:i + 1])
        raw.settimeout(30)
        assert raw.recv(5)[:1] == b"\x16"


def test_garbage_instead_of_a_handshake(relay):
    hello = client_hello(relay)
    garbage = [
        b"\x00" * 100, b"\xff" * 5, b"\x16", b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\xff\xff" + b"x" * 70000,
        b"\x15\x03\x03\x00\x02\x02\x28", b"\x80\x2e\x01\x00\x02", hello[:-1], hello[:5] + os.urandom(len(hello)),
        b"\x16\x03\x01\x40\x00" + os.urandom(16384), hello + os.urandom(4096),
        # records of one byte each
        b"".join(b"\x16\x03\x01\x00\x01" + bytes([b]) for b in hello[5:60])]
    for data in garbage:
        with relay.tcp() as raw:
            try:
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # ended already
            assert ended(raw), data[:16]
    still_well(relay)


def test_mutated_hellos(relay):
    hello = bytearray(client_hello(relay))
    for i in range(5, len(hello)):
        changed = bytearray(hello)
        changed[i] ^= 0xff
        with relay.tcp() as raw:
            try:
                raw.sendall(changed)
                raw.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # ended already
            assert ended(raw)
    still_well(relay)


# --- HTTP ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/", 405), ("GET", "/x", 404), ("GET", "/healthz/", 404), ("GET", "/metrics", 404),
    ("POST", "/healthz", 405), ("PUT", "/login", 405), ("DELETE", "/register", 405),
    ("OPTIONS", "/login", 405), ("PATCH", "/login", 405), ("GET", "/login", 405), ("GET", "/link", 426),
    ("POST", "/link", 405), ("GET", "/healthz?x=1", 200), ("HEAD", "/healthz", 200), ("HEAD", "/nothing", 404)])
def test_paths_and_methods(standing, method, path, status):
    got, headers, body = standing.http(method, path)
    assert got == status
    if status == 405:
        assert headers["Allow"]
    if status >= 400 and method != "HEAD":
        assert headers["Content-Type"] == "application/json"
        assert body.startswith(b'{"__type":"')


def test_requests_that_are_not_signed_are_told_so_in_ssm_s_words(relay):
    status, headers, body = relay.http("POST", "/", "{}", JSON)
    assert status == 403 and b'"MissingAuthenticationTokenException"' in body
    assert headers["Content-Type"] == "application/x-amz-json-1.1" and headers["x-amzn-RequestId"]


@pytest.mark.parametrize("headers, body, status", [
    ({}, "{}", 415), ({"Content-Type": "text/plain"}, "{}", 415), (JSON, "{", 400), (JSON, "[]", 400),
    (JSON, "null", 400), (JSON, "{}", 400), (JSON, '{"Invite":1}', 400), (JSON, b"\xff\xfe", 400),
    (JSON, "[" * 5000, 400), (JSON, '{"Invite":"' + "x" * 60000 + '"}', 400), (JSON, "x" * 65537, 413)])
def test_bad_bodies(standing, headers, body, status):
    got, _, answer = standing.http("POST", "/login", body, headers)
    assert got == status, answer
    assert answer.startswith(b'{"__type":"')


def test_a_wrong_invite(relay):
    _, csr = certs.request(relay.base, "x")
    answer = relay.post("/login", {
        "Invite": "x" * 43, "CertificateSigningRequest": base64.b64encode(csr).decode()}, expect=400)
    assert answer["__type"] == "InvalidInvite"


def guess(relay, invite="x" * 43):
    """(status, headers, answer) of a login."""
    _, csr = certs.request(relay.base, "x")
    status, headers, body = relay.http("POST", "/login", json.dumps({
        "Invite": invite, "CertificateSigningRequest": base64.b64encode(csr).decode()}), JSON)
    return status, headers, json.loads(body)


def test_who_guesses_waits_and_then_gets_in(relay, tmp_path):
    """On a slow machine a wait may be over before the next guess, which makes the next wait longer."""
    def held():
        status, headers, answer = guess(relay)
        return (headers, answer) if status == 429 else None

    for _ in range(5):
        assert guess(relay)[0] == 400
    headers, answer = wait_until(held, "being held back")
    assert answer["__type"] == "ThrottlingException"
    assert re.search(r"from 127\.0\.0\.1: try again in \d+ second", answer["message"])
    assert int(headers["Retry-After"]) >= 1
    early = Client(tmp_path / "early", relay)
    wait_until(lambda: "too many failed attempts" in early.fails("login", relay.url, "x" * 43), "the client's refusal")
    wait_until(lambda: guess(relay, relay.invite)[0] == 200, "the end of the wait")
    assert relay.metrics()["hawser_attempts_held_back_total"] >= 2
    relay.stop()
    alarms = [e for e in audit.ledger(relay.dir) if e["Kind"] == "alarm"]
    assert [(e["Action"], e["Outcome"], e["SourceAddress"]) for e in alarms] == [("Login", "denied", "127.0.0.1")]


def test_who_guesses_at_an_activation_holds_back_nobody_else(relay, admin):
    link = relay.link(admin)
    activation = link.request("CreateActivation", RegistrationLimit=1)
    link.close()
    _, csr = certs.request(relay.base, "x")

    def join(source, code):
        """The status, from one of this machine's own addresses."""
        body = json.dumps({"ActivationId": activation["ActivationId"], "ActivationCode": code,
                           "CertificateSigningRequest": base64.b64encode(csr).decode()}).encode()
        with relay.connect(source=source) as sock:
            sock.sendall(b"POST /register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                         b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            return status_of(sock)

    for i in range(20):
        assert join(f"127.0.1.{i + 1}", "x" * 43) == 400
    assert join("127.0.1.1", activation["ActivationCode"]) == 429
    assert join("127.0.2.1", activation["ActivationCode"]) == 200
    assert join("127.0.2.2", activation["ActivationCode"]) == 400


def raw_request(relay, data, half_close=False):
    """The status of the answer to these bytes, None without one; the connection must end by itself."""
    with relay.connect() as sock:
        try:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        except (ssl.SSLError, ConnectionError):
            pass
        status = status_of(sock)
        assert ended(sock)
        return status





@pytest.mark.parametrize("head, status", [
    (POST + b"\r\n", 411), (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 411),
    (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 411),
    (POST + b"Content-Length: -1\r\n\r\n{}", 400), (POST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    (POST + b"Content-Length: 1000000000000\r\n\r\n" + b"x" * 10000, 413),
    (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 400)])
def test_bodies_that_lie(standing, head, status):
    assert raw_request(standing, head) == status
    still_well(standing)


def test_more_body_than_said(relay):
    raw_request(relay, POST + b"Content-Length: 2\r\n\r\n{}" + POST * 100)
    still_well(relay)


@pytest.mark.parametrize("data", [
    b"\r\n\r\n\r\n", b"\x00" * 1000, b"HELO mail.example\r\n\r\n", b"GET\r\n\r\n", b"GET /healthz\r\n\r\n",
    b"CONNECT relay:22 HTTP/1.1\r\nHost: relay:22\r\n\r\nSSH-2.0-x\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"GET http://else.example/ HTTP/1.1\r\nHost: x\r\n\r\n", b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n" + b": x\r\n" * 10 + b"\r\n", b"GET /%00%ff/../link HTTP/1.1\r\n\r\n",
    b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n", b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 100000,
    b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + b"\r\n",
    b"GET /healthz HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    b"\x16\x03\x01\x00\x05hello", os.urandom(5000)],
    ids=lambda g: f"{len(g)} bytes")
def test_http_garbage(standing, data):
    """Whatever it is answered, if at all, the connection ends and the relay goes on."""
    with standing.connect() as sock:
        try:
            sock.sendall(data)
            sock.unwrap()
        except (ssl.SSLError, ConnectionError, OSError):
            pass
        assert ended(sock)
    still_well(standing)


def test_connections_are_kept_alive(relay):
    watch = Watch(relay)
    for _ in range(20):
        watch.look()


def test_pipelined_requests(relay):
    with relay.connect() as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        data = b""
        while data.count(b"HTTP/1.1 200 OK") < 20 or not data.endswith(b"ok\n"):
            more = sock.recv(65536)
            assert more, data
            data += more


def test_metrics_have_their_own_door(relay):
    assert relay.metrics()["hawser_connections_accepted_total"] > 0
    for method, path, status in (("GET", "/link", 404), ("POST", "/login", 404), ("GET", "/healthz", 200),
                                 ("POST", "/metrics", 405)):
        c = http.client.HTTPConnection("127.0.0.1", relay.metrics_port, timeout=30)
        c.request(method, path, headers={"Host": "relay"})
        assert c.getresponse().status == status
        c.close()


# --- WebSocket -----------------------------------------------------------------------------------------


@pytest.fixture
def ws(standing, inside):
    """A WebSocket after its upgrade; HELLO has not been said."""
    w = WebSocket.upgrade(standing, inside)
    yield w
    w.close()


@pytest.mark.parametrize("change, status", [
    ({"Sec_WebSocket_Protocol": None}, 400), ({"Sec_WebSocket_Protocol": "hawser.9"}, 400),
    ({"Sec_WebSocket_Protocol": "chat, hawser.2"}, 400), ({"Sec_WebSocket_Version": "8"}, 426),
    ({"Sec_WebSocket_Version": None}, 426), ({"Sec_WebSocket_Key": None}, 400),
    ({"Sec_WebSocket_Key": "short"}, 400), ({"Connection": "close"}, 400),
    ({"Origin": "https://evil.example"}, 403), ({"path": "/"}, 405), ({"path": "/healthz"}, 400),
    ({"path": "/link/x"}, 404)])
def test_bad_upgrades(standing, inside, change, status):
    assert refusal(standing, inside, **change).status == status


def test_several_sub_protocols(relay, admin):
    link = wire.Link.open(relay, admin, "user", Sec_WebSocket_Protocol="hawser.7, hawser.1")
    assert link.request("GetCallerIdentity")["UserName"] == "admin"


def test_no_extension_is_taken_up(relay, admin):
    link = wire.Link.open(relay, admin, "user", Sec_WebSocket_Extensions="permessage-deflate")
    assert link.request("GetCallerIdentity")["UserName"] == "admin"


def test_text_is_refused(standing, ws):
    ws.send(b"hello", opcode=TEXT)
    assert ws.closed() == 1003
    still_well(standing)


@pytest.mark.parametrize("how", [
    {"mask": False}, {"mask": False, "opcode": PING}, {"rsv": 1}, {"rsv": 2}, {"rsv": 4},
    {"rsv": 4, "opcode": PING}, {"opcode": 3}, {"opcode": 7}, {"opcode": 11}, {"opcode": 15},
    {"opcode": CONT}, {"opcode": PING, "fin": False}, {"opcode": PING, "length": 126},
    {"opcode": CLOSE, "length": 65536}, {"length": 1 << 63}])
def test_frames_that_break_the_protocol(standing, ws, how):
    ws.send(b"x", **how)
    assert ws.closed() in (None, 1002)
    still_well(standing)


def test_a_new_message_inside_another(standing, ws):
    ws.send(b"a", fin=False)
    ws.send(b"b")
    assert ws.closed() in (None, 1002)
    still_well(standing)


def test_messages_have_a_bound(standing, ws):
    """256 KiB, whether the head says so or the pieces add up to it."""
    try:
        ws.send(b"x" * (300 * 1024))
    except (ssl.SSLError, ConnectionError):
        pass
    assert ws.closed() in (None, 1002, 1009)
    still_well(standing)


def test_pieces_add_up(standing, ws):
    try:
        ws.send(b"x" * 60000, fin=False)
        for _ in range(100):
            ws.send(b"x" * 60000, opcode=CONT, fin=False)
    except (ssl.SSLError, ConnectionError):
        pass
    assert ws.closed() in (None, 1009)
    still_well(standing)


def test_a_flood_of_empty_pieces(standing, ws):
    try:
        ws.send(b"", fin=False)
        for _ in range(100):
            ws.send_raw(WebSocket.frame(b"", opcode=CONT, fin=False) * 1000)
    except (ssl.SSLError, ConnectionError):
        pass
    assert ws.closed() in (None, 1008)
    still_well(standing)


def test_a_huge_frame_that_never_comes(standing, ws):
    """Nothing is allocated for what a head merely promises."""
    before = rss_of(standing)
    ws.send(b"x" * 100, length=1 << 62)
    assert ws.sock.send(b"y") == 1
    assert rss_of(standing) - before < 4096
    still_well(standing)


def rss_of(relay):
    with open(f"/proc/{relay.pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def test_pings_are_answered(relay, admin):
    link = relay.link(admin)
    link.send(b"are you there", opcode=PING)
    while True:
        opcode, payload = link.receive()
        if opcode == PONG:
            break
    assert payload == b"are you there"


def test_a_flood_of_pings(relay, admin):
    """It may be read slowly, it may not pile up."""
    link = relay.link(admin)
    watch = Watch(relay)
    before = rss_of(relay)
    flood = WebSocket.frame(b"x" * 125, opcode=PING) * 200
    link.sock.settimeout(1)
    for _ in range(50):
        try:
            link.send_raw(flood)
        except (ssl.SSLError, OSError):
            break
        watch.look()
    assert rss_of(relay) - before < 16 * 1024
    assert watch.slowest < PATIENCE
    still_well(relay)


def test_a_message_in_pieces_is_one(relay, admin):
    """A request cut anywhere, with a ping in between, is answered."""
    link = relay.link(admin)
    message = wire.pack([wire.REQUEST, 0, 77, "GetCallerIdentity", {}])
    link.send(message[:3], fin=False)
    link.send(b"", opcode=CONT, fin=False)
    link.send(b"ping", opcode=PING)
    for b in message[3:-1]:
        link.send(bytes([b]), opcode=CONT, fin=False)
    link.send(message[-1:], opcode=CONT)
    while True:
        frame = link.frame_of(wire.RESPONSE)
        if frame[2] == 77:
            break
    assert frame[4]["UserName"] == "admin"


def test_messages_of_all_sizes(relay, admin):
    link = relay.link(admin)
    around = [n + d for n in (126, 128, 4096, 16384, 16400, 65536, 131072) for d in (-60, -4, -1, 0, 1)]
    for n in around + [190000]:
        assert link.request("GetCallerIdentity", Ignored=b"x" * n)["UserName"] == "admin"


def test_close_is_answered(standing, ws):
    ws.send(struct.pack(">H", 1000), opcode=CLOSE)
    while True:
        opcode, _ = ws.receive()
        if opcode == CLOSE:
            break
    wait_until(lambda: standing.metrics()["hawser_links"] == 0, "the link is gone")


@pytest.mark.parametrize("garbage", [
    b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x93" * 1000, b"\x00" * 1000,
    wire.pack("hello"), wire.pack([99, 0]), wire.pack([wire.REQUEST, 0, 1, "GetCallerIdentity", {}]),
    wire.pack([wire.HELLO, 1, {}]), wire.pack([wire.HELLO, 0, {}]), wire.pack([wire.HELLO, 0, "x"]),
    wire.pack([wire.HELLO, 0, wire.Link.hello("user", "admin", VersionMin=9, VersionMax=9)]),
    wire.pack([wire.HELLO, 0, wire.Link.hello("user", "admin")])[:-1], os.urandom(2000)],
    ids=lambda g: f"{len(g)} bytes")
def test_garbage_before_hello(standing, ws, garbage):
    ws.send(garbage or b"\xc0")
    ws.closed()
    wait_until(lambda: standing.metrics()["hawser_links"] == 0, "the link is gone")
    still_well(standing)


@pytest.mark.parametrize("garbage", [
    b"\xc1", b"\x9f\xff", wire.pack([99, 0]), wire.pack([6, 5, 1, 0, b"data"]), wire.pack([wire.HELLO, 0, {}]),
    os.urandom(5000)], ids=lambda g: f"{len(g)} bytes")
def test_garbage_on_a_link(standing, inside, garbage):
    link = standing.link(inside)
    link.send(garbage)
    link.closed()
    wait_until(lambda: standing.metrics()["hawser_links"] == 0, "the link is gone")
    still_well(standing)


def test_a_link_without_a_word(standing, ws):
    """Who does not say HELLO is not kept; it is the link's own deadline."""
    ws.closed(60)
    wait_until(lambda: standing.metrics()["hawser_links"] == 0, "the link is gone")


def test_dropped_links_are_noticed(relay, admin):
    link = relay.link(admin)
    wait_until(lambda: relay.metrics()["hawser_links"] == 1, "the link is up")
    link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()
    wait_until(lambda: relay.metrics()["hawser_links"] == 0, "the link is gone")
    still_well(relay)


def test_unread_output_does_not_pile_up(relay, admin):
    """A peer that asks and never reads is not answered without end."""
    link = relay.link(admin)
    link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    watch = Watch(relay)
    before = rss_of(relay)
    request = WebSocket.frame(wire.pack([wire.REQUEST, 0, 5, "DescribeInstanceInformation", {}]))
    link.sock.settimeout(1)
    for _ in range(300):
        try:
            link.send_raw(request * 50)
        except (ssl.SSLError, OSError):
            break
    watch.look()
    assert rss_of(relay) - before < 64 * 1024
    still_well(relay)


# --- the program ---------------------------------------------------------------------------------------


def test_it_stops_in_order(relay, admin):
    link = relay.link(admin)
    relay.stop()
    assert "relay.stopped" in relay.log
    assert link.closed() == 1001  # going away


def test_it_comes_back_after_a_kill(relay, admin):
    relay.kill9()
    relay.start()
    assert relay.link(admin).request("GetCallerIdentity")["UserName"] == "admin"


def test_its_certificate_is_renewed_in_time(relay):
    relay.stop()
    old = relay.forge("relay", "relay", days=20)
    with open(old.cert, "rb") as leaf, open(relay.ca.cert, "rb") as ca:
        chain = leaf.read() + ca.read()
    with open(os.path.join(relay.dir, "relay.crt"), "wb") as f:
        f.write(chain)
    shutil.copyfile(old.key, os.path.join(relay.dir, "relay.key"))
    relay.start()
    with relay.connect() as sock:
        end = ssl.cert_time_to_seconds(sock.getpeercert()["notAfter"])
    assert end > time.time() + 300 * 86400


def test_one_relay_a_directory(relay):
    second = run("run", "--dir", relay.dir, "--allow-root", "--listen", "127.0.0.1:1")
    assert second.returncode == 1
    assert "another relay is running" in second.stderr
    still_well(relay)


def run(*args):
    return subprocess.run([program("hawser-relay"), *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)


def test_a_taken_port_is_said(relays, relay):
    relay.stop()
    with socket.create_server(("127.0.0.1", relay.port)):
        failed = run("run", "--dir", relay.dir, "--allow-root")
        check = run("check", "--dir", relay.dir)
    assert failed.returncode == 1
    assert f"port {relay.port} of 127.0.0.1 is taken" in failed.stderr
    assert check.returncode == 1 and "FAIL  port" in check.stdout
    assert run("check", "--dir", relay.dir).returncode == 0


def test_check_sees_loose_files(relay):
    assert run("check", "--dir", relay.dir).returncode == 0
    os.chmod(os.path.join(relay.dir, "ca.key"), 0o644)
    check = run("check", "--dir", relay.dir)
    assert check.returncode == 1 and "ca.key: others may use it" in check.stdout


def test_check_asks_for_the_recovery_key_to_be_moved(relay, tmp_path):
    said = run("check", "--dir", relay.dir)
    assert said.returncode == 0 and re.search(r"^warn  file +recovery.key lies beside .*: move it", said.stdout, re.M), said.stdout
    os.rename(os.path.join(relay.dir, "recovery.key"), tmp_path / "recovery.key")
    assert "recovery.key" not in run("check", "--dir", relay.dir).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can refuse to be root")
def test_root_is_refused(relay):
    relay.stop()
    refused = run("run", "--dir", relay.dir)
    assert refused.returncode == 1 and "does not run as root" in refused.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_becomes_the_owner():
    base = tempfile.mkdtemp()
    os.chmod(base, 0o755)
    relay = Relay(base)
    for where, _, files in os.walk(relay.dir):
        for name in ["."] + files:
            os.chown(os.path.join(where, name), 12345, 12345)
    try:
        relay.start()
        with open(f"/proc/{relay.pid}/status", encoding="ascii") as f:
            assert re.search(r"(?m)^Uid:\t12345\t12345\t12345\t12345$", f.read())
        relay.stop()
    finally:
        if relay.alive():
            relay.kill9()
        shutil.rmtree(base)


def test_usage():
    assert run().returncode == 2
    assert run("fly").returncode == 2
    assert run("run").returncode == 2
    assert run("run", "--dir", "/x", "--name", "y").returncode == 2
    assert run("init", "--dir").returncode == 2
    for args in (["--help"], ["init", "--help"], ["run", "--help"], ["check", "--help"]):
        shown = run(*args)
        assert shown.returncode == 0 and shown.stdout.count("\n") <= 24
    assert run("version").stdout.startswith("hawser-relay ")


def test_init_twice_is_refused(relay):
    again = run("init", "--dir", relay.dir)
    assert again.returncode == 1 and "holds a relay already" in again.stderr and again.stdout == ""


def test_no_leaks_in_its_life(relays):
    """Connections of every kind come and go; what stays open is what was open before."""
    relay = relays()
    admin = relay.login(relay.invite, "admin")
    fds = lambda: len(os.listdir(f"/proc/{relay.pid}/fd"))
    relay.link(admin).close()
    wait_until(lambda: relay.metrics()["hawser_links"] == 0, "the link is gone")
    before = fds()
    for _ in range(50):
        relay.link(admin).close()
        relay.http("GET", "/nothing")
        with pytest.raises(wire.Refused):
            WebSocket.upgrade(relay, None)
        relay.tcp().close()
        raw_request(relay, b"BREW / HTTP/1.1\r\n\r\n")
    wait_until(lambda: fds() <= before, "all descriptors are closed")
