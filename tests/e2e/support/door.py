"""What the tests of the relay's port say at the door, and how they look on."""

import http.client
import ssl
import time

import pytest

from support import wire
from support.wire import WebSocket

POST = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def ended(sock, seconds=30):
    """Whether the relay has ended the connection, reading what it still says; waits for it."""
    sock.settimeout(seconds)
    try:
        while sock.recv(65536):
            pass
        return True
    except (ssl.SSLError, ConnectionError):
        return True
    except TimeoutError:
        return False


def still_well(relay):
    assert relay.alive(), relay.log
    assert relay.healthy()


class Watch:
    """An established connection that asks for /healthz again and again, and how long it took."""

    def __init__(self, relay):
        self.slowest = 0
        self.c = http.client.HTTPSConnection("127.0.0.1", relay.port, context=relay.tls(), timeout=30)
        self.c.connect()

    def look(self):
        start = time.monotonic()
        self.c.request("GET", "/healthz")
        r = self.c.getresponse()
        assert (r.status, r.read()) == (200, b"ok\n")
        self.slowest = max(self.slowest, time.monotonic() - start)


def refusal(relay, identity, **change):
    with pytest.raises(wire.Refused) as refused:
        WebSocket.upgrade(relay, identity, **change)
    return refused.value


def client_hello(relay):
    """The first flight of a handshake, as bytes."""
    out = ssl.MemoryBIO()
    tls = relay.tls().wrap_bio(ssl.MemoryBIO(), out)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()
