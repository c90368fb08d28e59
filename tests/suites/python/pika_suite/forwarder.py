"""A TCP forwarder in front of the broker, which can be cut or fall silent."""

import contextlib
import socket
import struct
import threading

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Forwarder:
    def __init__(self, host, port):
        self.to = (host, port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def cut(self):
        """Resets every connection that goes through it."""
        while self.sockets:
            it = self.sockets.pop()
            with contextlib.suppress(OSError):
                it.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                it.shutdown(socket.SHUT_RDWR)
            it.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.to)
                self.sockets += [near, far]
                for source, sink in [(near, far), (far, near)]:
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source, sink):
        with contextlib.suppress(OSError):
            while octets := source.recv(65536):
                sink.sendall(octets)
        for it in [source, sink]:
            with contextlib.suppress(OSError):
                it.shutdown(socket.SHUT_RDWR)
