"""A client that speaks AMQP by hand: what is measured is the broker's time for a method, and a client library would take longer
than that."""

import socket
import struct
import threading
import time

DECLARE_OK, QUEUE_BIND_OK, CONSUME_OK = b"\x00\x32\x00\x0b", b"\x00\x32\x00\x15", b"\x00\x3c\x00\x15"


class Wire:
    """A logged-in connection with channel 1 open."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb", 1 << 20)
        self.socket.sendall(b"AMQP\0\0\x09\x01")
        self.frame()
        self.send(0, struct.pack(">HHI", 10, 11, 0) + b"\x05PLAIN" + struct.pack(">I", 12) + b"\0guest\0guest" + b"\x05en_US")
        self.frame()
        self.send(0, struct.pack(">HHHIH", 10, 31, 2047, 131072, 0))
        self.send(0, struct.pack(">HH", 10, 40) + b"\x01/\0\0")
        self.frame()
        self.call(struct.pack(">HH", 20, 10) + b"\0")

    def close(self):
        self.reader.close()
        self.socket.close()

    def reset(self):
        """Closes so that the other side gets an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def records(self, size, count, piece=1 << 22):
        """Deliveries of `size` bytes each, all frames together, as pieces of whole ones."""
        at_once = max(1, piece // size)
        while count > 0:
            take = min(at_once, count)
            data = self.reader.read(take * size)
            assert len(data) == take * size, "the broker closed the socket"
            yield data
            count -= take

    def send(self, channel, payload):
        self.socket.sendall(frame(channel, payload))

    def frame(self):
        size = struct.unpack(">BHI", self.reader.read(7))[2]
        return self.reader.read(size + 1)[:-1]

    def call(self, payload):
        self.send(1, payload)
        return self.frame()

    def declare(self, queue, arguments=None):
        """How many messages are ready in it."""
        answer = self.call(declare(queue, arguments or {}))
        assert answer[:4] == DECLARE_OK, answer
        return struct.unpack(">II", answer[-8:])[0]

    def count(self, queue):
        answer = self.call(declare(queue, {}, bits=PASSIVE))
        assert answer[:4] == DECLARE_OK, answer
        return struct.unpack(">II", answer[-8:])[0]

    def await_count(self, queue, count, pause=0.001):
        while self.count(queue) < count:
            time.sleep(pause)

    def declare_pipelined(self, queues, arguments, bits=0):
        self.pipelined([declare(queue, arguments, bits) for queue in queues], DECLARE_OK)

    def counts(self, queues):
        """How many messages are ready in each."""
        answers = self.pipelined([declare(queue, {}, bits=PASSIVE) for queue in queues], DECLARE_OK)
        return [struct.unpack(">I", answer[-8:-4])[0] for answer in answers]

    def pipelined(self, payloads, expected):
        """The answers, all of that method, to methods that are sent without waiting."""
        calls = b"".join(frame(1, payload) for payload in payloads)
        sender = threading.Thread(target=self.socket.sendall, args=(calls,))
        sender.start()
        answers = [self.frame() for _ in payloads]
        sender.join()
        assert all(answer[:4] == expected for answer in answers), next(a for a in answers if a[:4] != expected)
        return answers

    def consume(self, queue, tag="c", no_ack=True):
        assert self.call(consume(queue, tag, no_ack))[:4] == CONSUME_OK

    def delete(self, queue):
        self.call(struct.pack(">HHH", 50, 40, 0) + short(queue) + b"\0")

    def purge(self, queue):
        self.call(struct.pack(">HHH", 50, 30, 0) + short(queue) + b"\0")

    def exchange(self, name, kind, bits=0):
        self.call(struct.pack(">HHH", 40, 10, 0) + short(name) + short(kind) + bytes([bits]) + struct.pack(">I", 0))

    def bind_pipelined(self, queue, exchange, keys):
        """Seconds until the last bind-ok."""
        binds = [bind(queue, exchange, key) for key in keys]
        began = time.perf_counter()
        self.pipelined(binds, QUEUE_BIND_OK)
        return time.perf_counter() - began

    def bind_awaited(self, queue, exchange, keys):
        began = time.perf_counter()
        for key in keys:
            assert self.call(bind(queue, exchange, key)) == QUEUE_BIND_OK
        return time.perf_counter() - began


def frame(channel, payload, kind=1):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xCE"


def short(text):
    return bytes([len(text)]) + text.encode()


def bind(queue, exchange, key):
    return struct.pack(">HHH", 50, 20, 0) + short(queue) + short(exchange) + short(key) + b"\0" + struct.pack(">I", 0)


def declare(queue, arguments, bits=0):
    entries = b"".join(short(key) + value_of(value) for key, value in arguments.items())
    return struct.pack(">HHH", 50, 10, 0) + short(queue) + bytes([bits]) + struct.pack(">I", len(entries)) + entries


def value_of(value):
    """A whole number as a long, a text as a long string."""
    if isinstance(value, int):
        return b"l" + struct.pack(">q", value)
    return b"S" + struct.pack(">I", len(value)) + value.encode()


def consume(queue, tag, no_ack, nowait=False):
    bits = no_ack * 2 + nowait * 8
    return struct.pack(">HHH", 60, 20, 0) + short(queue) + short(tag) + bytes([bits]) + struct.pack(">I", 0)


def cancel(tag):
    return struct.pack(">HH", 60, 30) + short(tag) + b"\1"


def publish(exchange, key, body=b"x" * 16, priority=None):
    method = struct.pack(">HHH", 60, 40, 0) + short(exchange) + short(key) + b"\0"
    properties = struct.pack(">H", 0) if priority is None else struct.pack(">HB", 1 << 11, priority)
    return frame(1, method) + frame(1, struct.pack(">HHQ", 60, 0, len(body)) + properties, 2) + frame(1, body, 3)


class Delivery:
    """Where things stand in the frames of a delivery, if all of a queue's are alike: one frame of body, the same properties."""

    def __init__(self, tag, queue, body_bytes, priority=False):
        redelivered = 7 + 4 + len(short(tag)) + 8
        method = redelivered + 1 + len(short("")) + len(short(queue)) + 1
        self.redelivered, self.priority = redelivered, method + 7 + 14 if priority else None
        self.body = method + 7 + 14 + priority + 1 + 7
        self.size = self.body + body_bytes + 1


PASSIVE, DURABLE = 1, 2
