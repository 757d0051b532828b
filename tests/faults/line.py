"""A line between two programs that can be cut, held in either direction, and made slow."""

import socket
import struct
import threading
import time

NEAR, FAR = 0, 1  # what goes out from who dialled, and what comes back
PIECE = 65536


class Line:
    """Connections of one port, carried to another."""

    def __init__(self, to, host="127.0.0.1"):
        self.to = to
        self.listener = socket.create_server((host, 0), backlog=64)
        self.host, self.port = host, self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.pairs = []
        self.whole = True
        self.open = [threading.Event(), threading.Event()]
        for gate in self.open:
            gate.set()
        self.rate = None  # bytes a second
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._begin, args=(near,), daemon=True).start()

    def _begin(self, near):
        try:
            if not self.whole:
                raise ConnectionError
            far = socket.create_connection(("127.0.0.1", self.to))
        except OSError:
            near.close()
            return
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = [near, far]
        with self.lock:
            self.pairs.append(pair)
            whole = self.whole
        if not whole:
            self._drop(pair, False)
        back = threading.Thread(target=self._carry, args=(pair, FAR), daemon=True)
        back.start()
        self._carry(pair, NEAR)
        back.join()
        with self.lock:
            if pair in self.pairs:
                self.pairs.remove(pair)
        for end in pair:
            end.close()

    def _carry(self, pair, way):
        source, sink = pair if way == NEAR else reversed(pair)
        try:
            while data := source.recv(PIECE if self.rate is None else 1500):
                self.open[way].wait()
                if self.rate is not None:
                    time.sleep(len(data) / self.rate)
                sink.sendall(data)
        except OSError:
            pass
        self._drop(pair, False)

    @staticmethod
    def _drop(pair, reset):
        for end in pair:
            try:
                if reset:  # close() then sends a reset, after the carrying threads have let go
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self, reset=False):
        """All that is on it is lost, and nobody gets through."""
        with self.lock:
            self.whole = False
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            self._drop(pair, reset)

    def hold(self, *ways):
        """Nobody is told of anything; bytes stay where they are."""
        for way in ways:
            self.open[way].clear()

    def mend(self):
        self.rate = None
        for gate in self.open:
            gate.set()
        with self.lock:
            self.whole = True

    def close(self):
        self.listener.close()
        self.cut()
        self.mend()
