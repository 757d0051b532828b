"""A line to a relay that can be cut and mended: connections of one port, carried to another."""

import selectors
import socket
import threading


class Line:
    def __init__(self, to):
        self.to = to
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.ends = []
        self.whole = True
        self.taken = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near):
        with self.lock:
            whole = self.whole
            if whole:
                self.taken += 1
                try:
                    far = socket.create_connection(("127.0.0.1", self.to))
                except OSError:
                    whole = False
        if not whole:
            near.close()
            return
        with self.lock:
            self.ends += [near, far]
        other = {near: far, far: near}
        with selectors.DefaultSelector() as ready:
            for end in other:
                ready.register(end, selectors.EVENT_READ)
            try:
                while True:
                    for key, _ in ready.select():
                        data = key.fileobj.recv(65536)
                        if not data:
                            return
                        other[key.fileobj].sendall(data)
            except (OSError, ValueError):
                return
            finally:
                self._close(near, far)

    def _close(self, *ends):
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def cut(self):
        """All that is on it is lost, and nobody gets through."""
        with self.lock:
            self.whole = False
            for end in self.ends:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self.ends = []

    def mend(self):
        with self.lock:
            self.whole = True

    def close(self):
        self.listener.close()
        self.cut()
