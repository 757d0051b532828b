"""Links by hand: msgpack, WebSocket frames, HELLO and requests. Made to say wrong things, too."""

import base64
import os
import ssl
import struct
import time

# --- msgpack, as much as links need --------------------------------------------------------------


def pack(value):
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128:
            return bytes([value])
        for limit, head, form in ((8, 0xcc, ">B"), (16, 0xcd, ">H"), (32, 0xce, ">I"), (64, 0xcf, ">Q")):
            if 0 <= value < 1 << limit:
                return bytes([head]) + struct.pack(form, value)
        return b"\xd3" + struct.pack(">q", value)
    if isinstance(value, str):
        raw = value.encode()
        return _head(len(raw), 0xa0, 32, (0xd9, 0xda, 0xdb)) + raw
    if isinstance(value, bytes):
        return _head(len(value), 0, 0, (0xc4, 0xc5, 0xc6)) + value
    if isinstance(value, (list, tuple)):
        return _head(len(value), 0x90, 16, (None, 0xdc, 0xdd)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        return _head(len(value), 0x80, 16, (None, 0xde, 0xdf)) + b"".join(
            pack(k) + pack(v) for k, v in value.items())
    raise TypeError(type(value))


def _head(n, fix, fix_below, heads):
    if n < fix_below:
        return bytes([fix | n])
    for head, form, bits in zip(heads, (">B", ">H", ">I"), (8, 16, 32)):
        if head is not None and n < 1 << bits:
            return bytes([head]) + struct.pack(form, n)
    raise ValueError(n)


def unpack(data, at=0):
    """(value, the position after it)"""
    c = data[at]
    at += 1
    if c < 0x80:
        return c, at
    if c >= 0xe0:
        return c - 256, at
    if c < 0x90:
        return _unpack_map(data, at, c & 15)
    if c < 0xa0:
        return _unpack_list(data, at, c & 15)
    if c < 0xc0:
        return data[at:at + (c & 31)].decode(), at + (c & 31)
    if c in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[c], at
    forms = {0xc4: ">B", 0xc5: ">H", 0xc6: ">I", 0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b",
             0xd1: ">h", 0xd2: ">i", 0xd3: ">q", 0xd9: ">B", 0xda: ">H", 0xdb: ">I", 0xdc: ">H", 0xdd: ">I",
             0xde: ">H", 0xdf: ">I", 0xca: ">f", 0xcb: ">d"}
    (n,) = struct.unpack_from(forms[c], data, at)
    at += struct.calcsize(forms[c])
    if c <= 0xc6:
        return bytes(data[at:at + n]), at + n
    if c <= 0xd3:
        return n, at
    if c <= 0xdb:
        return data[at:at + n].decode(), at + n
    return (_unpack_list if c <= 0xdd else _unpack_map)(data, at, n)


def _unpack_list(data, at, n):
    out = []
    for _ in range(n):
        value, at = unpack(data, at)
        out.append(value)
    return out, at


def _unpack_map(data, at, n):
    out = {}
    for _ in range(n):
        key, at = unpack(data, at)
        out[key], at = unpack(data, at)
    return out, at


# --- WebSocket -------------------------------------------------------------------------------------

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GONE = (ssl.SSLError, ConnectionError, EOFError)


class Refused(Exception):
    """The upgrade was answered with something else than 101."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body!r}")
        self.status, self.body = status, body


class WebSocket:
    def __init__(self, sock):
        self.sock = sock
        self.input = b""

    @classmethod
    def upgrade(cls, relay, identity=None, path="/link", source="127.0.0.1", **change):
        """Headers can be changed, and left out with None; names have _ for -."""
        headers = {
            "Host": "relay", "Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "hawser.1",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()}
        headers.update({k.replace("_", "-"): v for k, v in change.items()})
        head = f"GET {path} HTTP/1.1\r\n" + "".join(
            f"{k}: {v}\r\n" for k, v in headers.items() if v is not None) + "\r\n"
        ws = cls(relay.connect(identity, source))
        try:
            ws.sock.sendall(head.encode())
            ws._read_answer()
        except BaseException:
            ws.close()
            raise
        return ws

    def _read_answer(self):
        while b"\r\n\r\n" not in self.input:
            self._more()
        head, self.input = self.input.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        status = int(lines[0].split(" ")[1])
        if status == 101:
            return
        length = next((int(x.split(":")[1]) for x in lines if x.lower().startswith("content-length:")), 0)
        while len(self.input) < length:
            self._more()
        raise Refused(status, self.input[:length])

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("the relay closed the connection")
        self.input += data

    def _take(self, n):
        while len(self.input) < n:
            self._more()
        data, self.input = self.input[:n], self.input[n:]
        return data

    def send_raw(self, data):
        self.sock.sendall(data)

    @staticmethod
    def frame(payload, opcode=BINARY, fin=True, rsv=0, mask=True, length=None):
        """One frame; length: what the head says, whatever follows."""
        n = len(payload) if length is None else length
        head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
        bit = 0x80 if mask else 0
        if n < 126:
            head += bytes([bit | n])
        elif n < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", n)
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", n)
        if not mask:
            return head + payload
        key = os.urandom(4)
        stream = (key * (len(payload) // 4 + 1))[:len(payload)]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(
            len(payload), "big") if payload else b""
        return head + key + masked

    def send(self, payload, **how):
        self.send_raw(self.frame(payload, **how))

    def receive(self):
        """(opcode, payload) of the next frame; pings are answered by nobody here."""
        first, second = self._take(2)
        n = second & 127
        if n == 126:
            (n,) = struct.unpack(">H", self._take(2))
        elif n == 127:
            (n,) = struct.unpack(">Q", self._take(8))
        assert not second & 128, "a server does not mask"
        return first & 15, self._take(n)

    def closed(self, seconds=30):
        """Reads until the relay ends the connection: the close code, or None without a CLOSE frame."""
        end = time.monotonic() + seconds
        code = None
        self.sock.settimeout(seconds)
        try:
            while time.monotonic() < end:
                opcode, payload = self.receive()
                if opcode == CLOSE:
                    code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005
                    self.send(payload, opcode=CLOSE)
        except GONE:
            return code
        raise AssertionError("the relay goes on talking")

    def close(self):
        self.sock.close()


# --- links -----------------------------------------------------------------------------------------

HELLO, REQUEST, RESPONSE, OPEN, ACCEPT, REJECT, DATA, CREDIT, END, CHANNEL_CLOSE, CONTROL = range(11)


class Failed(Exception):
    """A request's error."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Link(WebSocket):
    """A link that is up. Frames are lists, as the protocol's page has them."""

    @classmethod
    def open(cls, relay, identity, role, **change):
        link = cls.upgrade(relay, identity, **change)
        link.frames, link.next_id = [], 1
        link.send_frame([HELLO, 0, cls.hello(role, identity.id)])
        link.peer = link.frame_of(HELLO)[2]
        return link

    @staticmethod
    def hello(role, name, **change):
        return {"VersionMin": 1, "VersionMax": 1, "Role": role, "Id": name, "Software": "e2e/1",
                "Time": int(time.time() * 1e6), "FrameMax": 262144, **change}

    def send_frame(self, frame):
        self.send(pack(frame))

    def next_frame(self):
        while not self.frames:
            opcode, payload = self.receive()
            if opcode == CLOSE:
                raise EOFError("closed by the relay")
            at = 0
            while opcode == BINARY and at < len(payload):
                frame, at = unpack(payload, at)
                self.frames.append(frame)
        return self.frames.pop(0)

    def frame_of(self, kind):
        while True:
            frame = self.next_frame()
            if frame[0] == kind:
                return frame

    def request(self, op, **fields):
        """The reply's fields; Failed otherwise."""
        number, self.next_id = self.next_id, self.next_id + 1
        self.send_frame([REQUEST, 0, number, op, fields])
        while True:
            frame = self.frame_of(RESPONSE)
            if frame[2] == number:
                break
        if frame[3]:
            raise Failed(frame[3], frame[4].get("Message"))
        return frame[4]
