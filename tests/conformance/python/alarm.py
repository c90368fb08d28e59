"""The memory alarm as pika's callbacks tell of it. The broker under test has 64 MiB for messages."""

import threading
import unittest

import pika

from support import BrokerCase, Consumer, parameters

BODY = bytes(350_000)
# One publisher alone goes beyond that, should the other be slow to start.
COUNT = 220


class Publisher(threading.Thread):
    """Publishes numbers, each behind the confirm of the last, and notes when it was blocked."""

    def __init__(self, queue):
        super().__init__(daemon=True)
        self.queue = queue
        self.confirmed = 0
        self.reasons = []
        self.blocked, self.unblocked = threading.Event(), threading.Event()

    def run(self):
        with pika.BlockingConnection(parameters()) as connection:
            # As soon as the frame comes, also while a publish waits for its confirm.
            connection._impl.add_on_connection_blocked_callback(self.on_blocked)
            connection._impl.add_on_connection_unblocked_callback(lambda *_: self.unblocked.set())
            channel = connection.channel()
            channel.confirm_delivery()
            for number in range(COUNT):
                channel.basic_publish("", self.queue, number.to_bytes(8, "big") + BODY)
                self.confirmed += 1

    def on_blocked(self, _connection, frame):
        self.reasons.append(frame.method.reason)
        self.blocked.set()


class MemoryAlarm(BrokerCase):
    def test_publishers_are_blocked_until_consumers_have_caught_up(self):
        queue = self.shared_queue()
        publishers = [Publisher(queue) for _ in range(2)]
        for publisher in publishers:
            publisher.start()
        for publisher in publishers:
            self.assertTrue(publisher.blocked.wait(20))
        before = [publisher.confirmed for publisher in publishers]
        self.serve(1)
        self.assertEqual(before, [publisher.confirmed for publisher in publishers], "nothing is confirmed meanwhile")
        self.assertLess(sum(before), 2 * COUNT)
        self.assertEqual(sum(before), self.depth(queue))
        self.channel.basic_qos(prefetch_count=20)
        consumer = Consumer(self.channel, queue)
        acked = 0
        while acked < 2 * COUNT:
            self.wait_until(lambda: len(consumer.messages) > acked)
            acked = len(consumer.messages)
            consumer.ack(multiple=True)
        for publisher in publishers:
            publisher.join(20)
            self.assertEqual(COUNT, publisher.confirmed)
            self.assertTrue(publisher.unblocked.is_set())
            self.assertEqual({"low on memory"}, set(publisher.reasons))
        numbers = sorted(int.from_bytes(body[:8], "big") for body in consumer.bodies)
        self.assertEqual(sorted(2 * list(range(COUNT))), numbers)


if __name__ == "__main__":
    unittest.main()
