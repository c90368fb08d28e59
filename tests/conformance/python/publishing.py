"""Publishing: confirms, mandatory messages, what comes back byte for byte, and what is refused."""

import datetime
import decimal
import hashlib
import random
import unittest

import pika
from pika.exceptions import UnroutableError

from support import BrokerCase, Consumer, numbered

MEGABYTE = 1 << 20


class Confirms(BrokerCase):
    def setUp(self):
        super().setUp()
        self.channel.confirm_delivery()

    def test_what_is_confirmed_is_in_the_queue(self):
        queue = self.queue()
        other = self.connection.channel()
        for number, body in enumerate(numbered(50)):
            self.channel.basic_publish("", queue, body)
            self.assertEqual(number + 1, other.queue_declare(queue, passive=True).method.message_count)

    def test_a_message_without_a_queue_is_confirmed(self):
        self.channel.basic_publish("", self.name("no-queue"), b"gone")
        self.channel.basic_publish("amq.fanout", "", b"gone")

    def test_a_mandatory_message_without_a_queue_comes_back_before_its_confirm(self):
        """pika blocks until the confirm and then raises what was returned until then."""
        nowhere = self.name("no-queue")
        properties = pika.BasicProperties(message_id="7", headers={"k": "v"})
        for body in [b"", b"come back", bytes(300_000)]:
            with self.assertRaises(UnroutableError) as caught:
                self.channel.basic_publish("amq.direct", nowhere, body, properties, mandatory=True)
            (returned,) = caught.exception.messages
            method = returned.method
            self.assertEqual((312, "NO_ROUTE"), (method.reply_code, method.reply_text))
            self.assertEqual(("amq.direct", nowhere), (method.exchange, method.routing_key))
            self.assertEqual((body, "7", {"k": "v"}), (returned.body, returned.properties.message_id, returned.properties.headers))

    def test_a_mandatory_message_with_a_queue_does_not_come_back(self):
        queue = self.queue()
        self.channel.basic_publish("", queue, b"stay", mandatory=True)
        self.assertEqual(b"stay", self.get(queue))

    def test_select_twice_is_allowed(self):
        self.channel._impl.confirm_delivery(self.ignore, callback=None)
        queue = self.queue()
        self.channel.basic_publish("", queue, b"x")
        self.assertEqual(b"x", self.get(queue))

    def ignore(self, _frame):
        pass


class Returns(BrokerCase):
    def test_without_confirms_only_mandatory_messages_come_back(self):
        returned = []
        self.channel.add_on_return_callback(lambda _channel, method, _properties, body: returned.append((method.reply_code, body)))
        nowhere = self.name("no-queue")
        self.channel.basic_publish("", nowhere, b"silent")
        self.channel.basic_publish("", nowhere, b"loud", mandatory=True)
        self.wait_until(lambda: returned)
        self.serve(0.1)
        self.assertEqual([(312, b"loud")], returned)


class Content(BrokerCase):
    SIZES = [0, 1, 4096, 128 << 10, MEGABYTE, 10 * MEGABYTE]

    def test_bodies_of_all_sizes_come_back_to_the_byte(self):
        self.round_trips(131_072, self.SIZES)

    def test_bodies_come_back_over_small_frames(self):
        self.round_trips(8192, self.SIZES)

    def test_bodies_that_just_fill_their_frames_come_back(self):
        room = 8192 - 8
        self.round_trips(8192, [room - 1, room, room + 1, 2 * room - 1, 2 * room, 2 * room + 1])

    def test_frames_are_cut_anew_for_a_consumer_with_smaller_ones(self):
        self.between(131_072, 8192)

    def test_frames_may_stay_small_for_a_consumer_with_larger_ones(self):
        self.between(8192, 131_072)

    def round_trips(self, frame_max, sizes):
        channel = self.connect(frame_max=frame_max).channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        bodies = [random.Random(size).randbytes(size) for size in sizes]
        for body in bodies:
            channel.basic_publish("", queue, body)
        consumer = Consumer(channel, queue, auto_ack=True)
        self.wait_until(lambda: len(consumer.messages) == len(bodies), channel.connection, seconds=60)
        self.assertEqual(digests(bodies), digests(consumer.bodies))

    def between(self, publisher_frame_max, consumer_frame_max):
        queue = self.shared_queue()
        bodies = [random.Random(size).randbytes(size) for size in [1, 8184, 8185, 131_072, MEGABYTE]]
        publishing = self.connect(frame_max=publisher_frame_max)
        self.publish(queue, *bodies, channel=publishing.channel())
        consuming = self.connect(frame_max=consumer_frame_max)
        consumer = Consumer(consuming.channel(), queue, auto_ack=True)
        self.wait_until(lambda: len(consumer.messages) == len(bodies), consuming)
        self.assertEqual(digests(bodies), digests(consumer.bodies))

    def test_ten_thousand_messages_keep_their_order(self):
        queue = self.shared_queue()
        bodies = numbered(10_000)
        for body in bodies:
            self.channel.basic_publish("", queue, body)
        receiving = self.connect()
        consumer = Consumer(receiving.channel(), queue, auto_ack=True)
        self.wait_until(lambda: len(consumer.messages) == len(bodies), receiving, seconds=60)
        self.assertEqual(bodies, consumer.bodies)
        self.assertEqual(list(range(1, 10_001)), consumer.tags)

    def test_properties_come_back_as_they_went(self):
        queue = self.queue()
        sent = pika.BasicProperties(
            content_type="text/plain", content_encoding="gzip", delivery_mode=2, priority=9, correlation_id="c",
            reply_to="r", expiration="60000", message_id="m", timestamp=1_700_000_000, type="t", user_id="guest",
            app_id="a", cluster_id="l", headers=HEADERS)
        self.channel.basic_publish("", queue, b"x", sent)
        self.assertEqual(sent, self.channel.basic_get(queue, auto_ack=True)[1])

    def test_each_property_comes_back_alone(self):
        queue = self.queue()
        for name, value in [("content_type", "x" * 255), ("priority", 0), ("timestamp", 0), ("headers", {}), ("cluster_id", "")]:
            sent = pika.BasicProperties(**{name: value})
            self.channel.basic_publish("", queue, b"x", sent)
            self.assertEqual(sent, self.channel.basic_get(queue, auto_ack=True)[1], name)


class Refusals(BrokerCase):
    def test_a_missing_exchange_closes_the_channel_and_the_connection_survives(self):
        missing = self.name("no-exchange")
        with self.channel_error(404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'"):
            self.channel.basic_publish(missing, "", b"x")
            self.channel.queue_declare("", exclusive=True)
        queue = self.queue()
        self.channel.basic_publish("", queue, b"alive")
        self.assertEqual(b"alive", self.get(queue))

    def test_what_follows_a_channel_error_is_ignored(self):
        queue = self.queue()
        missing = self.name("no-exchange")
        with self.channel_error(404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'"):
            self.channel.basic_publish(missing, "", b"x")
            for body in numbered(10):
                self.channel.basic_publish("", queue, body)
            self.channel.queue_purge(queue)
        self.assertEqual([], self.drain(queue))

    def test_nobody_publishes_to_an_internal_exchange(self):
        text = "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"
        with self.channel_error(403, text):
            self.channel.basic_publish("amq.rabbitmq.trace", "", b"x")
            self.channel.queue_declare("", exclusive=True)

    def test_nobody_publishes_in_the_name_of_another(self):
        text = "PRECONDITION_FAILED - user_id property set to 'root' but authenticated user was 'guest'"
        with self.channel_error(406, text):
            self.channel.basic_publish("", "x", b"x", pika.BasicProperties(user_id="root"))
            self.channel.queue_declare("", exclusive=True)


HEADERS = {
    "text": "text",
    "unicode": "häre",
    "empty": "",
    "true": True,
    "false": False,
    "number": 42,
    "negative": -42,
    "large": 1 << 40,
    "smallest": -(1 << 63),
    "decimal": decimal.Decimal("12.34"),
    "bytes": b"\x00\xff",
    "time": datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC),
    "nothing": None,
    "list": [1, "two", [3, {"four": 4}]],
    "table": {"a": {"b": {"c": {}}}},
    "long key " * 14: "x" * 10_000,
}


def digests(bodies):
    return [(len(body), hashlib.sha256(body).hexdigest()) for body in bodies]


if __name__ == "__main__":
    unittest.main()
