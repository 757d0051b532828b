"""Who works while things break: shells, commands and forwards, each of which knows what has to come."""

import contextlib
import os
import pty
import re
import signal
import struct
import subprocess
import threading
import time
import tty

from harbour import PUMP
from support.relay import PATIENCE, wait_until

REPORT = struct.Struct("=6Q")
AHEAD = 8  # lines typed before the first of them was answered
PER_LINE = 24


class Broken(Exception):
    """What has to hold does not."""


class Report:
    """What a pump says of itself, while it runs and afterwards."""

    def __init__(self, path):
        self.path = path

    def read(self):
        try:
            with open(self.path, "rb") as f:
                data = f.read()
        except FileNotFoundError:
            data = b""
        return REPORT.unpack(data) if len(data) == REPORT.size else (0,) * 6

    pid, sent, received, wrong, broke, done = (property(lambda self, i=i: self.read()[i]) for i in range(6))


class Load:
    """One that runs from start() on; when it has to end, finish() ends it and checks it."""

    made = 0

    def __init__(self, site, user, agent):
        Load.made += 1
        self.number = Load.made
        self.site, self.user, self.agent = site, user, agent
        self.name = f"{type(self).__name__.lower()}-{self.number}"
        self.dir = os.path.join(site.base, self.name)
        os.mkdir(self.dir)
        self.stop_file = self.path("stop")
        self.deaths = agent.deaths  # of its agent, when it began
        self.restarts = site.restarts  # and of the relay
        self.said = bytearray()

    def path(self, name):
        return os.path.join(self.dir, name)

    def say_on(self, pipe):
        def run():
            with pipe:
                while data := pipe.read1(65536):
                    self.said += data
        threading.Thread(target=run, daemon=True).start()

    def words(self):
        return self.said.decode(errors="replace")

    def expect(self, true, what):
        if not true:
            raise Broken(f"{self.name} by {self.agent.name}: {what}\n--- it said:\n{self.words()}")

    def pids(self):
        """Of the user's programs."""
        return [self.child.pid]

    def again(self):
        """The same anew."""
        return type(self)(self.site, self.user, self.agent)

    def progress(self):
        raise NotImplementedError


# --- lines on a terminal ----------------------------------------------------------------------------


def letters(number):
    return "".join("abcdefghijklmnop"[number >> shift & 15] for shift in range(28, -4, -4))


# What the client draws over the program's output while it waits, and takes back.
DRAWN = re.compile(rb"\x18|\x1bD\x1bM|\x1b7.*?\x1b8|\x07", re.S)
NOTICE = re.compile(r"(\d+) bytes of output were not shown")


class Shell(Load):
    """Numbered lines are typed, and answered with numbered tokens. On a terminal of the user's they are echoed, too."""

    terminal = True

    def start(self):
        self.report = Report(self.path("report"))
        quiet = "" if self.terminal else "stty -echo; "
        argv = ["shell", self.agent.name, "--reason", self.name, "-e", "none",
                "--", f"{quiet}exec {PUMP} lines {self.report.path} {PER_LINE}"]
        if self.terminal:
            self.fd, theirs = pty.openpty()
            tty.setraw(theirs)
            self.child = self.user.popen(*argv, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
            os.close(theirs)
            self.read_fd = self.write_fd = self.fd
        else:
            self.child = self.user.popen(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.read_fd, self.write_fd = self.child.stdout.fileno(), self.child.stdin.fileno()
        self.say_on(self.child.stderr)
        self.shown, self.typed, self.typing = bytearray(), 0, True
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        wait_until(lambda: b"ready;" in self.shown or self.child.poll() is not None, f"{self.name}'s start")
        self.expect(self.child.poll() is None, "it ended at its start")
        self.typist = threading.Thread(target=self._type, daemon=True)
        self.typist.start()
        return self

    def _read(self):
        with contextlib.suppress(OSError):
            while data := os.read(self.read_fd, 65536):
                self.shown += data

    def _type(self):
        with contextlib.suppress(OSError):
            while self.typing and self.child.poll() is None:
                if self.typed - self.report.received < AHEAD:
                    os.write(self.write_fd, letters(self.typed).encode() + b"\n")
                    self.typed += 1
                else:
                    time.sleep(0.01)

    def progress(self):
        return self.report.received, len(DRAWN.sub(b"", bytes(self.shown[-4000:]))) and len(self.shown)

    def alive(self):
        return self.child.poll() is None

    def finish(self):
        self.typing = False
        self.typist.join()
        wait_until(lambda: self.report.received == self.typed or not self.alive(), f"{self.name}: its last lines", 2 * PATIENCE)
        self.expect(self.report.wrong == 0, f"line {self.report.wrong - 1} is not what was typed")
        self.expect(self.alive(), f"it ended with {self.child.poll()}")
        os.write(self.write_fd, b"end\n")
        status = self.child.wait(2 * PATIENCE)
        self.reader.join(1 if self.terminal else PATIENCE)
        self.expect(status == 0, f"exit status {status}")
        self.close()

    def close(self):
        self.typing = False
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        if self.terminal and self.fd is not None:
            fd, self.fd = self.fd, None
            os.close(fd)

    def check(self, recording):
        """Of one that has ended: what was recorded is what ran, and what was shown is that, or was told to be missing."""
        out = recording.bytes("out")
        digits, rest = re.sub(rb"[^0-9;]", b"", out.replace(b"ready;", b"", 1)), re.sub(rb"[0-9;]", b"", out.replace(b"ready;", b"", 1))
        tokens = b"".join(b"%08d;" % i for i in range(self.report.sent))
        self.expect(digits == tokens, f"the recorded output is not what was printed: {first_difference(digits, tokens)}")
        typed = "".join(letters(i) + "\n" for i in range(self.report.received)).encode()
        whole = typed + (b"end\n" if self.report.done else b"")
        if self.terminal:
            echo = whole.replace(b"\n", b"\r\n")
            self.expect(rest == echo, f"the echo is not what was typed: {first_difference(rest, echo)}")
        self.check_shown(out)
        self.check_typed(recording, whole)

    def check_shown(self, out):
        shown = DRAWN.sub(b"", bytes(self.shown))
        for gap in map(int, NOTICE.findall(self.words())):
            at = len(os.path.commonprefix([shown, out]))
            out = out[:at] + out[at + gap:]
        self.expect(shown == out, f"what was shown is not what was recorded: {first_difference(shown, out)}")

    def check_typed(self, recording, whole):
        typed = recording.input()
        self.expect(len(typed) == len(whole), f"{len(typed)} bytes of input were recorded, {len(whole)} were read")
        wrong = next((i for i, (a, b) in enumerate(zip(typed, whole)) if a is not None and a != b), None)
        self.expect(wrong is None, f"input byte {wrong} is not what was recorded")
        hidden = hidden_ranges(typed)
        self.expect(not hidden if self.terminal else hidden == [(0, len(whole))], f"of {len(whole)} bytes these are hidden: {hidden}")


class Pipe(Shell):
    """The same without a terminal at its user's, and without an echo."""

    terminal = False


def hidden_ranges(data):
    """[(from, to)] of what is None."""
    edges = [i for i in range(len(data) + 1) if (i < len(data) and data[i] is None) != (i > 0 and data[i - 1] is None)]
    return list(zip(edges[::2], edges[1::2]))


def first_difference(a, b):
    at = len(os.path.commonprefix([a, b]))
    return f"at {at} of {len(a)} and {len(b)}: {bytes(a[at:at + 60])!r} and {bytes(b[at:at + 60])!r}"


# --- streams ----------------------------------------------------------------------------------------


def crosswise(load, near, far):
    """All that one sent is what the other received."""
    for report, where in ((near, "the user's end"), (far, "the node's end")):
        load.expect(report.wrong == 0, f"{where} got a wrong byte at {report.wrong - 1}")
        load.expect(report.done == 1, f"{where} did not come to its end: errno {report.broke}")
    load.expect(near.sent == far.received, f"{near.sent} bytes went in, {far.received} came out at the node")
    load.expect(far.sent == near.received, f"{far.sent} bytes went in at the node, {near.received} came out")


class Exec(Load):
    rate = 60_000

    def start(self):
        self.near, self.far = Report(self.path("near")), Report(self.path("far"))
        there = f"exec {PUMP} stream {self.far.path} {2 * self.number + 1} {2 * self.number} {self.rate} {self.stop_file}"
        self.child = self.user.popen("exec", self.agent.name, "--reason", self.name, "--", there,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.say_on(self.child.stderr)
        self.pump = subprocess.Popen(
            [PUMP, "stream", self.near.path, str(2 * self.number), str(2 * self.number + 1), str(self.rate), self.stop_file],
            stdin=self.child.stdout, stdout=self.child.stdin)
        self.child.stdin.close()
        self.child.stdout.close()
        wait_until(lambda: self.near.received > 0 or not self.alive(), f"{self.name}'s start")
        self.expect(self.alive(), "it ended at its start")
        return self

    def progress(self):
        return self.near.received, self.far.received

    def alive(self):
        return self.child.poll() is None and self.near.wrong == 0 and self.far.wrong == 0

    def finish(self):
        open(self.stop_file, "w").close()
        pump, status = self.pump.wait(2 * PATIENCE), self.child.wait(2 * PATIENCE)
        self.expect(pump == 0, f"the user's end: exit {pump}")
        self.expect(status == 0, f"exit status {status}")
        crosswise(self, self.near, self.far)

    def close(self):
        for child in (self.child, self.pump):
            if child.poll() is None:
                child.kill()
            child.wait()

    def check(self, recording):
        for stream, seed, count in (("in", 2 * self.number, self.far.received), ("out", 2 * self.number + 1, self.far.sent)):
            data = recording.input() if stream == "in" else recording.bytes(stream)
            self.expect(isinstance(data, bytes), f"input is hidden: {hidden_ranges(data)} of {len(data)}")
            done = subprocess.run([PUMP, "verify", str(seed)], input=data, stdout=subprocess.PIPE, check=False)
            self.expect(done.stdout == b"%d\n" % count, f"recorded {stream}: {done.stdout.decode().strip()}, not {count} bytes")


class Forward(Load):
    """A forward, with connections that stream both ways."""

    rate, width = 300_000, 2
    connections = 0

    def start(self):
        wait_until(self.agent.online, f"{self.agent.name} online")
        port_file = self.path("port")
        self.server = subprocess.Popen([*(self.agent.net.wrap if self.agent.net else []), PUMP, "serve", port_file,
                                        self.path("far"), str(self.rate), self.stop_file], start_new_session=True)
        wait_until(lambda: os.path.exists(port_file) and os.path.getsize(port_file) > 0, "the server")
        with open(port_file, encoding="ascii") as f:
            port = int(f.read())
        self.child = self.user.popen("forward", self.agent.name, "-L", f"0:127.0.0.1:{port}", "--reason", self.name,
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.say_on(self.child.stderr)
        line = self.child.stdout.readline()
        self.child.stdout.close()
        self.expect(line, "it is not there")
        self.port = re.match(rb"127\.0\.0\.1:(\d+) ", line)[1].decode()
        self.streams = [self._connect() for _ in range(self.width)]
        return self

    def _connect(self):
        """A connection that is not there yet does not outlive its link: that is told by a reset, and tried again."""
        for _ in range(20):
            Forward.connections += 1
            number = 1000 * self.number + Forward.connections
            near, far = Report(self.path(f"near.{number}")), Report(self.path(f"far.{number}"))
            pump = subprocess.Popen([PUMP, "connect", near.path, "127.0.0.1", self.port, str(number), str(self.rate), self.stop_file])
            wait_until(lambda: near.received > 0 or pump.poll() is not None, f"{self.name}: a connection")
            if pump.poll() is None:
                return pump, near, far
        raise Broken(f"{self.name}: no connection came to be\n{self.words()}")

    def progress(self):
        return tuple(r.received for _, near, far in self.streams for r in (near, far))

    def alive(self):
        return self.child.poll() is None and all(pump.poll() is None for pump, _, _ in self.streams)

    def ended_rightly(self):
        """When its agent has died: it ends, says why, and no wrong byte came anywhere."""
        wait_until(lambda: self.child.poll() is not None, f"{self.name}: the forward's end")
        self.expect(self.child.returncode not in (0, -signal.SIGKILL), f"exit status {self.child.returncode}")
        # A relay that was started meanwhile does not know what ended before.
        reasons = "started anew|agent is restarting" + ("|no live session" if self.site.restarts != self.restarts else "")
        wait_until(lambda: re.search(reasons, self.words()), f"{self.name}: the reason; it says {self.words()!r}")
        for pump, near, far in self.streams:
            pump.wait(PATIENCE)
            self.expect(near.wrong == 0 and far.wrong == 0, "a wrong byte came before its end")
            self.expect(near.received <= far.sent and far.received <= near.sent, "more came than was sent")

    def finish(self):
        open(self.stop_file, "w").close()
        for pump, near, far in self.streams:
            status = pump.wait(2 * PATIENCE)
            self.expect(status == 0, f"a connection's end: exit {status}, errno {near.broke}")
            wait_until(lambda: far.done or far.broke or far.wrong, "the server's end of it")
            crosswise(self, near, far)
        self.expect(self.child.poll() is None, "the forward ended")
        self.child.terminate()
        status = self.child.wait(PATIENCE)
        self.expect(status == 0, f"exit status {status}")
        self.close()

    def close(self):
        for child in (self.child, *(pump for pump, _, _ in self.streams)):
            if child.poll() is None:
                child.kill()
            child.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.server.pid, signal.SIGKILL)
        self.server.wait()

    def check(self, recording):
        """It has none: the ledger says that it was."""
