"""A recording as `hawser audit export --format json` gives it, with its rewinds applied."""

import base64
import json


class Recording:
    def __init__(self, lines):
        self.streams = {"in": [], "out": [], "err": []}
        self.rewinds, self.notes, self.ended = 0, [], False
        for line in lines:
            self._take(json.loads(line))

    @classmethod
    def of(cls, client, session):
        return cls(client.ok("audit", "export", session, "--format", "json", timeout=300).splitlines())

    def _take(self, event):
        kind = event["type"]
        if kind == "data":
            self._add(event, base64.b64decode(event["bytes"]))
        elif kind == "hidden":
            self._add(event, [None] * event["hidden"])
        elif kind == "rewind":
            self.rewinds += 1
            self._cut(event["stream"], event["offset"])
        elif kind == "note":
            self.notes.append(event["text"])
        elif kind == "close":
            self.ended = True

    def length(self, stream):
        pieces = self.streams[stream]
        return pieces[-1][0] + len(pieces[-1][1]) if pieces else 0

    def _add(self, event, data):
        assert event["offset"] == self.length(event["stream"]), \
            f"{event['stream']}: a piece at {event['offset']}, after {self.length(event['stream'])} bytes"
        self.streams[event["stream"]].append((event["offset"], data))

    def _cut(self, stream, offset):
        pieces = self.streams[stream]
        while pieces and pieces[-1][0] >= offset:
            pieces.pop()
        if pieces and self.length(stream) > offset:
            at, data = pieces[-1]
            pieces[-1] = (at, data[:offset - at])

    def bytes(self, stream):
        return b"".join(data for _, data in self.streams[stream])

    def input(self):
        """What was typed: bytes, or a list in which None stands for each that is hidden."""
        pieces = [data for _, data in self.streams["in"]]
        if all(isinstance(p, bytes) for p in pieces):
            return b"".join(pieces)
        return [byte for data in pieces for byte in data]
