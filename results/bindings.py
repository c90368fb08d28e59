"""How fast bindings come, and what the end of a queue with many of them costs others: a section of measure.py."""

import struct
import threading
import time

from wire import CONSUME_OK, Wire, bind, publish, short


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
