"""How fast bindings come, and what the end of a queue with many of them costs others: a section of measure.py.

By hand over a socket: what is measured is the broker's time for a method, and a client library would take longer than that.
"""

import socket
import struct
import threading
import time

QUEUE_BIND_OK, CONSUME_OK = b"\x00\x32\x00\x15", b"\x00\x3c\x00\x15"


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

    def send(self, channel, payload):
        self.socket.sendall(frame(channel, payload))

    def frame(self):
        size = struct.unpack(">BHI", self.reader.read(7))[2]
        return self.reader.read(size + 1)[:-1]

    def call(self, payload):
        self.send(1, payload)
        return self.frame()

    def declare(self, queue):
        self.call(struct.pack(">HHH", 50, 10, 0) + short(queue) + b"\0" + struct.pack(">I", 0))

    def delete(self, queue):
        self.call(struct.pack(">HHH", 50, 40, 0) + short(queue) + b"\0")

    def exchange(self, name, kind):
        self.call(struct.pack(">HHH", 40, 10, 0) + short(name) + short(kind) + b"\0" + struct.pack(">I", 0))

    def bind_pipelined(self, queue, exchange, keys):
        """Seconds until the last bind-ok."""
        binds = b"".join(frame(1, bind(queue, exchange, key)) for key in keys)
        began = time.perf_counter()
        sender = threading.Thread(target=self.socket.sendall, args=(binds,))
        sender.start()
        for _ in keys:
            assert self.frame() == QUEUE_BIND_OK
        sender.join()
        return time.perf_counter() - began

    def bind_awaited(self, queue, exchange, keys):
        began = time.perf_counter()
        for key in keys:
            assert self.call(bind(queue, exchange, key)) == QUEUE_BIND_OK
        return time.perf_counter() - began


def measure(port):
    """Seconds for 10,000 binds, by kind, way, and how many bindings there were before."""
    wire, times = Wire(port), {}
    for kind, pattern in [("direct", "orders.%d"), ("topic", "orders.%d.created.*")]:
        exchange = f"bindings.{kind}"
        wire.exchange(exchange, kind)
        for queue in ["first", "second"]:
            wire.declare(queue)
        keys = [pattern % number for number in range(120_000)]
        times[kind, "pipelined", 0] = wire.bind_pipelined("first", exchange, keys[:10_000])
        wire.bind_pipelined("second", exchange, keys[10_000:100_000])
        times[kind, "pipelined", 100_000] = wire.bind_pipelined("first", exchange, keys[100_000:110_000])
        times[kind, "awaited", 110_000] = wire.bind_awaited("first", exchange, keys[110_000:])
        for queue in ["first", "second"]:
            wire.delete(queue)
        wire.declare("first")
        times[kind, "awaited", 0] = wire.bind_awaited("first", exchange, keys[:10_000])
        wire.delete("first")
    return times


def delete_beside_a_publisher(port, rounds=20):
    """Milliseconds: each deletion of a queue with 10,000 bindings, and the round trips of a message by the same exchange meanwhile and
    for as long after; and all round trips."""
    wire, publisher, consumer = Wire(port), Wire(port), Wire(port)
    wire.exchange("deletions", "topic")
    wire.declare("other")
    wire.call(bind("other", "deletions", "hot.#"))
    consumer.send(1, struct.pack(">HHH", 60, 20, 0) + short("other") + short("") + b"\x02" + struct.pack(">I", 0))
    assert consumer.frame()[:4] == CONSUME_OK
    message = publish("deletions", "hot.x")
    trips, stop = [], threading.Event()

    def go_round():
        while not stop.is_set():
            began = time.perf_counter()
            publisher.socket.sendall(message)
            for _ in range(3):
                consumer.frame()
            trips.append((began, time.perf_counter() - began))

    rounds_trip = threading.Thread(target=go_round)
    rounds_trip.start()
    deletions, during = [], []
    for _ in range(rounds):
        wire.declare("victim")
        wire.bind_pipelined("victim", "deletions", ["orders.%d.#" % number for number in range(10_000)])
        time.sleep(0.05)
        began = time.perf_counter()
        wire.delete("victim")
        ended = time.perf_counter()
        time.sleep(0.05)
        deletions.append(ended - began)
        during += [trip for at, trip in trips if began - 0.001 <= at <= ended + (ended - began)]
    stop.set()
    rounds_trip.join()
    return tuple([1000 * seconds for seconds in sorted(them)] for them in (deletions, during, [trip for _, trip in trips]))


def frame(channel, payload, kind=1):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xCE"


def short(text):
    return bytes([len(text)]) + text.encode()


def bind(queue, exchange, key):
    return struct.pack(">HHH", 50, 20, 0) + short(queue) + short(exchange) + short(key) + b"\0" + struct.pack(">I", 0)


def publish(exchange, key, body=b"x" * 16):
    method = struct.pack(">HHH", 60, 40, 0) + short(exchange) + short(key) + b"\0"
    return frame(1, method) + frame(1, struct.pack(">HHQH", 60, 0, len(body), 0), 2) + frame(1, body, 3)
