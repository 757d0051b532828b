"""The relay's port: what a stranger may take his time for."""

import select
import ssl
import time

from support.door import POST, Watch, client_hello, ended


def test_slow_heads_are_cut(relays):
    """One byte now and then does not keep a connection: the whole head has one deadline."""
    relay = relays(header_timeout_seconds=2)
    watch = Watch(relay)
    silent, in_tls, dripping = relay.tcp(), relay.tcp(), relay.connect()
    in_tls.sendall(client_hello(relay)[:50])
    start = time.monotonic()
    byte = 0
    while select.select([dripping], [], [], 0)[0] == [] and time.monotonic() < start + 20:
        try:
            dripping.sendall(b"GET /healthz HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"[byte:byte + 1])
        except (ssl.SSLError, ConnectionError):
            break
        byte += 1
        watch.look()
        select.select([dripping], [], [], 0.1)
    assert time.monotonic() < start + 10
    assert ended(dripping) and ended(silent) and ended(in_tls)
    m = relay.metrics()
    assert m["hawser_handshake_timeouts_total"] >= 2
    assert m["hawser_header_timeouts_total"] >= 1


def test_keeping_alive_has_an_end(relays):
    """A stranger's place comes back, however lively the stranger; who asks last is told so."""
    relay = relays(header_timeout_seconds=1)
    with relay.connect() as sock:
        start = time.monotonic()
        data, answers = b"", 0
        while time.monotonic() < start + 30:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            data = sock.recv(65536)
            answers += 1
            if b"Connection: close" in data:
                break
            assert data.endswith(b"ok\n")
            time.sleep(0.2)
        assert b"Connection: close" in data and answers > 5
        assert ended(sock)


def test_a_handshake_that_stops_half_way(relays):
    relay = relays(header_timeout_seconds=2)
    with relay.tcp() as raw:
        raw.sendall(client_hello(relay))
        raw.settimeout(30)
        assert raw.recv(5)[:1] == b"\x16"
        assert ended(raw)
    assert relay.metrics()["hawser_handshake_timeouts_total"] >= 1


def test_slow_bodies_are_cut(relays):
    relay = relays(header_timeout_seconds=2)
    with relay.connect() as sock:
        sock.sendall(POST + b"Content-Length: 100\r\n\r\n{")
        assert ended(sock)
    assert relay.metrics()["hawser_header_timeouts_total"] >= 1


def test_an_idle_link_stays(relays):
    """Deadlines are for strangers."""
    relay = relays(header_timeout_seconds=1)
    admin = relay.login(relay.invite, "admin")
    link = relay.link(admin)
    quiet, _, _ = select.select([link.sock], [], [], 3)
    assert quiet == []
    assert link.request("GetCallerIdentity")["UserName"] == "admin"
